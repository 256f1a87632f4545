/** log p by enumeration of paths: every path over T frames that spells the labels. */
export function ctcLogProbRef(scores: readonly (readonly number[])[], labels: readonly number[], blank: number): number {
  const classes = scores[0]?.length ?? 0, logs = scores.map((row) => { const max = Math.max(...row), z = Math.log(row.reduce((sum, x) => sum + Math.exp(x - max), 0)) + max; return row.map((x) => x - z); });
  let total = 0;
  for (let code = 0; code < classes ** scores.length; code++) {
    const path = Array.from({ length: scores.length }, (_, t) => Math.floor(code / classes ** t) % classes);
    if (path.filter((k, t) => k !== blank && (t === 0 || path[t - 1] !== k)).join() === labels.join()) total += Math.exp(path.reduce((sum, k, t) => sum + logs[t][k], 0));
  }
  return Math.log(total);
}

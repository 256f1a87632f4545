/** min_k KL(softmax(z) || the mean softmax of the rows that are predicted as k). */
export function klMatchingRef(z: readonly number[], rows: readonly (readonly number[])[], kinds = rows.map((row) => row.indexOf(Math.max(...row)))): number {
  const soft = (x: readonly number[]): number[] => { const top = Math.max(...x), e = x.map((v) => Math.exp(v - top)), total = e.reduce((a, b) => a + b); return e.map((v) => v / total); }, p = soft(z), each = rows.map(soft);
  const templates = [...new Set(kinds)].map((k) => z.map((_, c) => each.reduce((sum, q, n) => (kinds[n] === k ? sum + q[c] : sum), 0) / kinds.filter((kind) => kind === k).length));
  return Math.min(...templates.map((d) => p.reduce((sum, q, c) => (q > 0 ? sum + q * Math.log(q / d[c]) : sum), 0)));
}

/** log-odds of the unknown class; `model(c)` gives the mean logits of a class and the distribution function of its distances. */
export function openMaxRef(z: readonly number[], revised: number, model: (c: number) => { mean: readonly number[]; cdf: (distance: number) => number }): number {
  const order = z.map((_, c) => c).sort((a, b) => z[b] - z[a] || a - b), most = Math.min(revised, z.length), v = [...z];
  for (const [rank, c] of order.slice(0, most).entries()) v[c] = z[c] * (1 - ((most - rank) / most) * model(c).cdf(Math.hypot(...z.map((x, j) => x - model(c).mean[j]))));
  return z.reduce((sum, x, c) => sum + x - v[c], 0) - Math.log(v.reduce((sum, x) => sum + Math.exp(x), 0));
}

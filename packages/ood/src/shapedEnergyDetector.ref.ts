/** The shaped activations of one row; sums and products in float64. `dice` shapes weights, not activations. */
export function shapeRef(method: string, row: readonly number[], level: number, limit: number): number[] {
  const whole = Math.floor(row.length * level), rest = row.length * level - whole, cut = whole + (rest > 0.5 || (rest === 0.5 && whole % 2 === 1) ? 1 : 0);
  const kept = new Set(row.map((v, j) => [v, j]).sort((a, b) => b[0] - a[0] || a[1] - b[1]).slice(0, row.length - cut).map(([, j]) => j));
  const all = row.reduce((sum, v) => sum + v, 0), large = row.reduce((sum, v, j) => (kept.has(j) ? sum + v : sum), 0);
  if (method === "react") return row.map((v) => Math.min(v, limit));
  if (method === "dice" || all === 0) return [...row];
  return row.map((v, j) => (method === "scale" ? v * Math.exp(all / large) : !kept.has(j) ? 0 : method === "ashP" ? v : method === "ashB" ? all / kept.size : v * Math.exp(all / large)));
}

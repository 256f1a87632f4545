/** The score of one row; `w` are the weights of each class, `mean` the mean feature. */
export function headDetectorRef(method: "fdbd" | "nci" | "gradNorm", row: readonly number[], w: readonly (readonly number[])[], bias: readonly number[], mean: readonly number[], alpha = 1e-4): number {
  const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, v, j) => sum + v * b[j], 0), norm = Math.hypot(...row.map((v, j) => v - mean[j])), size = row.reduce((sum, v) => sum + Math.abs(v), 0);
  const z = w.map((u, c) => dot(u, row) + bias[c]), y = z.indexOf(Math.max(...z)), e = z.map((v) => Math.exp(v - z[y])), total = e.reduce((a, b) => a + b);
  const boundaries = w.map((u, c) => [z[y] - z[c], Math.hypot(...u.map((v, j) => w[y][j] - v))]).filter(([, d]) => d > 0).map(([gap, d]) => gap / d);
  if (method === "fdbd") return -boundaries.reduce((a, b) => a + b, 0) / boundaries.length / norm;
  return method === "nci" ? -(dot(w[y], row.map((v, j) => v - mean[j])) / norm + alpha * size) : -size * e.reduce((sum, v) => sum + Math.abs((w.length * v) / total - 1), 0);
}

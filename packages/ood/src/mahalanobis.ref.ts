/** min_c (f - mean_c)' inv(S) (f - mean_c) in float64, S the scatter within classes over N; the augmented matrix is reduced row by row. */
export function mahalanobisRef(x: readonly number[][], labels: ArrayLike<number>, row: readonly number[]): number {
  const means = new Map(Array.from(new Set(Array.from(labels)), (c) => [c, row.map((_, j) => mean(x.filter((_, n) => labels[n] === c).map((f) => f[j])))]));
  const s = row.map((_, i) => row.map((_, j) => mean(x.map((f, n) => (f[i] - means.get(labels[n])![i]) * (f[j] - means.get(labels[n])![j])))));
  return Math.min(...Array.from(means.values(), (m) => {
    const a = s.map((r, i) => [...r, row[i] - m[i]]), d = a.map((r) => r[row.length]);
    a.forEach((r, i) => a.forEach((q, k) => k !== i && (a[k] = q.map((v, j) => v - (q[i] / r[i]) * r[j]), (r = a[i]))));
    return d.reduce((sum, v, i) => sum + v * (a[i][row.length] / a[i][i]), 0);
  }));
}

const mean = (x: readonly number[]): number => x.reduce((a, b) => a + b, 0) / x.length;

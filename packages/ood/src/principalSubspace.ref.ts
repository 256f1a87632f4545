/** Lengths of each row inside and outside the span of the `dimension` main eigenvectors of sum_n g_n g_n', g already centred: Jacobi rotations of the vectors, in float64. */
export function principalSubspaceRef(g: readonly number[][], rows: readonly number[][], dimension: number): { inside: number[]; outside: number[] } {
  const f = g[0].length, a = g[0].map((_, i) => g[0].map((_, j) => g.reduce((sum, r) => sum + r[i] * r[j], 0))), v = a.map((_, i) => a.map((_, j) => Number(i === j)));
  for (let turn = 0; turn < 40 * f * f; turn++) {
    const p = Math.floor(turn / f) % f, q = turn % f, x = a[p][q];
    if (p >= q || x === 0) continue;
    const h = (a[q][q] - a[p][p]) / (2 * x), t = (h < 0 ? -1 : 1) / (Math.abs(h) + Math.sqrt(h * h + 1)), c = 1 / Math.sqrt(t * t + 1), s = t * c;
    for (const m of [a, v]) for (const r of m) [r[p], r[q]] = [c * r[p] - s * r[q], s * r[p] + c * r[q]];
    for (let k = 0; k < f; k++) [a[p][k], a[q][k]] = [c * a[p][k] - s * a[q][k], s * a[p][k] + c * a[q][k]];
  }
  const order = a.map((_, i) => i).sort((i, j) => a[j][j] - a[i][i]), length = (r: number[], some: number[]): number => Math.sqrt(some.reduce((sum, i) => sum + r.reduce((d, w, j) => d + w * v[j][i], 0) ** 2, 0));
  return { inside: rows.map((r) => length(r, order.slice(0, dimension))), outside: rows.map((r) => length(r, order.slice(dimension))) };
}

/** Eigenvalues of a symmetric matrix, descending, by cyclic Jacobi rotations: another algorithm, in float64. a: [n, n]. */
export function symmetricEigenRef(a: ArrayLike<number>, n: number): number[] {
  const m = Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => a[Math.max(i, j) * n + Math.min(i, j)]));
  for (let turn = 0; turn < 30 * n * n; turn++) {
    const p = Math.floor(turn / n) % n, q = turn % n, x = m[p][q];
    if (p >= q || x === 0) continue;
    const theta = (m[q][q] - m[p][p]) / (2 * x), t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1)), c = 1 / Math.sqrt(t * t + 1), s = t * c;
    for (let k = 0; k < n; k++) [m[k][p], m[k][q]] = [c * m[k][p] - s * m[k][q], s * m[k][p] + c * m[k][q]];
    for (let k = 0; k < n; k++) [m[p][k], m[q][k]] = [c * m[p][k] - s * m[q][k], s * m[p][k] + c * m[q][k]];
  }
  return m.map((row, i) => row[i]).sort((i, j) => j - i);
}

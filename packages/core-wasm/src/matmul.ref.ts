/** y[i, j] = sum_k a[i, k] b[k, j], and the same of absolute values for the bound; a: [m, k], b: [k, n], float64. */
export function matmulRef(a: ArrayLike<number>, b: ArrayLike<number>, m: number, k: number, n: number): { y: Float64Array; size: Float64Array } {
  const y = new Float64Array(m * n), size = new Float64Array(m * n);
  for (let i = 0; i < m * n; i++) {
    for (let p = 0; p < k; p++) y[i] += a[Math.floor(i / n) * k + p] * b[p * n + (i % n)];
    for (let p = 0; p < k; p++) size[i] += Math.abs(a[Math.floor(i / n) * k + p] * b[p * n + (i % n)]);
  }
  return { y, size };
}

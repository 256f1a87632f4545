/** y[i, j] = sum_n weights[n] x[n, i] x[n, j], and the same of absolute values for the bound; x: [n, f], float64. */
export function addGramRef(x: ArrayLike<number>, n: number, f: number, weights?: ArrayLike<number>): { y: Float64Array; size: Float64Array } {
  const y = new Float64Array(f * f), size = new Float64Array(f * f);
  for (let p = 0; p < n * f * f; p++) {
    const row = Math.floor(p / (f * f)), at = p % (f * f);
    const product = (weights ? weights[row] : 1) * x[row * f + Math.floor(at / f)] * x[row * f + (at % f)];
    y[at] += product;
    size[at] += Math.abs(product);
  }
  return { y, size };
}

/** Cosine of two vectors, 0 where one is zero. */
export function cosineRef(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const dot = (x: ArrayLike<number>, y: ArrayLike<number>): number => Array.from(x).reduce((sum, value, i) => sum + value * y[i], 0);
  return dot(a, b) / (Math.sqrt(dot(a, a) * dot(b, b)) || 1);
}

/** log sum_c exp(s f[c]) - s f[y], f[c] the largest cosine with the vectors of class c, f[y] = margin of it. */
export function marginSoftmaxRef(z: Float64Array, w: Float64Array, y: number, scale: number, margin: (c: number) => number, centers = 1): number {
  const cosines = Array.from({ length: w.length / z.length }, (_, k) => cosineRef(z, w.subarray(k * z.length, (k + 1) * z.length)));
  const f = Array.from({ length: cosines.length / centers }, (_, c) => Math.max(...cosines.slice(c * centers, (c + 1) * centers)));
  f[y] = margin(f[y]);
  const top = Math.max(...f);
  return Math.log(f.reduce((sum, v) => sum + Math.exp(scale * (v - top)), 0)) - scale * (f[y] - top);
}

/** sum_n v_n (log sum_c exp(z[n, c]) - z[n, y_n]), z = X W + b; x [N, F], parameters [F + 1, C] with b last. */
export function linearCrossEntropyRef(x: ArrayLike<number>, y: ArrayLike<number>, v: ArrayLike<number>, features: number, classes: number, parameters: ArrayLike<number>): number {
  let loss = 0;
  for (let n = 0; n < y.length; n++) {
    const z = Array.from({ length: classes }, (_, c) => Array.from({ length: features }, (_, f) => x[n * features + f] * parameters[f * classes + c]).reduce((a, b) => a + b, parameters[features * classes + c]));
    const top = Math.max(...z);
    loss += v[n] * (Math.log(z.reduce((sum, s) => sum + Math.exp(s - top), 0)) + top - z[y[n]]);
  }
  return loss;
}

/** Loss of each row by the definition, in float64: every logit, then its log-softmax against the targets. */
export function vocabularyRef(x: ArrayLike<number>[], w: ArrayLike<number>[], targets: ArrayLike<number>[], bias: ArrayLike<number>, cap: number, zLoss: ArrayLike<number>): Float64Array {
  return Float64Array.from(x, (row, b) => {
    const z = w.map((u, v) => Array.from(row).reduce((sum, value, f) => sum + value * u[f], bias[v])).map((value) => (cap ? cap * Math.tanh(value / cap) : value));
    const top = Math.max(...z), L = top + Math.log(z.reduce((sum, value) => sum + Math.exp(value - top), 0));
    return z.reduce((sum, value, v) => sum + (targets[b][v] === 0 ? 0 : targets[b][v] * (L - value)), zLoss[b] * L * L);
  });
}

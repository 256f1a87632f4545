/** log sum_c exp(x_c / T). */
export function logSumExpRef(x: Float64Array, temperature = 1): number {
  const max = x.reduce((a, b) => (a > b || a !== a ? a : b), -Infinity);
  return max - max === 0 ? max / temperature + Math.log(x.reduce((sum, v) => sum + Math.exp((v - max) / temperature), 0)) : max;
}

/** exp(x_c / T) / Z. */
export function softmaxRef(x: Float64Array, temperature = 1): Float64Array {
  return logSoftmaxRef(x, temperature).map(Math.exp);
}

/** x_c / T - log Z, from the maximum so that no digit is lost. */
export function logSoftmaxRef(x: Float64Array, temperature = 1): Float64Array {
  const max = x.reduce((a, b) => (a > b || a !== a ? a : b), -Infinity);
  const total = logSumExpRef(x.map((v) => v - max), temperature);
  return x.map((v) => (v - max) / temperature - total);
}

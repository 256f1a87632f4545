// Definitions in float64, for the tests.
type Row = ArrayLike<number>;

/** log softmax(z / T). */
export function logSoftmaxRef(z: Row, temperature = 1): number[] {
  const x = Array.from(z, (v) => v / temperature), max = Math.max(...x), log = Math.log(x.reduce((sum, v) => sum + Math.exp(v - max), 0)) + max;
  return x.map((v) => v - log);
}

/** KL(p || q) of log-probabilities. */
export function klRef(logP: readonly number[], logQ: readonly number[]): number {
  return logP.reduce((sum, p, c) => sum + (Math.exp(p) === 0 ? 0 : Math.exp(p) * (p - logQ[c])), 0);
}

/** z with mean 0 and standard deviation 1 (n - 1). */
export function standardRef(z: Row): number[] {
  const x = Array.from(z), mean = x.reduce((a, b) => a + b, 0) / x.length, sd = Math.sqrt(x.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (x.length - 1));
  return x.map((v) => (v - mean) / sd);
}

/** log(share e^a + (1 - share) e^b), each class. */
export function mixtureRef(share: number, a: readonly number[], b: readonly number[]): number[] {
  return a.map((x, c) => Math.max(x, b[c]) + Math.log(share * Math.exp(x - Math.max(x, b[c])) + (1 - share) * Math.exp(b[c] - Math.max(x, b[c]))));
}

/** alpha KL of the label against the rest + beta KL within the rest. */
export function dkdRef(logS: readonly number[], logT: readonly number[], y: number, alpha: number, beta: number): number {
  const rest = (x: readonly number[]): number[] => x.filter((_, c) => c !== y), logSum = (x: readonly number[]): number => Math.max(...x) + Math.log(x.reduce((sum, v) => sum + Math.exp(v - Math.max(...x)), 0));
  const two = (x: readonly number[]): number[] => [x[y], logSum(rest(x))], within = (x: readonly number[]): number[] => rest(x).map((v) => v - logSum(rest(x)));
  return alpha * klRef(two(logT), two(logS)) + beta * klRef(within(logT), within(logS));
}

/** sum_k t[pi_k] (log sum_{j >= k} exp(s[pi_j]) - s[pi_k]), pi = label, then falling t. */
export function pldRef(s: readonly number[], logT: readonly number[], y: number): number {
  const order = [y, ...s.map((_, c) => c).filter((c) => c !== y).sort((a, b) => logT[b] - logT[a])];
  return order.reduce((sum, c, k) => sum - Math.exp(logT[c]) * logSoftmaxRef(order.slice(k).map((j) => s[j]))[0], 0);
}

/** Pearson's correlation. */
export function pearsonRef(x: Row, y: Row): number {
  const centred = (v: Row): number[] => Array.from(v, (a) => a - Array.from(v).reduce((p, q) => p + q, 0) / v.length), dot = (a: number[], b: number[]): number => a.reduce((sum, v, i) => sum + v * b[i], 0);
  const a = centred(x), b = centred(y);
  return dot(a, b) === 0 ? 0 : dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

import { exp, log } from "@logits/statistics";

/** Log-probabilities in place of a row of scores; the probabilities in `p`, each exponential computed once. */
export function logSoftmaxRow(x: Float64Array, p: Float64Array = new Float64Array(x.length)): void {
  const n = x.length;
  let max = -Infinity, sum = 0;
  for (let c = 0; c < n; c++) if (!(x[c] <= max)) max = x[c];
  for (let c = 0; c < n; c++) sum += p[c] = exp(x[c] - max);
  const logSum = log(sum);
  for (let c = 0; c < n; c++) {
    p[c] /= sum;
    x[c] -= max + logSum;
  }
}

/** Probabilities of rows of logits, in float64. */
export function softmaxRows(z: Float32Array, classes: number): Float64Array {
  const p = new Float64Array(z.length), x = new Float64Array(classes);
  for (let at = 0; at < z.length; at += classes) {
    x.set(z.subarray(at, at + classes));
    logSoftmaxRow(x, p.subarray(at, at + classes));
  }
  return p;
}

/** log sum_c exp(x[c]); `skip` is left out. -Infinity where nothing is possible. */
export function logSumExpRow(x: Float64Array, skip?: number): number {
  let max = -Infinity, sum = 0;
  for (let c = 0; c < x.length; c++) if (c !== skip && !(x[c] <= max)) max = x[c];
  if (max === -Infinity) return max;
  for (let c = 0; c < x.length; c++) if (c !== skip) sum += exp(x[c] - max);
  return max + log(sum);
}

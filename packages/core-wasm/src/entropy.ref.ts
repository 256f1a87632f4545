import { logSoftmaxRef } from "./softmax.ref.ts";

/** H = -sum_c p_c log p_c of p = softmax(x / T). */
export function entropyRef(x: Float64Array, temperature = 1): number {
  return logSoftmaxRef(x, temperature).reduce((sum, log) => (log === -Infinity ? sum : sum - Math.exp(log) * log), 0);
}

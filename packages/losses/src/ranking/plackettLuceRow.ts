import { exp, logAddExp } from "@logits/statistics";

/**
 * -sum_k weight(k) log P(the k-th choice | those before it) under Plackett and Luce, from one scan in reverse and one forward.
 *
 *   value = sum_k w[k] (L[k] - s[order[k]]),   L[k] = log sum_{j >= k} exp(s[order[j]])
 *
 * The gradient is added up forward as A[k] = sum_{i <= k} w[i] exp(L[k] - L[i]), whose terms are at most w: nothing overflows.
 */
export function plackettLuceRow(s: Float64Array, order: ArrayLike<number>, weight: (place: number) => number, grad: Float64Array): number {
  const n = order.length, suffix = new Float64Array(n + 1).fill(-Infinity);
  for (let k = n - 1; k >= 0; k--) suffix[k] = logAddExp(s[order[k]], suffix[k + 1]);
  let value = 0, sum = 0;
  for (let k = 0; k < n; k++) {
    const x = s[order[k]], w = weight(k), own = suffix[k];
    if (k > 0 && sum !== 0) sum = own === -Infinity ? 0 : sum * exp(own - suffix[k - 1]);
    sum += w;
    // Impossible items behind all others are in no order.
    if (w !== 0 && x !== own) value += w * (own - x);
    grad[order[k]] += own === -Infinity ? 0 : (sum === 0 ? 0 : sum * exp(x - own)) - w;
  }
  return value;
}

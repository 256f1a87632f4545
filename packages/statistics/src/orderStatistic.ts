import { type TensorLike, checkInteger, rangeError } from "@logits/tensor";
import { asOrderable } from "./values.ts";

/**
 * The k-th smallest of N values, k from 1 to N, without sorting them all.
 *
 * @param x - shape [N], N >= 1, any TensorLike, float64 kept; not changed
 * @param k - integer in [1, N]: 1 is the smallest
 * @returns the value x_(k); ties count as often as they occur
 * @throws RangeError if x is empty or has a NaN (with its index), or k is outside [1, N]
 * @example orderStatistic([30, 10, 20], 2) // 20
 * Source: Hoare, "Algorithm 65: find", CACM 4 (1961). Expected cost O(N).
 */
export function orderStatistic(x: TensorLike, k: number): number {
  const values = asOrderable("orderStatistic", "x", x);
  if (values.length === 0) throw rangeError("orderStatistic", "x", "with at least 1 element", "0");
  checkInteger("orderStatistic", "k", k, 1, values.length);
  return select(values.slice(), k - 1);
}

/** Moves the value of rank k (from 0) to position k, the smaller before it and the larger behind it; returns it. Changes `x`. */
export function select(x: Float64Array, k: number): number {
  let left = 0, right = x.length - 1;
  // A poor pivot often enough is answered by sorting what is left, so that no input takes quadratic time.
  for (let rounds = 0; right > left; rounds++) {
    if (rounds > 60) {
      x.subarray(left, right + 1).sort();
      break;
    }
    const middle = (left + right) >>> 1;
    const a = x[left], b = x[middle], c = x[right];
    const pivot = a < b ? (b < c ? b : a < c ? c : a) : a < c ? a : b < c ? c : b;
    let i = left, j = right;
    while (i <= j) {
      while (x[i] < pivot) i++;
      while (x[j] > pivot) j--;
      if (i > j) break;
      const kept = x[i];
      x[i++] = x[j];
      x[j--] = kept;
    }
    if (k <= j) right = j;
    else if (k >= i) left = i;
    else break;
  }
  return x[k];
}

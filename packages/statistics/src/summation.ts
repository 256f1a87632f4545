import { type TensorLike } from "@logits/tensor";
import { asFloat64 } from "./values.ts";

/**
 * Sum with a running correction: the error does not grow with the number of terms.
 *
 * |error| <= 2^-53 |sum| + O(N^2 2^-106) sum |x|.
 *
 * @param x - shape [N], any TensorLike, float64 kept
 * @returns the sum; 0 for an empty x; infinities and NaN as in plain addition
 * @example compensatedSum([1, 1e100, 1, -1e100]) // 2
 * Source: Neumaier, ZAMM 54 (1974).
 */
export function compensatedSum(x: TensorLike): number {
  const values = asFloat64("compensatedSum", "x", x);
  let sum = 0, lost = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i], next = sum + value;
    lost += Math.abs(sum) >= Math.abs(value) ? sum - next + value : value - next + sum;
    sum = next;
  }
  // With an infinite sum the correction is NaN and means nothing.
  return sum - sum === 0 ? sum + lost : sum;
}

/**
 * Sum by halves: as fast as plain addition, with an error that grows with log N.
 *
 * |error| <= (16 + log2(N / 8)) 2^-53 sum |x|, blocks of up to 16 added in order. The tree depends on N only.
 *
 * @param x - shape [N], any TensorLike, float64 kept
 * @returns the sum; 0 for an empty x; infinities and NaN as in plain addition
 * @example pairwiseSum([1, 2, 3, 4]) // 10
 * Source: Higham, SIAM Journal on Scientific Computing 14 (1993).
 */
export function pairwiseSum(x: TensorLike): number {
  return sumRange(asFloat64("pairwiseSum", "x", x), 0);
}

function sumRange(x: Float64Array, start: number, end: number = x.length): number {
  if (end - start <= 16) {
    let sum = 0;
    for (let i = start; i < end; i++) sum += x[i];
    return sum;
  }
  const middle = (start + end) >>> 1;
  return sumRange(x, start, middle) + sumRange(x, middle, end);
}

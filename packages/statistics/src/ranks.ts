import { type TensorLike } from "@logits/tensor";
import { orderOf } from "./sortOrder.ts";
import { asOrderable } from "./values.ts";

/**
 * Ranks from 1 to N; equal values share the average of the ranks they take up.
 *
 * @param x - shape [N], any TensorLike, float64 kept; -0 equals 0
 * @returns float64, shape [N], summing to N (N + 1) / 2; empty for an empty x
 * @throws RangeError if an element is NaN, with its index
 * @example ranks([10, 20, 10]) // Float64Array [1.5, 3, 1.5]
 * Source: Kendall, Biometrika 33 (1945), "mid-ranks".
 */
export function ranks(x: TensorLike): Float64Array {
  const values = asOrderable("ranks", "x", x);
  const order = orderOf(values);
  const out = new Float64Array(values.length);
  for (let start = 0, end = 0; start < order.length; start = end) {
    while (end < order.length && values[order[end]] === values[order[start]]) end++;
    for (let i = start; i < end; i++) out[order[i]] = (start + 1 + end) / 2;
  }
  return out;
}

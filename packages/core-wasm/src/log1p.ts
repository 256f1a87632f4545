import type { Tensor, TensorLike } from "@logits/tensor";
import { mapElements, type ElementwiseOptions } from "./elementwise.ts";

/**
 * Logarithm of 1 + x of each element, accurate near 0.
 *
 *   y = ln(1 + x)
 *
 * At most 0.87 ULP over all 2^32 float32 inputs (accuracy.json).
 *
 * @param x - float32, any shape
 * @param options - `out`
 * @returns float32, shape of `x`. -1: -Infinity; below -1: NaN; +Infinity: +Infinity; NaN: NaN; -0: -0. Below 2^-25 in size the result is x.
 * @throws RangeError if `out` has another shape
 * @example
 *   log1p([1e-10, 1]); // 1e-10, 0.6931
 * Source: Kahan's correction: log of the rounded 1 + x, plus what the rounding lost.
 */
export function log1p(x: TensorLike, options: ElementwiseOptions = {}): Tensor<"float32"> {
  return mapElements("log1p", x, options);
}

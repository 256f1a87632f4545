import type { Tensor, TensorLike } from "@logits/tensor";
import { mapElements, type ElementwiseOptions } from "./elementwise.ts";

/**
 * e to the power of each element, less 1, accurate near 0.
 *
 *   y = exp(x) - 1
 *
 * At most 1.57 ULP over every float32 (accuracy.json).
 *
 * @param x - float32, any shape
 * @param options - `out`
 * @returns float32, shape of `x`. -Infinity: -1; +Infinity: +Infinity; NaN: NaN; -0: -0. Below 2^-25 in size the result is x.
 * @throws RangeError if `out` has another shape
 * @example
 *   expm1([1e-10, 1]); // 1e-10, 1.7183
 * Source: the rational form of fdlibm, reduced towards 0.
 */
export function expm1(x: TensorLike, options: ElementwiseOptions = {}): Tensor<"float32"> {
  return mapElements("expm1", x, options);
}

import type { Tensor, TensorLike } from "@logits/tensor";
import { mapElements, type ElementwiseOptions } from "./elementwise.ts";

/**
 * Hyperbolic tangent of each element.
 *
 *   y = (exp(x) - exp(-x)) / (exp(x) + exp(-x))
 *
 * At most 1.31 ULP over all 2^32 float32 inputs (accuracy.json).
 *
 * @param x - float32, any shape
 * @param options - `out`
 * @returns float32, shape of `x`. -Infinity: -1; +Infinity: 1; NaN: NaN; -0: -0.
 * @throws RangeError if `out` has another shape
 * @example
 *   tanh([0, 1]); // 0, 0.7616
 * Source: Cody and Waite (1980), chapter 13.
 */
export function tanh(x: TensorLike, options: ElementwiseOptions = {}): Tensor<"float32"> {
  return mapElements("tanh", x, options);
}

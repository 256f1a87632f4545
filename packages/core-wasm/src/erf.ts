import type { Tensor, TensorLike } from "@logits/tensor";
import { mapElements, type ElementwiseOptions } from "./elementwise.ts";

/**
 * Error function of each element.
 *
 *   y = 2 / sqrt(pi) * integral of exp(-t^2) for t from 0 to x
 *
 * At most 1.38 ULP over all 2^32 float32 inputs (accuracy.json).
 *
 * @param x - float32, any shape
 * @param options - `out`
 * @returns float32, shape of `x`. -Infinity: -1; +Infinity: 1; NaN: NaN; -0: -0.
 * @throws RangeError if `out` has another shape
 * @example
 *   erf([0, 1]); // 0, 0.8427
 * Source: Abramowitz and Stegun, Handbook of Mathematical Functions (1964), 7.1.
 */
export function erf(x: TensorLike, options: ElementwiseOptions = {}): Tensor<"float32"> {
  return mapElements("erf", x, options);
}

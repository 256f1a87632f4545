import type { Tensor, TensorLike } from "@logits/tensor";
import { mapElements, type ElementwiseOptions } from "./elementwise.ts";

/**
 * e to the power of each element.
 *
 *   y = exp(x)
 *
 * At most 0.92 ULP over every float32 (accuracy.json).
 *
 * @param x - float32, any shape
 * @param options - `out`
 * @returns float32, shape of `x`. -Infinity: 0; +Infinity: +Infinity; NaN: NaN. Results below 2^-126 are 0, results that float32 rounds to +Infinity are +Infinity.
 * @throws RangeError if `out` has another shape
 * @example
 *   exp([0, 1]); // 1, 2.7183
 * Source: Cody and Waite, Software Manual for the Elementary Functions (1980), chapter 6.
 */
export function exp(x: TensorLike, options: ElementwiseOptions = {}): Tensor<"float32"> {
  return mapElements("exp", x, options);
}

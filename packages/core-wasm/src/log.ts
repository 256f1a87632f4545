import type { Tensor, TensorLike } from "@logits/tensor";
import { mapElements, type ElementwiseOptions } from "./elementwise.ts";

/**
 * Natural logarithm of each element.
 *
 *   y = ln x
 *
 * At most 0.84 ULP over every float32 (accuracy.json).
 *
 * @param x - float32, any shape
 * @param options - `out`
 * @returns float32, shape of `x`. 0 and -0: -Infinity; below 0: NaN; +Infinity: +Infinity; NaN: NaN. Subnormal elements are exact inputs.
 * @throws RangeError if `out` has another shape
 * @example
 *   log([1, 10]); // 0, 2.3026
 * Source: Cody and Waite (1980), chapter 5; the form of fdlibm.
 */
export function log(x: TensorLike, options: ElementwiseOptions = {}): Tensor<"float32"> {
  return mapElements("log", x, options);
}

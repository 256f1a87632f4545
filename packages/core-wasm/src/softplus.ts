import type { Tensor, TensorLike } from "@logits/tensor";
import { mapElements, type ElementwiseOptions } from "./elementwise.ts";

/**
 * log(1 + exp(x)) of each element: log Z of the scores x and 0.
 *
 *   y = log(1 + exp(x))
 *
 * At most 1.62 ULP over all 2^32 float32 inputs (accuracy.json).
 *
 * @param x - float32, any shape
 * @param options - `out`
 * @returns float32, shape of `x`. -Infinity: 0; +Infinity: +Infinity; NaN: NaN. Results below 2^-126 are 0.
 * @throws RangeError if `out` has another shape
 * @example
 *   softplus([0, 100]); // 0.6931, 100
 * Source: folklore.
 */
export function softplus(x: TensorLike, options: ElementwiseOptions = {}): Tensor<"float32"> {
  return mapElements("softplus", x, options);
}

import type { Tensor, TensorLike } from "@logits/tensor";
import { mapElements, type ElementwiseOptions } from "./elementwise.ts";

/**
 * Logistic function of each element: the probability of a binary score.
 *
 *   y = 1 / (1 + exp(-x))
 *
 * At most 2.41 ULP over every float32 (accuracy.json).
 *
 * @param x - float32, any shape
 * @param options - `out`
 * @returns float32, shape of `x`. -Infinity: 0; +Infinity: 1; NaN: NaN. Results below 2^-126 are 0.
 * @throws RangeError if `out` has another shape
 * @example
 *   sigmoid([0, 2]); // 0.5, 0.8808
 * Source: folklore.
 */
export function sigmoid(x: TensorLike, options: ElementwiseOptions = {}): Tensor<"float32"> {
  return mapElements("sigmoid", x, options);
}

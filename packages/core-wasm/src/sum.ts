import type { Tensor, TensorLike } from "@logits/tensor";
import { kernels } from "./rowKernels.ts";
import { mapRows, type AxisOptions } from "./rows.ts";

/**
 * Sum over an axis.
 *
 *   y[...] = sum_c x[..., c]
 *
 * Float32 lanes, added to float64 every 1,024 elements: |error| <= 70 * 2^-24 sum_c |x[..., c]|, plus the rounding of the result.
 *
 * @param x - float32 [..., C], C >= 1
 * @param options - `axis` (default -1), `out`
 * @returns float32, shape of `x` without the axis. A row with NaN or infinities of both signs: NaN; with one infinity: that.
 * @throws RangeError for a row without elements
 * @example
 *   sum([[1, 2], [3, 4]]); // 3, 7
 * Source: folklore.
 */
export function sum(x: TensorLike, options: AxisOptions = {}): Tensor<"float32"> {
  const { f32_sum } = kernels();
  return mapRows("sum", x, options, "one", (cols) => (px, py, rows) => f32_sum(px, py, rows, cols));
}

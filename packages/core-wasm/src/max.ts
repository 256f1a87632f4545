import type { Tensor, TensorLike } from "@logits/tensor";
import { kernels } from "./rowKernels.ts";
import { mapRows, type AxisOptions } from "./rows.ts";

/**
 * Largest element over an axis: of scores, the limit of T log Z for a temperature T towards 0.
 *
 *   y[...] = max_c x[..., c]
 *
 * @param x - float32 [..., C], C >= 1
 * @param options - `axis` (default -1), `out`
 * @returns float32, shape of `x` without the axis; exact. A row with NaN: NaN; of -Infinity only: -Infinity; 0 counts above -0.
 * @throws RangeError for a row without elements
 * @example
 *   max([[1, 2], [4, 3]]); // 2, 4
 * Source: folklore.
 */
export function max(x: TensorLike, options: AxisOptions = {}): Tensor<"float32"> {
  const { f32_max } = kernels();
  return mapRows("max", x, options, "one", (cols) => (px, py, rows) => f32_max(px, py, rows, cols));
}

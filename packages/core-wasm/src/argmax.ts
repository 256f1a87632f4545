import { rangeError, Tensor, type TensorLike } from "@logits/tensor";
import { kernels } from "./rowKernels.ts";
import { mapRows } from "./rows.ts";

/** Options of argmax. */
export interface ArgmaxOptions {
  /** Which axis; negative counts from the end. Default -1, the last. */
  readonly axis?: number;
}

/**
 * Index of the largest element over an axis: the most probable class.
 *
 *   y[...] = smallest c with x[..., c] = max_c x[..., c]
 *
 * @param x - float32 [..., C], C >= 1
 * @param options - `axis` (default -1)
 * @returns int32, shape of `x` without the axis. Ties: the smallest index; 0 and -0 tie. A row of -Infinity only: 0.
 * @throws RangeError for a row without elements or with a NaN, which has no place in an order; the row is named
 * @example
 *   argmax([[1, 2, 2], [4, 3, 0]]); // 1, 0
 * Source: folklore.
 */
export function argmax(x: TensorLike, options: ArgmaxOptions = {}): Tensor<"int32"> {
  const { f32_argmax } = kernels();
  let width = 0;
  const { shape, data } = mapRows("argmax", x, { axis: options.axis ?? -1 }, "one", (cols) => {
    width = cols;
    return (px, py, rows) => f32_argmax(px, py, rows, cols);
  });
  // The kernel wrote integers; for a row with NaN a number that is no index, whatever a copy makes of its bits.
  const indices = new Int32Array(data.buffer, data.byteOffset, data.length);
  const row = indices.findIndex((index) => index < 0 || index >= width);
  if (row >= 0) throw rangeError("argmax", "x", "without NaN", `NaN in row ${row}`);
  return new Tensor("int32", shape, indices);
}

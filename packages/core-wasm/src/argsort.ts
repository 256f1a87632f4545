import { Tensor, checkNoNaN, type TensorLike } from "@logits/tensor";
import { eachPiece, rowsOf } from "./lastAxis.ts";
import { intView, scratch } from "./memory.ts";
import { kernels } from "./select.ts";

/** Options of argsort. */
export interface ArgsortOptions {
  /** Largest first. Default false: smallest first. */
  readonly descending?: boolean;
}

/** What the kernel needs beside its row: four histograms. */
const HISTOGRAMS = 4096;

/**
 * The order of each row of the last axis: the indices that sort it. Stable in both directions: equal values keep the order of their indices, and -0 equals +0.
 *
 *   x[..., y[..., 0]] <= x[..., y[..., 1]] <= ...     (descending: >=)
 *
 * @param x - values, float32 [..., C]; infinities are ordinary values
 * @param options - `descending` (default false)
 * @returns int32, shape of `x`, indices in [0, C); a row without elements gives none
 * @throws RangeError for NaN, which has no place in an order (its row and column are named), or for a scalar
 * @example
 *   argsort([0.3, 0.1, 0.2]); // 1, 2, 0
 * Source: Knuth, The Art of Computer Programming 3 (1998), 5.2.5, algorithm R (radix list sort, here by counting).
 */
export function argsort(x: TensorLike, options: ArgsortOptions = {}): Tensor<"int32"> {
  const { descending = false } = options;
  const rows = rowsOf("argsort", "x", x);
  const { cols, step } = rows;
  const { f32_argsort } = kernels();
  const held = rows.rows && 4 * step * cols;
  const base = scratch(HISTOGRAMS + 16 * cols + held);
  const room = base + HISTOGRAMS + 16 * cols;
  const result = new Int32Array(rows.x.size);
  const refused = eachPiece(rows, room, (from, row, count) => {
    const nan = f32_argsort(from, room, count, cols, descending ? 1 : 0, base);
    if (nan < 0) result.set(intView().subarray(room >>> 2, (room >>> 2) + count * cols), row * cols);
    return nan;
  });
  if (refused >= 0) checkNoNaN("argsort", "x", rows.x, cols);
  return new Tensor("int32", rows.x.shape, result);
}

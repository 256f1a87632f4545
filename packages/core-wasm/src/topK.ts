import { Tensor, checkInteger, checkNoNaN, type TensorLike } from "@logits/tensor";
import { eachPiece, rowsOf } from "./lastAxis.ts";
import { floatView, intView, scratch } from "./memory.ts";
import { kernels } from "./select.ts";

/** Options of topK. */
export interface TopKOptions {
  /** Largest first. Default true; false gives the same elements in the order of their indices. */
  readonly sorted?: boolean;
}

/** The k largest elements of each row. */
export interface TopK {
  /** Their values, float32 [..., k]. */
  readonly values: Tensor<"float32">;
  /** Where they stand in their row, int32 [..., k]. */
  readonly indices: Tensor<"int32">;
}

/**
 * The k largest elements of each row of the last axis, largest first. Equal values: the smaller index first, and where not all of them fit, the smaller indices are taken; -0 equals +0.
 *
 * @param x - values, float32 [..., C]; -Infinity and +Infinity are ordinary values
 * @param k - how many, an integer in [1, C]
 * @param options - `sorted` (default true)
 * @returns `values` float32 [..., k] and `indices` int32 [..., k]
 * @throws RangeError for a `k` outside [1, C], for NaN, which has no rank (its row and column are named), or for a scalar
 * @example
 *   topK([0.1, 0.7, 0.2], 2); // values 0.7, 0.2; indices 1, 2
 * Source: folklore; the bound from block maxima is explained at the kernel.
 */
export function topK(x: TensorLike, k: number, options: TopKOptions = {}): TopK {
  const { sorted = true } = options;
  const rows = rowsOf("topK", "x", x);
  const { cols, step, resident } = rows;
  checkInteger("topK", "k", k, 1, cols);
  const { f32_top_k, f32_top_k_scratch } = kernels();
  const work = (f32_top_k_scratch(cols, k) + 63) & ~63;
  const base = scratch(work + 8 * step * k + (resident ? 0 : 4 * step * cols));
  const values = base + work;
  const indices = values + 4 * step * k;
  const top = new Float32Array(rows.rows * k);
  const at = new Int32Array(rows.rows * k);
  const refused = eachPiece(rows, indices + 4 * step * k, (from, row, count) => {
    const nan = f32_top_k(from, count, cols, k, values, indices, sorted ? 0 : 1, base);
    if (nan < 0) {
      top.set(floatView().subarray(values >>> 2, (values >>> 2) + count * k), row * k);
      at.set(intView().subarray(indices >>> 2, (indices >>> 2) + count * k), row * k);
    }
    return nan;
  });
  if (refused >= 0) checkNoNaN("topK", "x", rows.x, cols);
  const shape = [...rows.x.shape.slice(0, -1), k];
  return { values: new Tensor("float32", shape, top), indices: new Tensor("int32", shape, at) };
}

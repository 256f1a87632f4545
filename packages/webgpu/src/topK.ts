import { UnsupportedKernelError, checkInteger, rangeError } from "@logits/tensor";
import { topK as code } from "#wgsl";
import type { Family } from "./gpu.ts";
import { checkGpuTensor, type GpuTensor } from "./gpuTensor.ts";
import { operand, rowsOf, runRows } from "./rows.ts";

/** The kernel of topK.wgsl. */
export const TOP_K_FAMILY: Family = { name: "topK", code, reads: 1, writes: 3 };

/** Ranking by counting takes k^2 / 256 steps: beyond this another algorithm is due. */
export const MOST = 4096;

/** Options of topK. */
export interface TopKOptions {
  /** Largest first. Default true; false gives the same elements in the order of their indices. */
  readonly sorted?: boolean;
}

/** The k largest elements of each row. */
export type TopK = {
  /** Their values, float32 [..., k]. */
  readonly values: GpuTensor<"float32">;
  /** Where they stand in their row, int32 [..., k]. */
  readonly indices: GpuTensor<"int32">;
};

/**
 * The k largest elements of each row of the last axis, largest first. Equal values: the smaller index first, and where not all of them fit, the smaller indices are taken; -0 equals +0.
 *
 * @param x - on the GPU, float32 [..., C]; -Infinity and +Infinity are ordinary values
 * @param k - how many, an integer in [1, C], at most 4,096
 * @param options - `sorted` (default true)
 * @returns `values` float32 [..., k] and `indices` int32 [..., k]. A row with NaN, which has no rank: values NaN, and reading its indices throws a RangeError that names row and column.
 * @throws RangeError for a `k` outside [1, C] or a scalar; UnsupportedKernelError for more than 4,096; TypeError for a tensor outside the GPU
 * @example
 *   await topK(gpu.tensor([0.1, 0.7, 0.2]), 2).indices.read(); // 1, 2
 * Source: radix select: Alabi, Blanchard, Gordon, Steinbach, "Fast k-selection algorithms for graphics processing units", JEA 17 (2012).
 */
export function topK(x: GpuTensor, k: number, options: TopKOptions = {}): TopK {
  const where = "topK";
  checkGpuTensor(where, "x", x);
  if (x.shape.length === 0) throw rangeError(where, "x", "with at least one axis", "shape []");
  checkInteger(where, "k", k, 1, x.shape[x.shape.length - 1]);
  if (k > MOST) throw new UnsupportedKernelError(`topK: expected \`k\` of at most ${MOST} on the GPU, got ${k}. Use topK of @logits/core-wasm on await x.read()`);
  const { outer: rows, cols, rest } = rowsOf(where, x, -1);
  const { gpu } = x;
  const shape = [...rest, k];
  const values = gpu.result(where, "float32", shape, [x], (data) => {
    // A value that was chosen is NaN only if its row was refused.
    const at = data.findIndex((value) => value !== value);
    if (at >= 0) throw rangeError(where, "x", "without NaN", `NaN in row ${Math.floor(at / k)}`);
  });
  const indices = gpu.result(where, "int32", shape, [x], (data) => {
    const at = data.findIndex((value) => value < 0);
    if (at >= 0) throw rangeError(where, "x", "without NaN", `NaN in row ${Math.floor(at / k)}, column ${-1 - data[at]}`);
  });
  const wide = cols > 256;
  const chosen = gpu.scratch(where, wide ? rows * k : 1);
  const parts = [operand(x, cols), operand(values, k), operand(indices, k), { slot: chosen, offset: 0, width: wide ? k : 0 }];
  runRows(gpu, where, TOP_K_FAMILY, {}, parts, { outer: rows, cols, inner: 1 }, (count) => [count, cols, k, options.sorted === false ? 1 : 0], []);
  gpu.release(chosen);
  return { values, indices };
}

import { rangeError } from "@logits/tensor";
import { select as code } from "#wgsl";
import type { Family } from "./gpu.ts";
import { checkGpuTensor, type GpuTensor } from "./gpuTensor.ts";
import { operand, rowsOf, runRows, type AxisOptions } from "./rows.ts";

const FAMILY: Family = { name: "select", code, reads: 1, writes: 1, rows: true };

/**
 * Largest element over an axis: of scores, the limit of T log Z for a temperature T towards 0.
 *
 *   y[...] = max_c x[..., c]
 *
 * @param x - on the GPU, float32 [..., C], C >= 1
 * @param options - `axis` (default -1)
 * @returns float32, shape of `x` without the axis; exact. A row with NaN: NaN; of -Infinity only: -Infinity; 0 counts above -0.
 * @throws RangeError for a row without elements; TypeError for a tensor outside the GPU
 * @example
 *   await max(gpu.tensor([[1, 2], [4, 3]])).read(); // 2, 4
 * Source: folklore.
 */
export function max(x: GpuTensor, options: AxisOptions = {}): GpuTensor<"float32"> {
  return largest("max", x, options, "float32", 0);
}

/**
 * Index of the largest element over an axis: the most probable class.
 *
 *   y[...] = smallest c with x[..., c] = max_c x[..., c]
 *
 * @param x - on the GPU, float32 [..., C], C >= 1
 * @param options - `axis` (default -1)
 * @returns int32, shape of `x` without the axis. Ties: the smallest index; 0 and -0 tie. A row of -Infinity only: 0. A row with NaN, which has no place in an order: -1 on
 *   the GPU, and reading it throws a RangeError that names the row.
 * @throws RangeError for a row without elements; TypeError for a tensor outside the GPU
 * @example
 *   await argmax(gpu.tensor([[1, 2, 2], [4, 3, 0]])).read(); // 1, 0
 * Source: folklore.
 */
export function argmax(x: GpuTensor, options: AxisOptions = {}): GpuTensor<"int32"> {
  return largest("argmax", x, options, "int32", 1);
}

function largest<D extends "float32" | "int32">(where: string, x: GpuTensor, { axis = -1 }: AxisOptions, dtype: D, mode: 0 | 1): GpuTensor<D> {
  checkGpuTensor(where, "x", x);
  const rows = rowsOf(where, x, axis);
  const { gpu } = x;
  const y = gpu.result(where, dtype, rows.rest, [x], mode === 1 ? (data) => checkIndices(where, "x", "without NaN", data) : undefined);
  runRows(gpu, where, FAMILY, { MODE: mode }, [operand(x, rows.cols), operand(y, 1)], rows, (count) => [count, rows.cols, rows.inner], []);
  return y;
}

/** Indices below 0 stand for rows with NaN. */
export function checkIndices(where: string, argument: string, expected: string, data: Float32Array | Int32Array): void {
  const row = (data as Int32Array).indexOf(-1);
  if (row >= 0) throw rangeError(where, argument, expected, `NaN in row ${row}`);
}

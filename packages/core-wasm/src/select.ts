import { asFloat32, checkNoNaN, rangeError, type Tensor, type TensorLike } from "@logits/tensor";
import * as binary from "#wasm/select";
import { family } from "./family.ts";
import { floatView } from "./memory.ts";
import { pointerOf } from "./resident.ts";

/** Elements copied into WebAssembly memory at a time. */
const CHUNK = 65536;

/** The kernels of the `select` family. They return the first row with a NaN, else -1. */
export const kernels: () => {
  f32_argsort(x: number, y: number, rows: number, cols: number, descending: number, scratch: number): number;
  f32_top_k_scratch(cols: number, k: number): number;
  f32_top_k(x: number, rows: number, cols: number, k: number, values: number, indices: number, byIndex: number, scratch: number): number;
} = family("select", binary);

/** The rows of the last axis. */
export interface Rows {
  readonly x: Tensor<"float32">;
  readonly rows: number;
  readonly cols: number;
  /** Rows that share one call of a kernel. */
  readonly step: number;
  /** Byte address of a tensor that lives in WebAssembly memory; 0 for an ordinary one. */
  readonly resident: number;
}

/** The argument as rows of its last axis. */
export function rowsOf(where: string, input: TensorLike): Rows {
  const x = asFloat32(where, "x", input);
  const { shape } = x;
  if (shape.length === 0) throw rangeError(where, "x", "with at least one axis", "shape []");
  const cols = shape[shape.length - 1];
  const resident = pointerOf(where, "x", x);
  const rows = cols === 0 ? 0 : x.size / cols;
  return { x, rows, cols, resident, step: Math.max(1, Math.min(rows, Math.floor(CHUNK / cols))) };
}

/** Calls `kernel` for pieces of at most `step` rows, each copied to `room` unless it lives in WebAssembly memory; a NaN is a RangeError that names its row. */
export function eachPiece(where: string, { x, rows, cols, step, resident }: Rows, room: number, kernel: (from: number, row: number, count: number) => number): void {
  const source = resident ? undefined : x.data;
  for (let row = 0; row < rows; row += step) {
    const count = Math.min(step, rows - row);
    if (source) floatView().set(count === rows ? source : source.subarray(row * cols, (row + count) * cols), room >> 2);
    if (kernel(resident ? resident + 4 * row * cols : room, row, count) >= 0) checkNoNaN(where, "x", x, cols);
  }
}

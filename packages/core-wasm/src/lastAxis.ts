import { asFloat32, rangeError, type Tensor, type TensorLike } from "@logits/tensor";
import { floatView } from "./memory.ts";
import { pointerOf } from "./owner.ts";

/** Elements copied into WebAssembly memory at a time. */
const CHUNK = 65536;

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
export function rowsOf(where: string, argument: string, input: TensorLike): Rows {
  const x = asFloat32(where, argument, input);
  const { shape } = x;
  if (shape.length === 0) throw rangeError(where, argument, "with at least one axis", "shape []");
  const cols = shape[shape.length - 1];
  const resident = pointerOf(where, argument, x);
  const rows = cols === 0 ? 0 : x.size / cols;
  return { x, rows, cols, resident, step: Math.max(1, Math.min(rows, Math.floor(CHUNK / cols))) };
}

/**
 * Calls `kernel` for pieces of at most `step` rows, each copied to `room` unless it lives in WebAssembly memory.
 *
 * @returns the first row that the kernel refused, -1 if there is none
 */
export function eachPiece({ x, rows, cols, step, resident }: Rows, room: number, kernel: (from: number, row: number, count: number) => number): number {
  const source = resident ? undefined : x.data;
  for (let row = 0; row < rows; row += step) {
    const count = Math.min(step, rows - row);
    if (source) floatView().set(count === rows ? source : source.subarray(row * cols, (row + count) * cols), room >>> 2);
    const refused = kernel(resident ? resident + 4 * row * cols : room, row, count);
    if (refused >= 0) return row + refused;
  }
  return -1;
}

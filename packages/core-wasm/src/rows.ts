import { Tensor, asFloat32, checkAxis, rangeError, sizeOf, type TensorLike } from "@logits/tensor";
import { floatView, scratch } from "./memory.ts";
import { pointerOf } from "./resident.ts";

/** Elements copied into WebAssembly memory at a time: 256 KiB stay in the cache between copy, kernel and copy. */
const CHUNK = 65536;

/** Scratch of 16 bytes per column for up to 1024 columns, in front of the rows. */
const LANES = 16384;

/** Options of operations over one axis. */
export interface AxisOptions {
  /** Which axis; negative counts from the end. Default -1, the last. */
  readonly axis?: number;
  /** Receives the result (an ordinary or a resident tensor of the result's shape) and is returned. */
  readonly out?: Tensor<"float32">;
}

/** Runs on whole rows: addresses of input, output and lane scratch in bytes, the number of rows in this call. */
export type RowKernel = (x: number, y: number, rows: number, lanes: number) => void;

/**
 * Runs a kernel over the rows of `x`: elements along one axis, each row giving `width` elements of result.
 *
 * @param width - "row": a result as long as the row, so it may be made in place; "one": one number per row
 */
export function mapRows(where: string, input: TensorLike, options: AxisOptions, width: "row" | "one", kernel: (cols: number) => RowKernel): Tensor<"float32"> {
  const x = asFloat32(where, "x", input);
  const { axis = -1, out } = options;
  const { shape } = x;
  const last = shape.length - 1;
  const index = checkAxis(where, axis, shape.length);
  const cols = shape[index];
  if (cols === 0) throw rangeError(where, "x", "with at least one element along the axis", `shape [${shape.join(", ")}]`);
  const wanted = width === "row" ? shape : shape.filter((_, i) => i !== index);
  if (out !== undefined) checkOut(where, out, wanted);
  if (index === last) return runRows(where, x, cols, width === "row" ? cols : 1, wanted, out, kernel(cols));
  // Another axis: gather its rows, run, scatter.
  const inner = sizeOf(shape.slice(index + 1));
  const gathered = swapInner(x.data, cols, inner);
  const y = runRows(where, new Tensor("float32", [x.size / cols, cols], gathered), cols, width === "row" ? cols : 1, [x.size / cols, width === "row" ? cols : 1], undefined, kernel(cols)).data;
  const values = width === "row" ? swapInner(y, inner, cols) : y;
  if (out === undefined) return new Tensor("float32", wanted, values);
  out.data.set(values);
  return out;
}

export function checkOut(where: string, out: Tensor, shape: readonly number[]): void {
  if (out.dtype !== "float32" || out.shape.length !== shape.length || shape.some((n, i) => n !== out.shape[i])) {
    throw rangeError(where, "out", `float32 of shape [${shape.join(", ")}]`, `${out.dtype} of shape [${out.shape.join(", ")}]`);
  }
}

/** [outer, a, b] to [outer, b, a]. */
function swapInner(data: Float32Array, a: number, b: number): Float32Array {
  const out = new Float32Array(data.length);
  for (let base = 0; base < data.length; base += a * b) {
    for (let i = 0; i < a; i++) for (let j = 0; j < b; j++) out[base + j * a + i] = data[base + i * b + j];
  }
  return out;
}

function runRows(where: string, x: Tensor<"float32">, cols: number, width: number, shape: readonly number[], out: Tensor<"float32"> | undefined, kernel: RowKernel): Tensor<"float32"> {
  const rows = x.size / cols;
  const from = pointerOf(where, "x", x);
  const to = out ? pointerOf(where, "out", out) : 0;
  const step = from && to ? rows : Math.max(4, Math.floor(CHUNK / cols) & ~3);
  const held = Math.min(step, rows);
  const base = scratch(LANES + 4 * held * ((from ? 0 : cols) + (width === cols && !from ? 0 : width)));
  const source = x.data;
  if (source.length !== x.size) throw rangeError(where, "x", `of ${x.size} elements`, `${source.length}`, "Its buffer was detached: make the view anew");
  if (held === rows && !from && !to) {
    // One piece: the usual small call.
    const px = base + LANES;
    const py = width === cols ? px : px + 4 * rows * cols;
    const view = floatView();
    view.set(source, px >> 2);
    kernel(px, py, rows, base);
    if (out === undefined) return new Tensor("float32", shape, view.slice(py >> 2, (py >> 2) + rows * width));
    out.data.set(view.subarray(py >> 2, (py >> 2) + rows * width));
    return out;
  }
  const result = out ?? new Tensor("float32", shape, new Float32Array(rows * width));
  const target = to ? undefined : result.data;
  for (let row = 0; row < rows; row += step) {
    const count = Math.min(step, rows - row);
    const px = from ? from + 4 * row * cols : base + LANES;
    const py = to ? to + 4 * row * width : from ? base + LANES : width === cols ? px : px + 4 * held * cols;
    if (!from) floatView().set(source.subarray(row * cols, (row + count) * cols), px >> 2);
    kernel(px, py, count, base);
    if (target) target.set(floatView().subarray(py >>> 2, (py >>> 2) + count * width), row * width);
  }
  return result;
}

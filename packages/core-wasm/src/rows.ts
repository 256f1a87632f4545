import { Tensor, asFloat32, checkAttached, checkAxis, rangeError, sizeOf, type TensorLike } from "@logits/tensor";
import { floatView, scratch } from "./memory.ts";
import { pointerOf } from "./owner.ts";

/** Elements copied into WebAssembly memory at a time: 256 KiB stay in the cache between copy, kernel and copy. */
const CHUNK = 65536;

/** Scratch for the kernels, in front of the rows. */
const LANES = 16384;

/** Options of operations over one axis. */
export interface AxisOptions {
  /** Which axis; negative counts from the end. Default -1, the last. */
  readonly axis?: number;
  /** Receives the result (an ordinary or a resident tensor of the result's shape) and is returned. It may be `x` itself; otherwise their memory must not overlap. */
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
  const index = checkAxis(where, axis, shape.length);
  const cols = shape[index];
  if (cols === 0) throw rangeError(where, "x", "with elements along the axis", `shape [${shape.join(", ")}]`);
  const each = width === "row" ? cols : 1;
  const wanted = width === "row" ? shape : shape.filter((_, i) => i !== index);
  if (out) checkOut(where, out, wanted);
  const result = out ?? new Tensor("float32", wanted, new Float32Array((x.size / cols) * each));
  const inner = sizeOf(shape.slice(index + 1));
  if (inner === 1) runRows(where, x, cols, result, each, kernel(cols));
  else {
    // Another axis: gather its rows, run, scatter.
    pointerOf(where, "x", x);
    const rows = new Tensor("float32", [x.size], swapInner(x.data, cols, inner));
    const y = new Tensor("float32", [result.size], new Float32Array(result.size));
    runRows(where, rows, cols, y, each, kernel(cols));
    result.data.set(swapInner(y.data, inner, each));
  }
  return result;
}

export function checkOut(where: string, out: Tensor, shape: readonly number[]): void {
  if (out.dtype !== "float32" || out.shape.length !== shape.length || shape.some((n, i) => n !== out.shape[i])) throw rangeError(where, "out", `float32 of shape [${shape.join(", ")}]`, `${out.dtype} of shape [${out.shape.join(", ")}]`);
}

/** [outer, a, b] to [outer, b, a]. */
function swapInner(data: Float32Array, a: number, b: number): Float32Array {
  const out = new Float32Array(data.length);
  for (let base = 0; base < data.length; base += a * b) {
    for (let i = 0; i < a; i++) for (let j = 0; j < b; j++) out[base + j * a + i] = data[base + i * b + j];
  }
  return out;
}

/** Rows of `cols` elements of x to rows of `each` elements of y, in chunks where one of them is an ordinary array. */
function runRows(where: string, x: Tensor<"float32">, cols: number, y: Tensor<"float32">, each: number, kernel: RowKernel): void {
  const rows = x.size / cols;
  const from = pointerOf(where, "x", x);
  const to = pointerOf(where, "out", y);
  const step = from && to ? rows : Math.max(4, Math.floor(CHUNK / cols) & ~3);
  const lanes = scratch(LANES + 4 * Math.min(step, rows) * ((from ? 0 : cols) + (to ? 0 : each)));
  const near = lanes + LANES;
  // After scratch, which may have grown the memory: a view of it would be empty now.
  checkAttached(where, "x", x);
  checkAttached(where, "out", y);
  for (let row = 0; row < rows; row += step) {
    const count = Math.min(step, rows - row);
    const px = from ? from + 4 * row * cols : near;
    const py = to ? to + 4 * row * each : from || each < cols ? near + (from ? 0 : 4 * count * cols) : px;
    const view = floatView();
    if (!from) view.set(count === rows ? x.data : x.data.subarray(row * cols, (row + count) * cols), px >>> 2);
    kernel(px, py, count, lanes);
    if (!to) y.data.set(view.subarray(py >>> 2, (py >>> 2) + count * each), row * each);
  }
}

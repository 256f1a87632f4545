import { asFloat32, asInt32, checkInteger, checkLabels, checkShape, rangeError, type TensorLike } from "@logits/tensor";
import * as binary from "#wasm/temperature";
import { family } from "./family.ts";
import { floatView, intView, scratch } from "./memory.ts";
import { pointerOf } from "./owner.ts";

const kernels = family<{ f32_temperature(x: number, labels: number, rows: number, cols: number, beta: number, sums: number, each: number, lanes: number): void }>("temperature", binary);

/** Elements copied into WebAssembly memory at a time: 256 KiB stay in the cache between copy and kernel. */
const CHUNK = 65536;
/** Scratch: 16 bytes per column for up to 512 columns, then three float64 sums. */
const LANES = 8192;
const HEADER = LANES + 64;

/** Which rows, at which inverse temperature. */
export interface TemperatureMomentsOptions {
  /** beta = 1 / T, a finite number > 0, rounded to float32. Default 1. */
  readonly beta?: number;
  /** First row. Default 0. */
  readonly first?: number;
  /** Every how many rows. Default 1, all. */
  readonly step?: number;
  /** How many rows. Default: all that are left. */
  readonly count?: number;
  /** Receives the loss of each row, float32, one element per row that takes part. */
  readonly each?: Float32Array;
}

/** Sums over rows, float64. */
export interface TemperatureMoments {
  /** sum_n log sum_c exp(beta x[n, c]) - beta x[n, y_n], in nats. */
  readonly loss: number;
  /** Its derivative by beta: sum_n E_p[x] - x[n, y_n], p = softmax(beta x[n]). */
  readonly gradient: number;
  /** Its second derivative by beta: sum_n Var_p[x], never negative. */
  readonly curvature: number;
}

/**
 * Negative log-likelihood of labels under softmax(beta x) with its first two derivatives by the inverse temperature, in one pass.
 *
 *   loss = sum_n log sum_c exp(beta x[n, c]) - beta x[n, y_n]
 *
 * Rows in float32 relative to their maximum, across rows in float64: within 1e-6 relative of float64 for the loss of a row of up to 1,000 columns.
 *
 * @param x - logits, float32 [N, C], C >= 1; -Infinity = impossible, counts nothing
 * @param labels - int32 [N], in [0, C)
 * @param options - `beta` (default 1), the rows `first`, `step`, `count`, and `each`
 * @returns sums over the rows. An impossible label makes the loss and its derivative +Infinity; a row with NaN or +Infinity, or without a finite element, makes them NaN. No rows: 0.
 * @throws RangeError for another shape, a label outside [0, C), rows outside [0, N)
 * @example
 *   temperatureMoments(tensor([[2, 0]]), [0]).loss; // 0.1269
 * Source: L is convex in beta; Guo, Pleiss, Sun, Weinberger, "On calibration of modern neural networks", ICML 2017.
 */
export function temperatureMoments(x: TensorLike, labels: TensorLike, options: TemperatureMomentsOptions = {}): TemperatureMoments {
  const where = "temperatureMoments";
  const logits = asFloat32(where, "x", x);
  const y = asInt32(where, "labels", labels);
  checkShape(where, "x", logits, ["N", "C"]);
  const [n, cols] = logits.shape;
  if (cols === 0) throw rangeError(where, "x", "with at least one class", `shape [${n}, 0]`);
  checkShape(where, "labels", y, [n]);
  const { beta = 1, first = 0, step = 1, each } = options;
  const scale = Math.fround(beta);
  if (!(scale > 0 && scale < Infinity)) throw rangeError(where, "beta", "a finite float32 > 0", `${beta}`);
  checkInteger(where, "first", first, 0, n);
  checkInteger(where, "step", step, 1, 2147483647);
  const available = Math.ceil((n - first) / step);
  const { count = available } = options;
  checkInteger(where, "count", count, 0, available);
  if (each !== undefined && each.length !== count) throw rangeError(where, "each", `of length ${count}`, `${each.length}`);
  if (first === 0 && step === 1 && count === n) checkLabels(where, "labels", y, cols);
  else for (let i = 0, row = first; i < count; i++, row += step) if (!(y.data[row] >= 0 && y.data[row] < cols)) throw rangeError(where, "labels", `in [0, ${cols})`, `${y.data[row]} at index ${row}`);

  const resident = step === 1 ? pointerOf(where, "x", logits) : 0;
  const held = Math.min(Math.max(4, Math.floor(CHUNK / cols) & ~3), count);
  const base = scratch(HEADER + 8 * held + (resident ? 0 : 4 * held * cols));
  const { f32_temperature } = kernels();
  const px = base + HEADER, py = px + (resident ? 0 : 4 * held * cols), pe = py + 4 * held, sums = base + LANES;
  const source = logits.data;
  const float64 = new Float64Array(floatView().buffer, sums, 3);
  float64.fill(0);
  for (let done = 0; done < count; done += held) {
    const rows = Math.min(held, count - done);
    const from = first + done * step;
    const floats = floatView();
    const ints = intView();
    if (step === 1) {
      if (!resident) floats.set(source.subarray(from * cols, (from + rows) * cols), px >>> 2);
      ints.set(y.data.subarray(from, from + rows), py >>> 2);
    } else {
      for (let i = 0, row = from; i < rows; i++, row += step) {
        floats.set(source.subarray(row * cols, (row + 1) * cols), (px >>> 2) + i * cols);
        ints[(py >>> 2) + i] = y.data[row];
      }
    }
    f32_temperature(resident ? resident + 4 * from * cols : px, py, rows, cols, scale, sums, each ? pe : 0, base);
    if (each) each.set(floats.subarray(pe >>> 2, (pe >>> 2) + rows), done);
  }
  const [loss, gradient, curvature] = float64;
  return { loss, gradient, curvature };
}

import { rangeError } from "@logits/tensor";
import { byteView, floatView, scratch, wasmMemory } from "./memory.ts";
import { kernels } from "./tally.ts";

/** Rows in memory at a time. */
const CHUNK = 65536;

/**
 * What is left between answers and confidences, by place: sums over the rows in each of `size` cells of [0, 1].
 *
 *   j = floor(c size) (1 in the last),   x = c size - j,   r = correct - c      sums[j] = (sum r, sum r x, sum r x^2, sum r x^3, sum r^2, sum correct)
 *
 * The first four moments are all that spreading the residuals over a lattice by cubic weights needs.
 *
 * @param confidence - float32 [N], in [0, 1]; above counts as 1
 * @param correct - uint8 [N] of 0 and 1
 * @param size - number of cells, a power of two
 * @returns float64 [size, 6], row-major
 * @throws RangeError for answers of another length, another number of cells
 * @example
 *   residualMoments(Float32Array.of(0.75), Uint8Array.of(1), 2); // 0, 0, 0, 0, 0, 0, 0.25, 0.125, 0.0625, 0.03125, 0.0625, 1
 * Source: folklore.
 */
export function residualMoments(confidence: Float32Array, correct: Uint8Array, size: number): Float64Array {
  const n = confidence.length;
  if (correct.length !== n) throw rangeError("residualMoments", "correct", `of length ${n}`, `${correct.length}`);
  if (!(size >= 1 && size <= 16777216 && (size & (size - 1)) === 0)) throw rangeError("residualMoments", "size", "a power of two up to 2^24", `${size}`);
  const step = Math.min(n, CHUNK), cells = scratch(48 * size + 5 * step + 16), at = cells + 48 * size, marks = at + 4 * step;
  const sums = new Float64Array(wasmMemory().buffer, cells, 6 * size).fill(0);
  for (let first = 0; first < n; first += step) {
    const count = Math.min(step, n - first);
    floatView().set(confidence.subarray(first, first + count), at >>> 2);
    byteView().set(correct.subarray(first, first + count), marks);
    kernels().f32_residual_moments(at, marks, count, size, cells);
  }
  return sums.slice();
}

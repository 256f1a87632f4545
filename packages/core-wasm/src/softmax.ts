import type { Tensor, TensorLike } from "@logits/tensor";
import { relaxed, simd } from "#wasm/softmax";
import { family } from "./family.ts";
import { mapRows, type AxisOptions } from "./rows.ts";
import { inverseTemperature } from "./temperature.ts";

const kernels = family<{ f32_softmax(x: number, y: number, rows: number, cols: number, scale: number, mode: number, lanes: number): void }>("softmax", { simd, relaxed });

/** Options of softmax, logSoftmax and logSumExp. */
export interface SoftmaxOptions extends AxisOptions {
  /** Divides the scores; in [2^-126, 2^126]. Default 1. */
  readonly temperature?: number;
}

function run(where: string, x: TensorLike, options: SoftmaxOptions, mode: 0 | 1 | 2): Tensor<"float32"> {
  const scale = inverseTemperature(where, options.temperature ?? 1);
  const { f32_softmax } = kernels();
  return mapRows(where, x, options, mode === 2 ? "one" : "row", (cols) => (px, py, rows, lanes) => f32_softmax(px, py, rows, cols, scale, mode, lanes));
}

/**
 * Probabilities of scores: the gradient of log Z.
 *
 *   p[..., c] = exp(x[..., c] / T) / Z,   Z = sum_c exp(x[..., c] / T)
 *
 * Computed without overflow. Relative error at most (8 + n + |z|) 2^-24, z = x - max, n <= 256 the additions in a lane (with a temperature 3 |z|, z = (x - max) / T):
 * a few times 1e-7 near the maximum. Probabilities below 2^-126.5 of the row's largest are 0. Scores further apart than 3.4e38 count as infinitely far apart.
 *
 * @param x - scores, float32 [..., C], C >= 1; -Infinity = impossible, probability exactly 0
 * @param options - `temperature` T (default 1), `axis` (default -1), `out`
 * @returns float32, shape of `x`. One element: 1. A row with NaN or +Infinity, or of -Infinity only (no distribution exists): NaN.
 * @throws RangeError for a row without elements or a temperature outside [2^-126, 2^126]
 * @example
 *   softmax([1, 2, 3]); // 0.0900, 0.2447, 0.6652
 */
export function softmax(x: TensorLike, options: SoftmaxOptions = {}): Tensor<"float32"> {
  return run("softmax", x, options, 0);
}

/**
 * Log-probabilities of scores.
 *
 *   y[..., c] = x[..., c] / T - log Z,   Z = sum_c exp(x[..., c] / T)
 *
 * @param x - scores, float32 [..., C], C >= 1; -Infinity = impossible
 * @param options - `temperature` T (default 1), `axis` (default -1), `out`
 * @returns float32, shape of `x`; -Infinity stays -Infinity. A row with NaN or +Infinity, or of -Infinity only: NaN.
 * @throws RangeError for a row without elements or a temperature outside [2^-126, 2^126]
 * @example
 *   logSoftmax([1, 2, 3]); // -2.4076, -1.4076, -0.4076
 */
export function logSoftmax(x: TensorLike, options: SoftmaxOptions = {}): Tensor<"float32"> {
  return run("logSoftmax", x, options, 1);
}

/**
 * The log-partition: log Z of scores, computed without overflow. Minus it is the energy of the row. Within 1e-7 max(1, |y|) of float64 over 151,936 columns.
 *
 *   y[...] = log sum_c exp(x[..., c] / T)
 *
 * @param x - scores, float32 [..., C], C >= 1
 * @param options - `temperature` T (default 1), `axis` (default -1), `out`
 * @returns float32, shape of `x` without the axis. A row of -Infinity: -Infinity; with NaN: NaN; with +Infinity and no NaN: +Infinity.
 * @throws RangeError for a row without elements or a temperature outside [2^-126, 2^126]
 * @example
 *   logSumExp([1000, 1000]).item(); // 1000.693
 */
export function logSumExp(x: TensorLike, options: SoftmaxOptions = {}): Tensor<"float32"> {
  return run("logSumExp", x, options, 2);
}

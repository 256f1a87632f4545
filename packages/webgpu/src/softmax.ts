import { softmax as code } from "#wgsl";
import { checkGpuTensor, type GpuTensor } from "./gpuTensor.ts";
import type { Family } from "./gpu.ts";
import { distances, inverseTemperature, operand, rowsOf, runRows, type ScoreOptions } from "./rows.ts";

/** The kernels of softmax.wgsl. */
export const SOFTMAX_FAMILY: Family = { name: "softmax", code, reads: 2, writes: 1, rows: true };

/** The modes of softmax.wgsl. */
export const MODES = { softmax: 0, logSoftmax: 1, logSumExp: 2, entropy: 3, logSumExpGrad: 4, entropyGrad: 5 } as const;

/** An operation without upstream. */
export function scoreRows(where: "softmax" | "logSoftmax" | "logSumExp" | "entropy", x: GpuTensor, options: ScoreOptions): GpuTensor<"float32"> {
  const { axis = -1, temperature = 1 } = options;
  checkGpuTensor(where, "x", x);
  inverseTemperature(where, temperature);
  const rows = rowsOf(where, x, axis);
  const one = MODES[where] >= MODES.logSumExp;
  const { gpu } = x;
  const y = gpu.result(where, "float32", one ? rows.rest : x.shape, [x]);
  // The upstream's place is taken by the input, which the kernel does not read there.
  const operands = [operand(x, rows.cols), operand(x, rows.cols), operand(y, one ? 1 : rows.cols)];
  runRows(gpu, where, SOFTMAX_FAMILY, { MODE: MODES[where] }, operands, rows, (count) => [count, rows.cols, rows.inner], distances(temperature));
  return y;
}

/**
 * Probabilities of scores: the gradient of log Z.
 *
 *   p[..., c] = exp(x[..., c] / T) / Z,   Z = sum_c exp(x[..., c] / T)
 *
 * Computed without overflow, within 3e-6 + 3 |z| 2^-24 relative, z = (x - max) / T. Probabilities below 2^-126 of the row's largest are 0. Scores further apart than 3.4e38 count as infinitely far apart.
 *
 * @param x - scores on the GPU, float32 [..., C], C >= 1; -Infinity = impossible, probability exactly 0
 * @param options - `temperature` T (default 1), `axis` (default -1)
 * @returns float32, shape of `x`. One element: 1. A row with NaN or +Infinity, or of -Infinity only (no distribution exists): NaN.
 * @throws RangeError for a row without elements or a temperature outside [2^-126, 2^126]; TypeError for a tensor outside the GPU
 * @example
 *   await softmax(gpu.tensor([1, 2, 3])).read(); // 0.0900, 0.2447, 0.6652
 */
export function softmax(x: GpuTensor, options: ScoreOptions = {}): GpuTensor<"float32"> {
  return scoreRows("softmax", x, options);
}

/**
 * Log-probabilities of scores.
 *
 *   y[..., c] = x[..., c] / T - log Z,   Z = sum_c exp(x[..., c] / T)
 *
 * @param x - scores on the GPU, float32 [..., C], C >= 1; -Infinity = impossible
 * @param options - `temperature` T (default 1), `axis` (default -1)
 * @returns float32, shape of `x`; -Infinity stays -Infinity. A row with NaN or +Infinity, or of -Infinity only: NaN.
 * @throws RangeError for a row without elements or a temperature outside [2^-126, 2^126]; TypeError for a tensor outside the GPU
 * @example
 *   await logSoftmax(gpu.tensor([1, 2, 3])).read(); // -2.4076, -1.4076, -0.4076
 */
export function logSoftmax(x: GpuTensor, options: ScoreOptions = {}): GpuTensor<"float32"> {
  return scoreRows("logSoftmax", x, options);
}

/**
 * The log-partition: log Z of scores, computed without overflow. Minus it is the energy of the row.
 *
 *   y[...] = log sum_c exp(x[..., c] / T)
 *
 * @param x - scores on the GPU, float32 [..., C], C >= 1
 * @param options - `temperature` T (default 1), `axis` (default -1)
 * @returns float32, shape of `x` without the axis. A row of -Infinity: -Infinity; with NaN: NaN; with +Infinity and no NaN: +Infinity.
 * @throws RangeError for a row without elements or a temperature outside [2^-126, 2^126]; TypeError for a tensor outside the GPU
 * @example
 *   await logSumExp(gpu.tensor([1000, 1000])).read(); // 1000.693
 */
export function logSumExp(x: GpuTensor, options: ScoreOptions = {}): GpuTensor<"float32"> {
  return scoreRows("logSumExp", x, options);
}

/**
 * Entropy of the distribution that scores define, in nats.
 *
 *   H[...] = -sum_c p[..., c] log p[..., c] = log Z - E_p[x / T],   p = softmax(x / T)
 *
 * Two terms of one sign, so that it is right to the last digits where one class dominates: within 2e-5 relative, and 0 where the other classes weigh less than 2^-126 of the largest.
 *
 * @param x - scores on the GPU, float32 [..., C], C >= 1; -Infinity = impossible
 * @param options - `temperature` T (default 1), `axis` (default -1)
 * @returns float32, shape of `x` without the axis, in [0, log C]. One possible class: 0. A row with NaN or +Infinity, or of -Infinity only: NaN.
 * @throws RangeError for a row without elements or a temperature outside [2^-126, 2^126]; TypeError for a tensor outside the GPU
 * @example
 *   await entropy(gpu.tensor([0, 0])).read(); // 0.6931
 * Source: Cover and Thomas, Elements of Information Theory (2006), 2.1.
 */
export function entropy(x: GpuTensor, options: ScoreOptions = {}): GpuTensor<"float32"> {
  return scoreRows("entropy", x, options);
}

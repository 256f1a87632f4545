import { gradients as code } from "#wgsl";
import type { Family } from "./gpu.ts";
import { checkGpuTensor, type GpuTensor } from "./gpuTensor.ts";
import { distances, inverseTemperature, operand, rowsOf, runRows, shapeError, type ScoreOptions } from "./rows.ts";
import { MODES, SOFTMAX_FAMILY } from "./softmax.ts";

const FAMILY: Family = { name: "gradients", code, reads: 2, writes: 1, rows: true };

function checkUpstream(where: string, upstream: GpuTensor, x: GpuTensor, wanted: readonly number[]): void {
  checkGpuTensor(where, "upstream", upstream, x);
  if (`${upstream.shape}` !== `${wanted}`) throw shapeError(where, "upstream", `[${wanted.join(", ")}]`, upstream);
}

/** A vector-Jacobian product with one upstream number per row. */
function rowGradient(where: "logSumExpGrad" | "entropyGrad", x: GpuTensor, upstream: GpuTensor, options: ScoreOptions): GpuTensor<"float32"> {
  const { axis = -1, temperature = 1 } = options;
  checkGpuTensor(where, "x", x);
  inverseTemperature(where, temperature);
  const rows = rowsOf(where, x, axis);
  checkUpstream(where, upstream, x, rows.rest);
  const { gpu } = x;
  const y = gpu.result(where, "float32", x.shape, [x, upstream]);
  runRows(gpu, where, SOFTMAX_FAMILY, { MODE: MODES[where] }, [operand(x, rows.cols), operand(upstream, 1), operand(y, rows.cols)], rows, (count) => [count, rows.cols, rows.inner], distances(temperature));
  return y;
}

function product(where: string, name: string, p: GpuTensor, upstream: GpuTensor, options: ScoreOptions, mode: 0 | 1): GpuTensor<"float32"> {
  const { axis = -1, temperature = 1 } = options;
  checkGpuTensor(where, name, p);
  const scale = inverseTemperature(where, temperature);
  const rows = rowsOf(where, p, axis);
  checkUpstream(where, upstream, p, p.shape);
  const { gpu } = p;
  const y = gpu.result(where, "float32", p.shape, [p, upstream]);
  runRows(gpu, where, FAMILY, { MODE: mode }, [operand(p, rows.cols), operand(upstream, rows.cols), operand(y, rows.cols)], rows, (count) => [count, rows.cols, rows.inner], [scale]);
  return y;
}

/**
 * The vector-Jacobian product of `softmax`.
 *
 *   grad[..., c] = p[..., c] (upstream[..., c] - sum_k upstream[..., k] p[..., k]) / T
 *
 * @param probabilities - p, the result of `softmax`, float32 [..., C], C >= 1
 * @param upstream - gradient with respect to p, float32 [..., C]
 * @param options - `temperature` and `axis` of the forward pass
 * @returns gradient with respect to the scores (the temperature included), float32 [..., C]; it sums to 0 over a row. A row with NaN or an infinity: NaN.
 * @throws RangeError if the shapes differ, for tensors of two devices, or for a temperature outside [2^-126, 2^126]
 * @example
 *   await softmaxGrad(gpu.tensor([0.5, 0.5]), gpu.tensor([1, 0])).read(); // 0.25, -0.25
 * Source: Goodfellow, Bengio, Courville, Deep Learning (2016), 6.2.2.3.
 */
export function softmaxGrad(probabilities: GpuTensor, upstream: GpuTensor, options: ScoreOptions = {}): GpuTensor<"float32"> {
  return product("softmaxGrad", "probabilities", probabilities, upstream, options, 0);
}

/**
 * The vector-Jacobian product of `logSoftmax`.
 *
 *   grad[..., c] = (upstream[..., c] - exp(y[..., c]) sum_k upstream[..., k]) / T
 *
 * @param logProbabilities - y, the result of `logSoftmax`, float32 [..., C], C >= 1
 * @param upstream - gradient with respect to y, float32 [..., C]
 * @param options - `temperature` and `axis` of the forward pass
 * @returns gradient with respect to the scores (the temperature included), float32 [..., C]; it sums to 0 over a row. A row with NaN or an infinity in `upstream`: NaN;
 *   an element with NaN in y: NaN.
 * @throws RangeError if the shapes differ, for tensors of two devices, or for a temperature outside [2^-126, 2^126]
 * @example
 *   await logSoftmaxGrad(gpu.tensor([-0.6931472, -0.6931472]), gpu.tensor([1, 0])).read(); // 0.5, -0.5
 * Source: Goodfellow, Bengio, Courville, Deep Learning (2016), 6.2.2.3.
 */
export function logSoftmaxGrad(logProbabilities: GpuTensor, upstream: GpuTensor, options: ScoreOptions = {}): GpuTensor<"float32"> {
  return product("logSoftmaxGrad", "logProbabilities", logProbabilities, upstream, options, 1);
}

/**
 * The vector-Jacobian product of `logSumExp`: probabilities, because softmax is the gradient of log Z.
 *
 *   grad[..., c] = upstream[...] p[..., c] / T,   p = softmax(x / T)
 *
 * @param x - the scores of the forward pass, float32 [..., C], C >= 1
 * @param upstream - gradient with respect to log Z, float32 [...]
 * @param options - `temperature` and `axis` of the forward pass
 * @returns gradient with respect to `x` (the temperature included), float32 [..., C]. A row with NaN or +Infinity, of -Infinity only, or with an upstream that is not finite: NaN.
 * @throws RangeError if the shapes do not fit, for tensors of two devices, or for a temperature outside [2^-126, 2^126]
 * @example
 *   await logSumExpGrad(gpu.tensor([[0, 0]]), gpu.tensor([3])).read(); // 1.5, 1.5
 * Source: Goodfellow, Bengio, Courville, Deep Learning (2016), 6.2.2.3.
 */
export function logSumExpGrad(x: GpuTensor, upstream: GpuTensor, options: ScoreOptions = {}): GpuTensor<"float32"> {
  return rowGradient("logSumExpGrad", x, upstream, options);
}

/**
 * The vector-Jacobian product of `entropy`.
 *
 *   grad[..., c] = -upstream[...] / T * p[..., c] (z[..., c] - E_p z),   z = x / T, p = softmax(z)
 *
 * @param x - the scores of the forward pass, float32 [..., C], C >= 1
 * @param upstream - gradient with respect to the entropy, float32 [...]
 * @param options - `temperature` and `axis` of the forward pass
 * @returns gradient with respect to `x` (the temperature included), float32 [..., C]; 0 for an impossible class. Rows without an entropy, or with an upstream that is not finite: NaN.
 * @throws RangeError if the shapes do not fit, for tensors of two devices, or for a temperature outside [2^-126, 2^126]
 * @example
 *   await entropyGrad(gpu.tensor([[0, 1]]), gpu.tensor([1])).read(); // 0.1966, -0.1966
 * Source: derivative of the formula above.
 */
export function entropyGrad(x: GpuTensor, upstream: GpuTensor, options: ScoreOptions = {}): GpuTensor<"float32"> {
  return rowGradient("entropyGrad", x, upstream, options);
}

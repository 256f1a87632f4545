import type { Tensor, TensorLike } from "@logits/tensor";
import { mapPairs } from "./pairs.ts";
import { kernels, LOG_SUM_EXP_GRAD, rowGradient, type GradOptions } from "./rowKernels.ts";
import { inverseTemperature } from "./temperature.ts";

function product(where: string, name: string, y: TensorLike, upstream: TensorLike, options: GradOptions, logarithm: 0 | 1): Tensor<"float32"> {
  const { axis = -1, temperature = 1 } = options;
  const scale = inverseTemperature(where, temperature);
  const { f32_softmax_grad } = kernels();
  return mapPairs(where, name, y, upstream, axis, (py, pu, out, rows, cols) => f32_softmax_grad(py, pu, out, rows, cols, scale, logarithm));
}

/**
 * The vector-Jacobian product of `softmax`.
 *
 *   grad[..., c] = p[..., c] (upstream[..., c] - sum_k upstream[..., k] p[..., k]) / T
 *
 * @param probabilities - p, the result of `softmax`, float32 [..., C]
 * @param upstream - gradient with respect to p, float32 [..., C]
 * @param options - `temperature` and `axis` of the forward pass
 * @returns gradient with respect to the scores (the temperature included), float32 [..., C]; it sums to 0 over a row. A row with NaN: NaN.
 * @throws RangeError if the shapes differ, or for a temperature outside [2^-126, 2^126]
 * @example
 *   softmaxGrad([0.5, 0.5], [1, 0]); // 0.25, -0.25
 * Source: Goodfellow, Bengio, Courville, Deep Learning (2016), 6.2.2.3.
 */
export function softmaxGrad(probabilities: TensorLike, upstream: TensorLike, options: GradOptions = {}): Tensor<"float32"> {
  return product("softmaxGrad", "probabilities", probabilities, upstream, options, 0);
}

/**
 * The vector-Jacobian product of `logSoftmax`.
 *
 *   grad[..., c] = (upstream[..., c] - exp(y[..., c]) sum_k upstream[..., k]) / T
 *
 * @param logProbabilities - y, the result of `logSoftmax`, float32 [..., C]
 * @param upstream - gradient with respect to y, float32 [..., C]
 * @param options - `temperature` and `axis` of the forward pass
 * @returns gradient with respect to the scores (the temperature included), float32 [..., C]; it sums to 0 over a row. A row with NaN in `upstream`: NaN;
 *   an element with NaN in y: NaN.
 * @throws RangeError if the shapes differ, or for a temperature outside [2^-126, 2^126]
 * @example
 *   logSoftmaxGrad([-0.6931472, -0.6931472], [1, 0]); // 0.5, -0.5
 * Source: Goodfellow, Bengio, Courville, Deep Learning (2016), 6.2.2.3.
 */
export function logSoftmaxGrad(logProbabilities: TensorLike, upstream: TensorLike, options: GradOptions = {}): Tensor<"float32"> {
  return product("logSoftmaxGrad", "logProbabilities", logProbabilities, upstream, options, 1);
}

/**
 * The vector-Jacobian product of `logSumExp`: probabilities, because softmax is the gradient of log Z.
 *
 *   grad[..., c] = upstream[...] p[..., c] / T,   p = softmax(x / T)
 *
 * @param x - the scores of the forward pass, float32 [..., C]
 * @param upstream - gradient with respect to log Z, float32 [...]
 * @param options - `temperature` and `axis` of the forward pass
 * @returns gradient with respect to `x` (the temperature included), float32 [..., C]. A row with NaN or +Infinity, or of -Infinity only: NaN.
 * @throws RangeError if the shapes do not fit, or for a temperature outside [2^-126, 2^126]
 * @example
 *   logSumExpGrad([[0, 0]], [3]); // 1.5, 1.5
 * Source: Goodfellow, Bengio, Courville, Deep Learning (2016), 6.2.2.3.
 */
export function logSumExpGrad(x: TensorLike, upstream: TensorLike, options: GradOptions = {}): Tensor<"float32"> {
  return rowGradient("logSumExpGrad", x, upstream, options, LOG_SUM_EXP_GRAD);
}

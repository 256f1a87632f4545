import type { Tensor, TensorLike } from "@logits/tensor";
import { mapPairs } from "./pairs.ts";
import { mapRows, type AxisOptions } from "./rows.ts";
import { checkNoise, halves, kernels, type NoiseOptions } from "./sample.ts";
import { softmax } from "./softmax.ts";
import { inverseTemperature } from "./temperature.ts";

/** Options of gumbelSoftmax. */
export interface GumbelSoftmaxOptions extends AxisOptions, NoiseOptions {
  /** Divides the perturbed scores; in [2^-126, 2^126]. Default 1. */
  readonly temperature?: number;
  /** The one-hot row of the largest perturbed score instead of the soft sample. Default false. */
  readonly hard?: boolean;
}

/** Options of gumbelSoftmaxGrad. */
export interface GumbelSoftmaxGradOptions {
  /** Which axis; negative counts from the end. Default -1, the last. */
  readonly axis?: number;
  /** The temperature of the forward pass. Default 1. */
  readonly temperature?: number;
}

/**
 * A relaxed sample of a categorical distribution: softmax of scores with Gumbel noise.
 *
 *   y[..., c] = softmax_c((x[..., c] + g[..., c]) / T),   g = -log(-log u),   u = (word + 1/2) / 2^32
 *
 * The word of column c of row r is number c of `randomSource(seed, stream + r)`: the noise is the same bits in every engine, and a row does not depend on
 * its batch. With `hard` the result is exactly one-hot at the largest perturbed score, which is a sample of softmax(x) whatever T (ties: the smaller
 * column). For the straight-through gradient call it again without `hard`: the same seed gives the soft sample that {@link gumbelSoftmaxGrad} takes.
 *
 * @param x - scores, float32 [..., C], C >= 1; -Infinity = impossible, exactly 0
 * @param options - `seed` (required), `stream` (default 0), `temperature` T (default 1), `hard` (default false), `axis` (default -1), `out`
 * @returns float32, shape of `x`. One element: 1. A row with NaN or +Infinity, or of -Infinity only: NaN, hard or soft.
 * @throws RangeError for a row without elements, a seed or stream outside [0, 2^53), or a temperature outside [2^-126, 2^126]
 * @example
 *   gumbelSoftmax([1, 2, 3], { seed: 7, hard: true }); // one-hot
 * Source: Jang, Gu, Poole, "Categorical Reparameterization with Gumbel-Softmax", ICLR 2017; Maddison, Mnih, Teh, ICLR 2017.
 */
export function gumbelSoftmax(x: TensorLike, options: GumbelSoftmaxOptions): Tensor<"float32"> {
  const { seed, stream = 0, temperature = 1, hard = false, axis = -1, out } = options;
  checkNoise("gumbelSoftmax", options);
  inverseTemperature("gumbelSoftmax", temperature);
  const { f32_gumbel } = kernels();
  const [key0, key1] = halves(seed);
  let row = stream;
  const noisy = mapRows("gumbelSoftmax", x, { axis, out: hard ? out : undefined }, "row", (cols) => (px, py, rows, lanes) => {
    f32_gumbel(px, py, rows, cols, key0, key1, ...halves(row), hard ? 1 : 0, lanes);
    row += rows;
  });
  return hard ? noisy : softmax(noisy, { axis, temperature, out: out ?? noisy });
}

/**
 * The vector-Jacobian product of gumbelSoftmax with respect to the scores, from its soft sample.
 *
 *   grad[..., c] = y[..., c] (upstream[..., c] - sum_j y[..., j] upstream[..., j]) / T
 *
 * For a hard sample this is the straight-through estimator: the forward pass is one-hot, the backward pass that of the soft sample. It is biased.
 *
 * @param soft - result of `gumbelSoftmax` without `hard`, float32 [..., C]
 * @param upstream - gradient with respect to the sample, hard or soft, float32 [..., C]; not read where `soft` is exactly 0
 * @param options - `axis` and `temperature` of the forward pass
 * @returns gradient with respect to the scores, float32 [..., C]; a row of NaN in `soft` gives NaN
 * @throws RangeError if the shapes differ, or for a temperature outside [2^-126, 2^126]
 * @example
 *   gumbelSoftmaxGrad([0.5, 0.5], [1, 0]); // 0.25, -0.25
 * Source: Jang, Gu, Poole 2017, section 2.2; Bengio, Leonard, Courville 2013 for the straight-through estimator.
 */
export function gumbelSoftmaxGrad(soft: TensorLike, upstream: TensorLike, options: GumbelSoftmaxGradOptions = {}): Tensor<"float32"> {
  const { axis = -1, temperature = 1 } = options;
  const scale = inverseTemperature("gumbelSoftmaxGrad", temperature);
  const { f32_soft_grad } = kernels();
  return mapPairs("gumbelSoftmaxGrad", "soft", soft, upstream, axis, (py, pu, to, rows, cols) => f32_soft_grad(py, pu, to, rows, cols, scale));
}

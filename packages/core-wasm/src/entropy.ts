import type { Tensor, TensorLike } from "@logits/tensor";
import { ENTROPY_GRAD, kernels, rowGradient, type GradOptions, type ScoreOptions } from "./rowKernels.ts";
import { mapRows } from "./rows.ts";
import { inverseTemperature } from "./temperature.ts";

/**
 * Entropy of the distribution that scores define, in nats.
 *
 *   H[...] = -sum_c p[..., c] log p[..., c] = log Z - E_p[x / T],   p = softmax(x / T)
 *
 * Two terms of one sign (the log of 1 + the weight of the other classes, and the mean distance to the largest score), so that it is right to the last
 * digits where one class dominates: within 1e-5 relative, and 0 where the other classes weigh less than 2^-126 of the largest.
 *
 * @param x - scores, float32 [..., C], C >= 1; -Infinity = impossible
 * @param options - `temperature` T (default 1), `axis` (default -1), `out`
 * @returns float32, shape of `x` without the axis, in [0, log C]. One possible class: 0. A row with NaN or +Infinity, or of -Infinity only: NaN.
 * @throws RangeError for a row without elements or a temperature outside [2^-126, 2^126]
 * @example
 *   entropy([0, 0]); // 0.6931
 * Source: Cover and Thomas, Elements of Information Theory (2006), 2.1.
 */
export function entropy(x: TensorLike, options: ScoreOptions = {}): Tensor<"float32"> {
  const scale = inverseTemperature("entropy", options.temperature ?? 1);
  const { f32_entropy } = kernels();
  return mapRows("entropy", x, options, "one", (cols) => (px, py, rows) => f32_entropy(px, py, 0, rows, cols, scale, 0));
}

/**
 * The vector-Jacobian product of `entropy`.
 *
 *   grad[..., c] = -upstream[...] / T * p[..., c] (z[..., c] - E_p z),   z = x / T, p = softmax(z)
 *
 * @param x - the scores of the forward pass, float32 [..., C]
 * @param upstream - gradient with respect to the entropy, float32 [...]
 * @param options - `temperature` and `axis` of the forward pass
 * @returns gradient with respect to `x` (the temperature included), float32 [..., C]; 0 for an impossible class. Rows without an entropy: NaN.
 * @throws RangeError if the shapes do not fit, or for a temperature outside [2^-126, 2^126]
 * @example
 *   entropyGrad([[0, 1]], [1]); // 0.1966, -0.1966
 * Source: derivative of the formula above.
 */
export function entropyGrad(x: TensorLike, upstream: TensorLike, options: GradOptions = {}): Tensor<"float32"> {
  return rowGradient("entropyGrad", x, upstream, options, ENTROPY_GRAD);
}

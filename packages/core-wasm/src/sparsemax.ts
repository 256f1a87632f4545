import type { Tensor, TensorLike } from "@logits/tensor";
import { backward, forward, SPARSEMAX, type SparseGradOptions, type SparseOptions } from "./sparse.ts";

/**
 * Sparse probabilities: the point of the simplex nearest to the scores.
 *
 *   p = argmin_p |p - x / T|^2 over the simplex;   p[..., c] = max(x[..., c] / T - tau, 0),   tau such that sum_c p = 1
 *
 * Within 4e-7 absolute of float64; a row sums to 1 within 4e-7; zeros are exact.
 *
 * @param x - scores, float32 [..., C], C >= 1; -Infinity = impossible, probability exactly 0
 * @param options - `temperature` T (default 1), `axis` (default -1), `out`
 * @returns float32, shape of `x`. One element: 1. Ties share. A row with NaN or +Infinity, or of -Infinity only (no distribution exists): NaN.
 * @throws RangeError for a row without elements or a temperature outside [2^-126, 2^126]
 * @example
 *   sparsemax([0.5, 0, -1]); // 0.75, 0.25, 0
 * Source: Martins and Astudillo, "From Softmax to Sparsemax", ICML 2016, proposition 1; tau by Newton's method (Michelot 1986) instead of sorting.
 */
export function sparsemax(x: TensorLike, options: SparseOptions = {}): Tensor<"float32"> {
  return forward("sparsemax", x, options, SPARSEMAX);
}

/**
 * The vector-Jacobian product of sparsemax.
 *
 *   grad[..., c] = (upstream[..., c] - mean of upstream over the support) / T where y[..., c] > 0, else 0
 *
 * At a point where an element enters the support the derivative does not exist; this is the one-sided derivative of leaving it out.
 *
 * @param y - result of `sparsemax`, float32 [..., C]
 * @param upstream - gradient with respect to `y`, float32 [..., C]; not read where `y` is exactly 0
 * @param options - `axis` and `temperature` of the forward pass
 * @returns gradient with respect to `x`, float32 [..., C]; it sums to 0 over a row. A row of NaN in `y` gives NaN.
 * @throws RangeError if the shapes differ, or for a temperature outside [2^-126, 2^126]
 * @example
 *   sparsemaxGrad([0.75, 0.25, 0], [1, 0, 5]); // 0.5, -0.5, 0
 * Source: Martins and Astudillo 2016, section 2.5.
 */
export function sparsemaxGrad(y: TensorLike, upstream: TensorLike, options: SparseGradOptions = {}): Tensor<"float32"> {
  return backward("sparsemaxGrad", y, upstream, options, SPARSEMAX);
}

import type { Tensor, TensorLike } from "@logits/tensor";
import { backward, ENTMAX15, forward, type SparseGradOptions, type SparseOptions } from "./sparse.ts";

/**
 * Sparse probabilities between softmax and sparsemax: entmax with alpha = 1.5.
 *
 *   p = argmax_p p . x / T + H(p) over the simplex,   H(p) = (4/3) sum_c (p - p^1.5);
 *   p[..., c] = max(x[..., c] / (2 T) - tau, 0)^2,    tau such that sum_c p = 1
 *
 * Within 8e-7 absolute of float64; a row sums to 1 within 8e-7; zeros are exact.
 *
 * @param x - scores, float32 [..., C], C >= 1; -Infinity = impossible, probability exactly 0
 * @param options - `temperature` T (default 1), `axis` (default -1), `out`
 * @returns float32, shape of `x`. One element: 1. Ties share. A row with NaN or +Infinity, or of -Infinity only (no distribution exists): NaN.
 * @throws RangeError for a row without elements or a temperature outside [2^-126, 2^126]
 * @example
 *   entmax15([1, 0, -2]); // 0.8307, 0.1693, 0
 * Source: Peters, Niculae, Martins, "Sparse Sequence-to-Sequence Models", ACL 2019, section 3; tau by Newton's method instead of sorting.
 */
export function entmax15(x: TensorLike, options: SparseOptions = {}): Tensor<"float32"> {
  return forward("entmax15", x, options, ENTMAX15);
}

/**
 * The vector-Jacobian product of entmax15.
 *
 *   grad[..., c] = w[..., c] (upstream[..., c] - (sum_c w upstream) / (sum_c w)) / T,   w = sqrt(y)
 *
 * @param y - result of `entmax15`, float32 [..., C]
 * @param upstream - gradient with respect to `y`, float32 [..., C]; not read where `y` is exactly 0
 * @param options - `axis` and `temperature` of the forward pass
 * @returns gradient with respect to `x`, float32 [..., C]; it sums to 0 over a row. A row of NaN in `y` gives NaN.
 * @throws RangeError if the shapes differ, or for a temperature outside [2^-126, 2^126]
 * @example
 *   entmax15Grad([0.5, 0.5, 0], [1, 0, 5]); // 0.3536, -0.3536, 0
 * Source: Peters, Niculae, Martins 2019, proposition 2 (alpha = 1.5: y^(2 - alpha) = sqrt(y)).
 */
export function entmax15Grad(y: TensorLike, upstream: TensorLike, options: SparseGradOptions = {}): Tensor<"float32"> {
  return backward("entmax15Grad", y, upstream, options, ENTMAX15);
}

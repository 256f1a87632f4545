import { type TensorLike } from "@logits/tensor";
import { asFinite, asWeights } from "./values.ts";

/** Options of `pava`. */
export interface PavaOptions {
  /** Positive weights, shape [N]; default 1. */
  weights?: TensorLike;
  /** Fit a non-decreasing (default) or a non-increasing sequence. */
  direction?: "increasing" | "decreasing";
}

/**
 * Isotonic regression of a sequence: the monotone sequence with the smallest weighted squared distance, by pooling adjacent violators.
 *
 *   minimise sum_i w[i] (f[i] - y[i])^2  subject to  f[0] <= f[1] <= ... <= f[N - 1]
 *
 * The position is the regressor, so two neighbours are never ties; for a regressor with ties use `isotonicRegression`, which averages them first.
 *
 * @param y - shape [N], finite, any TensorLike, float64 kept
 * @returns float64, shape [N]; blocks of equal values are weighted means of y; empty for an empty y; y itself where it is monotone
 * @throws RangeError if a value is not finite or a weight is not finite and > 0, with its index
 * @example pava([1, 3, 2, 4]) // Float64Array [1, 2.5, 2.5, 4]
 * Source: Ayer, Brunk, Ewing, Reid, Silverman, Annals of Mathematical Statistics 26 (1955). Cost O(N).
 */
export function pava(y: TensorLike, options: PavaOptions = {}): Float64Array {
  const values = asFinite("pava", "y", y);
  const weights = options.weights === undefined ? undefined : asWeights("pava", "weights", options.weights, values.length, true);
  return pool(values, weights, options.direction === "decreasing" ? -1 : 1);
}

/** As `pava` for arguments that have been checked; sign -1 for a non-increasing sequence. */
export function pool(y: Float64Array, weights: Float64Array | undefined, sign: 1 | -1): Float64Array {
  const n = y.length;
  const mean = new Float64Array(n), weight = new Float64Array(n), end = new Int32Array(n);
  let blocks = 0;
  for (let i = 0; i < n; i++) {
    let m = y[i], w = weights === undefined ? 1 : weights[i];
    while (blocks > 0 && sign * mean[blocks - 1] >= sign * m) {
      blocks--;
      const total = weight[blocks] + w;
      // Equal means stay as they are; a difference keeps the mean between the two, where weighted sums could leave it.
      m += (mean[blocks] - m) * (weight[blocks] / total);
      w = total;
    }
    mean[blocks] = m;
    weight[blocks] = w;
    end[blocks++] = i + 1;
  }
  const out = new Float64Array(n);
  for (let b = 0, i = 0; b < blocks; b++) while (i < end[b]) out[i++] = mean[b];
  return out;
}

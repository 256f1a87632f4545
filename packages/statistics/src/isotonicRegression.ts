import { type TensorLike, rangeError } from "@logits/tensor";
import { type PavaOptions, pool } from "./pava.ts";
import { orderOf } from "./sortOrder.ts";
import { asFinite, asWeights } from "./values.ts";

/** A monotone function given by its values at increasing points. */
export interface IsotonicFit {
  /** The distinct regressor values, increasing, shape [K]. */
  readonly x: Float64Array;
  /** The fitted value at each, shape [K]; equal neighbours are one block. */
  readonly y: Float64Array;
  /** The total weight at each, shape [K]. */
  readonly weights: Float64Array;
}

/**
 * Isotonic regression of y on x: rows in any order, ties in x averaged (weighted) into one point first.
 *
 * @param x - regressor, shape [N], finite, any TensorLike, float64 kept; -0 equals 0
 * @param y - response, shape [N], finite
 * @returns the fitted value at each distinct x; empty arrays for N = 0
 * @throws RangeError if lengths differ, a value is not finite or a weight is not finite and > 0
 * @example isotonicRegression([2, 1, 2], [4, 1, 0]).y // Float64Array [1, 2]
 * Source: as `pava`; ties get one common value (the secondary approach of Kruskal, Psychometrika 29, 1964), as in scikit-learn.
 */
export function isotonicRegression(x: TensorLike, y: TensorLike, options: PavaOptions = {}): IsotonicFit {
  const where = "isotonicRegression";
  const regressor = asFinite(where, "x", x), response = asFinite(where, "y", y);
  const n = regressor.length;
  if (response.length !== n) throw rangeError(where, "y", `of length ${n}`, `${response.length}`);
  const given = options.weights === undefined ? undefined : asWeights(where, "weights", options.weights, n, true);
  const order = orderOf(regressor);
  const points = new Float64Array(n), means = new Float64Array(n), weights = new Float64Array(n);
  let k = 0;
  for (let i = 0; i < n; k++) {
    const point = regressor[order[i]];
    let mean = 0, weight = 0;
    for (; i < n && regressor[order[i]] === point; i++) {
      const w = given === undefined ? 1 : given[order[i]];
      weight += w;
      mean += (response[order[i]] - mean) * (w / weight);
    }
    points[k] = point;
    means[k] = mean;
    weights[k] = weight;
  }
  const total = weights.slice(0, k);
  return { x: points.slice(0, k), y: pool(means.slice(0, k), total, options.direction === "decreasing" ? -1 : 1), weights: total };
}

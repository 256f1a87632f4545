import { log1mExp, softplus } from "@logits/statistics";
import { Tensor, asFloat32, checkShape, rangeError, type TensorLike } from "@logits/tensor";

/** Options of `nestedLogits`. */
export interface NestedLogitsOptions {
  /** How steep the steps are, > 0. Default 1. */
  readonly slope?: number;
}

/**
 * Log-probabilities of K + 1 levels from one score, for classes that lie within each other (whole tumour, its core, the active part) or in an order: level k is inside the first k of K nested classes.
 *
 *   P(level >= k) = sigmoid(slope (z - threshold_k)),   k = 1 .. K;   P(level = k) = P(level >= k) - P(level >= k + 1)
 *
 * The nesting holds whatever the score: P(level >= k) never rises with k, and the levels sum to 1. The mean level, sum_k P(level >= k), is the multi-level activation of Piraud et al. Every method
 * here takes the result as logits.
 *
 * @param scores - float32 [N]; -Infinity and Infinity are level 0 and level K
 * @param thresholds - float32 [K], K >= 1, ascending; equal ones: no row is between them
 * @param options - `slope` (1)
 * @returns float32 [N, K + 1], log-probabilities; -Infinity where a level is impossible
 * @throws RangeError for another shape, NaN (its row is named), thresholds that are not finite or fall, a slope that is not finite and > 0
 * @example
 *   nestedLogits([0.2], [0, 1, 2]); // four levels, most probable: 0
 * Sources: McCullagh, "Regression models for ordinal data", JRSS B 1980 (cumulative logit); Piraud, Sekuboyina, Menze, "Multi-level activation for segmentation of hierarchically-nested classes", 2018.
 */
export function nestedLogits(scores: TensorLike, thresholds: TensorLike, options: NestedLogitsOptions = {}): Tensor<"float32"> {
  const where = "nestedLogits", { slope = 1 } = options;
  if (!(slope > 0 && slope < Infinity)) throw rangeError(where, "slope", "a finite number > 0", `${slope}`);
  const z = asFloat32(where, "scores", scores), t = asFloat32(where, "thresholds", thresholds);
  checkShape(where, "scores", z, ["N"]);
  if (t.shape.length !== 1 || t.size === 0) throw rangeError(where, "thresholds", "of shape [K], K >= 1", `[${t.shape.join(", ")}]`);
  const rows = z.size, levels = t.size;
  for (let k = 0; k < levels; k++) {
    if (t.data[k] - t.data[k] !== 0) throw rangeError(where, "thresholds", "of finite numbers", `${t.data[k]} at index ${k}`);
    if (k > 0 && t.data[k] < t.data[k - 1]) throw rangeError(where, "thresholds", "ascending", `${t.data[k]} after ${t.data[k - 1]} at index ${k}`);
  }
  const out = new Float32Array(rows * (levels + 1));
  for (let n = 0, at = 0; n < rows; n++, at += levels + 1) {
    if (z.data[n] !== z.data[n]) throw rangeError(where, "scores", "without NaN", `NaN in row ${n}`);
    const above = (k: number): number => slope * (z.data[n] - t.data[k]);
    out[at] = logSigmoid(-above(0));
    // sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - e^(b - a)): no difference of nearly equal numbers. a - b does not depend on the score.
    for (let k = 1; k < levels; k++) {
      const gap = slope * (t.data[k] - t.data[k - 1]);
      out[at + k] = gap === 0 ? -Infinity : logSigmoid(above(k - 1)) + logSigmoid(-above(k)) + log1mExp(-gap);
    }
    out[at + levels] = logSigmoid(above(levels - 1));
  }
  return new Tensor("float32", [rows, levels + 1], out);
}

/** log(sigmoid(x)). */
function logSigmoid(x: number): number {
  return 0 - softplus(-x);
}

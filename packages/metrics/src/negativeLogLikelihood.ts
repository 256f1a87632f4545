import { temperatureMoments } from "@logits/core-wasm";
import { Tensor, rangeError, type Reduction, type TensorLike } from "@logits/tensor";
import { labelledRows } from "./rows.ts";

/** Options of `negativeLogLikelihood`. */
export interface NegativeLogLikelihoodOptions<R extends Reduction = Reduction> {
  /** "mean" (default) or "sum": a number. "none": float32 [N]. */
  readonly reduction?: R;
}

/**
 * Negative log-likelihood of the labels under softmax(logits), in nats: log Z - score(y).
 *
 *   (1 / N) sum_n log sum_c exp(z[n, c]) - z[n, y_n]
 *
 * Log-probabilities are logits (their log Z is 0). Float32 inside a row, float64 across rows: within 1e-6 of float64 for rows of up to 1,000 classes.
 * A statistic of a data set, without a gradient.
 *
 * @param logits - float32 [N, C]; -Infinity = impossible class
 * @param labels - int32 [N], in [0, C)
 * @param options - `reduction`
 * @returns nats; Infinity where a label is impossible
 * @throws RangeError for no rows, another shape, a label outside [0, C), and for a row with NaN, +Infinity or no finite element (the row is named)
 * @example
 *   negativeLogLikelihood([[0, 0]], [1]); // 0.6931
 * Source: Good, "Rational decisions", 1952 (logarithmic score).
 */
export function negativeLogLikelihood(logits: TensorLike, labels: TensorLike, options?: NegativeLogLikelihoodOptions<"mean" | "sum">): number;
export function negativeLogLikelihood(logits: TensorLike, labels: TensorLike, options: NegativeLogLikelihoodOptions<"none">): Tensor<"float32">;
export function negativeLogLikelihood(logits: TensorLike, labels: TensorLike, options: NegativeLogLikelihoodOptions = {}): number | Tensor<"float32"> {
  const where = "negativeLogLikelihood";
  const { reduction = "mean" } = options;
  if (reduction !== "mean" && reduction !== "sum" && reduction !== "none") throw rangeError(where, "reduction", '"mean", "sum" or "none"', `${reduction}`);
  const { data, labels: y, rows, classes } = labelledRows(where, "logits", logits, labels);
  const each = new Float32Array(rows);
  const { loss } = temperatureMoments(new Tensor("float32", [rows, classes], data), new Tensor("int32", [rows], y), { each });
  const bad = each.findIndex((value) => value !== value);
  if (bad >= 0) throw rangeError(where, "logits", "with rows that have a finite element and no Infinity", `row ${bad} without a distribution`);
  return reduction === "none" ? new Tensor("float32", [rows], each) : reduction === "sum" ? loss : loss / rows;
}

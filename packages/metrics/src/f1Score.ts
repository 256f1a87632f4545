import { asInt32, checkInteger, checkLabels, checkShape, rangeError, Tensor, type TensorLike } from "@logits/tensor";

/** Options of `confusionMatrix`. */
export interface ConfusionMatrixOptions {
  /** Number of classes C. Default: one more than the largest index in `predicted` and `labels`. */
  readonly classes?: number;
}

/** Options of `f1Score`. */
export interface F1ScoreOptions<A extends "macro" | "micro" | "none" = "macro" | "micro" | "none"> extends ConfusionMatrixOptions {
  /** "macro" (default): mean over classes. "micro": over all rows together, which is the accuracy here. "none": one value per class. */
  readonly average?: A;
}

/**
 * Counts of rows by true and predicted class.
 *
 *   counts[i, j] = #{n : y_n = i, predicted_n = j}
 *
 * @param predicted - int32 [N], class indices from 0
 * @param labels - int32 [N], class indices from 0
 * @param options - `classes` C
 * @returns int32 [C, C]; rows are the true class, columns the predicted one
 * @throws RangeError for no rows, another shape or an index outside [0, C)
 * @example
 *   confusionMatrix([0, 1, 1], [0, 0, 1]).toArray(); // [[1, 1], [0, 1]]
 * Source: folklore.
 */
export function confusionMatrix(predicted: TensorLike, labels: TensorLike, options: ConfusionMatrixOptions = {}): Tensor<"int32"> {
  return countPairs("confusionMatrix", predicted, labels, options.classes);
}

/**
 * F1 score of each class, the harmonic mean of precision and recall, and its averages.
 *
 *   F1_c = 2 TP_c / (2 TP_c + FP_c + FN_c)
 *
 * A class that is neither predicted nor present has 0 / 0, which counts as 0 here (`zero_division=0` of scikit-learn) and takes part in "macro".
 *
 * @param predicted - int32 [N], class indices from 0
 * @param labels - int32 [N], class indices from 0
 * @param options - `average` ("macro"), `classes` C
 * @returns a number in [0, 1], or one per class [C] for "none"
 * @throws RangeError as `confusionMatrix`, and for another average
 * @example
 *   f1Score([0, 1, 1], [0, 0, 1]); // 0.6667
 * Source: van Rijsbergen, Information Retrieval, 1979.
 */
export function f1Score(predicted: TensorLike, labels: TensorLike, options?: F1ScoreOptions<"macro" | "micro">): number;
export function f1Score(predicted: TensorLike, labels: TensorLike, options: F1ScoreOptions<"none">): Float64Array;
export function f1Score(predicted: TensorLike, labels: TensorLike, options: F1ScoreOptions = {}): number | Float64Array {
  const { average = "macro", classes } = options;
  if (average !== "macro" && average !== "micro" && average !== "none") throw rangeError("f1Score", "average", '"macro", "micro" or "none"', `${average}`);
  const { data, shape } = countPairs("f1Score", predicted, labels, classes);
  const c = shape[0];
  const each = new Float64Array(c);
  let hits = 0, total = 0;
  for (let i = 0; i < c; i++) {
    let involved = 0;
    for (let j = 0; j < c; j++) involved += data[i * c + j] + data[j * c + i];
    hits += data[i * c + i];
    total += involved;
    each[i] = involved === 0 ? 0 : (2 * data[i * c + i]) / involved;
  }
  if (average === "none") return each;
  if (average === "micro") return (2 * hits) / total;
  let sum = 0;
  for (let i = 0; i < c; i++) sum += each[i];
  return sum / c;
}

function countPairs(where: string, predicted: TensorLike, labels: TensorLike, given: number | undefined): Tensor<"int32"> {
  const p = asInt32(where, "predicted", predicted);
  const y = asInt32(where, "labels", labels);
  checkShape(where, "predicted", p, ["N"]);
  if (p.size === 0) throw rangeError(where, "predicted", "with at least one row", "none");
  checkShape(where, "labels", y, [p.size]);
  if (given !== undefined) checkInteger(where, "classes", given, 1, 65536);
  let classes = given ?? 1;
  if (given === undefined) for (let i = 0; i < p.size; i++) classes = Math.max(classes, p.data[i] + 1, y.data[i] + 1);
  if (classes > 65536) throw rangeError(where, "classes", "at most 65536", `an index of ${classes - 1}`);
  checkLabels(where, "predicted", p, classes);
  checkLabels(where, "labels", y, classes);
  const counts = new Int32Array(classes * classes);
  for (let i = 0; i < p.size; i++) counts[y.data[i] * classes + p.data[i]]++;
  return new Tensor("int32", [classes, classes], counts);
}

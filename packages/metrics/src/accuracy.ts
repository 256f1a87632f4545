import { checkInteger, type TensorLike } from "@logits/tensor";
import { labelledRows, type LabelledRows } from "./rows.ts";

/** Options of `topKAccuracy`. */
export interface TopKAccuracyOptions {
  /** How many classes count, an integer in [1, C]. */
  readonly k: number;
}

/**
 * Share of the rows whose label has the highest score.
 *
 *   (1 / N) sum_n 1[argmax_c x[n, c] = y_n]
 *
 * Equal scores: the smaller class index comes first, as in `argmax`.
 *
 * @param logits - float32 [N, C]; any increasing function of the scores gives the same number
 * @param labels - int32 [N], in [0, C)
 * @returns a number in [0, 1]
 * @throws RangeError for no rows, another shape, a label outside [0, C), a NaN (its row is named)
 * @example
 *   accuracy([[2, 1], [0, 3]], [0, 0]); // 0.5
 * Source: folklore.
 */
export function accuracy(logits: TensorLike, labels: TensorLike): number {
  return hitRate(labelledRows("accuracy", "logits", logits, labels), 1);
}

/**
 * Share of the rows whose label is among the k highest scores.
 *
 *   (1 / N) sum_n 1[ #{c : x[n, c] > x[n, y_n]} + #{c < y_n : x[n, c] = x[n, y_n]} < k ]
 *
 * Equal scores: the smaller class index comes first (scikit-learn lets the larger index come first). k = C gives 1.
 *
 * @param logits - float32 [N, C]
 * @param labels - int32 [N], in [0, C)
 * @param options - `k`, an integer in [1, C]
 * @returns a number in [0, 1]
 * @throws RangeError as `accuracy`, and for another k
 * @example
 *   topKAccuracy([[3, 2, 1], [3, 2, 1]], [1, 2], { k: 2 }); // 0.5
 * Source: folklore.
 */
export function topKAccuracy(logits: TensorLike, labels: TensorLike, options: TopKAccuracyOptions): number {
  const rows = labelledRows("topKAccuracy", "logits", logits, labels);
  checkInteger("topKAccuracy", "k", options.k, 1, rows.classes);
  return hitRate(rows, options.k);
}

function hitRate({ data, labels, rows, classes }: LabelledRows, k: number): number {
  let hits = 0;
  for (let n = 0; n < rows; n++) {
    const base = n * classes, label = labels[n], own = data[base + label];
    let before = 0;
    for (let c = 0; c < classes; c++) {
      const score = data[base + c];
      if (score > own || (score === own && c < label)) before++;
    }
    if (before < k) hits++;
  }
  return hits / rows;
}

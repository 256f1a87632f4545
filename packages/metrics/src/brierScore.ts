import { checkProbabilities, Tensor, type TensorLike } from "@logits/tensor";
import { labelledRows } from "./rows.ts";

/**
 * Brier score in the multiclass form: squared distance between probabilities and the one-hot label.
 *
 *   (1 / N) sum_n sum_c (p[n, c] - 1[c = y_n])^2
 *
 * In [0, 2]. For two classes it is twice the binary convention (p_1 - y)^2 of scikit-learn's `brier_score_loss`. Sums in float64.
 *
 * @param probabilities - float32 [N, C], rows that sum to 1 within 1e-2
 * @param labels - int32 [N], in [0, C)
 * @returns a number in [0, 2]; 0 = certain and right
 * @throws RangeError for no rows, another shape, a label outside [0, C), rows that are no probabilities (the row is named)
 * @example
 *   brierScore([[0.8, 0.2]], [0]); // 0.08
 * Source: Brier, "Verification of forecasts expressed in terms of probability", 1950.
 */
export function brierScore(probabilities: TensorLike, labels: TensorLike): number {
  const { data, labels: y, rows, classes } = labelledRows("brierScore", "probabilities", probabilities, labels);
  checkProbabilities("brierScore", "probabilities", new Tensor("float32", [rows, classes], data), classes);
  let total = 0;
  for (let n = 0, at = 0; n < rows; n++) {
    for (let c = 0; c < classes; c++, at++) {
      const distance = data[at] - (c === y[n] ? 1 : 0);
      total += distance * distance;
    }
  }
  return total / rows;
}

import { withTally } from "@logits/statistics";
import type { TensorLike } from "@logits/tensor";
import { binaryRows } from "./binaryRows.ts";

/**
 * Area under the precision-recall curve by its steps: the mean, over the positive rows, of the precision at the threshold that just finds them (AUPR).
 *
 *   sum_k (R_k - R_{k-1}) P_k   over the distinct scores, highest first: P_k, R_k precision and recall of the rows with at least the k-th score
 *
 * Straight lines between the points (the trapezoidal AUPR of OpenOOD and pytorch-ood) promise thresholds that do not exist, and more area. Which rows are positive has no default: with a score that is higher for
 * outliers AUPR-OUT is `averagePrecision(scores, outliers)`, AUPR-IN `averagePrecision(negatedScores, inliers)`. A random order has the share of positive rows on average: numbers of data sets with
 * other shares do not compare.
 *
 * @param scores - float32 or float64 [N]; higher = more positive; infinities are ordinary scores
 * @param positives - mask [N]: 1 or true = positive
 * @returns a number in (0, 1]; the share of positive rows when all scores are equal
 * @throws RangeError for another shape, a NaN (its row is named), and when there is no positive or no negative row
 * @example
 *   averagePrecision([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]); // 0.8333
 * Source: Davis and Goadrich, "The relationship between precision-recall and ROC curves", ICML 2006 (why not straight lines); the sum as in scikit-learn's `average_precision_score`.
 */
export function averagePrecision(scores: TensorLike, positives: TensorLike): number {
  const { scores: s, positives: mask, count } = binaryRows("averagePrecision", scores, positives);
  const sum = withTally(s as Float32Array, mask, ({ counts, ones }) => {
    let total = 0, found = 0, flagged = 0;
    for (let k = counts.length - 1; k >= 0; k--) {
      found += ones[k];
      flagged += counts[k];
      total += (ones[k] * found) / flagged;
    }
    return total;
  });
  return sum / count;
}

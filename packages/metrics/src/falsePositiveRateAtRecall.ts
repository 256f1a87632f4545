import { orderStatistic } from "@logits/statistics";
import { asMask, checkShape, rangeError, type TensorLike } from "@logits/tensor";
import { numbers } from "./rows.ts";

/** Options of `falsePositiveRateAtRecall`. */
export interface FalsePositiveRateAtRecallOptions {
  /** Share of the positive rows that must be found, in (0, 1]. Default 0.95. */
  readonly recall?: number;
}

/**
 * The false-positive rate at the highest threshold that finds a given share of the positive rows (FPR95 at recall 0.95).
 *
 *   threshold = the k-th largest positive score, k = ceil(recall * number of positives);   share of negative scores >= threshold
 *
 * No interpolation; rows that tie with the threshold are flagged, positive and negative alike, so that the result does not depend on their order. Which rows are positive has
 * no default: papers on out-of-distribution detection call either kind positive, and the two numbers differ. With a score that is higher for outliers, mark the outliers.
 *
 * @param scores - float32 or float64 [N]; higher = more positive; infinities are ordinary scores
 * @param positives - mask [N]: 1 or true = positive
 * @param options - `recall` (0.95)
 * @returns a number in [0, 1]; 1 when all scores are equal
 * @throws RangeError for another shape, a NaN (its row is named), a recall outside (0, 1], and when there is no positive or no negative row
 * @example
 *   falsePositiveRateAtRecall([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]); // 0.5
 * Source: Liang, Li, Srikant, "Enhancing the reliability of out-of-distribution image detection", ICLR 2018. Equal to the first point of scikit-learn's
 *   `roc_curve(drop_intermediate=False)` with that recall; with `drop_intermediate=True`, the default there, ties can make it too large.
 */
export function falsePositiveRateAtRecall(scores: TensorLike, positives: TensorLike, options: FalsePositiveRateAtRecallOptions = {}): number {
  const where = "falsePositiveRateAtRecall";
  const { recall = 0.95 } = options;
  if (!(recall > 0 && recall <= 1)) throw rangeError(where, "recall", "in (0, 1]", `${recall}`);
  const s = numbers(where, "scores", scores);
  const mask = asMask(where, "positives", positives);
  checkShape(where, "positives", mask, ["N"]);
  if (mask.size !== s.length) throw rangeError(where, "positives", `of shape [${s.length}]`, `[${mask.size}]`);
  const positive: number[] = [];
  for (let i = 0; i < s.length; i++) if (mask.data[i]) positive.push(s[i]);
  const count = positive.length, negatives = s.length - count;
  if (count === 0 || negatives === 0) throw rangeError(where, "positives", "with at least one positive and one negative row", `${count} of ${s.length} positive`);
  // The factor keeps a product that is an integer in exact arithmetic (0.07 x 100) from being rounded up to the next.
  const k = Math.max(1, Math.ceil(recall * count * (1 - 2 ** -51)));
  const threshold = orderStatistic(Float64Array.from(positive), count + 1 - k);
  let flagged = 0;
  for (let i = 0; i < s.length; i++) if (!mask.data[i] && s[i] >= threshold) flagged++;
  return flagged / negatives;
}

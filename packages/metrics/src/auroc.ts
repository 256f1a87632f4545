import { onesOf, pairsWon } from "@logits/core-wasm/order";
import { withTally } from "@logits/statistics";
import { asMask, checkShape, lastingData, rangeError, type TensorLike } from "@logits/tensor";
import { numbers } from "./rows.ts";

/**
 * Area under the ROC curve: the probability that a positive row scores higher than a negative one.
 *
 *   P(s+ > s-) + P(s+ = s-) / 2
 *
 * Exact: pairs are counted, equal scores count one half, no interpolation. Any increasing function of the scores gives the same number. O(N).
 *
 * @param scores - float32 or float64 [N]; higher = more positive; infinities are ordinary scores
 * @param positives - mask [N]: 1 or true = positive
 * @returns a number in [0, 1]; 0.5 when all scores are equal
 * @throws RangeError for another shape, a NaN (its row is named), and when there is no positive or no negative row: the area does not exist
 * @example
 *   auroc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]); // 0.75
 * Source: Hanley and McNeil, "The meaning and use of the area under a ROC curve", 1982.
 */
export function auroc(scores: TensorLike, positives: TensorLike): number {
  const s = numbers("auroc", "scores", scores);
  const mask = asMask("auroc", "positives", positives);
  checkShape("auroc", "positives", mask, ["N"]);
  if (mask.size !== s.length) throw rangeError("auroc", "positives", `of shape [${s.length}]`, `[${mask.size}]`);
  const marks = lastingData(mask), count = onesOf(marks);
  if (count === 0 || count === s.length) throw rangeError("auroc", "positives", "with at least one positive and one negative row", `${count} of ${s.length} positive`);
  // Twice the number of pairs won, a pair of equals counting 1.
  const pairs = s instanceof Float32Array ? pairsWon(s, marks) : pairsOf(s as Float64Array, marks);
  return pairs / 2 / count / (s.length - count);
}

/** As `pairsWon`, for scores that are no float32. */
function pairsOf(scores: Float64Array, positives: Uint8Array): number {
  return withTally(scores, positives, ({ counts, ones }) => {
    let total = 0, below = 0;
    for (let k = 0; k < counts.length; k++) {
      const low = counts[k] - ones[k];
      total += ones[k] * (2 * below + low);
      below += low;
    }
    return total;
  });
}

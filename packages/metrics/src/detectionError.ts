import { withTally } from "@logits/statistics";
import type { TensorLike } from "@logits/tensor";
import { binaryRows } from "./binaryRows.ts";

/** The threshold that errs least. */
export interface DetectionError {
  /** Half the sum of both error rates there, in [0, 0.5]; one minus it is the balanced accuracy. */
  readonly value: number;
  /** Rows with at least this score count as positive; Infinity: none do. */
  readonly threshold: number;
}

/**
 * The least mean of both error rates that a threshold can have, with the threshold.
 *
 *   min over t of ( share of negative rows with s >= t + share of positive rows with s < t ) / 2
 *
 * The threshold is chosen on the rows that measure it, so the value is optimistic for new rows. Of several the highest threshold.
 *
 * @param scores - float32 or float64 [N]; higher = more positive; infinities are ordinary scores
 * @param positives - mask [N]: 1 or true = positive; no default says which rows these are, though the value is the same with both exchanged and the scores negated
 * @returns `value`, `threshold`
 * @throws RangeError for another shape, a NaN (its row is named), and when there is no positive or no negative row
 * @example
 *   detectionError([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]).value; // 0.25
 * Source: Liang, Li, Srikant, "Enhancing the reliability of out-of-distribution image detection", ICLR 2018.
 */
export function detectionError(scores: TensorLike, positives: TensorLike): DetectionError {
  const { scores: s, positives: mask, count } = binaryRows("detectionError", scores, positives), others = s.length - count;
  return withTally(s as Float32Array, mask, ({ values, counts, ones }) => {
    let value = 0.5, threshold = Infinity, found = 0, flagged = 0;
    for (let k = counts.length - 1; k >= 0; k--) {
      found += ones[k];
      flagged += counts[k];
      const error = ((flagged - found) / others + (count - found) / count) / 2;
      if (error < value) [value, threshold] = [error, values[k]];
    }
    return { value, threshold };
  });
}

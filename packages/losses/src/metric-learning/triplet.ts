import { exp, softplus } from "@logits/statistics";
import type { PairLoss } from "../pairs/pairLoss.ts";
import { checkChoice } from "../range.ts";
import { AVERAGES, distanceLoss, type DistanceOptions, type TermAverage, type TupleRow } from "./tupleLoss.ts";

/** Options of `tripletMarginLoss`. */
export interface TripletMarginOptions extends DistanceOptions {
  /** m; default 0.2. */
  readonly margin?: number;
  /** softplus in place of max(0, .). Default false. */
  readonly smooth?: boolean;
  /** "all" triplets of an anchor; "hard": its farthest positive with its nearest negative; "semihard": each positive with the nearest negative that is farther than it, the farthest negative where none is. Default "all". */
  readonly mining?: "all" | "hard" | "semihard";
  /** Over which of an anchor's triplets is averaged. Default "all". */
  readonly average?: TermAverage;
}

/**
 * Triplet loss: each positive must be nearer than each negative, by a margin.
 *
 *   loss[i] = mean over the triplets (i, p, n) of max(0, d[i, p] - d[i, n] + m), or of softplus(d[i, p] - d[i, n] + m) with `smooth`
 *
 * Triplets are never listed: an anchor's positives are sorted, and each negative finds those it is too near to by bisection, so N anchors with P positives take N^2 log P steps.
 *
 * @param embeddings - float32 [N, F]
 * @param labels - int32 [N]; other embeddings with the same label are positives, the others negatives
 * @param options - `margin` m (0.2), `smooth`, `mining` ("all", "hard", "semihard"), `average` ("all", "nonZero", "sum"), `distance` ("euclidean"); `references` and `referenceLabels`; those of every loss
 * @returns float32 [N] ("none") or []; anchors without a positive or without a negative count for nothing. `withGrad`: `grad`. At a distance of 0 its gradient is taken as 0; mining has none
 * @throws RangeError for shapes that do not fit, weights or a mask that are none
 * @example
 *   tripletMarginLoss([[0, 0], [1, 0], [1.1, 0], [5, 0]], [0, 0, 1, 1], { reduction: "none" }); // [0.05, 0.55, 3.5, 0.05]
 * Source: Schroff, Kalenichenko, Philbin, "FaceNet", CVPR 2015, eq. 3 and section 3.2 (margin, semihard); Hermans, Beyer, Leibe, "In Defense of the Triplet Loss for Person Re-Identification", 2017 (distances that are not squared, hard mining, softplus, mean of those above 0).
 */
export const tripletMarginLoss: PairLoss<TripletMarginOptions> = /* @__PURE__ */ distanceLoss("tripletMarginLoss", "euclidean", ({ margin = 0.2, smooth = false, mining = "all", average = "all" }: TripletMarginOptions, where) => {
  checkChoice(where, "mining", mining, ["all", "hard", "semihard"]);
  checkChoice(where, "average", average, AVERAGES);
  const row: TupleRow = (d, positives, negatives, slopes) => {
    const own = new Float64Array(slopes ? d.length : 0);
    let total = 0, above = 0;
    const triplet = (p: number, n: number): void => {
      const x = d[p] - d[n] + margin;
      if (smooth ? x !== -Infinity : x > 0) above++;
      total += smooth ? softplus(x) : Math.max(0, x);
      const slope = smooth ? 1 / (1 + exp(-x)) : x > 0 ? 1 : 0;
      if (slopes) {
        own[p] += slope;
        own[n] -= slope;
      }
    };
    let count = positives.length * negatives.length;
    if (mining === "hard") {
      triplet(extreme(d, positives, 1), extreme(d, negatives, -1));
      count = 1;
    } else if (mining === "semihard") {
      count = positives.length;
      for (const p of positives) {
        let best = -1;
        for (let k = 0; k < negatives.length; k++) {
          const n = negatives[k];
          if (d[n] > d[p] && (best < 0 || d[n] < d[best])) best = n;
        }
        triplet(p, best < 0 ? extreme(d, negatives, 1) : best);
      }
    } else if (smooth) for (const p of positives) for (const n of negatives) triplet(p, n);
    else {
      // Positives from far to near, with sums of their distances: a negative counts against a prefix of them.
      const sorted = positives.slice().sort((a, b) => d[b] - d[a]), sums = new Float64Array(sorted.length + 1), against = new Float64Array(sorted.length + 1);
      sorted.forEach((p, k) => (sums[k + 1] = sums[k] + d[p]));
      for (const n of negatives) {
        let low = 0, high = sorted.length;
        while (low < high) {
          const middle = (low + high) >> 1;
          if (d[sorted[middle]] - d[n] + margin > 0) low = middle + 1;
          else high = middle;
        }
        total += sums[low] - low * (d[n] - margin);
        above += low;
        against[low]++;
        if (slopes) own[n] = -low;
      }
      if (slopes) for (let k = sorted.length - 1, sum = 0; k >= 0; k--) own[sorted[k]] = sum += against[k + 1];
    }
    const share = 1 / (average === "sum" ? 1 : Math.max(1, average === "all" ? count : above));
    if (slopes) for (let j = 0; j < d.length; j++) slopes[j] = share * own[j];
    return share * total;
  };
  return row;
});

/** The column with the largest (sign 1) or smallest (-1) distance. */
export function extreme(d: ArrayLike<number>, columns: Int32Array, sign: 1 | -1): number {
  let best = columns[0];
  for (let k = 1; k < columns.length; k++) if (sign * (d[columns[k]] - d[best]) > 0) best = columns[k];
  return best;
}

import { exp } from "@logits/statistics";
import { checkInteger } from "@logits/tensor";
import type { PairLoss, PairLossOptions } from "../pairs/pairLoss.ts";
import { checkChoice } from "../range.ts";
import { distanceLoss, tupleLoss, type DistanceOptions } from "./tupleLoss.ts";

/** Options of `rankedListLoss`. */
export interface RankedListOptions extends DistanceOptions {
  /** m between positives and negatives. Default 0.4. */
  readonly margin?: number;
  /** The distance beyond which negatives cost nothing. Default 1.2. */
  readonly alpha?: number;
  /** T of negatives: they weigh exp(T (alpha - d)). Default 10. */
  readonly negativeTemperature?: number;
  /** T of positives: they weigh exp(T (d - alpha + m)). Default 0. */
  readonly positiveTemperature?: number;
  /** Share of the negatives' mean. Default 0.5. */
  readonly balance?: number;
  /** "official": weights have no derivative, as in the paper. "exact": of the value. Default "official". */
  readonly gradient?: "official" | "exact";
}

/** Options of `fastApLoss`. */
export interface FastApOptions extends PairLossOptions {
  /** Bins over [0, 4], the squared distances of vectors of length 1. Default 10. */
  readonly bins?: number;
}

/**
 * Ranked list loss: positives inside a ball, negatives outside a larger one, those that are most wrong weighing most.
 *
 *   loss[i] = (1 - lambda) mean of d[i, p] - (alpha - m) over positives beyond alpha - m, weights exp(T+ (d - alpha + m)) + lambda mean of alpha - d[i, n] over negatives within alpha, weights exp(T- (alpha - d))
 *
 * @param embeddings - float32 [N, F], at length 1 in the paper
 * @param labels - int32 [N]
 * @param options - `margin` m (0.4), `alpha` (1.2), `negativeTemperature` (10), `positiveTemperature` (0), `balance` lambda (0.5), `gradient`, `distance` ("euclidean"); `references` and `referenceLabels`; those of every loss
 * @returns float32 [N] ("none") or []; every anchor counts, a mean over nothing is 0. `withGrad`: `grad`
 * @throws RangeError for shapes that do not fit
 * @example
 *   rankedListLoss([[0, 0], [1, 0], [1.1, 0]], [0, 0, 1]);
 * Source: Wang et al., "Ranked List Loss for Deep Metric Learning", CVPR 2019, eq. 3 to 8.
 */
export const rankedListLoss: PairLoss<RankedListOptions> = /* @__PURE__ */ distanceLoss(
  "rankedListLoss",
  "euclidean",
  ({ margin = 0.4, alpha = 1.2, negativeTemperature = 10, positiveTemperature = 0, balance = 0.5, gradient = "official" }: RankedListOptions, where) => {
    checkChoice(where, "gradient", gradient, ["official", "exact"]);
    return (d, positives, negatives, slopes) => {
      const part = (columns: Int32Array, edge: number, sign: 1 | -1, temperature: number, share: number): number => {
        const wrong = columns.filter((j) => sign * (d[j] - edge) > 0), top = wrong.reduce((most, j) => Math.max(most, sign * (d[j] - edge)), 0);
        let mass = 0, mean = 0;
        const weights = Float64Array.from(wrong, (j) => exp(temperature * (sign * (d[j] - edge) - top)));
        for (const w of weights) mass += w;
        wrong.forEach((j, k) => (mean += (weights[k] / mass) * sign * (d[j] - edge)));
        if (slopes) wrong.forEach((j, k) => (slopes[j] += ((share * sign * weights[k]) / mass) * (gradient === "exact" ? 1 + temperature * (sign * (d[j] - edge) - mean) : 1)));
        return share * mean;
      };
      return part(positives, alpha - margin, 1, positiveTemperature, 1 - balance) + part(negatives, alpha, -1, negativeTemperature, balance);
    };
  },
  "none",
);

/**
 * FastAP: one minus the average precision of an anchor's ranking, with soft histograms in place of counts.
 *
 *   loss[i] = 1 - 1/P sum_k h+[k] H+[k] / H[k],  h = sum_j max(0, 1 - |d[i, j]^2 - 4k / bins| bins / 4) for k in 0..bins, H its running sum, + over positives only, d^2 = 2 - 2 cos
 *
 * @param embeddings - float32 [N, F]
 * @param labels - int32 [N]
 * @param options - `bins` (10); `references` and `referenceLabels`; those of every loss
 * @returns float32 [N] ("none") or []; anchors without a positive count for nothing. `withGrad`: `grad`; at the middle and the ends of a pulse the slope of one side
 * @throws RangeError for shapes that do not fit, fewer than 1 bin
 * @example
 *   fastApLoss([[1, 0], [1, 0], [-1, 0]], [0, 0, 1]); // 0: the positive first
 * Source: Cakir et al., "Deep Metric Learning to Rank", CVPR 2019, eq. 9 to 12.
 */
export const fastApLoss: PairLoss<FastApOptions> = /* @__PURE__ */ tupleLoss("fastApLoss", "cosine", ({ bins = 10 }: FastApOptions, where) => {
  checkInteger(where, "bins", bins, 1, 4096);
  return (s, positives, negatives, slopes) => {
    const near = new Float64Array(bins + 2), all = new Float64Array(bins + 2), place = (j: number): number => Math.max(0, Math.min(bins, ((2 - 2 * s[j]) * bins) / 4));
    const fill = (columns: Int32Array, h: Float64Array): void => {
      for (const j of columns) {
        const x = place(j), k = Math.floor(x);
        h[k] += k + 1 - x;
        h[k + 1] += x - k;
      }
    };
    fill(positives, near);
    fill(negatives, all);
    // d value / d h+[k] and d value / d h-[k]: what the bin adds itself, and what it does to the running sums from it on.
    const ownSlope = new Float64Array(bins + 2), runNear = new Float64Array(bins + 2), runAll = new Float64Array(bins + 2), P = positives.length;
    let before = 0, total = 0, value = 1;
    for (let k = 0; k <= bins; k++) {
      before += near[k];
      total += near[k] + all[k];
      if (total <= 0) continue;
      value -= (near[k] * before) / total / P;
      ownSlope[k] = -before / total / P;
      runNear[k] = -near[k] / total / P;
      runAll[k] = (near[k] * before) / (total * total) / P;
    }
    if (slopes) {
      for (let k = bins; k >= 0; k--) {
        runNear[k] += runNear[k + 1];
        runAll[k] += runAll[k + 1];
      }
      const back = (columns: Int32Array, slopeOf: (k: number) => number): void => {
        for (const j of columns) {
          const k = Math.floor(place(j));
          slopes[j] = k >= bins ? 0 : (slopeOf(k + 1) - slopeOf(k)) * (-bins / 2);
        }
      };
      back(positives, (k) => ownSlope[k] + runNear[k] + runAll[k]);
      back(negatives, (k) => runAll[k]);
    }
    return value;
  };
}, "positive");

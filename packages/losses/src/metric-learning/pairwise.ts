import type { PairLoss } from "../pairs/pairLoss.ts";
import { checkChoice } from "../range.ts";
import { AVERAGES, distanceLoss, type DistanceOptions, type TermAverage, type TupleRow } from "./tupleLoss.ts";

/** Options of `contrastiveLoss`. */
export interface ContrastiveOptions extends DistanceOptions {
  /** m+, the distance up to which positives cost nothing. Default 0. */
  readonly positiveMargin?: number;
  /** m-, the distance from which negatives cost nothing. Default 1. */
  readonly negativeMargin?: number;
  /** 2: squares of what lies beyond the margins; 1: itself. Default 2. */
  readonly power?: 1 | 2;
  /** Default 1. */
  readonly positiveWeight?: number;
  /** Default 1. */
  readonly negativeWeight?: number;
  /** Over what the terms of an anchor are averaged, positives and negatives each for themselves unless `together`. Default "all". */
  readonly average?: TermAverage;
  /** One average over positives and negatives. Default false. */
  readonly together?: boolean;
}

/** Options of `marginLoss`. */
export interface MarginLossOptions extends DistanceOptions {
  /** Default 0.2. */
  readonly margin?: number;
  /** The distance between positives and negatives. Default 1.2. */
  readonly beta?: number;
}

/** Options of `thresholdConsistentMarginLoss`. */
export interface ThresholdConsistentMarginOptions extends DistanceOptions {
  /** m+: positives below this cosine count. Default 0.9. */
  readonly positiveMargin?: number;
  /** m-: negatives above this cosine count. Default 0.5. */
  readonly negativeMargin?: number;
  /** lambda+. Default 1. */
  readonly positiveWeight?: number;
  /** lambda-. Default 1. */
  readonly negativeWeight?: number;
}

/** Hinges of distances on both sides. */
function hinges({ positiveMargin = 0, negativeMargin = 1, power = 2, positiveWeight = 1, negativeWeight = 1, average = "all", together = false }: ContrastiveOptions, where: string): TupleRow {
  checkChoice(where, "power", power, [1, 2]);
  checkChoice(where, "average", average, AVERAGES);
  return (d, positives, negatives, slopes) => {
    const beyond = (columns: Int32Array, margin: number, sign: number): [sum: number, count: number] => {
      let sum = 0, count = 0;
      for (const j of columns) {
        const off = sign * (d[j] - margin);
        if (off > 0) count++;
        if (off > 0) sum += power === 2 ? off * off : off;
      }
      return [sum, average === "sum" ? 1 : average === "all" ? columns.length : count];
    };
    const [near, p] = beyond(positives, positiveMargin, 1), [far, n] = beyond(negatives, negativeMargin, -1), both = average === "sum" ? 1 : p + n;
    const a = positiveWeight / Math.max(1, together ? both : p), b = negativeWeight / Math.max(1, together ? both : n);
    const add = (columns: Int32Array, margin: number, sign: number, factor: number): void => {
      for (const j of columns) {
        const off = sign * (d[j] - margin);
        if (off > 0) slopes![j] = factor * sign * (power === 2 ? 2 * off : 1);
      }
    };
    if (slopes) {
      add(positives, positiveMargin, 1, a);
      add(negatives, negativeMargin, -1, b);
    }
    return a * near + b * far;
  };
}

/**
 * Contrastive loss of pairs: positives are drawn together, negatives pushed apart up to a margin.
 *
 *   loss[i] = w+ mean_p max(0, d[i, p] - m+)^k + w- mean_n max(0, m- - d[i, n])^k
 *
 * @param embeddings - float32 [N, F]
 * @param labels - int32 [N]; other embeddings with the same label are positives, the others negatives
 * @param options - `positiveMargin` m+ (0), `negativeMargin` m- (1), `power` k (2), `positiveWeight`, `negativeWeight`, `average`, `together`, `distance` ("euclidean"); `references` and `referenceLabels`, a memory bank of constants; those of every loss
 * @returns float32 [N] ("none") or []; an anchor without any other embedding counts for nothing. `withGrad`: `grad`, the shape of the embeddings. At a distance of 0 its gradient is taken as 0
 * @throws RangeError for shapes that do not fit, weights or a mask that are none
 * @example
 *   contrastiveLoss([[0, 0], [0.5, 0], [0.6, 0]], [0, 0, 1]); // (0.25 + 0.16 + 0.25 + 0.81 + (0.16 + 0.81) / 2) / 3
 * Source: Hadsell, Chopra, LeCun, "Dimensionality Reduction by Learning an Invariant Mapping", CVPR 2006, eq. 4, without its halves.
 */
export const contrastiveLoss: PairLoss<ContrastiveOptions> = /* @__PURE__ */ distanceLoss("contrastiveLoss", "euclidean", (options: ContrastiveOptions, where) => hinges(options, where), "none");

/**
 * Margin loss: hinges on both sides of a boundary, averaged over the pairs that are not yet right.
 *
 *   loss[i] = 1/K (sum_p max(0, d[i, p] - beta + m) + sum_n max(0, beta - d[i, n] + m)),  K the number of terms above 0
 *
 * @param embeddings - float32 [N, F], at length 1 in the paper
 * @param labels - int32 [N]
 * @param options - `margin` m (0.2), `beta` (1.2), `distance` ("euclidean"); `references` and `referenceLabels`; those of every loss
 * @returns as `contrastiveLoss`; beta is a number without a gradient
 * @throws as `contrastiveLoss`
 * @example
 *   marginLoss([[0, 0], [1.1, 0], [1.3, 0]], [0, 0, 1]);
 * Source: Wu et al., "Sampling Matters in Deep Embedding Learning", ICCV 2017, eq. 6 and section 4.
 */
export const marginLoss: PairLoss<MarginLossOptions> = /* @__PURE__ */ distanceLoss(
  "marginLoss",
  "euclidean",
  ({ margin = 0.2, beta = 1.2 }: MarginLossOptions, where) => hinges({ positiveMargin: beta - margin, negativeMargin: beta + margin, power: 1, average: "nonZero", together: true }, where),
  "none",
);

/**
 * Threshold-consistent margin: a regulariser that asks the same of every class, so that one threshold serves them all. For adding to another loss.
 *
 *   loss[i] = lambda+ mean_{p: s[i, p] < m+} (m+ - s[i, p]) + lambda- mean_{n: s[i, n] > m-} (s[i, n] - m-),  s = cos
 *
 * @param embeddings - float32 [N, F]
 * @param labels - int32 [N]
 * @param options - `positiveMargin` m+ (0.9), `negativeMargin` m- (0.5), `positiveWeight` lambda+, `negativeWeight` lambda-; `references` and `referenceLabels`; those of every loss
 * @returns as `contrastiveLoss`. The paper averages over all pairs of the batch that lie beyond their margin, this over those of each anchor, then over anchors
 * @throws as `contrastiveLoss`
 * @example
 *   thresholdConsistentMarginLoss([[1, 0], [0.8, 0.6], [0.6, 0.8]], [0, 0, 1]);
 * Source: Zhang et al., "Threshold-Consistent Margin Loss for Open-World Deep Metric Learning", ICLR 2024, eq. 4.
 */
export const thresholdConsistentMarginLoss: PairLoss<ThresholdConsistentMarginOptions> = /* @__PURE__ */ distanceLoss(
  "thresholdConsistentMarginLoss",
  "cosine",
  ({ positiveMargin = 0.9, negativeMargin = 0.5, positiveWeight = 1, negativeWeight = 1 }: ThresholdConsistentMarginOptions, where) =>
    hinges({ positiveMargin: 1 - positiveMargin, negativeMargin: 1 - negativeMargin, power: 1, average: "nonZero", positiveWeight, negativeWeight }, where),
  "none",
);

import { exp, softplus } from "@logits/statistics";
import { checkPositive } from "@logits/tensor";
import type { PairLoss, PairLossOptions } from "../pairs/pairLoss.ts";
import { checkChoice } from "../range.ts";
import { sineCosine } from "./angle.ts";
import { distanceLoss, logSum, tupleLoss, type DistanceOptions } from "./tupleLoss.ts";

/** Options of `multiSimilarityLoss`. */
export interface MultiSimilarityOptions extends PairLossOptions {
  /** Sharpness on positives. Default 2. */
  readonly alpha?: number;
  /** Sharpness on negatives. Default 50. */
  readonly beta?: number;
  /** lambda, the cosine between positives and negatives. Default 0.5. */
  readonly base?: number;
  /** epsilon of the mining: positives count below the nearest negative + epsilon, negatives above the farthest positive - epsilon. `false`: all count. Default 0.1. */
  readonly mining?: number | false;
}

/** Options of `circleLoss`. */
export interface CircleOptions extends PairLossOptions {
  /** m; default 0.4. */
  readonly margin?: number;
  /** gamma; default 80. */
  readonly scale?: number;
  /** "official": the weights [1 + m - s]+ and [s + m]+ have no derivative, as in the paper. "exact": of the value. Default "official". */
  readonly gradient?: "official" | "exact";
}

/** Options of a loss with one scale. */
export interface NcaOptions extends DistanceOptions {
  /** Default 1. */
  readonly scale?: number;
}

/** Options of `generalizedLiftedStructureLoss`. */
export interface LiftedOptions extends DistanceOptions {
  /** m; default 1. */
  readonly margin?: number;
}

/** Options of `tupletMarginLoss`. */
export interface TupletMarginOptions extends PairLossOptions {
  /** beta in radians; default 0.1. */
  readonly margin?: number;
  /** s; default 64. */
  readonly scale?: number;
}

/**
 * Multi-similarity loss: pairs are weighted by their own cosine and by those of the anchor's other pairs.
 *
 *   loss[i] = 1/alpha log(1 + sum_p exp(-alpha (s[i, p] - lambda))) + 1/beta log(1 + sum_n exp(beta (s[i, n] - lambda))),  s = cos
 *   over positives with s[i, p] < max_n s[i, n] + epsilon and negatives with s[i, n] > min_p s[i, p] - epsilon
 *
 * @param embeddings - float32 [N, F]
 * @param labels - int32 [N]; other embeddings with the same label are positives, the others negatives
 * @param options - `alpha` (2), `beta` (50), `base` lambda (0.5), `mining` epsilon (0.1; `false`: every pair); `references` and `referenceLabels`; those of every loss
 * @returns float32 [N] ("none") or []; every anchor counts, with 0 where none of its pairs does. With mining an anchor needs a positive and a negative. `withGrad`: `grad`; the choice of pairs has no gradient
 * @throws RangeError for shapes that do not fit, an alpha or beta that is not above 0
 * @example
 *   multiSimilarityLoss([[1, 0], [0.8, 0.6], [0.6, 0.8]], [0, 0, 1]);
 * Source: Wang et al., "Multi-Similarity Loss with General Pair Weighting for Deep Metric Learning", CVPR 2019, eq. 15 with mining of eq. 10 and 11; lambda as in its published code (the text has 1).
 */
export const multiSimilarityLoss: PairLoss<MultiSimilarityOptions> = /* @__PURE__ */ tupleLoss("multiSimilarityLoss", "cosine", ({ alpha = 2, beta = 50, base = 0.5, mining = 0.1 }: MultiSimilarityOptions, where) => {
  checkPositive(where, "alpha", alpha);
  checkPositive(where, "beta", beta);
  return (s, positives, negatives, slopes) => {
    const [p, n] = mining === false ? [positives, negatives] : minedPairs(s, positives, negatives, mining);
    const [near, addNear] = logSum(s, p, -alpha, base, 1), [far, addFar] = logSum(s, n, beta, base, 1);
    if (slopes) {
      addNear(slopes, 1 / alpha);
      addFar(slopes, 1 / beta);
    }
    return near / alpha + far / beta;
  };
}, "none");

/** The pairs of an anchor that are harder than its other side, by the mining of multi-similarity. */
export function minedPairs(s: ArrayLike<number>, positives: Int32Array, negatives: Int32Array, epsilon: number): [positives: Int32Array, negatives: Int32Array] {
  const near = new Int32Array(positives.length), far = new Int32Array(negatives.length);
  let nearest = -Infinity, farthest = Infinity, p = 0, n = 0;
  for (let k = 0; k < far.length; k++) nearest = Math.max(nearest, s[negatives[k]]);
  for (let k = 0; k < near.length; k++) farthest = Math.min(farthest, s[positives[k]]);
  for (let k = 0; k < near.length; k++) if (s[positives[k]] - epsilon < nearest) near[p++] = positives[k];
  for (let k = 0; k < far.length; k++) if (s[negatives[k]] + epsilon > farthest) far[n++] = negatives[k];
  return [near.subarray(0, p), far.subarray(0, n)];
}

/**
 * Circle loss: every cosine is weighted by how far it is from its optimum, positives from 1 + m and negatives from -m.
 *
 *   loss[i] = softplus(log sum_p exp(-gamma [1 + m - s]+ (s - 1 + m)) + log sum_n exp(gamma [s + m]+ (s - m))),  s = cos
 *
 * @param embeddings - float32 [N, F]
 * @param labels - int32 [N]
 * @param options - `margin` m (0.4), `scale` gamma (80), `gradient`; `references` and `referenceLabels`; those of every loss
 * @returns float32 [N] ("none") or []; anchors without a positive or without a negative count for nothing. `withGrad`: `grad`
 * @throws RangeError for shapes that do not fit
 * @example
 *   circleLoss([[1, 0], [0.8, 0.6], [0.6, 0.8]], [0, 0, 1], { scale: 2 });
 * Source: Sun et al., "Circle Loss: A Unified Perspective of Pair Similarity Optimization", CVPR 2020, eq. 6 and 8; margin and scale of its section 4.1 for fine-grained retrieval.
 */
export const circleLoss: PairLoss<CircleOptions> = /* @__PURE__ */ tupleLoss("circleLoss", "cosine", ({ margin = 0.4, scale = 80, gradient = "official" }: CircleOptions, where) => {
  checkPositive(where, "scale", scale);
  checkChoice(where, "gradient", gradient, ["official", "exact"]);
  return (s, positives, negatives, slopes) => {
    // Both sides in s' = 1 - s for positives and s for negatives: weight [s' + m]+, score s' - m.
    const f = new Float64Array(s.length), slope = (x: number): number => (x + margin <= 0 ? 0 : gradient === "exact" ? 2 * x : x + margin);
    for (const j of positives) f[j] = Math.max(0, 1 - s[j] + margin) * (1 - s[j] - margin);
    for (const j of negatives) f[j] = Math.max(0, s[j] + margin) * (s[j] - margin);
    const [near, addNear] = logSum(f, positives, scale, 0, 0), [far, addFar] = logSum(f, negatives, scale, 0, 0);
    if (slopes) {
      const share = 1 / (1 + exp(-near - far));
      addNear(slopes, -share);
      addFar(slopes, share);
      for (const j of positives) slopes[j] *= slope(1 - s[j]);
      for (const j of negatives) slopes[j] *= slope(s[j]);
    }
    return softplus(near + far);
  };
});

/**
 * Neighbourhood components analysis: the probability that a neighbour drawn by distance has the anchor's label.
 *
 *   loss[i] = -log(sum_p exp(-s d[i, p]) / sum_{j != i} exp(-s d[i, j]))
 *
 * @param embeddings - float32 [N, F]
 * @param labels - int32 [N]
 * @param options - `scale` s (1), `distance` ("squaredEuclidean"); `references` and `referenceLabels`; those of every loss
 * @returns float32 [N] ("none") or []; anchors without a positive count for nothing. `withGrad`: `grad`
 * @throws RangeError for shapes that do not fit, a scale that is not above 0
 * @example
 *   ncaLoss([[0, 0], [1, 0], [0, 2]], [0, 0, 1], { reduction: "none" }); // [log(1 + exp(-3)), log(1 + exp(-4)), 0]
 * Source: Goldberger et al., "Neighbourhood Components Analysis", NeurIPS 2004, as the sum of logarithms.
 */
export const ncaLoss: PairLoss<NcaOptions> = /* @__PURE__ */ distanceLoss("ncaLoss", "squaredEuclidean", ({ scale = 1 }: NcaOptions, where) => {
  checkPositive(where, "scale", scale);
  return (d, positives, negatives, slopes) => {
    const [near, addNear] = logSum(d, positives, -scale, 0, 0), [far, addFar] = logSum(d, negatives, -scale, 0, 0), wrong = 1 / (1 + exp(near - far));
    if (slopes) {
      addNear(slopes, -wrong);
      addFar(slopes, wrong);
    }
    return softplus(far - near);
  };
}, "positive");

/**
 * N-pair loss: each positive against all negatives of the anchor, by dot product.
 *
 *   loss[i] = mean_p log(1 + sum_n exp(z[i] . z[n] - z[i] . z[p]))
 *
 * @param embeddings - float32 [N, F]; their length counts
 * @param labels - int32 [N]
 * @param options - `references` and `referenceLabels`; those of every loss
 * @returns float32 [N] ("none") or []; anchors without a positive or without a negative count for nothing. `withGrad`: `grad`. The paper's batches hold two embeddings of each class, of which one is the anchor
 * @throws RangeError for shapes that do not fit
 * @example
 *   nPairLoss([[1, 0], [1, 0], [0, 1], [0, 1]], [0, 0, 1, 1]); // log(1 + 2 exp(-1))
 * Source: Sohn, "Improved Deep Metric Learning with Multi-class N-pair Loss Objective", NeurIPS 2016, eq. 3; the paper's penalty on lengths is not part of it.
 */
export const nPairLoss: PairLoss = /* @__PURE__ */ tupleLoss("nPairLoss", "dot", () => tuplets(1, (x) => [x, 1]));

/**
 * Tuplet margin loss: each positive against all negatives, after its angle has grown by a margin.
 *
 *   loss[i] = mean_p log(1 + sum_n exp(s (cos theta[i, n] - cos(theta[i, p] - beta))))
 *
 * @param embeddings - float32 [N, F]
 * @param labels - int32 [N]
 * @param options - `margin` beta in radians (0.1), `scale` s (64); `references` and `referenceLabels`; those of every loss
 * @returns float32 [N] ("none") or []; anchors without a positive or without a negative count for nothing. `withGrad`: `grad`; its slope divides by a sine of at least 1e-4
 * @throws RangeError for shapes that do not fit, a scale that is not above 0
 * @example
 *   tupletMarginLoss([[1, 0], [0.8, 0.6], [0.6, 0.8]], [0, 0, 1], { scale: 8 });
 * Source: Yu and Tao, "Deep Metric Learning with Tuplet Margin Loss", ICCV 2019, eq. 4: the margin loosens what a positive must reach.
 */
export const tupletMarginLoss: PairLoss<TupletMarginOptions> = /* @__PURE__ */ tupleLoss("tupletMarginLoss", "cosine", ({ margin = 0.1, scale = 64 }: TupletMarginOptions, where) => {
  checkPositive(where, "scale", scale);
  const [sine, cosine] = sineCosine(margin);
  return tuplets(scale, (x) => {
    const c = Math.max(-1, Math.min(1, x)), s = Math.sqrt((1 - c) * (1 + c));
    return [c * cosine + s * sine, cosine - (c * sine) / Math.max(s, 1e-4)];
  });
});

/** mean_p log(1 + sum_n exp(scale (x[n] - positive(x[p])))). */
function tuplets(scale: number, positive: (x: number) => readonly [value: number, slope: number]): (x: Float32Array, positives: Int32Array, negatives: Int32Array, slopes: Float64Array | undefined) => number {
  return (x, positives, negatives, slopes) => {
    const [all, add] = logSum(x, negatives, scale, 0, 0);
    let value = 0, wrong = 0;
    for (const p of positives) {
      const [y, slope] = positive(x[p]), gap = all - scale * y, share = 1 / (1 + exp(-gap)) / positives.length;
      value += softplus(gap) / positives.length;
      wrong += share;
      if (slopes) slopes[p] -= share * scale * slope;
    }
    if (slopes) add(slopes, wrong);
    return value;
  };
}

/**
 * Lifted structure loss in its generalised form: all positives and all negatives of an anchor through smooth maxima.
 *
 *   loss[i] = max(0, log sum_p exp(d[i, p]) + log sum_n exp(m - d[i, n]))
 *
 * @param embeddings - float32 [N, F]
 * @param labels - int32 [N]
 * @param options - `margin` m (1), `distance` ("euclidean"); `references` and `referenceLabels`; those of every loss
 * @returns float32 [N] ("none") or []; anchors without a positive or without a negative count for nothing. `withGrad`: `grad`
 * @throws RangeError for shapes that do not fit
 * @example
 *   generalizedLiftedStructureLoss([[0, 0], [1, 0], [3, 0]], [0, 0, 1]);
 * Source: Hermans, Beyer, Leibe, "In Defense of the Triplet Loss for Person Re-Identification", 2017, eq. 8.
 */
export const generalizedLiftedStructureLoss: PairLoss<LiftedOptions> = /* @__PURE__ */ distanceLoss("generalizedLiftedStructureLoss", "euclidean", ({ margin = 1 }: LiftedOptions) => (d, positives, negatives, slopes) => {
  const [near, addNear] = logSum(d, positives, 1, 0, 0), [far, addFar] = logSum(d, negatives, -1, margin, 0), value = Math.max(0, near + far);
  if (slopes && value > 0) {
    addNear(slopes, 1);
    addFar(slopes, 1);
  }
  return value;
});

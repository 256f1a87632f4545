import { log2, pow, sigmoid, softplus } from "@logits/statistics";
import { asFloat32, checkInteger, checkPositive, checkShape, defineLoss, rangeError, rowWeights, Tensor, type Loss, type LossOptions, type TensorLike } from "@logits/tensor";
import { checkChoice } from "../range.ts";
import { fallingOrder, listLoss, type ListLoss, type ListOptions } from "./listLoss.ts";

/**
 * RankNet: a logistic loss of every pair of items of a list of which one is more relevant. With relevance of 0 and 1 it is Bayesian personalised ranking (BPR).
 *
 *   loss[q] = mean over pairs (i, j) with relevance[i] > relevance[j] of -log sigmoid(scores[i] - scores[j])
 *
 * @param scores - float32 [Q, L], or [N] with `offsets`
 * @param relevance - float32, the same shape; higher is better. No gradient
 * @param options - `offsets`, `where` (of lists or items), and those of every loss
 * @returns float32 [Q] ("none") or []; a list without such a pair: 0. `withGrad`: `grad`
 * @throws RangeError for other shapes or offsets, weights or a mask that are none
 * @example
 *   rankNetLoss([[2, 1, 0]], [[1, 0, 0]]); // 0.2201
 * Source: Burges et al., "Learning to rank using gradient descent", ICML 2005; Rendle, Freudenthaler, Gantner, Schmidt-Thieme, "BPR", UAI 2009.
 */
export const rankNetLoss: ListLoss = /* @__PURE__ */ listLoss("rankNetLoss", () => (s, y, grad) => pairs(s, y, grad, () => 1, true));

/** Sum, or mean, over pairs of weighted logistic losses. */
function pairs(s: Float64Array, y: Float64Array, grad: Float64Array, weight: (i: number, j: number) => number, mean: boolean = false): number {
  let value = 0, count = 0;
  for (let i = 0; i < s.length; i++) for (let j = 0; j < s.length; j++) {
    if (!(y[i] > y[j])) continue;
    const w = weight(i, j), slope = w === 0 ? 0 : w * sigmoid(s[j] - s[i]);
    count++;
    if (w !== 0) value += w * softplus(s[j] - s[i]);
    grad[i] -= slope;
    grad[j] += slope;
  }
  if (!mean || count === 0) return value;
  for (let i = 0; i < s.length; i++) grad[i] /= count;
  return value / count;
}

/** Options of losses that follow NDCG. */
export interface NdcgOptions extends ListOptions {
  /** NDCG@k: ranks beyond k have no discount. Default all. */
  readonly k?: number;
  /** The gain of an item, from its relevance. Default 2^relevance - 1. */
  readonly gain?: (relevance: number) => number;
}

/** Gains over the best DCG (0 where nothing is relevant), and 1 / log2(2 + place) for the places that count. */
function ndcgParts(where: string, { k = Infinity, gain = (y) => pow(2, y) - 1 }: NdcgOptions): { gains(y: Float64Array): Float64Array; discount(place: number): number } {
  if (k !== Infinity) checkInteger(where, "k", k, 1, 2147483647);
  const discount = (place: number): number => (place < k ? 1 / log2(2 + place) : 0);
  return {
    discount,
    gains(y) {
      const gains = y.map(gain), best = fallingOrder(gains).reduce((sum, i, place) => sum + gains[i] * discount(place), 0);
      return best > 0 ? gains.map((g) => g / best) : gains.fill(0);
    },
  };
}

/** Options of `lambdaLoss`. */
export interface LambdaOptions extends NdcgOptions {
  /** What weighs a pair: "lambdarank" |change of NDCG where the two items swap their places|, "ndcg-loss2" the bound of NDCG by the distance of the places. Default "lambdarank". */
  readonly weighting?: "lambdarank" | "ndcg-loss2";
  /** Steepness of the logistic. Default 1. */
  readonly sigma?: number;
}

/**
 * LambdaLoss: pairs of a list weighted by what they mean for NDCG, with the places of the current scores.
 *
 *   loss[q] = sum over pairs with relevance[i] > relevance[j] of w(i, j) log(1 + exp(-sigma (scores[i] - scores[j])))
 *   "lambdarank": w = |G[i] - G[j]| |1 / D(r[i]) - 1 / D(r[j])|;  "ndcg-loss2": w = |G[i] - G[j]| (1 / D(|r[i] - r[j]|) - 1 / D(|r[i] - r[j]| + 1))
 *   G = gain / best DCG,  D(r) = log2(1 + r),  r = place from 1 by falling score
 *
 * The weights depend on the order of the scores alone: held constant, as in the papers, the gradient is the derivative wherever no two scores are equal. Where the order changes the loss jumps.
 *
 * @param scores - float32 [Q, L], or [N] with `offsets`; equal ones in the order of the items
 * @param relevance - float32, the same shape, grades from 0. No gradient
 * @param options - `weighting` ("lambdarank"), `k` (all; of the best DCG, and of the places of "lambdarank"), `sigma` (1), `gain` (2^relevance - 1), `offsets`, `where` (of lists or items), and those of every loss
 * @returns float32 [Q] ("none") or []; a list without relevant items: 0. `withGrad`: `grad`
 * @throws RangeError for other shapes or offsets, relevance below 0, a sigma that is not positive, a k below 1, another weighting, weights or a mask that are none
 * @example
 *   lambdaLoss([[2, 1, 0]], [[0, 1, 0]]); // 0.5257
 * Source: Burges, "From RankNet to LambdaRank to LambdaMART" (2010); Wang, Li, Golbandi, Bendersky, Najork, "The LambdaLoss framework", CIKM 2018.
 */
export const lambdaLoss: ListLoss<LambdaOptions> = /* @__PURE__ */ listLoss("lambdaLoss", (options: LambdaOptions, where) => {
  const { weighting = "lambdarank", sigma = 1 } = options, { gains, discount } = ndcgParts(where, options);
  checkPositive(where, "sigma", sigma);
  checkChoice(where, "weighting", weighting, ["lambdarank", "ndcg-loss2"]);
  return (s, y, grad) => {
    const place = new Int32Array(s.length), g = gains(y);
    fallingOrder(s).forEach((i, at) => (place[i] = at));
    const change = (a: number, b: number): number => (weighting === "lambdarank" ? discount(a) - discount(b) : 1 / log2(1 + Math.abs(a - b)) - 1 / log2(2 + Math.abs(a - b)));
    const value = pairs(s.map((x) => sigma * x), y, grad, (i, j) => Math.abs((g[i] - g[j]) * change(place[i], place[j])));
    for (let i = 0; i < s.length; i++) grad[i] *= sigma;
    return value;
  };
}, 0);

/** Options of `approxNdcgLoss`. */
export interface ApproxNdcgOptions extends NdcgOptions {
  /** How soft ranks are. Default 0.1. */
  readonly temperature?: number;
}

/**
 * ApproxNDCG: 1 less NDCG with soft ranks, which can be differentiated.
 *
 *   loss[q] = 1 - sum_i G[i] / log2(1 + r[i]),   r[i] = 1 + sum_{j != i} sigmoid((scores[j] - scores[i]) / temperature)
 *
 * @param scores - float32 [Q, L], or [N] with `offsets`
 * @param relevance - float32, the same shape, grades from 0. No gradient
 * @param options - `temperature` (0.1), `gain` (2^relevance - 1), `offsets`, `where` (of lists or items), and those of every loss
 * @returns float32 [Q] ("none") or []; a list without relevant items: 0, and no gradient. `withGrad`: `grad`
 * @throws RangeError for other shapes or offsets, relevance below 0, a temperature that is not positive, weights or a mask that are none
 * @example
 *   approxNdcgLoss([[2, 1, 0]], [[0, 1, 0]]); // 0.3691
 * Source: Qin, Liu, Li, "A general approximation framework for direct optimization of information retrieval measures", Information Retrieval 13 (2010).
 */
export const approxNdcgLoss: ListLoss<Omit<ApproxNdcgOptions, "k">> = /* @__PURE__ */ listLoss("approxNdcgLoss", (options: Omit<ApproxNdcgOptions, "k">, where) => {
  const { temperature = 0.1 } = options, { gains } = ndcgParts(where, { gain: options.gain });
  checkPositive(where, "temperature", temperature);
  return (s, y, grad) => {
    const g = gains(y);
    let value = g.every((x) => x === 0) ? 0 : 1;
    for (let i = 0; i < s.length; i++) {
      if (g[i] === 0) continue;
      let rank = 1;
      for (let j = 0; j < s.length; j++) if (j !== i) rank += sigmoid((s[j] - s[i]) / temperature);
      const bits = log2(1 + rank), slope = g[i] / (bits * bits * (1 + rank) * 0.6931471805599453);
      value -= g[i] / bits;
      for (let j = 0; j < s.length; j++) {
        const p = sigmoid((s[j] - s[i]) / temperature), d = j === i ? 0 : (slope * p * (1 - p)) / temperature;
        grad[j] += d;
        grad[i] -= d;
      }
    }
    return value;
  };
}, 0);

/** Options of `mannWhitneyLoss`. */
export interface MannWhitneyOptions extends LossOptions {
  /** What stands for the step: "logistic", or "squared-hinge" max(0, margin - d)^2, in the time of a sort. Default "logistic". */
  readonly surrogate?: "logistic" | "squared-hinge";
  /** Of the squared hinge. Default 1. */
  readonly margin?: number;
}

/**
 * The Mann-Whitney loss: every positive against every negative of the batch, whatever its query, so that the area under the ROC curve rises.
 *
 *   loss = mean over positives p and negatives n of -log sigmoid(scores[p] - scores[n]);   1 - AUC <= loss / log 2
 *
 * @param scores - float32 [N]
 * @param labels - float32 [N], 1 = positive, 0 = negative
 * @param options - `surrogate` ("logistic"), `margin` (1), and those of every loss; `weight` weighs positives
 * @returns float32 [N] ("none": of each positive its mean over the negatives, 0 for negatives) or []; 0 where there are no positives or no negatives. `withGrad`: `grad` [N]
 * @throws RangeError for other shapes, labels other than 0 and 1, a margin that is not positive, another surrogate, weights or a mask that are none
 * @example
 *   mannWhitneyLoss([2, 1, 0], [1, 0, 0]); // 0.2201
 * Source: Mann, Whitney, Annals of Mathematical Statistics 18 (1947); "Optimizing what matters: AUC-driven learning for robust neural retrieval" (2025); the squared hinge by a sort: Rust, Hocking, "A log-linear gradient descent algorithm for unbalanced binary classification" (2023).
 */
export const mannWhitneyLoss: Loss<[scores: TensorLike, labels: TensorLike], MannWhitneyOptions> = /* @__PURE__ */ defineLoss("mannWhitneyLoss", 2, (where, [scores, labels], options: MannWhitneyOptions) => {
  const { shape, data: s } = asFloat32(where, "scores", scores), y = asFloat32(where, "labels", labels), n = s.length, { surrogate = "logistic", margin = 1 } = options, weights = rowWeights(where, [n], options) ?? new Float32Array(n).fill(1);
  checkShape(where, "scores", { shape }, ["N"]);
  checkShape(where, "labels", y, shape);
  checkPositive(where, "margin", margin);
  checkChoice(where, "surrogate", surrogate, ["logistic", "squared-hinge"]);
  const kept = Array.from(s.keys()).filter((i) => weights[i] !== 0), bad = kept.find((i) => y.data[i] !== 0 && y.data[i] !== 1);
  if (bad !== undefined) throw rangeError(where, "labels", "0 or 1", `${y.data[bad]} at index ${bad}`);
  const positives = kept.filter((i) => y.data[i] === 1), negatives = kept.filter((i) => y.data[i] === 0), m = negatives.length;
  for (const i of negatives) weights[i] = 0;
  return {
    shape,
    weights,
    pass(coefficients) {
      const values = new Float64Array(n), grad = new Float64Array(n);
      if (surrogate === "squared-hinge") squaredHinge(values, grad, coefficients);
      else for (const p of positives) for (const i of negatives) {
        const d = s[i] - s[p];
        values[p] += softplus(d) / m;
        if (coefficients === undefined) continue;
        const slope = (coefficients[p] * sigmoid(d)) / m;
        grad[p] -= slope;
        grad[i] += slope;
      }
      return { values, gradients: () => ({ grad: new Tensor("float32", shape, Float32Array.from(grad)) }) };
    },
  };

  /** Sums over the negatives above s[p] - margin, and over the positives below s[n] + margin, as both are met in order. */
  function squaredHinge(values: Float64Array, grad: Float64Array, coefficients: Float64Array | undefined): void {
    const at = (i: number): number => s[i] - (y.data[i] === 1 ? margin : 0), order = [...positives, ...negatives].sort((i, j) => at(j) - at(i));
    let count = 0, sum = 0, squares = 0;
    for (const i of order) {
      const x = at(i);
      if (y.data[i] === 0) {
        count++;
        sum += x;
        squares += x * x;
      } else {
        values[i] = (squares - 2 * x * sum + count * x * x) / m;
        if (coefficients) grad[i] = (-2 * coefficients[i] * (sum - count * x)) / m;
      }
    }
    if (coefficients === undefined) return;
    count = sum = 0;
    for (const i of order.reverse()) {
      if (y.data[i] === 1) {
        count += coefficients[i];
        sum += coefficients[i] * at(i);
      } else grad[i] = (2 * (count * s[i] - sum)) / m;
    }
  }
});

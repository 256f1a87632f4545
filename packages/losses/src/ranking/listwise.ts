import { asInt32, checkInteger, defineLoss, rangeError, scoreRows, type Loss, type TensorLike } from "@logits/tensor";
import { logSoftmaxRow } from "../logSoftmaxRow.ts";
import { fallingOrder, listLoss, type ListLoss, type ListOptions } from "./listLoss.ts";
import { plackettLuceRow } from "./plackettLuceRow.ts";

/**
 * ListNet: cross-entropy between two distributions of the item on top, one of the relevance and one of the scores.
 *
 *   loss[q] = -sum_i softmax(relevance)[i] log softmax(scores)[i]
 *
 * @param scores - float32 [Q, L], or [N] with `offsets`
 * @param relevance - float32, the same shape; higher is better. No gradient
 * @param options - `offsets`, `where` (of lists or items), and those of every loss
 * @returns float32 [Q] ("none") or []. A list without items takes no part. `withGrad`: `grad`, softmax(scores) - softmax(relevance)
 * @throws RangeError for other shapes or offsets, relevance that is NaN, weights or a mask that are none
 * @example
 *   listNetLoss([[2, 1, 0]], [[1, 0, 0]]); // 1.0434
 * Source: Cao, Qin, Liu, Tsai, Li, "Learning to rank: from pairwise approach to listwise approach", ICML 2007 (top one).
 */
export const listNetLoss: ListLoss = /* @__PURE__ */ listLoss("listNetLoss", () => (s, y, grad) => {
  const target = new Float64Array(y.length);
  logSoftmaxRow(y, target);
  return softmaxTerm(s, target, grad);
});

/**
 * Softmax cross-entropy over lists: the relevance as it is, not its softmax.
 *
 *   loss[q] = -sum_i relevance[i] log softmax(scores)[i]
 *
 * With one relevant item it is cross-entropy. A bound of -log of the reciprocal rank and, with gains as relevance, of NDCG.
 *
 * @param scores - float32 [Q, L], or [N] with `offsets`
 * @param relevance - float32, the same shape, at least 0. No gradient
 * @param options - `offsets`, `where` (of lists or items), and those of every loss
 * @returns float32 [Q] ("none") or []; a list without relevant items: 0. `withGrad`: `grad`, (sum relevance) softmax(scores) - relevance
 * @throws RangeError as `listNetLoss`, and for relevance below 0
 * @example
 *   listwiseSoftmaxLoss([[2, 1, 0]], [[1, 0, 0]]); // 0.4076
 * Source: Bruch, Wang, Bendersky, Najork, "An analysis of the softmax cross entropy loss for learning-to-rank with binary relevance", ICTIR 2019.
 */
export const listwiseSoftmaxLoss: ListLoss = /* @__PURE__ */ listLoss("listwiseSoftmaxLoss", () => softmaxTerm, 0);

function softmaxTerm(s: Float64Array, y: Float64Array, grad: Float64Array): number {
  const p = new Float64Array(s.length);
  logSoftmaxRow(s, p);
  let value = 0, mass = 0;
  for (let i = 0; i < s.length; i++) {
    mass += y[i];
    if (y[i] !== 0) value -= y[i] * s[i];
  }
  for (let i = 0; i < s.length; i++) grad[i] = mass * p[i] - y[i];
  return value;
}

/** Options of `listMleLoss`. */
export interface ListMleOptions extends ListOptions {
  /** How many places from the top count; the items below are one group. Default all. */
  readonly k?: number;
  /** The weight of a place (0 = the top) in a list of `length` items. Default 1; p-ListMLE has 2^(length - 1 - place) - 1. */
  readonly placeWeight?: (place: number, length: number) => number;
}

/**
 * ListMLE: the likelihood of the order by relevance under the Plackett-Luce distribution of the scores.
 *
 *   loss[q] = sum_k w(k) (log sum_{j >= k} exp(scores[pi_j]) - scores[pi_k]),   pi = items by falling relevance
 *
 * Suffix sums in one scan: O(L) after the sort.
 *
 * @param scores - float32 [Q, L], or [N] with `offsets`
 * @param relevance - float32, the same shape; equal ones in the order of the items: shuffle lists in which that order means something. No gradient
 * @param options - `k` (all places), `placeWeight` (1), `offsets`, `where` (of lists or items), and those of every loss
 * @returns float32 [Q] ("none") or []; one item: 0. `withGrad`: `grad`
 * @throws RangeError as `listNetLoss`, and for a k below 1
 * @example
 *   listMleLoss([[2, 1, 0]], [[2, 1, 0]]); // 0.7209
 * Source: Xia, Liu, Wang, Zhang, Li, "Listwise approach to learning to rank", ICML 2008; Lan, Zhu, Guo, Niu, Cheng, "Position-aware ListMLE", UAI 2014.
 */
export const listMleLoss: ListLoss<ListMleOptions> = /* @__PURE__ */ listLoss("listMleLoss", ({ k = Infinity, placeWeight = () => 1 }: ListMleOptions, where) => {
  if (k !== Infinity) checkInteger(where, "k", k, 1, 2147483647);
  return (s, y, grad) => plackettLuceRow(s, fallingOrder(y), (place) => (place < k ? placeWeight(place, s.length) : 0), grad);
});

/**
 * Negative log-likelihood of rankings under the Plackett-Luce distribution: each next item is drawn from those that are left, in proportion to exp(score).
 *
 *   loss[q] = sum_k (log sum_{items not in ranking[q, :k]} exp(scores[q, i]) - scores[q, ranking[q, k]])
 *
 * @param scores - float32 [Q, L]
 * @param ranking - int32 [Q, K], K at most L: different items of [0, L), the best first. Items that are not ranked are below all of them, in no order
 * @param options - those of every loss
 * @returns float32 [Q] ("none") or []; K = 1 is cross-entropy. `withGrad`: `grad` [Q, L]
 * @throws RangeError for other shapes, an item that does not exist or stands twice, weights or a mask that are none
 * @example
 *   plackettLuceLoss([[2, 1, 0]], [[0, 1]]); // 0.7209
 * Source: Plackett, Applied Statistics 24 (1975); Luce, Individual Choice Behavior (1959).
 */
export const plackettLuceLoss: Loss<[scores: TensorLike, ranking: TensorLike]> = /* @__PURE__ */ defineLoss("plackettLuceLoss", 2, (where, [scores, ranking], options) => {
  const { z, rows, classes: items, weights, shape, gradient } = scoreRows(where, "scores", scores, options), { shape: of, data } = asInt32(where, "ranking", ranking), places = of[1];
  if (shape.length !== 1) throw rangeError(where, "scores", "of shape [Q, L]", `${shape.length + 1} axes`);
  if (of.length !== 2 || of[0] !== rows || places > items) throw rangeError(where, "ranking", `of shape [${rows}, at most ${items}]`, `[${of.join(", ")}]`);
  return {
    shape,
    weights,
    pass(coefficients) {
      const values = new Float64Array(rows), grad = new Float32Array(coefficients ? z.size : 0);
      for (let q = 0; q < rows; q++) {
        if (weights?.[q] === 0) continue;
        // The ranked items, then the others.
        const left = new Set(Array.from({ length: items }, (_, i) => i)), order = Array.from(data.subarray(q * places, (q + 1) * places), (item, k) => {
          if (!left.delete(item)) throw rangeError(where, "ranking", `different items in [0, ${items})`, `${item} at index ${q * places + k}`);
          return item;
        });
        const g = new Float64Array(items);
        values[q] = plackettLuceRow(Float64Array.from(z.data.subarray(q * items, (q + 1) * items)), [...order, ...left], (k) => (k < places ? 1 : 0), g);
        if (coefficients) for (let i = 0; i < items; i++) grad[q * items + i] = coefficients[q] * g[i];
      }
      return { values, gradients: () => ({ grad: gradient(grad) }) };
    },
  };
});

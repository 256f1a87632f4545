import { expm1, log1mExp, sigmoid, softplus } from "@logits/statistics";
import { asFloat32, defineLoss, lossRows, rangeError, scoreRows, Tensor, type Loss, type LossOptions, type RowLossOptions, type TensorLike } from "@logits/tensor";
import { labelled } from "../labelled.ts";
import type { LabelLoss } from "../labelLoss.ts";
import { rowPlan } from "../rowLoss.ts";

/** Sums of logistic losses over the questions "above class k?"; `asked` says which. */
function thresholdLoss(name: string, asked: (k: number, label: number) => boolean): LabelLoss {
  return defineLoss(name, 2, (where, [logits, labels], options) => {
    const { z, rows, classes: questions, shape, gradient } = scoreRows(where, "logits", logits, options), { y, weights } = labelled(where, labels, shape, questions + 1, options);
    return {
      shape,
      weights,
      pass(coefficients) {
        const values = new Float64Array(rows), grad = new Float32Array(z.size);
        for (let row = 0, i = 0; row < rows; row++) for (let k = 0; k < questions; k++, i++) {
          if (weights?.[row] === 0 || !asked(k, y[row])) continue;
          const sign = y[row] > k ? -1 : 1, x = sign * z.data[i];
          values[row] += softplus(x);
          if (coefficients) grad[i] = coefficients[row] * sign * sigmoid(x);
        }
        return { values, gradients: () => ({ grad: gradient(grad) }) };
      },
    };
  });
}

/**
 * CORAL: ordered classes as the questions "above class k?", answered together. With logits score + bias[k] the answers agree with each other.
 *
 *   loss = sum_{k < C - 1} log(1 + exp(-s x[k])),   s = 1 where y > k, else -1
 *
 * @param logits - float32 [B, C - 1] or [B, ..., C - 1]: of "above class k"
 * @param labels - int32 [B] or [B, ...], in [0, C)
 * @param options - those of every loss, `axis`
 * @returns float32 of the labels' shape ("none") or []. `withGrad`: `grad`, the shape of the logits
 * @throws RangeError as `crossEntropy`; labels in [0, C), C - 1 being the logits of a row
 * @example
 *   coralLoss([[0, 0]], [1]); // 2 log 2 = 1.3863
 * Source: Cao, Mirjalili, Raschka, "Rank Consistent Ordinal Regression for Neural Networks", Pattern Recognition Letters 140 (2020), equation 4, its weights 1.
 */
export const coralLoss: LabelLoss = /* @__PURE__ */ thresholdLoss("coralLoss", () => true);

/**
 * CORN: ordered classes as the questions "above class k, given above class k - 1?"; a row answers those that it reaches.
 *
 *   loss = sum_{k <= min(y, C - 2)} log(1 + exp(-s x[k])),   s = 1 where y > k, else -1:   -log P(y),  P(y > k) = product of sigmoid(x[0..k])
 *
 * @param logits - float32 [B, C - 1] or [B, ..., C - 1]: of "above class k, given above class k - 1"
 * @param labels - int32 [B] or [B, ...], in [0, C)
 * @param options - those of every loss, `axis`
 * @returns float32 of the labels' shape ("none") or []. `withGrad`: `grad`, the shape of the logits
 * @throws RangeError as `crossEntropy`; labels in [0, C), C - 1 being the logits of a row
 * @example
 *   cornLoss([[0, 0]], [0]); // log 2 = 0.6931
 * Source: Shi, Cao, Raschka, "Deep Neural Networks for Rank-Consistent Ordinal Regression Based on Conditional Probabilities", Pattern Analysis and Applications 26 (2023), equation 6; its code divides by the number of answers, not of rows.
 */
export const cornLoss: LabelLoss = /* @__PURE__ */ thresholdLoss("cornLoss", (k, label) => k <= label);

/**
 * Cumulative link (proportional odds): one score per row, and thresholds between ordered classes that are learnt too.
 *
 *   P(y <= k) = sigmoid(thresholds[k] - score);   loss = -log(P(y <= label) - P(y <= label - 1))
 *
 * @param scores - float32 [B] or [B, ...]
 * @param thresholds - float32 [C - 1], strictly increasing, finite; C at least 2
 * @param labels - int32, the shape of the scores, in [0, C)
 * @param options - those of every loss
 * @returns float32 of the scores' shape ("none") or []. `withGrad`: `grads.scores` and `grads.thresholds`
 * @throws RangeError for other shapes, thresholds that do not increase, a label outside [0, C), with its index
 * @example
 *   cumulativeLinkLoss([0], [-1, 1], [1]); // -log(sigmoid(1) - sigmoid(-1)) = 0.7720
 * Source: McCullagh, "Regression Models for Ordinal Data", Journal of the Royal Statistical Society B 42 (1980), section 2.
 */
export const cumulativeLinkLoss: Loss<[scores: TensorLike, thresholds: TensorLike, labels: TensorLike], LossOptions, { readonly grads: { readonly scores: Tensor<"float32">; readonly thresholds: Tensor<"float32"> } }> = /* @__PURE__ */ defineLoss(
  "cumulativeLinkLoss",
  3,
  (where, [scores, thresholds, labels], options) => {
    const { data: x, shape } = asFloat32(where, "scores", scores), { data: t, shape: given } = asFloat32(where, "thresholds", thresholds), last = t.length;
    if (given.length !== 1 || last === 0 || !t.every((v, k) => v - v === 0 && (k === 0 || v > t[k - 1]))) throw rangeError(where, "thresholds", "of shape [C - 1], finite and strictly increasing", `[${t.join(", ")}]`);
    const { y, weights } = labelled(where, labels, shape, last + 1, options);
    return {
      shape,
      weights,
      pass(coefficients) {
        const values = new Float64Array(x.length), ofScores = new Float32Array(x.length), ofThresholds = new Float64Array(last);
        for (let i = 0; i < x.length; i++) {
          if (weights?.[i] === 0) continue;
          // sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)): nothing cancels.
          const k = y[i], a = k < last ? t[k] - x[i] : Infinity, b = k > 0 ? t[k - 1] - x[i] : -Infinity, inner = k > 0 && k < last, gap = inner ? expm1(t[k] - t[k - 1]) : Infinity;
          values[i] = (k < last ? softplus(-a) : 0) + (k > 0 ? softplus(b) : 0) - (inner ? log1mExp(t[k - 1] - t[k]) : 0);
          if (coefficients === undefined) continue;
          const above = k < last ? -coefficients[i] * (sigmoid(-a) + 1 / gap) : 0, below = k > 0 ? coefficients[i] * (sigmoid(b) + 1 / gap) : 0;
          ofScores[i] = -(k < last ? -coefficients[i] * sigmoid(-a) : 0) - (k > 0 ? coefficients[i] * sigmoid(b) : 0);
          if (k < last) ofThresholds[k] += above;
          if (k > 0) ofThresholds[k - 1] += below;
        }
        return { values, gradients: () => ({ grads: { scores: new Tensor("float32", shape, ofScores), thresholds: new Tensor("float32", given, Float32Array.from(ofThresholds)) } }) };
      },
    };
  },
);

/**
 * Squared earth mover's distance of ordered classes: mistakes cost more, the further away they are.
 *
 *   loss = sum_c (P(c) - [c >= y])^2,   P(c) = sum_{k <= c} p[k]
 *
 * @param logits - float32 [B, C] or [B, ..., C]; -Infinity = impossible class
 * @param labels - int32 [B] or [B, ...], in [0, C)
 * @param options - those of every loss, `axis`
 * @returns float32 of the labels' shape ("none") or [], between 0 and C - 1. `withGrad`: `grad`, the shape of the logits
 * @throws RangeError as `crossEntropy`
 * @example
 *   earthMoversLoss([[0, 0]], [0]); // 0.25
 * Source: Hou, Yu, Samaras, "Squared Earth Mover's Distance-based Loss for Training Deep Neural Networks", 2016, equation 5.
 */
export const earthMoversLoss: LabelLoss<RowLossOptions> = /* @__PURE__ */ defineLoss("earthMoversLoss", 2, (where, [logits, labels], options) => {
  const rows = lossRows(where, logits, labels, options), { y, classes } = rows;
  return rowPlan(where, rows, (row, p, _, pull) => {
    let below = 0, value = 0, total = 0;
    for (let c = 0; c + 1 < classes; c++) {
      below += p[c];
      const gap = below - (c >= y[row] ? 1 : 0);
      value += gap * gap;
      pull[c] = 2 * gap;
    }
    for (let c = classes - 1; c >= 0; c--) {
      total += pull[c];
      pull[c] = total * p[c];
    }
    return value;
  });
});

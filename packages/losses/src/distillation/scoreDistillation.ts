import { sigmoid, softplus, tanh } from "@logits/statistics";
import type { Loss, LossOptions, RowLossOptions, TensorLike } from "@logits/tensor";
import { logCosh } from "../regression/robust.ts";
import { klTerm, type DistillationLoss } from "./divergence.ts";
import { studentLoss } from "./studentLoss.ts";

/**
 * Margin-MSE: the student's margins between the positive and its negatives are those of the teacher, whatever the level of the scores.
 *
 *   loss[q] = mean_{d > 0} ((logits[q, 0] - logits[q, d]) - (teacher[q, 0] - teacher[q, d]))^2
 *
 * @param logits - float32 [Q, D], the student's scores of a query; column 0 is the positive. D at least 2
 * @param teacher - float32 [Q, D], the teacher's. No gradient
 * @param options - those of every loss
 * @returns float32 [Q] ("none") or []. `withGrad`: `grad` [Q, D]
 * @throws RangeError for other shapes, weights or a mask that are none
 * @example
 *   marginMseLoss([[3, 1]], [[5, 2]]); // 1
 * Source: Hofstätter, Althammer, Schröder, Sertkan, Hanbury, "Improving efficient neural ranking models with cross-architecture knowledge distillation" (2020).
 */
export const marginMseLoss: Loss<[logits: TensorLike, teacher: TensorLike], LossOptions> = /* @__PURE__ */ studentLoss<[logits: TensorLike, teacher: TensorLike], RowLossOptions>("marginMseLoss", 2, () => (s, t, grad) => {
  const n = s.length - 1, own = s[0] - t[0];
  let value = 0;
  for (let d = 1; d <= n; d++) {
    const error = own - (s[d] - t[d]), slope = (2 * error) / n;
    value += (error * error) / n;
    grad[0] += slope;
    grad[d] = -slope;
  }
  return value;
}, 1);

/** Options of `binaryKlLoss`. */
export interface BinaryKlOptions extends RowLossOptions {
  /** T, divides the scores of both; values are multiplied by T^2. Default 1. */
  readonly temperature?: number;
  /** Against the difference of scores being 0 instead of the teacher's probability: bounded gradients. Default true, the paper's. */
  readonly normalize?: boolean;
}

/**
 * The loss of the auxiliary head of dual-head distillation (BinaryKL-Norm): each class for itself, so that the level of the teacher's scores counts, which softmax discards.
 *
 *   loss[b] = T^2 sum_c KL(1/2 || sigmoid((logits[c] - teacher[c]) / T)) = T^2 sum_c log cosh((logits[c] - teacher[c]) / 2T)
 *   `normalize: false`: T^2 sum_c KL(sigmoid(teacher[c] / T) || sigmoid(logits[c] / T))
 *
 * The main head takes cross-entropy; the two share the features only, so that their gradients do not contradict each other on one matrix.
 *
 * @param logits - float32 [B, C] or [B, ..., C], the auxiliary head's scores
 * @param teacher - float32, the same shape. No gradient
 * @param options - `temperature` (1), `normalize` (true), and those of every loss; `axis` of the classes
 * @returns float32 [B, ...] ("none") or []. `withGrad`: `grad`, (T / 2) tanh((logits - teacher) / 2T); without `normalize` T (sigmoid(logits / T) - sigmoid(teacher / T))
 * @throws RangeError for other shapes, a temperature that is not positive, weights or a mask that are none
 * @example
 *   binaryKlLoss([[2, 0]], [[1, 0]]); // 0.1201
 * Source: Yang, Xie, Zong, Feng, Niu, Sugiyama, Huang, "Dual-head knowledge distillation" (2024).
 */
export const binaryKlLoss: DistillationLoss<BinaryKlOptions> = /* @__PURE__ */ studentLoss("binaryKlLoss", 2, ({ normalize = true }: BinaryKlOptions) => (s, t, grad) => {
  let value = 0;
  for (let c = 0; c < s.length; c++) {
    if (normalize) {
      const half = (s[c] - t[c]) / 2;
      value += logCosh(half);
      grad[c] = tanh(half) / 2;
    } else {
      const p = sigmoid(t[c]);
      value += klTerm(p, -softplus(-t[c]), -softplus(-s[c])) + klTerm(sigmoid(-t[c]), -softplus(t[c]), -softplus(s[c]));
      grad[c] = sigmoid(s[c]) - p;
    }
  }
  return value;
}, 1);

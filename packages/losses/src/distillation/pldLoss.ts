import { sortOrder } from "@logits/statistics";
import { logSoftmaxRow } from "../logSoftmaxRow.ts";
import { plackettLuceRow } from "../ranking/plackettLuceRow.ts";
import type { LabelledDistillationLoss } from "./dkdLoss.ts";
import { studentLoss, type DistillationOptions } from "./studentLoss.ts";

/**
 * Plackett-Luce distillation: the student ranks the label first and then the other classes as the teacher does, each place weighted by the teacher's probability.
 *
 *   loss[b] = T^2 sum_k t[pi_k] (log sum_{j >= k} exp(s[pi_j]) - s[pi_k]),   pi = y, then the classes by falling teacher's score;   s = logits / T,  t = softmax(teacher / T)
 *
 * It needs no cross-entropy beside it: the first place is cross-entropy, weighted by t[y].
 *
 * @param logits - float32 [B, C] or [B, ..., C], the student's scores
 * @param teacher - float32, the same shape or [teachers, B, ..., C]; equal scores count in the order of the classes. No gradient
 * @param labels - int32 [B, ...], in [0, C)
 * @param options - those of `distillationLoss`; `ignoreIndex`
 * @returns float32 [B, ...] ("none") or []; convex in the logits. One class: 0. `withGrad`: `grad`, T (sum_{k: place of c >= k} t[pi_k] exp(s[c] - log sum_{j >= k} exp(s[pi_j])) - t[c])
 * @throws RangeError as `distillationLoss`, and for a label outside [0, C) (with its index)
 * @example
 *   pldLoss([[2, 0, 0]], [[1, 0, 1]], [0]); // 0.3939
 * Source: Bassam, Zhu, Bian, "PLD: a choice-theoretic list-wise knowledge distillation", NeurIPS 2025; the paper has T = 1.
 */
export const pldLoss: LabelledDistillationLoss<DistillationOptions> = /* @__PURE__ */ studentLoss("pldLoss", 3, () => (s, t, grad, y) => {
  const p = new Float64Array(t.length);
  logSoftmaxRow(t, p);
  if (t[0] !== t[0]) {
    grad.fill(NaN);
    return NaN;
  }
  const order = sortOrder(t.map((x) => -x)), first = order.indexOf(y);
  order.copyWithin(1, 0, first)[0] = y;
  return plackettLuceRow(s, order, (k) => p[order[k]], grad);
});

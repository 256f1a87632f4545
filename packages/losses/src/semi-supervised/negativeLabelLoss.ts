import { exp, sigmoid, softplus } from "@logits/statistics";
import type { LabelLoss } from "../labelLoss.ts";
import { logSumExpRow } from "../logSoftmaxRow.ts";
import { labelledVectorLoss } from "../vectorLoss.ts";

/**
 * Negative learning: the label says which class a row is not.
 *
 *   loss[b] = -log(1 - p[b, labels[b]]) = log(1 + exp(z - log sum of the others' exp)),   z = logits[b, labels[b]]
 *
 * @param logits - float32 [B, C] or [B, ..., C]
 * @param labels - int32, complementary labels, in [0, C)
 * @param options - those of every loss; `axis` of the classes
 * @returns float32 of the labels' shape ("none") or []; +Infinity where every other class is impossible. `withGrad`: `grad`, -p / (1 - p) (p - onehot(label))
 * @throws RangeError for another shape, a label outside [0, C)
 * @example
 *   negativeLabelLoss([[0, 0, 0, 0]], [2]); // -log(3 / 4) = 0.2877
 * Source: Kim, Yim, Yun, Kim, "NLNL: negative learning for noisy labels", ICCV 2019 (arXiv:1908.07387).
 */
export const negativeLabelLoss: LabelLoss = /* @__PURE__ */ labelledVectorLoss("negativeLabelLoss", () => (x, _, at, size, label, add) => {
  const row = Float64Array.from(x.subarray(at, at + size)), others = logSumExpRow(row, label), odds = row[label] - others, p = sigmoid(odds);
  if (add) row.forEach((v, c) => add(c, c === label ? p : v === -Infinity ? 0 : -p * exp(v - others)));
  return softplus(odds);
});

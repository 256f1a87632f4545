import { exp, log } from "@logits/statistics";
import { labelLoss, type LabelLoss } from "../labelLoss.ts";

/**
 * Negative learning: the label says which class a row is not.
 *
 *   loss[b] = -log(1 - p[b, labels[b]])
 *
 * @param logits - float32 [B, C] or [B, ..., C]
 * @param labels - int32, complementary labels, in [0, C)
 * @param options - those of every loss; `axis` of the classes
 * @returns float32 of the labels' shape ("none") or []; +Infinity where p of the label is 1. `withGrad`: `grad`, -p / (1 - p) (p - onehot(label))
 * @throws RangeError for another shape, a label outside [0, C)
 * @example
 *   negativeLabelLoss([[0, 0, 0, 0]], [2]); // -log(3 / 4) = 0.2877
 * Source: Kim, Yim, Yun, Kim, "NLNL: negative learning for noisy labels", ICCV 2019 (arXiv:1908.07387).
 */
export const negativeLabelLoss: LabelLoss = /* @__PURE__ */ labelLoss("negativeLabelLoss", () => ({
  value: (_, q) => -log(q),
  slope: (logP, q) => -exp(logP) / q,
}));

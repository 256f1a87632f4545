import { labelLoss, type LabelLoss } from "../labelLoss.ts";

/**
 * Cross-entropy of logits with integer labels, in nats: log Z less the label's score.
 *
 *   loss[b] = log sum_c exp(logits[b, c]) - logits[b, labels[b]]
 *
 * @param logits - float32 [B, C] or [B, ..., C]: unnormalised log-probabilities; -Infinity = impossible class
 * @param labels - int32 [B] or [B, ...], in [0, C)
 * @param options - those of every loss: `reduction` ("mean"), `weight`, `where`, `ignoreIndex`; `axis` of the classes
 * @returns float32 of the labels' shape ("none") or []; +Infinity where the labelled class is impossible. A row with NaN or +Infinity, or of -Infinity only: NaN.
 *   `withGrad`: `grad`, p - onehot(label), the shape of the logits
 * @throws RangeError for another shape, a label outside [0, C) (with its index), weights or a mask that are none
 * @example
 *   crossEntropy([[2, 0]], [0]); // log(1 + exp(-2)) = 0.1269
 * Source: Goodfellow, Bengio, Courville, Deep Learning (2016), 6.2.2.3.
 */
export const crossEntropy: LabelLoss = /* @__PURE__ */ labelLoss("crossEntropy", () => ({ value: (logP) => -logP, slope: () => 1 }));

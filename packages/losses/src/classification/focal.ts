import { exp, pow } from "@logits/statistics";
import type { RowLossOptions, TensorLike } from "@logits/tensor";
import { labelLoss, type LabelLoss } from "../labelLoss.ts";
import { checkRange, perClass } from "../range.ts";

/** Options of `focalLoss`. */
export interface FocalOptions extends RowLossOptions {
  /** How much sure rows count less, >= 0; 0: cross-entropy. Default 2. */
  readonly gamma?: number;
  /** float32 [C], finite and not negative: a factor of the rows of each class; it does not enter the mean. Default 1. */
  readonly alpha?: TensorLike;
}

/**
 * Focal loss of a softmax: cross-entropy that counts rows less, the surer they are.
 *
 *   loss = alpha[y] q^gamma (-log p[y]),   q = 1 - p[y]
 *   gradient = alpha[y] q^gamma (1 + gamma p[y] (-log p[y]) / q) (p - onehot(y)):   no power gamma - 1, finite for gamma < 1 and at p[y] = 1
 *
 * @param logits - float32 [B, C] or [B, ..., C]; -Infinity = impossible class
 * @param labels - int32 [B] or [B, ...], in [0, C)
 * @param options - those of every loss, `axis`, `gamma`, `alpha`
 * @returns float32 of the labels' shape ("none") or []; +Infinity where the labelled class is impossible. `withGrad`: `grad`, the shape of the logits
 * @throws RangeError as `crossEntropy`, for a negative gamma, for alpha that is not [C]
 * @example
 *   focalLoss([[2, 0]], [0]); // 0.1192^2 * 0.1269 = 0.0018
 * Source: Lin, Goyal, Girshick, He, Dollár, "Focal Loss for Dense Object Detection", ICCV 2017, equation 4, for a softmax.
 */
export const focalLoss: LabelLoss<FocalOptions> = /* @__PURE__ */ labelLoss("focalLoss", ({ gamma = 2, alpha }, { y, classes }, where) => {
  checkRange(where, "gamma", gamma, 0);
  const factors = alpha === undefined ? undefined : perClass(where, "alpha", alpha, classes), power = (q: number, row: number): number => pow(q, gamma) * (factors === undefined ? 1 : factors[y[row]]);
  return {
    value: (logP, q, row) => -power(q, row) * logP,
    slope: (logP, q, row) => power(q, row) * (1 + gamma * exp(logP) * (q > 0 ? (logP === -Infinity ? 0 : -logP / q) : 1)),
  };
});

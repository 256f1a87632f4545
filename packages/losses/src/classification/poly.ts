import { exp } from "@logits/statistics";
import type { RowLossOptions } from "@logits/tensor";
import { labelLoss, type LabelLoss } from "../labelLoss.ts";
import { checkRange } from "../range.ts";

/** Options of `polyLoss`. */
export interface PolyOptions extends RowLossOptions {
  /** What the first coefficient of the series of -log p in 1 - p gets more, >= -1. Default 2. */
  readonly epsilon?: number;
}

/**
 * Poly-1: cross-entropy whose first term as a series in 1 - p is changed.
 *
 *   loss = -log p[y] + epsilon (1 - p[y]);   gradient = (1 + epsilon p[y]) (p - onehot(y))
 *
 * @param logits - float32 [B, C] or [B, ..., C]; -Infinity = impossible class
 * @param labels - int32 [B] or [B, ...], in [0, C)
 * @param options - those of every loss, `axis`, `epsilon`
 * @returns float32 of the labels' shape ("none") or []; +Infinity where the labelled class is impossible. `withGrad`: `grad`, the shape of the logits
 * @throws RangeError as `crossEntropy`, for an epsilon below -1
 * @example
 *   polyLoss([[0, 0]], [0]); // log 2 + 2 / 2 = 1.6931
 * Source: Leng et al., "PolyLoss: A Polynomial Expansion Perspective of Classification Loss Functions", ICLR 2022, equation 4; epsilon 2 for images.
 */
export const polyLoss: LabelLoss<PolyOptions> = /* @__PURE__ */ labelLoss("polyLoss", ({ epsilon = 2 }, _, where) => {
  checkRange(where, "epsilon", epsilon, -1);
  return { value: (logP, q) => epsilon * q - logP, slope: (logP) => 1 + epsilon * exp(logP) };
});

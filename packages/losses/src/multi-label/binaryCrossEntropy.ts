import type { LossOptions, TensorLike } from "@logits/tensor";
import { elementLoss, type ElementLoss } from "../elementLoss.ts";
import { logisticLoss, logisticSlope } from "../logistic.ts";
import { checkRange, perClass } from "../range.ts";

/** Options of `binaryCrossEntropy`. */
export interface BinaryCrossEntropyOptions extends LossOptions {
  /** Weight of the positive term, a number or float32 [C] along the last axis. Default 1. */
  readonly posWeight?: number | TensorLike;
  /** Moves targets towards 1/2: t (1 - e) + e / 2. Default 0. */
  readonly labelSmoothing?: number;
  /** How far beyond 0 a logit must be to count as right: the logits are taken less margin (2 t - 1). Default 0. */
  readonly margin?: number;
}

/**
 * Cross-entropy of independent binary labels, in nats, from logits.
 *
 *   loss[i] = posWeight t log(1 + e^-x) + (1 - t) log(1 + e^x),   x = logits[i] - margin (2 targets[i] - 1)
 *
 * @param logits - float32 [B, C] or any shape: log-odds
 * @param targets - float32, the same shape, in [0, 1]
 * @param options - those of every loss; `posWeight` (1), `labelSmoothing` (0), `margin` (0; GridFormer 0.4); elements with target `ignoreIndex` take no part
 * @returns float32 of that shape ("none") or []; the mean is over elements. Right and certain (-Infinity with target 0): 0; wrong and certain: +Infinity; NaN for NaN.
 *   `withGrad`: `grad`, sigmoid(x) - t where nothing is weighted
 * @throws RangeError for shapes that differ, a target outside [0, 1] (with its index), a `posWeight` of another length
 * @example
 *   binaryCrossEntropy([[2, -1]], [[1, 0]]); // (0.1269 + 0.3133) / 2
 * Source: Goodfellow, Bengio, Courville, Deep Learning (2016), 6.2.2.2; the margin: Li et al., "GridFormer", AAAI 2024.
 */
export const binaryCrossEntropy: ElementLoss<BinaryCrossEntropyOptions> = /* @__PURE__ */ elementLoss("binaryCrossEntropy", ({ posWeight = 1, labelSmoothing = 0, margin = 0 }: BinaryCrossEntropyOptions, where, shape) => {
  if (typeof posWeight === "number") checkRange(where, "posWeight", posWeight, 0);
  const weights = typeof posWeight === "number" ? Float32Array.of(posWeight) : perClass(where, "posWeight", posWeight, shape[shape.length - 1]), classes = weights.length, smooth = (t: number): number => t * (1 - labelSmoothing) + labelSmoothing / 2;
  checkRange(where, "labelSmoothing", labelSmoothing, 0, 1);
  checkRange(where, "margin", margin, 0);
  return {
    value: (x, t, _, i) => logisticLoss(x - margin * (2 * t - 1), smooth(t), weights[i % classes]),
    slope: (x, t, _, i) => logisticSlope(x - margin * (2 * t - 1), smooth(t), weights[i % classes]),
  };
}, [0, 1]);

import { pow, sigmoid } from "@logits/statistics";
import type { LossOptions } from "@logits/tensor";
import { elementLoss, type ElementLoss } from "../elementLoss.ts";
import { checkRange } from "../range.ts";

/** Options of `selfAdjustingDiceLoss`. */
export interface SelfAdjustingDiceOptions extends LossOptions {
  /** Exponent of 1 - p: how far easy elements are pushed down. Default 1. */
  readonly alpha?: number;
  /** Smoothing, so that negatives count. Default 1. */
  readonly gamma?: number;
}

/**
 * Self-adjusting Dice loss of single elements (tokens and their labels), for few positives among many easy negatives.
 *
 *   loss[i] = 1 - (2 a t + gamma) / (a + t + gamma),   a = (1 - p)^alpha p,   p = sigmoid(logits[i])
 *
 * @param logits - float32 [B, C] or any shape: log-odds
 * @param targets - float32, the same shape, in [0, 1]
 * @param options - those of every loss; `alpha` (1; 0: Dice of one element), `gamma` (1)
 * @returns float32 of that shape ("none") or [], in [0, 1]. `withGrad`: `grad`. As published the gradient of a positive turns where p > 1 / (1 + alpha): a sure positive is no longer pushed up
 * @throws RangeError for shapes that differ or a target outside [0, 1], an option below 0
 * @example
 *   selfAdjustingDiceLoss([[0, -3]], [[1, 0]]);
 * Source: Li et al., "Dice loss for data-imbalanced NLP tasks", ACL 2020, equation 14.
 */
export const selfAdjustingDiceLoss: ElementLoss<SelfAdjustingDiceOptions> = /* @__PURE__ */ elementLoss("selfAdjustingDiceLoss", ({ alpha = 1, gamma = 1 }: SelfAdjustingDiceOptions, where) => {
  checkRange(where, "alpha", alpha, 0);
  checkRange(where, "gamma", gamma, 0);
  return {
    value(x, t) {
      const a = pow(sigmoid(-x), alpha) * sigmoid(x), bottom = a + t + gamma;
      return bottom === 0 ? 0 : 1 - (2 * a * t + gamma) / bottom;
    },
    slope(x, t) {
      const p = sigmoid(x), q = sigmoid(-x), a = pow(q, alpha) * p, bottom = a + t + gamma;
      // da / dx = a (q - alpha p).
      return bottom === 0 ? 0 : ((2 * a * t + gamma - 2 * t * bottom) / bottom ** 2) * a * (q - alpha * p);
    },
  };
}, [0, 1]);

import { pow, sigmoid, softplus } from "@logits/statistics";
import type { LossOptions } from "@logits/tensor";
import { elementLoss, times, type ElementLoss } from "../elementLoss.ts";
import { logisticLoss, logisticSlope } from "../logistic.ts";
import { checkRange } from "../range.ts";

/** gamma u^(gamma - 1) b du, where b is of the order of u: finite for gamma < 1 at u = 0, and 0 at infinite logits, where du falls faster than b grows. */
export function focusSlope(u: number, gamma: number, b: number, du: number): number {
  return u === 0 || gamma === 0 ? 0 : times(du, gamma * pow(u, gamma) * (b / u));
}

/** Options of `sigmoidFocalLoss`. */
export interface SigmoidFocalOptions extends LossOptions {
  /** Focusing: 0 = cross-entropy. Default 2. */
  readonly gamma?: number;
  /** Share of the positives, 1 - alpha of the negatives; null: no weights. Default 0.25. */
  readonly alpha?: number | null;
}

/**
 * Focal loss of independent binary labels: easy elements count less.
 *
 *   loss[i] = a (1 - p_t)^gamma BCE(x, t),   p_t = t p + (1 - t)(1 - p),   a = alpha t + (1 - alpha)(1 - t)
 *
 * @param logits - float32 [B, C] or any shape: log-odds
 * @param targets - float32, the same shape, in [0, 1]
 * @param options - those of every loss; `gamma` (2), `alpha` (0.25; null: a = 1)
 * @returns float32 of that shape ("none") or []. `withGrad`: `grad`, also finite for gamma < 1 at p_t = 1
 * @throws RangeError for shapes that differ or a target outside [0, 1]
 * @example
 *   sigmoidFocalLoss([[2, -1]], [[1, 0]]);
 * Source: Lin et al., "Focal loss for dense object detection", ICCV 2017, equation 5 and section 5.1.
 */
export const sigmoidFocalLoss: ElementLoss<SigmoidFocalOptions> = /* @__PURE__ */ elementLoss("sigmoidFocalLoss", ({ gamma = 2, alpha = 0.25 }: SigmoidFocalOptions, where) => {
  checkRange(where, "gamma", gamma, 0);
  if (alpha !== null) checkRange(where, "alpha", alpha, 0, 1);
  const share = (t: number): number => (alpha === null ? 1 : alpha * t + (1 - alpha) * (1 - t)), miss = (x: number, t: number): number => t * sigmoid(-x) + (1 - t) * sigmoid(x);
  return {
    value: (x, t) => share(t) * times(pow(miss(x, t), gamma), logisticLoss(x, t)),
    slope(x, t) {
      const u = miss(x, t), p = sigmoid(x), q = sigmoid(-x);
      return share(t) * (pow(u, gamma) * logisticSlope(x, t) + focusSlope(u, gamma, logisticLoss(x, t), (1 - 2 * t) * p * q));
    },
  };
}, [0, 1]);

/** Options of `qualityFocalLoss`. */
export interface QualityFocalOptions extends LossOptions {
  /** Exponent of the distance. Default 2. */
  readonly beta?: number;
}

/**
 * Quality focal loss: cross-entropy with a soft target (how well a box fits), weighted by the distance from it.
 *
 *   loss[i] = |t - p|^beta BCE(x, t)
 *
 * @param logits - float32, any shape
 * @param targets - float32, the same shape, in [0, 1]
 * @param options - those of every loss; `beta` (2)
 * @returns float32 of that shape ("none") or []. `withGrad`: `grad`
 * @throws RangeError for shapes that differ or a target outside [0, 1]
 * @example
 *   qualityFocalLoss([[2, -1]], [[0.8, 0]]);
 * Source: Li et al., "Generalized focal loss", NeurIPS 2020, equation 3.
 */
export const qualityFocalLoss: ElementLoss<QualityFocalOptions> = /* @__PURE__ */ elementLoss("qualityFocalLoss", ({ beta = 2 }: QualityFocalOptions, where) => {
  checkRange(where, "beta", beta, 0);
  return {
    value: (x, t) => times(pow(Math.abs(logisticSlope(x, t)), beta), logisticLoss(x, t)),
    slope(x, t) {
      const d = logisticSlope(x, t), u = Math.abs(d);
      return pow(u, beta) * d + focusSlope(u, beta, logisticLoss(x, t), (d < 0 ? -1 : 1) * sigmoid(x) * sigmoid(-x));
    },
  };
}, [0, 1]);

/** Options of `varifocalLoss`. */
export interface VarifocalOptions extends LossOptions {
  /** Weight of negatives. Default 0.75. */
  readonly alpha?: number;
  /** Focusing of negatives. Default 2. */
  readonly gamma?: number;
}

/**
 * Varifocal loss: positives (target q > 0) weigh their quality, negatives their probability.
 *
 *   loss[i] = q BCE(x, q)  where q > 0,   alpha p^gamma log(1 + e^x)  where q = 0
 *
 * @param logits - float32, any shape
 * @param targets - q, float32, the same shape, in [0, 1]
 * @param options - those of every loss; `alpha` (0.75), `gamma` (2)
 * @returns float32 of that shape ("none") or []. `withGrad`: `grad`, the focusing factor included
 * @throws RangeError for shapes that differ or a target outside [0, 1]
 * @example
 *   varifocalLoss([[2, -1]], [[0.8, 0]]);
 * Source: Zhang et al., "VarifocalNet", CVPR 2021, equation 2.
 */
export const varifocalLoss: ElementLoss<VarifocalOptions> = /* @__PURE__ */ elementLoss("varifocalLoss", ({ alpha = 0.75, gamma = 2 }: VarifocalOptions, where) => {
  checkRange(where, "alpha", alpha, 0);
  checkRange(where, "gamma", gamma, 0);
  return {
    value: (x, q) => (q > 0 ? q * logisticLoss(x, q) : alpha * times(pow(sigmoid(x), gamma), softplus(x))),
    slope(x, q) {
      const p = sigmoid(x);
      return q > 0 ? q * logisticSlope(x, q) : alpha * pow(p, gamma) * (p + gamma * times(sigmoid(-x), softplus(x)));
    },
  };
}, [0, 1]);

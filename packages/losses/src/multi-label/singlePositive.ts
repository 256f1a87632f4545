import { sigmoid, softplus } from "@logits/statistics";
import type { LossOptions } from "@logits/tensor";
import { elementLoss, times, type ElementLoss } from "../elementLoss.ts";
import { logisticLoss, logisticSlope } from "../logistic.ts";
import { checkRange } from "../range.ts";

/** Options of `entropyMaximizationLoss`. */
export interface EntropyMaximizationOptions extends LossOptions {
  /** Weight of the entropy of unknown labels. Default 0.2. */
  readonly alpha?: number;
  /** Weight of pseudo-labels. Default 0.02. */
  readonly beta?: number;
}

/**
 * Entropy-maximisation loss for rows of which only some positives are annotated: unknown labels are neither positive nor negative, the model should be undecided there.
 *
 *   loss[i] = log(1 + e^-x)               where t = 1, annotated
 *             -alpha H(p)                  where t = 0, unknown; H in nats
 *             beta BCE(x, -t)              where t < 0: a pseudo-label -t, soft and near 0
 *
 * @param logits - float32 [B, C] or any shape: log-odds
 * @param targets - float32, the same shape, in [-1, 1]: 1 annotated, 0 unknown, below 0 the pseudo-label with the sign turned (asymmetric pseudo-labelling: for the lowest-scored 90 % of the unknown)
 * @param options - those of every loss; `alpha` (0.2), `beta` (0.02)
 * @returns float32 of that shape ("none") or []; at least -alpha log 2. `withGrad`: `grad`, alpha p (1 - p) x where unknown: nothing where the model is undecided
 * @throws RangeError for shapes that differ or a target outside [-1, 1]
 * @example
 *   entropyMaximizationLoss([[2, -1, 0]], [[1, 0, 0]]);
 * Source: Zhou et al., "Acknowledging the unknown for multi-label learning with single positive labels", ECCV 2022, equations 3 to 7.
 */
export const entropyMaximizationLoss: ElementLoss<EntropyMaximizationOptions> = /* @__PURE__ */ elementLoss("entropyMaximizationLoss", ({ alpha = 0.2, beta = 0.02 }: EntropyMaximizationOptions, where) => {
  checkRange(where, "alpha", alpha, 0);
  checkRange(where, "beta", beta, 0);
  return {
    value: (x, t) => (t > 0 ? t * softplus(-x) : t < 0 ? beta * logisticLoss(x, -t) : -alpha * logisticLoss(x, sigmoid(x))),
    slope(x, t) {
      const p = sigmoid(x), q = sigmoid(-x);
      return t > 0 ? -t * q : t < 0 ? beta * logisticSlope(x, -t) : alpha * times(p * q, x);
    },
  };
}, [-1, 1]);

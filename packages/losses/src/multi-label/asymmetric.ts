import { log1p, pow, sigmoid, softplus } from "@logits/statistics";
import type { LossOptions } from "@logits/tensor";
import { elementLoss, times, type ElementLoss } from "../elementLoss.ts";
import { checkChoice, checkRange } from "../range.ts";
import { focusSlope } from "./focal.ts";

/** Options of `asymmetricLoss`. */
export interface AsymmetricOptions extends LossOptions {
  /** Focusing of negatives. Default 4. */
  readonly gammaNegative?: number;
  /** Focusing of positives. Default 0. */
  readonly gammaPositive?: number;
  /** Probability up to which a negative costs nothing. Default 0.05. */
  readonly clip?: number;
  /** "exact" (default): the derivative; "official": the focusing factor taken as a constant, as in the authors' training script. */
  readonly gradient?: "exact" | "official";
}

/**
 * Asymmetric loss of independent binary labels, of which few are positive: easy negatives count little, and very easy ones nothing, so that missing labels do less harm.
 *
 *   loss[i] = -w (t log p + (1 - t) log n),   n = min(1 - p + clip, 1),   w = (1 - t p - (1 - t) n)^(gammaPositive t + gammaNegative (1 - t))
 *
 * @param logits - float32 [B, C] or any shape: log-odds
 * @param targets - float32, the same shape, in [0, 1]
 * @param options - those of every loss; `gammaNegative` (4), `gammaPositive` (0), `clip` (0.05), `gradient` ("exact")
 * @returns float32 of that shape ("none") or []. gammas and clip 0: `binaryCrossEntropy`. `withGrad`: `grad`; at p = clip the derivative from the left
 * @throws RangeError for shapes that differ or a target outside [0, 1]
 * @example
 *   asymmetricLoss([[2, -1]], [[1, 0]]);
 * Source: Ridnik et al., "Asymmetric loss for multi-label classification", ICCV 2021, equations 6 to 8.
 */
export const asymmetricLoss: ElementLoss<AsymmetricOptions> = /* @__PURE__ */ elementLoss("asymmetricLoss", ({ gammaNegative = 4, gammaPositive = 0, clip = 0.05, gradient = "exact" }: AsymmetricOptions, where) => {
  checkRange(where, "gammaNegative", gammaNegative, 0);
  checkRange(where, "gammaPositive", gammaPositive, 0);
  checkRange(where, "clip", clip, 0, 1);
  checkChoice(where, "gradient", gradient, ["exact", "official"]);
  const gammaOf = (t: number): number => gammaPositive * t + gammaNegative * (1 - t);
  // 1 - n; the logarithm of n where nothing is clipped is that of 1 - p, with all its digits.
  const over = (x: number): number => Math.max(sigmoid(x) - clip, 0), miss = (x: number, t: number): number => t * sigmoid(-x) + (1 - t) * over(x);
  const base = (x: number, t: number): number => times(t, softplus(-x)) + times(1 - t, clip === 0 ? softplus(x) : -log1p(-over(x)));
  return {
    value: (x, t) => times(pow(miss(x, t), gammaOf(t)), base(x, t)),
    slope(x, t) {
      const p = sigmoid(x), q = sigmoid(-x), u = miss(x, t), open = p > clip ? (1 - t) * p : 0, slope = (clip === 0 ? open : (open * q) / (1 - over(x))) - t * q;
      return pow(u, gammaOf(t)) * slope + (gradient === "exact" ? focusSlope(u, gammaOf(t), base(x, t), (open - t * p) * q) : 0);
    },
  };
}, [0, 1]);

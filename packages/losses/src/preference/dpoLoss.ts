import { exp, expm1, sigmoid, softplus } from "@logits/statistics";
import { checkPositive, rangeError, type LossOptions } from "@logits/tensor";
import { pairLoss, type PairTerm, type ReferenceLoss } from "./pairLoss.ts";

/** Options of losses with a strength. */
export interface PreferenceOptions extends LossOptions {
  /** Strength of the pull towards the reference: the scale of log-ratios. Default 0.1. */
  readonly beta?: number;
}

/** Options of losses that allow for swapped pairs. */
export interface SmoothedPreferenceOptions extends PreferenceOptions {
  /** The share of pairs that are taken to be the wrong way round, in [0, 1/2). Default 0. */
  readonly labelSmoothing?: number;
}

/** The value of a margin and its derivative. */
export type MarginTerm = (margin: number) => readonly [value: number, slope: number];

/** Reads `beta`. */
export function strengthOf(where: string, { beta = 0.1 }: PreferenceOptions): number {
  checkPositive(where, "beta", beta);
  return beta;
}

/** A loss of beta (a - b). */
export function marginTerm(where: string, options: PreferenceOptions, of: MarginTerm): PairTerm {
  const beta = strengthOf(where, options);
  return (a, b) => {
    const [value, slope] = of(beta * (a - b));
    return [value, beta * slope, -beta * slope];
  };
}

/** -(1 - e) log sigma(m) - e log sigma(-m). */
export function smoothedLogistic(where: string, { labelSmoothing: e = 0 }: SmoothedPreferenceOptions): MarginTerm {
  if (!(e >= 0 && e < 0.5)) throw rangeError(where, "labelSmoothing", "in [0, 1/2)", `${e}`);
  return (m) => [softplus(-m) + (e === 0 ? 0 : e * m), e - sigmoid(-m)];
}

/** Options of `dpoLoss`. */
export interface DpoOptions extends SmoothedPreferenceOptions {
  /** What keeps the policy near the reference: "reverse-kl" (DPO), "forward-kl", "jensen-shannon", or the alpha of an alpha-divergence (1 = reverse, 0 = forward). Default "reverse-kl". */
  readonly divergence?: "reverse-kl" | "forward-kl" | "jensen-shannon" | number;
}

/**
 * Direct preference optimisation: chosen answers gain on rejected ones, relative to a reference model, without a reward model.
 *
 *   loss[b] = -(1 - e) log sigmoid(m) - e log sigmoid(-m),   m = beta (f(a) - f(b)),   a = chosen - referenceChosen,  b = rejected - referenceRejected
 *   f(x) = x;  forward: -exp(-x);  Jensen-Shannon: log sigmoid(x);  alpha: (exp((alpha - 1) x) - 1) / (alpha - 1)
 *
 * @param chosen - float32 [B], the policy's log-probabilities of the chosen answers, summed over tokens (`sequenceLogProbs`)
 * @param rejected - float32 [B], of the rejected ones
 * @param referenceChosen - float32 [B], those of the reference. No gradient
 * @param referenceRejected - float32 [B]. No gradient
 * @param options - `beta` (0.1), `labelSmoothing` e (0; above 0: conservative DPO), `divergence` ("reverse-kl"), and those of every loss
 * @returns float32 [B] ("none") or []; log 2 where policy and reference agree. `withGrad`: `grads.chosen`, `grads.rejected` [B]: -beta (sigmoid(-m) - e) f'(a) and its opposite with f'(b)
 * @throws RangeError for other shapes, a beta that is not positive, a labelSmoothing outside [0, 1/2), weights or a mask that are none
 * @example
 *   dpoLoss([-10], [-12], [-11], [-11]); // -log sigmoid(0.2) = 0.5981
 * Source: Rafailov et al., "Direct preference optimization", NeurIPS 2023; Mitchell, "A note on DPO with noisy preferences" (2023); Wang, Jiang, Yang, Liu, Chen, "Beyond reverse KL", ICLR 2024 (f-divergences).
 */
export const dpoLoss: ReferenceLoss<DpoOptions> = /* @__PURE__ */ pairLoss("dpoLoss", 4, (options: DpoOptions, where) => {
  const of = smoothedLogistic(where, options), beta = strengthOf(where, options), { divergence = "reverse-kl" } = options, f = rewardOf(where, divergence);
  return (a, b) => {
    const [fa, da] = f(a), [fb, db] = f(b);
    // Both beyond the range of float64: their order decides.
    const [value, slope] = of(fa === fb && a !== b ? (a > b ? Infinity : -Infinity) : beta * (fa - fb));
    return [value, slope === 0 ? 0 : beta * slope * da, slope === 0 ? 0 : -beta * slope * db];
  };
});

/** The reward of a log-ratio under a divergence, up to a constant, and its derivative. */
function rewardOf(where: string, divergence: DpoOptions["divergence"]): MarginTerm {
  if (divergence === "jensen-shannon") return (x) => [-softplus(-x), sigmoid(-x)];
  const power = divergence === "reverse-kl" ? 0 : divergence === "forward-kl" ? -1 : (divergence as number) - 1;
  if (typeof power !== "number" || power - power !== 0) throw rangeError(where, "divergence", '"reverse-kl", "forward-kl", "jensen-shannon" or an alpha', `${divergence}`);
  return powerReward(power);
}

/** (e^(k x) - 1) / k and its derivative; x where k is 0. */
export function powerReward(k: number): MarginTerm {
  return (x) => (k === 0 ? [x, 1] : [expm1(k * x) / k, exp(k * x)]);
}

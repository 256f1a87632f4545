import { exp, expm1, log1mExp, softplus } from "@logits/statistics";
import { asFloat32, checkShape, type LossOptions, type TensorLike } from "@logits/tensor";
import { marginTerm, powerReward, smoothedLogistic, strengthOf, type PreferenceOptions, type SmoothedPreferenceOptions } from "./dpoLoss.ts";
import { pairLoss, type PairLoss } from "./pairLoss.ts";

/**
 * Contrastive preference optimisation: the policy's own margin, without a reference. The method adds the negative log-likelihood of the chosen answer (`sequenceLogProbs`).
 *
 *   loss[b] = -(1 - e) log sigmoid(m) - e log sigmoid(-m),   m = beta (chosen - rejected)
 *
 * @param chosen - float32 [B], the policy's log-probabilities of the chosen answers
 * @param rejected - float32 [B], of the rejected ones
 * @param options - `beta` (0.1), `labelSmoothing` e (0), and those of every loss
 * @returns float32 [B] ("none") or []. `withGrad`: `grads.chosen`, `grads.rejected`
 * @throws RangeError for other shapes, a beta that is not positive, a labelSmoothing outside [0, 1/2), weights or a mask that are none
 * @example
 *   cpoLoss([-10], [-12]); // 0.5981
 * Source: Xu et al., "Contrastive preference optimization", ICML 2024, equation 3.
 */
export const cpoLoss: PairLoss<SmoothedPreferenceOptions> = /* @__PURE__ */ pairLoss("cpoLoss", 2, (options: SmoothedPreferenceOptions, where) => marginTerm(where, options, smoothedLogistic(where, options)));

/** Options of `simpoLoss`. */
export interface SimpoOptions extends SmoothedPreferenceOptions {
  /** How much the margin, times beta, is to exceed 0. Default 1. */
  readonly gamma?: number;
  /** AlphaPO: the reward is (1 - exp(-alpha x)) / alpha of the mean log-probability x. Default 0: x itself. */
  readonly alpha?: number;
}

/**
 * Simple preference optimisation: mean log-probabilities of tokens and a target margin, without a reference.
 *
 *   loss[b] = -(1 - e) log sigmoid(m) - e log sigmoid(-m),   m = beta (f(chosen) - f(rejected)) - gamma,   f(x) = x, or (1 - exp(-alpha x)) / alpha
 *
 * @param chosen - float32 [B], the policy's mean log-probabilities of the chosen answers (`sequenceLogProbs` with `normalize`)
 * @param rejected - float32 [B], of the rejected ones
 * @param options - `beta` (2), `gamma` (1), `labelSmoothing` e (0), `alpha` (0), and those of every loss
 * @returns float32 [B] ("none") or []. `withGrad`: `grads.chosen`, `grads.rejected`
 * @throws RangeError as `cpoLoss`
 * @example
 *   simpoLoss([-1], [-2]); // -log sigmoid(1) = 0.3133
 * Source: Meng, Xia, Chen, "SimPO", NeurIPS 2024 (beta 2 to 2.5, gamma half of beta); Gupta et al., "AlphaPO", ICML 2025.
 */
export const simpoLoss: PairLoss<SimpoOptions> = /* @__PURE__ */ pairLoss("simpoLoss", 2, (options: SimpoOptions, where) => {
  const { beta: given = 2, gamma = 1, alpha = 0 } = options, beta = strengthOf(where, { beta: given }), of = smoothedLogistic(where, options), f = powerReward(-alpha);
  return (a, b) => {
    const [fa, da] = f(a), [fb, db] = f(b), [value, slope] = of(beta * (fa - fb) - gamma);
    return [value, beta * slope * da, -beta * slope * db];
  };
});

/**
 * The odds-ratio term of ORPO: how much likelier the chosen answer is against all others than the rejected one is. The method adds it to the negative log-likelihood of the chosen answer.
 *
 *   loss[b] = -beta log sigmoid(log odds(chosen) - log odds(rejected)),   odds = p / (1 - p)
 *
 * 1 - p comes from the logarithm without cancellation, and the gradient from the odds' parts, so that it is finite where the chosen answer is certain.
 *
 * @param chosen - float32 [B], the policy's mean log-probabilities of the chosen answers (`sequenceLogProbs` with `normalize`), at most 0
 * @param rejected - float32 [B], of the rejected ones, at most 0
 * @param options - `beta` (0.1; the paper's lambda), and those of every loss
 * @returns float32 [B] ("none") or []; 0 where the chosen answer is certain, +Infinity where the rejected one is, NaN where both are or above 0. `withGrad`: `grads.chosen`, `grads.rejected`
 * @throws RangeError for other shapes, a beta that is not positive, weights or a mask that are none
 * @example
 *   orpoLoss([-0.5], [-1]); // 0.0320
 * Source: Hong, Lee, Thorne, "ORPO", EMNLP 2024, equations 4 and 7.
 */
export const orpoLoss: PairLoss<PreferenceOptions> = /* @__PURE__ */ pairLoss("orpoLoss", 2, (options: PreferenceOptions, where) => {
  const beta = strengthOf(where, options);
  return (a, b) => {
    // 0 - 0 is +0: a certain answer has odds of +Infinity.
    const u = 0 - expm1(a), v = 0 - expm1(b), base = u + exp(a - b) * v;
    return [beta * softplus(b - a + log1mExp(a) - log1mExp(b)), -beta / base, (beta * u) / (v * base)];
  };
});

/** Options of `rewardModelLoss`. */
export interface RewardModelOptions extends LossOptions {
  /** float32 [B], how much better the chosen answer is to be. Default 0. */
  readonly margin?: TensorLike;
  /** Weight of (chosen + rejected)^2, which keeps rewards around 0. Default 0. */
  readonly centering?: number;
}

/**
 * The loss of a reward model after Bradley and Terry: the chosen answer's reward is the higher one.
 *
 *   loss[b] = -log sigmoid(chosen - rejected - margin) + centering (chosen + rejected)^2
 *
 * @param chosen - float32 [B], rewards of the chosen answers
 * @param rejected - float32 [B], of the rejected ones
 * @param options - `margin` ([B], 0), `centering` (0), and those of every loss
 * @returns float32 [B] ("none") or []. `withGrad`: `grads.chosen`, `grads.rejected`
 * @throws RangeError for other shapes, weights or a mask that are none
 * @example
 *   rewardModelLoss([2], [1]); // 0.3133
 * Source: Bradley, Terry, Biometrika 39 (1952); margin: Touvron et al., "Llama 2" (2023); centring: Eisenstein et al., "Helping or herding?" (2023).
 */
export const rewardModelLoss: PairLoss<RewardModelOptions> = /* @__PURE__ */ pairLoss("rewardModelLoss", 2, ({ margin, centering = 0 }: RewardModelOptions, where, _ratios, [{ length }]) => {
  const of = smoothedLogistic(where, {}), extra = margin === undefined ? undefined : asFloat32(where, "margin", margin);
  if (extra !== undefined) checkShape(where, "margin", extra, [length]);
  return (a, b, i) => {
    const [value, slope] = of(a - b - (extra?.data[i] ?? 0)), both = centering * (a + b);
    return [value + both * (a + b), slope + 2 * both, 2 * both - slope];
  };
});

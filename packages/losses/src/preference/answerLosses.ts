import { exp, expm1, log, log1mExp, sigmoid, softplus } from "@logits/statistics";
import { asFloat32, checkPositive, checkShape, defineLoss, rangeError, rowWeights, Tensor, type Loss, type LossOptions, type TensorLike } from "@logits/tensor";
import { elementsLoss } from "../elementLoss.ts";
import { strengthOf, type PreferenceOptions } from "./dpoLoss.ts";

/** A loss of single answers, each good or bad. */
export type AnswerLoss<Options extends LossOptions> = Loss<[policy: TensorLike, reference: TensorLike, targets: TensorLike], Options>;

/** Options of `ktoLoss`. */
export interface KtoOptions extends PreferenceOptions {
  /** Estimate of the policy's divergence from the reference, at least 0: the mean log-ratio over answers to other prompts. Default 0. */
  readonly kl?: number;
  /** Weight of good answers. Default 1. */
  readonly desirableWeight?: number;
  /** Weight of bad ones. Default 1. */
  readonly undesirableWeight?: number;
}

/** A loss of beta (policy - reference) for good answers and another for bad ones; targets between mix them. */
function answerLoss<Options extends LossOptions>(name: string, terms: (options: Options, where: string) => (ratio: number, good: boolean) => readonly [value: number, slope: number]): AnswerLoss<Options> {
  return elementsLoss(name, ["policy", "reference", "targets"], (options: Options, where) => {
    const of = terms(options, where), part = (k: 0 | 1) => (x: number, y: number, target: number): number => (target === 0 ? 0 : target * of(x - y, true)[k]) + (target === 1 ? 0 : (1 - target) * of(x - y, false)[k]);
    return { value: part(0), slopes: [part(1)] };
  }, [0, 1]);
}

/**
 * Kahneman-Tversky optimisation: answers that are good or bad by themselves, without pairs, against what the policy has moved on the whole.
 *
 *   loss[b] = wGood sigmoid(-beta (x - kl)) for a good answer,  wBad sigmoid(beta (x - kl)) for a bad one,   x = policy - reference
 *
 * @param policy - float32 [B], the policy's log-probabilities of the answers
 * @param reference - float32 [B], the reference's. No gradient
 * @param targets - float32 [B], 1 = good, 0 = bad
 * @param options - `beta` (0.1), `kl` (0; max(0, mean of policy - reference over answers paired with other prompts), taken as constant), `desirableWeight` (1), `undesirableWeight` (1), and those of every loss
 * @returns float32 [B] ("none") or []. `withGrad`: `grad` [B], of the policy
 * @throws RangeError for other shapes, targets outside [0, 1], a beta that is not positive, a kl below 0, weights or a mask that are none
 * @example
 *   ktoLoss([-10, -12], [-11, -11], [1, 0]); // 0.4750
 * Source: Ethayarajh, Xu, Muennighoff, Jurafsky, Kiela, "KTO", ICML 2024, equation 7. The paper advises weights by which both kinds count about equally.
 */
export const ktoLoss: AnswerLoss<KtoOptions> = /* @__PURE__ */ answerLoss("ktoLoss", (options: KtoOptions, where) => {
  const beta = strengthOf(where, options), { kl = 0, desirableWeight = 1, undesirableWeight = 1 } = options;
  if (!(kl >= 0 && kl < Infinity)) throw rangeError(where, "kl", "finite and at least 0", `${kl}`);
  return (x, good) => {
    const sign = good ? -1 : 1, weight = good ? desirableWeight : undesirableWeight, p = sigmoid(sign * beta * (x - kl));
    return [weight * p, weight * sign * beta * p * (1 - p)];
  };
});

/** Options of `bcoLoss`. */
export interface BcoOptions extends PreferenceOptions {
  /** The reward between good and bad: a running mean of beta (policy - reference) over all answers. Default 0. */
  readonly delta?: number;
}

/**
 * Binary classifier optimisation: the policy as a classifier of good and bad answers.
 *
 *   loss[b] = -log sigmoid(r - delta) for a good answer,  -log sigmoid(delta - r) for a bad one,   r = beta (policy - reference)
 *
 * @param policy - float32 [B], the policy's log-probabilities of the answers
 * @param reference - float32 [B], the reference's. No gradient
 * @param targets - float32 [B], 1 = good, 0 = bad
 * @param options - `beta` (0.1), `delta` (0, taken as constant), and those of every loss; `weight` for answers whose prompts are drawn unlike the others'
 * @returns float32 [B] ("none") or []. `withGrad`: `grad` [B], of the policy
 * @throws RangeError for other shapes, targets outside [0, 1], a beta that is not positive, weights or a mask that are none
 * @example
 *   bcoLoss([-10, -12], [-11, -11], [1, 0]); // 0.6444
 * Source: Jung, Han, Nam, On, "Binary classifier optimization for large language model alignment", ACL 2025.
 */
export const bcoLoss: AnswerLoss<BcoOptions> = /* @__PURE__ */ answerLoss("bcoLoss", (options: BcoOptions, where) => {
  const beta = strengthOf(where, options), { delta = 0 } = options;
  return (x, good) => {
    const m = good ? beta * x - delta : delta - beta * x;
    return [softplus(-m), (good ? -beta : beta) * sigmoid(-m)];
  };
});

/** Options of `coverageLoss`. */
export interface CoverageOptions extends LossOptions {
  /** How many answers are drawn, N at least 1. Default 1: the negative log-likelihood. */
  readonly samples?: number;
}

/**
 * Direct coverage optimisation: the negative logarithm of the probability that one of N drawn answers is the right one (pass@N), so that a policy is not made more certain than N draws ask for.
 *
 *   loss[b] = -log(1 - (1 - p)^N),   p = exp(logProbs[b])
 *
 * @param logProbs - float32 [B], the policy's log-probabilities of the right answers (`sequenceLogProbs`), at most 0
 * @param options - `samples` N (1), and those of every loss
 * @returns float32 [B] ("none") or []; keeps its digits for p from 1e-300 to 1. `withGrad`: `grad` [B]: -F, F = N p (1 - p)^(N - 1) / (1 - (1 - p)^N), from 1 (p small) to 0
 * @throws RangeError for other shapes, samples that are not at least 1, weights or a mask that are none
 * @example
 *   coverageLoss([-1], { samples: 8 }); // 0.0258
 * Source: Chen et al., "Rethinking fine-tuning when scaling test-time compute" (2025).
 */
export const coverageLoss: Loss<[logProbs: TensorLike], CoverageOptions> = /* @__PURE__ */ defineLoss("coverageLoss", 1, (where, [logProbs], options: CoverageOptions) => {
  const { shape, data } = asFloat32(where, "logProbs", logProbs), { samples = 1 } = options, weights = rowWeights(where, shape, options);
  if (!(samples >= 1 && samples < Infinity)) throw rangeError(where, "samples", "a finite number of at least 1", `${samples}`);
  return {
    shape,
    weights,
    pass(coefficients) {
      const values = new Float64Array(data.length), grad = new Float32Array(data.length);
      data.forEach((x, i) => {
        if (weights?.[i] === 0) return;
        // Where p underflows the probability is N p.
        const plain = samples === 1 || x < -600, hit = plain ? x + log(samples) : log1mExp(samples * log1mExp(x));
        values[i] = -hit;
        if (coefficients) grad[i] = -coefficients[i] * (plain ? 1 : samples * exp(x + (samples - 1) * log1mExp(x) - hit));
      });
      return { values, gradients: () => ({ grad: new Tensor("float32", shape, grad) }) };
    },
  };
});

/** Options of `grpoLoss`. */
export interface GrpoOptions extends LossOptions {
  /** How far the ratio may fall and rise before the gain is cut: one number for both, or [low, high]. Default 0.2. */
  readonly clip?: number | readonly [low: number, high: number];
  /** The largest ratio that counts where the advantage is negative (dual clip). Default none. */
  readonly maxRatio?: number;
  /** SAPO: a smooth gate in place of the clip, its steepness where the advantage is positive and where it is not (1 and 1.05 in the paper's experiments). Default none. */
  readonly gate?: readonly [positive: number, negative: number];
  /** Weight of the divergence from `reference`. Default 0. */
  readonly beta?: number;
  /** float32, log-probabilities of the reference, the shape of `logProbs`. */
  readonly reference?: TensorLike;
}

/**
 * The clipped policy loss of PPO and GRPO, for each token.
 *
 *   loss[b, t] = -min(r A, clip(r, 1 - low, 1 + high) A) + beta (exp(d) - d - 1),   r = exp(logProbs - oldLogProbs),   d = reference - logProbs
 *   `gate`: -(4 / g) sigmoid(g (r - 1)) A in place of the minimum
 *
 * The mean over all tokens is DAPO's and BNPO's; GRPO's mean of means is `weight: 1 / length` with "sum" over the number of answers, Dr. GRPO's a constant `weight` with "sum".
 * GSPO: one value for each answer, of mean log-probabilities.
 *
 * @param logProbs - float32 [B, T], the policy's log-probabilities of the tokens
 * @param oldLogProbs - float32 [B, T], those at sampling. No gradient
 * @param advantages - float32 [B, T], of each token's answer. No gradient
 * @param options - `clip` (0.2), `maxRatio`, `gate`, `beta` (0), `reference`, and those of every loss; `where` [B, T]
 * @returns float32 [B, T] ("none") or []. `withGrad`: `grad` [B, T]
 * @throws RangeError for other shapes, a beta without a reference, weights or a mask that are none
 * @example
 *   grpoLoss([[-1]], [[-1.1]], [[2]]); // -2.2103
 * Source: Schulman et al., "Proximal policy optimization algorithms" (2017); Shao et al., "DeepSeekMath" (2024); the divergence's estimate: Schulman, "Approximating KL divergence" (2020); Gao et al., "Soft adaptive policy optimization" (2025).
 */
export const grpoLoss: Loss<[logProbs: TensorLike, oldLogProbs: TensorLike, advantages: TensorLike], GrpoOptions> = /* @__PURE__ */ elementsLoss("grpoLoss", ["logProbs", "oldLogProbs", "advantages"], (options: GrpoOptions, where, shape) => {
  const { clip = 0.2, maxRatio = Infinity, gate, beta = 0, reference: given } = options, [low, high] = typeof clip === "number" ? [clip, clip] : clip;
  const reference = beta === 0 ? undefined : asFloat32(where, "reference", given as TensorLike);
  for (const bound of [low, high]) if (!(bound >= 0)) throw rangeError(where, "clip", "at least 0, or [low, high] of that", `${clip}`);
  checkPositive(where, "maxRatio", maxRatio === Infinity ? 1 : maxRatio);
  gate?.forEach((g) => checkPositive(where, "gate", g));
  if (reference !== undefined) checkShape(where, "reference", reference, shape);
  const gain = (r: number, a: number): readonly [number, number] => {
    if (gate !== undefined) {
      const g = gate[a > 0 ? 0 : 1], p = sigmoid(g * (r - 1));
      return [((4 * a) / g) * p, p === 1 ? 0 : 4 * a * p * (1 - p) * r];
    }
    const free = Math.min(r, maxRatio), held = Math.min(Math.max(r, 1 - low), 1 + high);
    return free * a <= held * a ? [free * a, r < maxRatio ? r * a : 0] : [held * a, 0];
  };
  const away = (i: number, x: number): number => (reference === undefined ? 0 : reference.data[i] - x);
  return {
    value: (x, y, a, i) => -gain(exp(x - y), a)[0] + beta * (expm1(away(i, x)) - away(i, x)),
    slopes: [(x, y, a, i) => -gain(exp(x - y), a)[1] - beta * expm1(away(i, x))],
  };
});

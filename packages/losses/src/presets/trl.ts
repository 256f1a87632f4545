import { sigmoid, softplus } from "@logits/statistics";
import { asFloat32, asMask, checkPositive, rangeError, Tensor, typeError, type Loss, type LossOptions, type TensorLike } from "@logits/tensor";
import { divergence, type DistillationLoss } from "../distillation/divergence.ts";
import { jensenShannonTerm, type JensenShannonOptions } from "../distillation/divergences.ts";
import { bcoLoss as bco, grpoLoss as grpo, ktoLoss as kto, type AnswerLoss, type KtoOptions } from "../preference/answerLosses.ts";
import { aotLoss, apoDownLoss, apoZeroLoss, discopopLoss, exoLoss, ipoLoss, noiseContrastiveAlignmentLoss, robustDpoLoss, slicLoss, sppoLoss } from "../preference/dpoFamily.ts";
import { dpoLoss as dpo, marginTerm, strengthOf, type DpoOptions, type SmoothedPreferenceOptions } from "../preference/dpoLoss.ts";
import { pairLoss, type PairLoss, type ReferenceLoss } from "../preference/pairLoss.ts";
import { cpoLoss as cpo, orpoLoss as orpo, rewardModelLoss, simpoLoss } from "../preference/withoutReference.ts";

type AnyLoss = ((...args: any[]) => Tensor<"float32">) & { withGrad(...args: any[]): any };

/** A loss that is chosen by its options: another loss, and the options that it gets. */
function chosen<L>(count: number, choose: (options: any, args: readonly any[]) => readonly [loss: AnyLoss, options: object]): L {
  const call = (args: readonly any[]): readonly [AnyLoss, unknown[]] => {
    const options = args[count] ?? {}, [loss, own] = choose(options, args);
    // What is no options is left for the loss to refuse.
    return [loss, [...args.slice(0, count), typeof options !== "object" || Symbol.iterator in options ? options : own, ...args.slice(count + 1)]];
  };
  const value = (...args: any[]): Tensor<"float32"> => {
    const [loss, given] = call(args);
    return loss(...given);
  };
  return Object.assign(value, {
    withGrad(...args: any[]) {
      const [loss, given] = call(args);
      return loss.withGrad(...given);
    },
  }) as L;
}

/** The loss of a name, or an error that lists the names. */
function named<T>(where: string, table: Readonly<Record<string, T>>, name: string, argument: string = "lossType"): T {
  if (!Object.hasOwn(table, name)) throw rangeError(where, argument, `one of ${Object.keys(table).join(", ")}`, `${name}`);
  return table[name];
}

/** Losses of TRL's `DPOConfig.loss_type`, one at a time; "ipo" and "sigmoid_norm" take mean log-probabilities. */
export interface TrlDpoOptions extends LossOptions {
  /** Default "sigmoid". */
  readonly lossType?: "sigmoid" | "hinge" | "ipo" | "exo_pair" | "nca_pair" | "robust" | "bco_pair" | "sppo_hard" | "aot" | "aot_unpaired" | "apo_zero" | "apo_down" | "discopop" | "sigmoid_norm";
  /** Default 0.1. */
  readonly beta?: number;
  /** Default 0. Of "robust", "exo_pair", "aot" and "aot_unpaired"; the others ignore it, as TRL does. */
  readonly labelSmoothing?: number;
  /** Default 0.05. */
  readonly discopopTau?: number;
  /** Default "reverse_kl". Other than in TRL, with "sigmoid" and "sigmoid_norm" only. */
  readonly fDivergenceType?: "reverse_kl" | "forward_kl" | "js_divergence" | "alpha_divergence";
  /** Default 0.5. */
  readonly fAlphaDivergenceCoef?: number;
}

/** -log sigma(beta a) - log sigma(-beta b): `loss_type` "bco_pair". */
const bcoPair = /* @__PURE__ */ pairLoss<readonly TensorLike[], SmoothedPreferenceOptions>("dpoLoss", 4, (options, where) => {
  const beta = strengthOf(where, options);
  return (a, b) => [softplus(-beta * a) + softplus(beta * b), -beta * sigmoid(-beta * a), beta * sigmoid(beta * b)];
});

/**
 * TRL's DPO losses under its names and defaults.
 *
 *   loss[b] = that of `lossType`
 *
 * @param chosen - float32 [B], log-probabilities of the chosen answers, summed over tokens; means for "ipo" and "sigmoid_norm"
 * @param rejected - float32 [B], of the rejected ones
 * @param referenceChosen - float32 [B]. No gradient
 * @param referenceRejected - float32 [B]. No gradient
 * @param options - `lossType` ("sigmoid"), `beta` (0.1), `labelSmoothing` (0), `discopopTau` (0.05), `fDivergenceType` ("reverse_kl"), `fAlphaDivergenceCoef` (0.5), and those of every loss
 * @returns float32 [B] ("none") or []. `withGrad`: `grads.chosen`, `grads.rejected`
 * @throws RangeError for an unknown lossType or divergence, and as the loss itself
 * @example
 *   dpoLoss([-10], [-12], [-11], [-11]); // 0.5981
 * Source: TRL 1.10, DPOTrainer.
 */
export const dpoLoss: ReferenceLoss<TrlDpoOptions> = /* @__PURE__ */ chosen(4, ({ lossType = "sigmoid", fDivergenceType = "reverse_kl", fAlphaDivergenceCoef = 0.5, discopopTau: tau = 0.05, labelSmoothing = 0, ...options }: TrlDpoOptions) => {
  const divergence = named("dpoLoss", { reverse_kl: "reverse-kl", forward_kl: "forward-kl", js_divergence: "jensen-shannon", alpha_divergence: fAlphaDivergenceCoef } satisfies Record<string, DpoOptions["divergence"]>, fDivergenceType, "fDivergenceType");
  const sigmoidLoss = [dpo, { divergence }] as const, table: Readonly<Record<string, readonly [AnyLoss, object]>> = {
    sigmoid: sigmoidLoss, sigmoid_norm: sigmoidLoss, hinge: [slicLoss, {}], ipo: [ipoLoss, {}], exo_pair: [exoLoss, { labelSmoothing }], nca_pair: [noiseContrastiveAlignmentLoss, {}], robust: [robustDpoLoss, { labelSmoothing }], bco_pair: [bcoPair, {}],
    sppo_hard: [sppoLoss, {}], aot: [aotLoss, { labelSmoothing }], aot_unpaired: [aotLoss, { labelSmoothing, unpaired: true }], apo_zero: [apoZeroLoss, {}], apo_down: [apoDownLoss, {}], discopop: [discopopLoss, { tau }],
  };
  const found = named("dpoLoss", table, lossType);
  if (divergence !== "reverse-kl" && found !== sigmoidLoss) throw rangeError("dpoLoss", "fDivergenceType", `reverse_kl with lossType ${lossType}`, fDivergenceType);
  return [found[0], { ...options, ...found[1] }];
});

/** Options of TRL's KTO loss. */
export interface TrlKtoOptions extends KtoOptions {
  /** Default "kto"; "apo_zero_unpaired" has no estimate of the divergence. */
  readonly lossType?: "kto" | "apo_zero_unpaired";
}

/**
 * TRL's KTO losses.
 *
 *   loss[b] = weight of its kind times sigmoid(-+beta (policy - reference - kl))
 *
 * @param policy - float32 [B]
 * @param reference - float32 [B]. No gradient
 * @param targets - float32 [B], 1 = desirable; TRL has two lists instead, one after the other
 * @param options - `lossType` ("kto"), `beta` (0.1), `kl` (0), `desirableWeight` (1), `undesirableWeight` (1), and those of every loss
 * @returns float32 [B] ("none") or []. `withGrad`: `grad` [B]
 * @throws RangeError for an unknown lossType, and as `ktoLoss`
 * @example
 *   ktoLoss([-10, -12], [-11, -11], [1, 0]); // 0.4750
 * Source: TRL 1.10, KTOTrainer.
 */
export const ktoLoss: AnswerLoss<TrlKtoOptions> = /* @__PURE__ */ chosen(3, ({ lossType = "kto", kl, ...options }: TrlKtoOptions) => [kto, { ...options, ...named("ktoLoss", { kto: { kl }, apo_zero_unpaired: { kl: 0 } }, lossType) }]);

/**
 * TRL's BCO loss, with the running mean of rewards as `delta`.
 *
 *   loss[b] = -log sigmoid(+-(beta (policy - reference) - delta))
 *
 * @param policy - float32 [B]
 * @param reference - float32 [B]. No gradient
 * @param targets - float32 [B], 1 = desirable
 * @param options - `beta` (0.1), `delta` (0), and those of every loss
 * @returns float32 [B] ("none") or []. `withGrad`: `grad` [B]
 * @throws RangeError as `bcoLoss` of the family
 * @example
 *   bcoLoss([-10, -12], [-11, -11], [1, 0]); // 0.6444
 * Source: TRL 1.10, BCOTrainer.
 */
export const bcoLoss: typeof bco = bco;

/** Options of TRL's CPO losses. */
export interface TrlCpoOptions extends SmoothedPreferenceOptions {
  /** Default "sigmoid"; "simpo" and "ipo" take mean log-probabilities. */
  readonly lossType?: "sigmoid" | "hinge" | "ipo" | "simpo";
  /** Default 0.5. */
  readonly simpoGamma?: number;
  /** AlphaPO's, with "simpo". Default 0. */
  readonly alpha?: number;
}

const cpoHinge = /* @__PURE__ */ pairLoss<readonly TensorLike[], SmoothedPreferenceOptions>("cpoLoss", 2, (options, where) => marginTerm(where, options, (m) => (m >= 1 ? [0, 0] : [1 - m, -1])));
const cpoIpo = /* @__PURE__ */ pairLoss<readonly TensorLike[], SmoothedPreferenceOptions>("cpoLoss", 2, (options, where) => {
  const target = 1 / (2 * strengthOf(where, options));
  return (a, b) => {
    const error = a - b - target;
    return [error * error, 2 * error, -2 * error];
  };
});

/**
 * TRL's CPO losses, SimPO among them; without `cpo_alpha` times the negative log-likelihood, which is a loss of its own.
 *
 *   loss[b] = that of `lossType`
 *
 * @param chosen - float32 [B]
 * @param rejected - float32 [B]
 * @param options - `lossType` ("sigmoid"), `beta` (0.1), `labelSmoothing` (0), `simpoGamma` (0.5), `alpha` (0), and those of every loss
 * @returns float32 [B] ("none") or []. `withGrad`: `grads.chosen`, `grads.rejected`
 * @throws RangeError for an unknown lossType, and as the loss itself
 * @example
 *   cpoLoss([-1], [-2], { lossType: "simpo" }); // 0.9130
 * Source: TRL 1.10, CPOTrainer.
 */
export const cpoLoss: PairLoss<TrlCpoOptions> = /* @__PURE__ */ chosen(2, ({ lossType = "sigmoid", beta = 0.1, simpoGamma: gamma = 0.5, labelSmoothing, alpha, ...options }: TrlCpoOptions) => {
  const [loss, own] = named<readonly [AnyLoss, object]>("cpoLoss", { sigmoid: [cpo, { labelSmoothing }], hinge: [cpoHinge, {}], ipo: [cpoIpo, {}], simpo: [simpoLoss, { gamma, labelSmoothing, alpha }] }, lossType);
  return [loss, { ...options, beta, ...own }];
});

/**
 * TRL's odds-ratio term of ORPO, with the sign of a loss; its trainer adds the negative log-likelihood of the chosen answer.
 *
 *   loss[b] = -beta log sigmoid(log odds ratio)
 *
 * @param chosen - float32 [B], mean log-probabilities
 * @param rejected - float32 [B]
 * @param options - `beta` (0.1), and those of every loss
 * @returns float32 [B] ("none") or []. `withGrad`: `grads.chosen`, `grads.rejected`
 * @throws RangeError as `orpoLoss` of the family
 * @example
 *   orpoLoss([-0.5], [-1]); // 0.0320
 * Source: TRL 1.10, ORPOTrainer.
 */
export const orpoLoss: typeof orpo = orpo;

/** Options of TRL's reward loss. */
export interface TrlRewardOptions extends LossOptions {
  /** float32 [B]. Default 0. */
  readonly margin?: TensorLike;
  /** Default 0. */
  readonly centerRewardsCoefficient?: number;
}

/**
 * TRL's loss of a reward model.
 *
 *   loss[b] = -log sigmoid(chosen - rejected - margin) + c (chosen + rejected)^2
 *
 * @param chosen - float32 [B]
 * @param rejected - float32 [B]
 * @param options - `margin` (0), `centerRewardsCoefficient` c (0), and those of every loss
 * @returns float32 [B] ("none") or []. `withGrad`: `grads.chosen`, `grads.rejected`
 * @throws RangeError as `rewardModelLoss`
 * @example
 *   rewardLoss([2], [1]); // 0.3133
 * Source: TRL 1.10, RewardTrainer.
 */
export const rewardLoss: PairLoss<TrlRewardOptions> = /* @__PURE__ */ chosen(2, ({ centerRewardsCoefficient: centering, ...options }: TrlRewardOptions) => [rewardModelLoss, { ...options, centering }]);

/**
 * TRL's loss of GKD: the generalised Jensen-Shannon divergence at a temperature, which it does not multiply by its square.
 *
 *   loss[b] = beta KL(t || m) + (1 - beta) KL(s || m),   m = beta t + (1 - beta) s
 *
 * @param logits - float32 [B, T, C], the student's
 * @param teacher - float32 [B, T, C]. No gradient
 * @param options - `beta` (0.5), `temperature` (1), and those of every loss; `where` [B, T] in place of labels of -100
 * @returns float32 [B, T] ("none") or []. `withGrad`: `grad`
 * @throws RangeError as `jensenShannonLoss`
 * @example
 *   gkdLoss([[2, 0]], [[1, 0]]); // 0.0183
 * Source: TRL 1.10, GKDTrainer.generalized_jsd_loss ("batchmean").
 */
export const gkdLoss: DistillationLoss<JensenShannonOptions> = /* @__PURE__ */ divergence("gkdLoss", (options: JensenShannonOptions, where) => {
  const term = jensenShannonTerm(options, where), { temperature = 1 } = options, scale = 1 / (temperature * temperature);
  return (s, logS, t, logT, slope) => {
    const value = term(s, logS, t, logT, slope);
    slope.forEach((g, c) => (slope[c] = scale * g));
    return scale * value;
  };
});

/** Options of TRL's GRPO losses. */
export interface TrlGrpoOptions extends Pick<LossOptions, "where"> {
  /** How tokens are averaged: "dapo" and "bnpo" over all, "grpo" and "sapo" over each answer and then over answers, "dr_grpo" by `maxCompletionLength`. Default "dapo". */
  readonly lossType?: "dapo" | "bnpo" | "grpo" | "dr_grpo" | "sapo";
  /** Default 0.2. */
  readonly epsilon?: number;
  /** Default `epsilon`. */
  readonly epsilonHigh?: number;
  /** Dual clip. Default none. */
  readonly delta?: number;
  /** Default 0. */
  readonly beta?: number;
  /** float32 [B, T], with a beta. */
  readonly reference?: TensorLike;
  /** Default 1. */
  readonly sapoTemperaturePos?: number;
  /** Default 1.05. */
  readonly sapoTemperatureNeg?: number;
  /** Of "dr_grpo". */
  readonly maxCompletionLength?: number;
}

/**
 * TRL's clipped policy losses with its averages, on one process and without accumulation.
 *
 *   loss = average over tokens of -min(r A, clip(r, 1 - epsilon, 1 + epsilonHigh) A) + beta (exp(d) - d - 1)
 *
 * @param logProbs - float32 [B, T]
 * @param oldLogProbs - float32 [B, T]. No gradient
 * @param advantages - float32 [B, T]; TRL's [B] repeated over the tokens. No gradient
 * @param options - `lossType` ("dapo"), `epsilon` (0.2), `epsilonHigh`, `delta`, `sapoTemperaturePos` (1), `sapoTemperatureNeg` (1.05), `beta` (0), `reference`, `maxCompletionLength`, `where` [B, T] (the completion mask). `reduction` and `weight` are those of the lossType
 * @returns float32 []. `withGrad`: `grad` [B, T]
 * @throws RangeError for an unknown lossType, and as `grpoLoss` of the family
 * @example
 *   grpoLoss([[-1]], [[-1.1]], [[2]]); // -2.2103
 * Source: TRL 1.10, GRPOTrainer.
 */
export const grpoLoss: Loss<[logProbs: TensorLike, oldLogProbs: TensorLike, advantages: TensorLike], TrlGrpoOptions> = /* @__PURE__ */ chosen(3, (options: TrlGrpoOptions, [logProbs]) => {
  const { lossType = "dapo", epsilon = 0.2, epsilonHigh = epsilon, delta: maxRatio, sapoTemperaturePos = 1, sapoTemperatureNeg = 1.05, maxCompletionLength = 0, ...rest } = options, { shape: [answers, tokens], size } = asFloat32("grpoLoss", "logProbs", logProbs);
  for (const name of ["reduction", "weight"]) if (name in rest) throw typeError("grpoLoss", "options", "without reduction and weight, which are those of lossType", name);
  if (lossType === "dr_grpo") checkPositive("grpoLoss", "maxCompletionLength", maxCompletionLength);
  const mask = options.where === undefined ? undefined : asMask("grpoLoss", "where", options.where).data, weight = new Float32Array(size);
  for (let b = 0; b < answers; b++) {
    const row = mask?.subarray(b * tokens, (b + 1) * tokens), length = row === undefined ? tokens : row.reduce((sum, m) => sum + m, 0);
    weight.fill(1 / (answers * (lossType !== "dr_grpo" ? Math.max(1, length) : maxCompletionLength || 1)), b * tokens, (b + 1) * tokens);
  }
  const all = { reduction: "mean", weight: undefined }, own = { reduction: "sum", weight: new Tensor("float32", [answers, tokens], weight) };
  return [grpo, { ...rest, clip: [epsilon, epsilonHigh], maxRatio, ...named("grpoLoss", { dapo: all, bnpo: all, grpo: own, dr_grpo: own, sapo: { ...own, gate: [sapoTemperaturePos, sapoTemperatureNeg] } }, lossType) }];
});

import { exp, log, sigmoid, softplus } from "@logits/statistics";
import { checkPositive, rangeError } from "@logits/tensor";
import { marginTerm, smoothedLogistic, strengthOf, type PreferenceOptions, type SmoothedPreferenceOptions } from "./dpoLoss.ts";
import { pairLoss, type ReferenceLoss } from "./pairLoss.ts";

/**
 * Robust DPO: the loss whose mean over pairs that are swapped with probability e is that of DPO on clean pairs.
 *
 *   loss[b] = (-(1 - e) log sigmoid(m) + e log sigmoid(-m)) / (1 - 2e),   m = beta (a - b), the log-ratios as in `dpoLoss`
 *
 * @param chosen - float32 [B], log-probabilities of the chosen answers
 * @param rejected - float32 [B], of the rejected ones
 * @param referenceChosen - float32 [B]. No gradient
 * @param referenceRejected - float32 [B]. No gradient
 * @param options - `beta` (0.1), `labelSmoothing` e (0), and those of every loss
 * @returns float32 [B] ("none") or []; below 0 where m is far below 0: it is not bounded. `withGrad`: `grads.chosen`, `grads.rejected`
 * @throws RangeError as `dpoLoss`
 * @example
 *   robustDpoLoss([-10], [-12], [-11], [-11], { labelSmoothing: 0.1 }); // 0.5731
 * Source: Chowdhury, Kini, Natarajan, "Provably robust DPO", ICML 2024.
 */
export const robustDpoLoss: ReferenceLoss<SmoothedPreferenceOptions> = /* @__PURE__ */ pairLoss("robustDpoLoss", 4, (options: SmoothedPreferenceOptions, where) => {
  const { labelSmoothing: e = 0 } = options;
  smoothedLogistic(where, options);
  // -log sigmoid(m) - -log sigmoid(-m) = -m.
  return marginTerm(where, options, (m) => [softplus(-m) - (e * m) / (1 - 2 * e), -sigmoid(-m) - e / (1 - 2 * e)]);
});

/**
 * Identity preference optimisation: the margin is to be 1 / (2 beta), not as large as possible, so that pairs that are always won do not drive the policy away.
 *
 *   loss[b] = (a - b - 1 / (2 beta))^2
 *
 * @param chosen - float32 [B], log-probabilities of the chosen answers; the mean over tokens in the published results (`sequenceLogProbs` with `normalize`)
 * @param rejected - float32 [B], of the rejected ones
 * @param referenceChosen - float32 [B]. No gradient
 * @param referenceRejected - float32 [B]. No gradient
 * @param options - `beta` (0.1; the paper's tau), and those of every loss
 * @returns float32 [B] ("none") or []. `withGrad`: `grads.chosen`, `grads.rejected`
 * @throws RangeError as `dpoLoss`
 * @example
 *   ipoLoss([-1], [-2], [-1.5], [-1.5], { beta: 0.5 }); // 0
 * Source: Azar et al., "A general theoretical paradigm to understand learning from human preferences", AISTATS 2024.
 */
export const ipoLoss: ReferenceLoss<PreferenceOptions> = /* @__PURE__ */ pairLoss("ipoLoss", 4, (options: PreferenceOptions, where) => {
  const target = 1 / (2 * strengthOf(where, options));
  return (a, b) => {
    const error = a - b - target;
    return [error * error, 2 * error, -2 * error];
  };
});

/**
 * Sequence likelihood calibration with a hinge (SLiC): pairs whose margin is large enough take no part.
 *
 *   loss[b] = max(0, 1 - beta (a - b))
 *
 * @param chosen - float32 [B], log-probabilities of the chosen answers
 * @param rejected - float32 [B], of the rejected ones
 * @param referenceChosen - float32 [B]; zeros: the margin of the policy alone, as in the paper. No gradient
 * @param referenceRejected - float32 [B]. No gradient
 * @param options - `beta` (0.1), and those of every loss
 * @returns float32 [B] ("none") or []. `withGrad`: `grads.chosen`, `grads.rejected`, 0 at the kink
 * @throws RangeError as `dpoLoss`
 * @example
 *   slicLoss([-10], [-12], [-11], [-11]); // 0.8
 * Source: Zhao et al., "SLiC-HF" (2023); Liu et al., "Statistical rejection sampling improves preference optimization", ICLR 2024 (normalised by a reference).
 */
export const slicLoss: ReferenceLoss<PreferenceOptions> = /* @__PURE__ */ pairLoss("slicLoss", 4, (options: PreferenceOptions, where) => marginTerm(where, options, (m) => (m >= 1 ? [0, 0] : [1 - m, -1])));

/**
 * Efficient exact optimisation on pairs (EXO): the policy's own divergence from the labels, so that it seeks their mode.
 *
 *   loss[b] = KL((q, 1 - q) || (1 - e, e)),   q = sigmoid(beta (a - b))
 *
 * @param chosen - float32 [B], log-probabilities of the chosen answers
 * @param rejected - float32 [B], of the rejected ones
 * @param referenceChosen - float32 [B]. No gradient
 * @param referenceRejected - float32 [B]. No gradient
 * @param options - `beta` (0.1), `labelSmoothing` e in (0, 1/2) (1e-3: at 0 the loss is infinite), and those of every loss
 * @returns float32 [B] ("none") or []. `withGrad`: `grads.chosen`, `grads.rejected`
 * @throws RangeError as `dpoLoss`, and for a labelSmoothing of 0
 * @example
 *   exoLoss([-10], [-12], [-11], [-11]); // 2.4220
 * Source: Ji et al., "Towards efficient exact optimization of language model alignment", ICML 2024, equation 16.
 */
export const exoLoss: ReferenceLoss<SmoothedPreferenceOptions> = /* @__PURE__ */ pairLoss("exoLoss", 4, (options: SmoothedPreferenceOptions, where) => {
  const { labelSmoothing: e = 1e-3 } = options, high = log(1 - e), low = log(e);
  if (!(e > 0 && e < 0.5)) throw rangeError(where, "labelSmoothing", "in (0, 1/2)", `${e}`);
  return marginTerm(where, options, (m) => {
    const q = sigmoid(m), r = sigmoid(-m);
    return [q * (-softplus(-m) - high) + r * (-softplus(m) - low), q === 0 || r === 0 ? 0 : q * r * (m - high + low)];
  });
});

/**
 * Noise contrastive alignment of pairs (NCA): the chosen answer's likelihood rises by itself, not only against the rejected one's.
 *
 *   loss[b] = -log sigmoid(beta a) - log sigmoid(-beta a) / 2 - log sigmoid(-beta b) / 2
 *
 * @param chosen - float32 [B], log-probabilities of the chosen answers
 * @param rejected - float32 [B], of the rejected ones
 * @param referenceChosen - float32 [B]. No gradient
 * @param referenceRejected - float32 [B]. No gradient
 * @param options - `beta` (0.1), and those of every loss
 * @returns float32 [B] ("none") or []. `withGrad`: `grads.chosen`, `grads.rejected`
 * @throws RangeError as `dpoLoss`
 * @example
 *   noiseContrastiveAlignmentLoss([-10], [-12], [-11], [-11]); // 1.3388
 * Source: Chen, He, Yuan, Cui, Su, Zhu, "Noise contrastive alignment of language models with explicit rewards", NeurIPS 2024.
 */
export const noiseContrastiveAlignmentLoss: ReferenceLoss<PreferenceOptions> = /* @__PURE__ */ pairLoss("noiseContrastiveAlignmentLoss", 4, (options: PreferenceOptions, where) => {
  const beta = strengthOf(where, options);
  return (a, b) => {
    const x = beta * a, y = beta * b;
    return [softplus(-x) + (softplus(x) + softplus(y)) / 2, beta * (sigmoid(x) / 2 - sigmoid(-x)), (beta * sigmoid(y)) / 2];
  };
});

/**
 * Self-play preference optimisation with certain winners (SPPO-hard): each log-ratio is to be half a unit of 1 / beta above or below 0.
 *
 *   loss[b] = (a - 1 / (2 beta))^2 + (b + 1 / (2 beta))^2
 *
 * @param chosen - float32 [B], log-probabilities of the chosen answers
 * @param rejected - float32 [B], of the rejected ones
 * @param referenceChosen - float32 [B]. No gradient
 * @param referenceRejected - float32 [B]. No gradient
 * @param options - `beta` (0.1), and those of every loss
 * @returns float32 [B] ("none") or []. `withGrad`: `grads.chosen`, `grads.rejected`
 * @throws RangeError as `dpoLoss`
 * @example
 *   sppoLoss([-10], [-12], [-11], [-11], { beta: 0.5 }); // 0
 * Source: Wu, Sun, Yuan, Ji, Yang, Gu, "Self-play preference optimization for language model alignment", ICLR 2025, equation 4.7.
 */
export const sppoLoss: ReferenceLoss<PreferenceOptions> = /* @__PURE__ */ pairLoss("sppoLoss", 4, (options: PreferenceOptions, where) => {
  const half = 0.5 / strengthOf(where, options);
  return (a, b) => [(a - half) * (a - half) + (b + half) * (b + half), 2 * (a - half), 2 * (b + half)];
});

/**
 * Anchored preference optimisation where the chosen answers are better than the model's own (APO-zero): their likelihood rises, that of the rejected ones falls.
 *
 *   loss[b] = sigmoid(-beta a) + sigmoid(beta b)
 *
 * @param chosen - float32 [B], log-probabilities of the chosen answers
 * @param rejected - float32 [B], of the rejected ones
 * @param referenceChosen - float32 [B]. No gradient
 * @param referenceRejected - float32 [B]. No gradient
 * @param options - `beta` (0.1), and those of every loss
 * @returns float32 [B] ("none") or [], in [0, 2]. `withGrad`: `grads.chosen`, `grads.rejected`
 * @throws RangeError as `dpoLoss`
 * @example
 *   apoZeroLoss([-10], [-12], [-11], [-11]); // 0.9501
 * Source: D'Oosterlinck et al., "Anchored preference optimization and contrastive revisions", TACL 2025, equation 7.
 */
export const apoZeroLoss: ReferenceLoss<PreferenceOptions> = /* @__PURE__ */ pairLoss("apoZeroLoss", 4, (options: PreferenceOptions, where) => {
  const beta = strengthOf(where, options);
  return (a, b) => {
    const p = sigmoid(-beta * a), q = sigmoid(beta * b);
    return [p + q, -beta * p * (1 - p), beta * q * (1 - q)];
  };
});

/**
 * Anchored preference optimisation where the chosen answers are worse than the model's own (APO-down): the likelihood of both falls, that of the rejected ones more.
 *
 *   loss[b] = sigmoid(beta a) + sigmoid(-beta (a - b))
 *
 * @param chosen - float32 [B], log-probabilities of the chosen answers
 * @param rejected - float32 [B], of the rejected ones
 * @param referenceChosen - float32 [B]. No gradient
 * @param referenceRejected - float32 [B]. No gradient
 * @param options - `beta` (0.1), and those of every loss
 * @returns float32 [B] ("none") or [], in [0, 2]. `withGrad`: `grads.chosen`, `grads.rejected`
 * @throws RangeError as `dpoLoss`
 * @example
 *   apoDownLoss([-10], [-12], [-11], [-11]); // 0.9751
 * Source: D'Oosterlinck et al., "Anchored preference optimization and contrastive revisions", TACL 2025, equation 8.
 */
export const apoDownLoss: ReferenceLoss<PreferenceOptions> = /* @__PURE__ */ pairLoss("apoDownLoss", 4, (options: PreferenceOptions, where) => {
  const beta = strengthOf(where, options);
  return (a, b) => {
    const p = sigmoid(beta * a), q = sigmoid(-beta * (a - b)), slope = beta * q * (1 - q);
    return [p + q, beta * p * (1 - p) - slope, slope];
  };
});

/** Options of `discopopLoss`. */
export interface DiscopopOptions extends PreferenceOptions {
  /** The scale of the margin in the mixing weight. Default 0.05. */
  readonly tau?: number;
}

/**
 * DiscoPOP, the loss that a language model found: logistic for pairs that are lost, exponential for pairs that are won. Not convex.
 *
 *   loss[b] = -(1 - w) log sigmoid(m) + w exp(-m),   w = sigmoid(m / tau),   m = beta (a - b)
 *
 * w exp(-m) is formed as one exponential, so that it is 0 and not infinity times 0 where m is far below 0.
 *
 * @param chosen - float32 [B], log-probabilities of the chosen answers
 * @param rejected - float32 [B], of the rejected ones
 * @param referenceChosen - float32 [B]. No gradient
 * @param referenceRejected - float32 [B]. No gradient
 * @param options - `beta` (0.1; the paper has 0.05), `tau` (0.05), and those of every loss
 * @returns float32 [B] ("none") or []. `withGrad`: `grads.chosen`, `grads.rejected`
 * @throws RangeError as `dpoLoss`, and for a tau that is not positive
 * @example
 *   discopopLoss([-10], [-12], [-11], [-11]); // 0.8148
 * Source: Lu et al., "Discovering preference optimization algorithms with and for large language models", NeurIPS 2024, equation 5.
 */
export const discopopLoss: ReferenceLoss<DiscopopOptions> = /* @__PURE__ */ pairLoss("discopopLoss", 4, (options: DiscopopOptions, where) => {
  const { tau = 0.05 } = options;
  checkPositive(where, "tau", tau);
  return marginTerm(where, options, (m) => {
    const w = sigmoid(m / tau), rest = sigmoid(-m / tau), won = exp(-m - softplus(-m / tau)), logistic = softplus(-m);
    return [rest * logistic + won, -(rest === 0 || w === 0 ? 0 : (w * rest * logistic) / tau) - rest * sigmoid(-m) + (won === 0 ? 0 : won * (rest / tau - 1))];
  });
});

/** Options of `aotLoss`. */
export interface AotOptions extends SmoothedPreferenceOptions {
  /** Pairs need not belong together: the log-ratios of chosen answers against those of rejected ones. Default false: margins of the policy against those of the reference. */
  readonly unpaired?: boolean;
}

/**
 * Alignment by optimal transport (AOT): the sorted margins of the batch, so that their distribution dominates, not each pair's.
 *
 *   loss = -(1 - e) log sigmoid(beta d) - e log sigmoid(-beta d),   d = u[k] - v[k],  u and v sorted;   u = chosen - rejected, v = referenceChosen - referenceRejected
 *   `unpaired`: u = chosen - referenceChosen,  v = rejected - referenceRejected
 *
 * @param chosen - float32 [B], log-probabilities of the chosen answers; the pairs that take part are one batch
 * @param rejected - float32 [B], of the rejected ones
 * @param referenceChosen - float32 [B]. No gradient
 * @param referenceRejected - float32 [B]. No gradient
 * @param options - `beta` (0.1), `labelSmoothing` e (0), `unpaired` (false), and those of every loss
 * @returns float32 [B] ("none"; pair b has the value of the place of u[b]) or []. Equal values are in the order of the pairs. `withGrad`: `grads.chosen`, `grads.rejected`
 * @throws RangeError as `dpoLoss`
 * @example
 *   aotLoss([-10, -20], [-12, -19], [-11, -21], [-11, -21]); // 0.6713
 * Source: Melnyk et al., "Distributional preference alignment of LLMs via optimal transport", NeurIPS 2024.
 */
export const aotLoss: ReferenceLoss<AotOptions> = /* @__PURE__ */ pairLoss("aotLoss", 4, (options: AotOptions, where, ratios, lists, weights) => {
  const beta = strengthOf(where, options), of = smoothedLogistic(where, options), { unpaired } = options, [w, l, refW, refL] = lists;
  const u = unpaired ? ratios(w, refW) : ratios(w, l), v = unpaired ? ratios(l, refL) : ratios(refW, refL);
  const order = (x: Float64Array): number[] => Array.from(x.keys()).filter((i) => weights?.[i] !== 0).sort((i, j) => x[i] - x[j]), ofU = order(u), ofV = order(v);
  const partner = new Int32Array(u.length);
  ofU.forEach((i, k) => (partner[i] = ofV[k]));
  return (_a, _b, i) => {
    const j = partner[i], [value, slope] = of(beta * (u[i] - v[j]));
    return [value, beta * slope, -beta * slope, unpaired ? j : i];
  };
});

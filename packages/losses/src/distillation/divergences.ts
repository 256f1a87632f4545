import { exp, log, logAddExp } from "@logits/statistics";
import { checkRange } from "../range.ts";
import { divergence, forwardKl, klTerm, type DistillationLoss, type RowTerm } from "./divergence.ts";
import type { DistillationOptions } from "./studentLoss.ts";

/** KL(s || t). */
const reverse: RowTerm = (s, logS, _t, logT, slope) => {
  let value = 0;
  // A multiple of s more or less in the slopes changes nothing: that of s itself, in d (s log s) / d log s, is left out.
  for (let c = 0; c < s.length; c++) value += slope[c] = klTerm(s[c], logS[c], logT[c]);
  return value;
};

/**
 * Reverse Kullback-Leibler divergence, of the teacher's distribution from the student's: the student settles on one of the teacher's modes instead of covering all.
 *
 *   loss[b] = T^2 KL(s || t)
 *
 * @param logits - float32 [B, C] or [B, ..., C], the student's scores
 * @param teacher - float32, the same shape or [teachers, B, ..., C]. No gradient
 * @param options - those of `distillationLoss`
 * @returns float32 [B, ...] ("none") or []; +Infinity where the teacher excludes a class that the student does not. `withGrad`: `grad`, T s (log s - log t - KL)
 * @throws RangeError as `distillationLoss`
 * @example
 *   reverseKlLoss([[2, 0]], [[1, 0]]); // 0.0671
 * Source: Gu, Dong, Wei, Huang, "MiniLLM", ICLR 2024.
 */
export const reverseKlLoss: DistillationLoss = /* @__PURE__ */ divergence("reverseKlLoss", () => reverse);

/**
 * Jeffreys divergence: the mean of both Kullback-Leibler divergences. Some releases call it JS divergence; it has no bound, Jensen-Shannon is at most log 2.
 *
 *   loss[b] = T^2 (KL(t || s) + KL(s || t)) / 2
 *
 * @param logits - float32 [B, C] or [B, ..., C], the student's scores
 * @param teacher - float32, the same shape or [teachers, B, ..., C]. No gradient
 * @param options - those of `distillationLoss`
 * @returns float32 [B, ...] ("none") or []; at least 4 times Jensen-Shannon. `withGrad`: `grad`
 * @throws RangeError as `distillationLoss`
 * @example
 *   jeffreysLoss([[2, 0]], [[1, 0]]); // 0.0749
 * Source: Jeffreys, Proceedings of the Royal Society A 186 (1946); in distillation Cui et al., "Beyond self-supervision" (2021).
 */
export const jeffreysLoss: DistillationLoss = /* @__PURE__ */ divergence("jeffreysLoss", () => (s, logS, t, logT, slope) => {
  const value = reverse(s, logS, t, logT, slope);
  let other = 0;
  for (let c = 0; c < s.length; c++) {
    other += klTerm(t[c], logT[c], logS[c]);
    slope[c] = (slope[c] - t[c]) / 2;
  }
  return (value + other) / 2;
});

/** Options of `jensenShannonLoss`. */
export interface JensenShannonOptions extends DistillationOptions {
  /** The teacher's share of the mixture, in [0, 1]; 0 and 1 stand for KL(t || s) and KL(s || t). Default 0.5: Jensen-Shannon. */
  readonly beta?: number;
}

/**
 * Generalised Jensen-Shannon divergence; beta 0.5 is the Jensen-Shannon divergence.
 *
 *   loss[b] = T^2 (beta KL(t || m) + (1 - beta) KL(s || m)),   m = beta t + (1 - beta) s
 *
 * @param logits - float32 [B, C] or [B, ..., C], the student's scores
 * @param teacher - float32, the same shape or [teachers, B, ..., C]. No gradient
 * @param options - `beta` (0.5), and those of `distillationLoss`
 * @returns float32 [B, ...] ("none") or []; with beta 0.5 at most T^2 log 2. `withGrad`: `grad`, T (1 - beta) s (r - sum_c s r) with r = log s - log m
 * @throws RangeError as `distillationLoss`, and for a beta outside [0, 1]
 * @example
 *   jensenShannonLoss([[2, 0]], [[1, 0]]); // 0.0183
 * Source: Lin, IEEE Transactions on Information Theory 37 (1991); Agarwal et al., "On-policy distillation of language models", ICLR 2024 (beta and its limits).
 */
export const jensenShannonLoss: DistillationLoss<JensenShannonOptions> = /* @__PURE__ */ divergence("jensenShannonLoss", jensenShannonTerm);

/** The generalised Jensen-Shannon divergence of a row. */
export function jensenShannonTerm({ beta = 0.5 }: JensenShannonOptions, where: string): RowTerm {
  checkRange(where, "beta", beta, 0, 1);
  if (beta === 0) return forwardKl;
  if (beta === 1) return reverse;
  const mixture = mixtureOf(beta);
  return (s, logS, t, logT, slope) => {
    let value = 0;
    for (let c = 0; c < s.length; c++) {
      const logM = mixture(logT[c], logS[c]), own = (1 - beta) * klTerm(s[c], logS[c], logM);
      value += beta * klTerm(t[c], logT[c], logM) + own;
      slope[c] = own;
    }
    return value;
  };
}

/** Options of `skewKlLoss`. */
export interface SkewKlOptions extends DistillationOptions {
  /** How much of the other distribution is mixed in, in [0, 1]. Default 0.1. */
  readonly alpha?: number;
  /** KL(s || ...) instead of KL(t || ...). Default false. */
  readonly reverse?: boolean;
}

/**
 * Skew Kullback-Leibler divergence: against a mixture with the other distribution, so that nothing is infinite and gradients are smaller.
 *
 *   loss[b] = T^2 KL(t || alpha t + (1 - alpha) s),   `reverse`: T^2 KL(s || alpha s + (1 - alpha) t)
 *
 * @param logits - float32 [B, C] or [B, ..., C], the student's scores
 * @param teacher - float32, the same shape or [teachers, B, ..., C]. No gradient
 * @param options - `alpha` (0.1), `reverse` (false), and those of `distillationLoss`
 * @returns float32 [B, ...] ("none") or []; at most -T^2 log alpha. `withGrad`: `grad`
 * @throws RangeError as `distillationLoss`, and for an alpha outside [0, 1]
 * @example
 *   skewKlLoss([[2, 0]], [[1, 0]]); // 0.0633
 * Source: Ko, Kim, Chen, Yun, "DistiLLM", ICML 2024.
 */
export const skewKlLoss: DistillationLoss<SkewKlOptions> = /* @__PURE__ */ divergence("skewKlLoss", ({ alpha = 0.1, reverse: turned }: SkewKlOptions, where) => {
  checkRange(where, "alpha", alpha, 0, 1);
  const mixture = mixtureOf(alpha);
  return (s, logS, t, logT, slope) => {
    let value = 0;
    for (let c = 0; c < s.length; c++) {
      const logM = turned ? mixture(logS[c], logT[c]) : mixture(logT[c], logS[c]), part = turned ? klTerm(s[c], logS[c], logM) : klTerm(t[c], logT[c], logM), other = turned ? s[c] : t[c];
      value += part;
      slope[c] = other === 0 ? 0 : turned ? part - alpha * s[c] * exp(logS[c] - logM) : (alpha - 1) * t[c] * exp(logS[c] - logM);
    }
    return value;
  };
});

/**
 * Total variation distance of the two distributions.
 *
 *   loss[b] = T^2 sum_c |s[c] - t[c]| / 2
 *
 * @param logits - float32 [B, C] or [B, ..., C], the student's scores
 * @param teacher - float32, the same shape or [teachers, B, ..., C]. No gradient
 * @param options - those of `distillationLoss`
 * @returns float32 [B, ...] ("none") or [], in [0, T^2]. `withGrad`: `grad`, T s (g - sum_c s g) with g = sign(s - t) / 2
 * @throws RangeError as `distillationLoss`
 * @example
 *   totalVariationLoss([[2, 0]], [[1, 0]]); // 0.1497
 * Source: Wen, Li, Du, Mou, "f-divergence minimization for sequence-level knowledge distillation", ACL 2023.
 */
export const totalVariationLoss: DistillationLoss = /* @__PURE__ */ divergence("totalVariationLoss", () => (s, _logS, t, _logT, slope) => {
  let value = 0;
  for (let c = 0; c < s.length; c++) {
    const d = s[c] - t[c];
    value += Math.abs(d) / 2;
    slope[c] = d === 0 ? 0 : d > 0 ? s[c] / 2 : -s[c] / 2;
  }
  return value;
});

/** log(share e^a + (1 - share) e^b). */
function mixtureOf(share: number): (a: number, b: number) => number {
  const first = log(share), second = log(1 - share);
  return (a, b) => logAddExp(first + a, second + b);
}

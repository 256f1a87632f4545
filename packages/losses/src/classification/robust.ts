import { exp, log, log1p } from "@logits/statistics";
import { asFloat32, checkInteger, checkShape, defineLoss, lossRows, rangeError, type RowLossOptions, type TensorLike } from "@logits/tensor";
import { labelLoss, type LabelLoss } from "../labelLoss.ts";
import { checkChoice, checkRange } from "../range.ts";
import { rowPlan } from "../rowLoss.ts";

/** Options of `symmetricCrossEntropyLoss`. */
export interface SymmetricCrossEntropyOptions extends RowLossOptions {
  /** Factor of the cross-entropy, >= 0. Default 0.1. */
  readonly alpha?: number;
  /** Factor of the reverse cross-entropy, >= 0. Default 1. */
  readonly beta?: number;
  /** What stands for log 0 in the reverse cross-entropy, < 0. Default -4. */
  readonly logZero?: number;
}

/**
 * Symmetric cross-entropy: cross-entropy, and that with the roles of label and prediction exchanged.
 *
 *   loss = alpha (-log p[y]) + beta (-A) (1 - p[y]);   gradient = (alpha - beta A p[y]) (p - onehot(y)),   A = logZero
 *
 * alpha 0: reverse cross-entropy alone, a multiple of 1 - p; beta 0: a multiple of cross-entropy.
 *
 * @param logits - float32 [B, C] or [B, ..., C]; -Infinity = impossible class
 * @param labels - int32 [B] or [B, ...], in [0, C)
 * @param options - those of every loss, `axis`, `alpha`, `beta`, `logZero`
 * @returns float32 of the labels' shape ("none") or []; +Infinity where the labelled class is impossible, unless alpha is 0. `withGrad`: `grad`, the shape of the logits
 * @throws RangeError as `crossEntropy`, for options outside their range
 * @example
 *   symmetricCrossEntropyLoss([[0, 0]], [0]); // 0.1 log 2 + 4 / 2 = 2.0693
 * Source: Wang, Ma, Chen, Luo, Yi, Bailey, "Symmetric Cross Entropy for Robust Learning with Noisy Labels", ICCV 2019, section 3; 0.1 and 1 for CIFAR-10, 6 and 0.1 for CIFAR-100.
 */
export const symmetricCrossEntropyLoss: LabelLoss<SymmetricCrossEntropyOptions> = /* @__PURE__ */ labelLoss("symmetricCrossEntropyLoss", ({ alpha = 0.1, beta = 1, logZero = -4 }, _, where) => {
  checkRange(where, "alpha", alpha, 0);
  checkRange(where, "beta", beta, 0);
  if (!(logZero < 0 && logZero > -Infinity)) throw rangeError(where, "logZero", "a finite number < 0", `${logZero}`);
  return { value: (logP, q) => (alpha > 0 ? -alpha * logP : 0) - beta * logZero * q, slope: (logP) => alpha - beta * logZero * exp(logP) };
});

/** Options of `taylorCrossEntropyLoss`. */
export interface TaylorCrossEntropyOptions extends RowLossOptions {
  /** Terms of the series, at least 1. Default 2. */
  readonly order?: number;
}

/**
 * Taylor cross-entropy: the first terms of -log p as a series in 1 - p, between 1 - p and cross-entropy.
 *
 *   loss = sum_{k = 1..T} (1 - p[y])^k / k;   gradient = (1 - (1 - p[y])^T) (p - onehot(y))
 *
 * @param logits - float32 [B, C] or [B, ..., C]; -Infinity = impossible class
 * @param labels - int32 [B] or [B, ...], in [0, C)
 * @param options - those of every loss, `axis`, `order` T
 * @returns float32 of the labels' shape ("none") or [], at most 1 + 1/2 + ... + 1/T. `withGrad`: `grad`, the shape of the logits
 * @throws RangeError as `crossEntropy`, for an order that is no integer in [1, 1000]
 * @example
 *   taylorCrossEntropyLoss([[0, 0]], [0]); // 1/2 + 1/8 = 0.625
 * Source: Feng, Shu, Lin, Lv, Li, An, "Can Cross Entropy Loss Be Robust to Label Noise?", IJCAI 2020, equation 5.
 */
export const taylorCrossEntropyLoss: LabelLoss<TaylorCrossEntropyOptions> = /* @__PURE__ */ labelLoss("taylorCrossEntropyLoss", ({ order = 2 }, _, where) => {
  checkInteger(where, "order", order, 1, 1000);
  return {
    value(_logP, q) {
      let sum = 0;
      for (let k = order; k > 0; k--) sum = q * (1 / k + sum);
      return sum;
    },
    slope(logP) {
      // p (1 + q + ... + q^(T - 1)) keeps its digits where p is small.
      const p = exp(logP);
      let sum = 0;
      for (let k = 0; k < order; k++) sum = 1 + (1 - p) * sum;
      return p * sum;
    },
  };
});

/** Options of `normalizedCrossEntropyLoss`. */
export interface NormalizedCrossEntropyOptions extends RowLossOptions {
  /** Factor of the normalised ("active") part, >= 0. Default 1. */
  readonly alpha?: number;
  /** Factor of the reverse cross-entropy 4 (1 - p) as the "passive" part, >= 0. Default 0. */
  readonly beta?: number;
}

/**
 * Normalised cross-entropy, and with `beta` the active-passive loss NCE + RCE: cross-entropy as a share of those with all labels.
 *
 *   loss = alpha log p[y] / sum_c log p[c] + 4 beta (1 - p[y])
 *
 * @param logits - float32 [B, C] or [B, ..., C], C at least 2; -Infinity = impossible class
 * @param labels - int32 [B] or [B, ...], in [0, C)
 * @param options - those of every loss, `axis`, `alpha`, `beta`
 * @returns float32 of the labels' shape ("none") or []; the first part is in [0, 1]; impossible classes are left out of its sum, and an impossible label has 1. `withGrad`: `grad`, the shape of the logits
 * @throws RangeError as `crossEntropy`, for options outside their range
 * @example
 *   normalizedCrossEntropyLoss([[0, 0, 0, 0]], [2]); // 0.25
 * Source: Ma, Huang, Wang, Romano, Erfani, Bailey, "Normalized Loss Functions for Deep Learning with Noisy Labels", ICML 2020, equations 8 and 14; logs 0 as -4.
 */
export const normalizedCrossEntropyLoss: LabelLoss<NormalizedCrossEntropyOptions> = /* @__PURE__ */ defineLoss("normalizedCrossEntropyLoss", 2, (where, [logits, labels], options) => {
  const { alpha = 1, beta = 0 } = options, rows = lossRows(where, logits, labels, options), { y, classes } = rows;
  checkRange(where, "alpha", alpha, 0);
  checkRange(where, "beta", beta, 0);
  return rowPlan(where, rows, (row, p, logP, pull) => {
    const label = y[row];
    let all = 0, rest = 0;
    for (let c = 0; c < classes; c++) {
      if (logP[c] !== -Infinity) all += logP[c];
      if (c !== label) rest += p[c];
    }
    const impossible = logP[label] === -Infinity, share = impossible ? 1 : all === 0 ? 0 : logP[label] / all;
    if (!impossible && all !== 0) for (let c = 0; c < classes; c++) if (logP[c] !== -Infinity) pull[c] = (alpha * ((c === label ? 1 : 0) - share)) / all;
    pull[label] -= 4 * beta * p[label];
    return alpha * share + 4 * beta * rest;
  });
});

/** Options of `bootstrapLoss`. */
export interface BootstrapOptions extends RowLossOptions {
  /** Share of the label in the target, in [0, 1]. Default 0.95 (soft), 0.8 (hard). */
  readonly beta?: number;
  /** "soft": the prediction is the rest of the target, and moves with it; "hard": its most probable class, as a constant. Default "soft". */
  readonly target?: "soft" | "hard";
}

/**
 * Bootstrapped cross-entropy: part of the target is the prediction itself.
 *
 *   loss = -sum_c (beta onehot(y)[c] + (1 - beta) r[c]) log p[c],   r = p ("soft") or onehot(argmax p) ("hard")
 *
 * @param logits - float32 [B, C] or [B, ..., C]; -Infinity = impossible class
 * @param labels - int32 [B] or [B, ...], in [0, C)
 * @param options - those of every loss, `axis`, `beta`, `target`
 * @returns float32 of the labels' shape ("none") or []; +Infinity where the labelled class is impossible. Ties of the argmax: the lowest class. `withGrad`: `grad`, the shape of the logits
 * @throws RangeError as `crossEntropy`, for a beta outside [0, 1]
 * @example
 *   bootstrapLoss([[2, 0]], [1], { target: "hard" }); // 0.8 * 2.1269 + 0.2 * 0.1269 = 1.7269
 * Source: Reed, Lee, Anguelov, Szegedy, Erhan, Rabinovich, "Training Deep Neural Networks on Noisy Labels with Bootstrapping", ICLR 2015 workshop, equations 6 and 7.
 */
export const bootstrapLoss: LabelLoss<BootstrapOptions> = /* @__PURE__ */ defineLoss("bootstrapLoss", 2, (where, [logits, labels], options) => {
  const { target = "soft" } = options, { beta = target === "soft" ? 0.95 : 0.8 } = options, rows = lossRows(where, logits, labels, options), { y, classes } = rows;
  checkChoice(where, "target", target, ["soft", "hard"]);
  checkRange(where, "beta", beta, 0, 1);
  return rowPlan(where, rows, (row, p, logP, pull) => {
    let sum = beta > 0 ? -beta * logP[y[row]] : 0, top = 0;
    for (let c = 0; c < classes; c++) {
      if (logP[c] > logP[top]) top = c;
      if (target === "hard" || p[c] === 0) continue;
      sum -= (1 - beta) * p[c] * logP[c];
      pull[c] = -(1 - beta) * p[c] * (1 + logP[c]);
    }
    if (target === "hard" && beta < 1) {
      sum -= (1 - beta) * logP[top];
      pull[top] = beta - 1;
    }
    pull[y[row]] -= beta;
    return sum;
  });
});

/** Options of `forwardCorrectionLoss`. */
export interface ForwardCorrectionOptions extends RowLossOptions {
  /** float32 [C, C]: `noise[i, j]` = P(label j is given | class i is true), finite and not negative, rows summing to 1 within 1e-5. */
  readonly noise: TensorLike;
}

/**
 * Cross-entropy of what the noise makes of the prediction: the network itself learns the clean classes.
 *
 *   loss = -log sum_c p[c] noise[c, y]
 *
 * @param logits - float32 [B, C] or [B, ..., C]; -Infinity = impossible class
 * @param labels - int32 [B] or [B, ...], in [0, C): the noisy ones
 * @param options - those of every loss, `axis`, and `noise` [C, C], which must be given
 * @returns float32 of the labels' shape ("none") or []; +Infinity where no possible class gives the label. The identity as noise: cross-entropy. `withGrad`: `grad`, the shape of the logits
 * @throws RangeError as `crossEntropy`, for another shape of `noise`, a row of it that is no distribution
 * @example
 *   forwardCorrectionLoss([[0, 0]], [0], { noise: [[0.8, 0.2], [0.4, 0.6]] }); // -log 0.6 = 0.5108
 * Source: Patrini, Rozza, Menon, Nock, Qu, "Making Deep Neural Networks Robust to Label Noise: a Loss Correction Approach", CVPR 2017, theorem 2.
 */
export const forwardCorrectionLoss: LabelLoss<ForwardCorrectionOptions> = /* @__PURE__ */ defineLoss("forwardCorrectionLoss", 2, (where, [logits, labels], options) => {
  const rows = lossRows(where, logits, labels, options), { y, classes } = rows, noise = asFloat32(where, "noise", options.noise), data = noise.data.slice();
  checkShape(where, "noise", noise, [classes, classes]);
  for (let i = 0; i < classes; i++) {
    const row = data.subarray(i * classes, (i + 1) * classes), sum = row.reduce((a, b) => a + b, 0);
    if (!(Math.abs(sum - 1) <= 1e-5) || row.some((v) => v < 0)) throw rangeError(where, "noise", "to have rows that are not negative and sum to 1", `${row.join(", ")} in row ${i}`);
  }
  return rowPlan(where, rows, (row, _, logP, pull) => {
    // Relative to the largest term, so that a small sum keeps its digits; near 1 the complement keeps them.
    const terms = logP.map((v, c) => (data[c * classes + y[row]] === 0 ? -Infinity : v + log(data[c * classes + y[row]]))), top = terms.reduce((a, b) => (a > b || a !== a ? a : b), -Infinity);
    if (top === -Infinity) return Infinity;
    let sum = 0;
    for (let c = 0; c < classes; c++) sum += pull[c] = exp(terms[c] - top);
    for (let c = 0; c < classes; c++) pull[c] /= -sum;
    return -top - log1p(sum - 1);
  });
});

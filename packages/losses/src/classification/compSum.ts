import { exp, expm1, log } from "@logits/statistics";
import type { LossRows, RowLossOptions } from "@logits/tensor";
import { labelLoss, type LabelLoss, type LabelTerms } from "../labelLoss.ts";
import { checkRange, checkShare } from "../range.ts";

/** (p^-k - 1) / k with k = 1 - tau: 1 / p - 1, -log p (k = 0), ..., 1 - p. */
const powerTerms = (k: number): LabelTerms => ({ value: (logP) => (k === 0 ? -logP : expm1(-k * logP) / k), slope: (logP) => exp(-k * logP) });

/** The same for k > 0, where 1 / p[y]^k grows without bound while p[c] falls to 0: their product as one exponential, so that neither is infinite or 0 before the other. */
function steepTerms(k: number, { z, y, rows, classes }: LossRows): LabelTerms {
  const { value } = powerTerms(k), logPs = new Float64Array(rows), logZs = new Float64Array(rows);
  return {
    value(logP, q, row, logZ) {
      logPs[row] = logP;
      logZs[row] = logZ;
      return value(logP, q, row, logZ);
    },
    slope: () => 0,
    finish(grad, coefficients) {
      const x = z.data;
      for (let row = 0; row < rows; row++) {
        if (coefficients[row] === 0) continue;
        const first = row * classes, own = first + y[row], impossible = logPs[row] === logPs[row] ? 0 : NaN;
        let sum = 0;
        for (let i = first; i < first + classes; i++) if (i !== own) sum += grad[i] = coefficients[row] * (x[i] === -Infinity ? impossible : exp(x[i] - logZs[row] - k * logPs[row]));
        grad[own] = -sum;
      }
    },
  };
}

/** Options of `compSumLoss`. */
export interface CompSumOptions extends RowLossOptions {
  /** Which one, in [0, 2]: 0 sum of exponentials, 1 cross-entropy, between 1 and 2 generalised cross-entropy with q = tau - 1, 2 mean absolute error. Default 1. */
  readonly tau?: number;
}

/**
 * The comp-sum losses: functions of the sum of exponentials of score differences, from the sum itself over cross-entropy to 1 - p.
 *
 *   u = sum_{c != y} exp(x[c] - x[y]) = 1 / p[y] - 1;   loss = ((1 + u)^(1 - tau) - 1) / (1 - tau),   log(1 + u) for tau = 1
 *   gradient = p[y]^(tau - 1) (p - onehot(y))
 *
 * @param logits - float32 [B, C] or [B, ..., C]; -Infinity = impossible class
 * @param labels - int32 [B] or [B, ...], in [0, C)
 * @param options - those of every loss, `axis`, `tau`
 * @returns float32 of the labels' shape ("none") or []. An impossible label: +Infinity for tau <= 1, else 1 / (tau - 1). For tau < 1 values and gradients grow like exp of the score differences, to +Infinity and -Infinity where float32 ends. `withGrad`: `grad`, the shape of the logits
 * @throws RangeError as `crossEntropy`, for a tau outside [0, 2]
 * @example
 *   compSumLoss([[0, 0, 0]], [1], { tau: 0 }); // 2
 * Source: Mao, Mohri, Zhong, "Cross-Entropy Loss Functions: Theoretical Analysis and Applications", ICML 2023, section 2.
 */
export const compSumLoss: LabelLoss<CompSumOptions> = /* @__PURE__ */ labelLoss("compSumLoss", ({ tau = 1 }, rows, where) => {
  checkRange(where, "tau", tau, 0, 2);
  return tau < 1 ? steepTerms(1 - tau, rows) : powerTerms(1 - tau);
});

/** Options of `generalizedCrossEntropyLoss`. */
export interface GeneralizedCrossEntropyOptions extends RowLossOptions {
  /** In [0, 1]: 0 cross-entropy, 1 mean absolute error. Default 0.7. */
  readonly q?: number;
  /** Rows whose label has at most this probability, in [0, 1), get the loss at it and no gradient. Default 0: all count; the paper 0.5 after a start without. */
  readonly threshold?: number;
}

/**
 * Generalised cross-entropy: between cross-entropy and 1 - p, so that wrong labels pull less.
 *
 *   loss = (1 - p[y]^q) / q;   gradient = p[y]^q (p - onehot(y)).   Truncated: (1 - k^q) / q where p[y] <= k
 *
 * @param logits - float32 [B, C] or [B, ..., C]; -Infinity = impossible class
 * @param labels - int32 [B] or [B, ...], in [0, C)
 * @param options - those of every loss, `axis`, `q`, `threshold` k
 * @returns float32 of the labels' shape ("none") or [], at most 1 / q, which an impossible label has. `withGrad`: `grad`, the shape of the logits
 * @throws RangeError as `crossEntropy`, for options outside their range
 * @example
 *   generalizedCrossEntropyLoss([[0, 0]], [0], { q: 1 }); // 0.5
 * Source: Zhang and Sabuncu, "Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy Labels", NeurIPS 2018, equations 6 and 9.
 */
export const generalizedCrossEntropyLoss: LabelLoss<GeneralizedCrossEntropyOptions> = /* @__PURE__ */ labelLoss("generalizedCrossEntropyLoss", ({ q = 0.7, threshold = 0 }, _, where) => {
  checkRange(where, "q", q, 0, 1);
  checkShare(where, "threshold", threshold);
  const { value, slope } = powerTerms(-q), least = threshold === 0 ? -Infinity : log(threshold);
  return { value: (logP, rest, row, logZ) => value(logP < least ? least : logP, rest, row, logZ), slope: (logP, rest, row) => (logP <= least && threshold > 0 ? 0 : slope(logP, rest, row)) };
});

/**
 * Mean absolute error of a softmax with its one-hot label.
 *
 *   loss = sum_c |p[c] - onehot(y)[c]| = 2 (1 - p[y]);   gradient = 2 p[y] (p - onehot(y))
 *
 * @param logits - float32 [B, C] or [B, ..., C]; -Infinity = impossible class
 * @param labels - int32 [B] or [B, ...], in [0, C)
 * @param options - those of every loss, `axis`
 * @returns float32 of the labels' shape ("none") or [], at most 2. `withGrad`: `grad`, the shape of the logits
 * @throws RangeError as `crossEntropy`
 * @example
 *   labelMaeLoss([[0, 0]], [0]); // 1
 * Source: Ghosh, Kumar, Sastry, "Robust Loss Functions under Label Noise for Deep Neural Networks", AAAI 2017.
 */
export const labelMaeLoss: LabelLoss = /* @__PURE__ */ labelLoss("labelMaeLoss", () => ({ value: (_, q) => 2 * q, slope: (logP) => 2 * exp(logP) }));

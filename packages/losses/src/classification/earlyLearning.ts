import { softmax } from "@logits/core-wasm/softmax";
import { log } from "@logits/statistics";
import { asFloat32, asInt32, checkInteger, checkLabels, checkShape, defineLoss, lossRows, Tensor, type Loss, type RowLossOptions, type TensorLike } from "@logits/tensor";
import { checkRange, checkShare } from "../range.ts";
import { rowPlan } from "../rowLoss.ts";
import { targetRows } from "../targetRows.ts";

/** Probabilities are taken as at least this and at most 1 less it. */
const CLAMP = 1e-4;

/** Options of `earlyLearningLoss`. */
export interface EarlyLearningOptions extends RowLossOptions {
  /** Factor of the regulariser, >= 0; 0: cross-entropy. Default 3. */
  readonly lambda?: number;
}

/**
 * Early-learning regularisation: cross-entropy, and a reward for staying near what was predicted before, so that wrong labels are not memorised.
 *
 *   loss = -log p[y] + lambda log(1 - sum_c p[c] t[c]),   in the second term p is held within [1e-4, 1 - 1e-4], with gradient 0 beyond
 *
 * The targets are constants: averages of earlier predictions (`TemporalEnsemble`).
 *
 * @param logits - float32 [B, C] or [B, ..., C]; -Infinity = impossible class
 * @param labels - int32 [B] or [B, ...], in [0, C)
 * @param targets - float32, the shape of the logits: probabilities, or less in the beginning
 * @param options - those of every loss, `axis`, `lambda`
 * @returns float32 of the labels' shape ("none") or [], negative where p and t agree on another class; +Infinity where the labelled class is impossible; NaN for targets that sum to more than 1. `withGrad`: `grad`, the shape of the logits
 * @throws RangeError as `crossEntropy`, for targets of another shape, a negative lambda
 * @example
 *   earlyLearningLoss([[0, 0]], [0], [[0.5, 0]]); // log 2 + 3 log 0.75 = -0.1699
 * Source: Liu, Niles-Weed, Razavian, Fernandez-Granda, "Early-Learning Regularization Prevents Memorization of Noisy Labels", NeurIPS 2020, equation 6; lambda 3 and the clamp as in its code for CIFAR-10.
 */
export const earlyLearningLoss: Loss<[logits: TensorLike, labels: TensorLike, targets: TensorLike], EarlyLearningOptions> = /* @__PURE__ */ defineLoss("earlyLearningLoss", 3, (where, [logits, labels, targets], options) => {
  const { lambda = 3 } = options, rows = lossRows(where, logits, labels, options), { y, classes } = rows, t = targetRows(where, "targets", targets, rows, options).z.data;
  checkRange(where, "lambda", lambda, 0);
  return rowPlan(where, rows, (row, p, logP, pull) => {
    let rest = 1;
    for (let c = 0, i = row * classes; c < classes; c++, i++) rest -= Math.min(Math.max(p[c], CLAMP), 1 - CLAMP) * t[i];
    for (let c = 0, i = row * classes; c < classes; c++, i++) if (p[c] > CLAMP && p[c] < 1 - CLAMP) pull[c] = (-lambda * p[c] * t[i]) / rest;
    pull[y[row]] -= 1;
    return (lambda > 0 ? lambda * log(rest) : 0) - logP[y[row]];
  });
});

/**
 * Averages of the predictions of every row of a training set: the targets of `earlyLearningLoss`. Its state is N C numbers.
 *
 *   t <- beta t + (1 - beta) p,   p = softmax(logits), held within [1e-4, 1 - 1e-4] and made to sum to 1 again
 *
 * @example
 *   const ensemble = new TemporalEnsemble(50000, 10);
 *   const targets = ensemble.update(rows, logits); // then earlyLearningLoss.withGrad(logits, labels, targets)
 * Source: as `earlyLearningLoss`; Laine and Aila, "Temporal Ensembling for Semi-Supervised Learning", ICLR 2017.
 */
export class TemporalEnsemble {
  readonly beta: number;
  /** float32 [N, C]: the averages, 0 for rows that were never seen. */
  readonly targets: Tensor<"float32">;

  /**
   * @param rows - N, at least 1
   * @param classes - C, at least 1
   * @param options - `beta` in [0, 1), the share of the past; default 0.7
   * @throws RangeError for sizes that are none, a beta outside [0, 1)
   */
  constructor(rows: number, classes: number, { beta = 0.7 }: { readonly beta?: number } = {}) {
    const where = "TemporalEnsemble";
    checkInteger(where, "rows", rows, 1, 2147483647);
    checkInteger(where, "classes", classes, 1, 2147483647);
    checkShare(where, "beta", beta);
    this.beta = beta;
    this.targets = new Tensor("float32", [rows, classes], new Float32Array(rows * classes));
  }

  /**
   * Takes the predictions of some rows in, and gives their averages.
   * @param rows - int32 [B], in [0, N)
   * @param logits - float32 [B, C]
   * @returns float32 [B, C]: a copy
   * @throws RangeError for other shapes, a row outside [0, N), with its index
   */
  update(rows: TensorLike, logits: TensorLike): Tensor<"float32"> {
    const where = "TemporalEnsemble.update", at = asInt32(where, "rows", rows), z = asFloat32(where, "logits", logits), [n, classes] = this.targets.shape, t = this.targets.data;
    checkShape(where, "logits", z, [at.size, classes]);
    checkLabels(where, "rows", at, n);
    const p = softmax(z).data.map((v) => Math.min(Math.max(v, CLAMP), 1 - CLAMP)), out = new Float32Array(z.size);
    at.data.forEach((row, b) => {
      let sum = 0;
      for (let c = 0; c < classes; c++) sum += p[b * classes + c];
      for (let c = 0; c < classes; c++) out[b * classes + c] = t[row * classes + c] = this.beta * t[row * classes + c] + ((1 - this.beta) * p[b * classes + c]) / sum;
    });
    return new Tensor("float32", z.shape, out);
  }
}

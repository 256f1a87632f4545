import { defineLoss, lossRows, scoreRows, type Loss, type RowLossOptions, type TensorLike } from "@logits/tensor";
import type { LabelLoss } from "../labelLoss.ts";
import { checkRange } from "../range.ts";
import { rowPlan } from "../rowLoss.ts";
import { targetRows } from "../targetRows.ts";

/** sum_c p log p; adds `times` its derivative to `pull`. */
function negativeEntropy(p: Float64Array, logP: Float64Array, pull: Float64Array, times: number): number {
  let sum = 0;
  for (let c = 0; c < p.length; c++) {
    if (p[c] === 0) continue;
    sum += p[c] * logP[c];
    pull[c] += times * p[c] * (1 + logP[c]);
  }
  return times * sum + 0;
}

/**
 * Entropy of the prediction, in nats: minimised, it makes predictions on rows without labels sure.
 *
 *   loss = -sum_c p[c] log p[c];   gradient[c] = -p[c] (log p[c] + loss)
 *
 * @param logits - float32 [B, C] or [B, ..., C]; -Infinity = impossible class
 * @param options - those of every loss, `axis`
 * @returns float32 [B], [B, ...] ("none") or [], between 0 and log C. A row with NaN or +Infinity, or of -Infinity only: NaN. `withGrad`: `grad`, the shape of the logits
 * @throws RangeError for another shape, weights or a mask that are none
 * @example
 *   entropyLoss([[0, 0]]); // log 2 = 0.6931
 * Source: Grandvalet and Bengio, "Semi-supervised Learning by Entropy Minimization", NeurIPS 2004.
 */
export const entropyLoss: Loss<[logits: TensorLike], RowLossOptions> = /* @__PURE__ */ defineLoss("entropyLoss", 1, (where, [logits], options) =>
  rowPlan(where, scoreRows(where, "logits", logits, options), (_row, p, logP, pull) => negativeEntropy(p, logP, pull, -1)),
);

/** Options of `confidencePenaltyLoss`. */
export interface ConfidencePenaltyOptions extends RowLossOptions {
  /** Factor of the entropy, >= 0; 0: cross-entropy. Default 0.1. */
  readonly beta?: number;
}

/**
 * Cross-entropy less a share of the prediction's entropy, which keeps predictions from being too sure.
 *
 *   loss = -log p[y] - beta H(p),   H(p) = -sum_c p[c] log p[c]
 *
 * @param logits - float32 [B, C] or [B, ..., C]; -Infinity = impossible class
 * @param labels - int32 [B] or [B, ...], in [0, C)
 * @param options - those of every loss, `axis`, `beta`
 * @returns float32 of the labels' shape ("none") or []; +Infinity where the labelled class is impossible. `withGrad`: `grad`, the shape of the logits
 * @throws RangeError as `crossEntropy`, for a negative beta
 * @example
 *   confidencePenaltyLoss([[0, 0]], [0]); // 0.9 log 2 = 0.6238
 * Source: Pereyra, Tucker, Chorowski, Kaiser, Hinton, "Regularizing Neural Networks by Penalizing Confident Output Distributions", ICLR 2017 workshop, section 3.
 */
export const confidencePenaltyLoss: LabelLoss<ConfidencePenaltyOptions> = /* @__PURE__ */ defineLoss("confidencePenaltyLoss", 2, (where, [logits, labels], options) => {
  const { beta = 0.1 } = options, rows = lossRows(where, logits, labels, options);
  checkRange(where, "beta", beta, 0);
  return rowPlan(where, rows, (row, p, logP, pull) => {
    const penalty = negativeEntropy(p, logP, pull, beta);
    pull[rows.y[row]] -= 1;
    return penalty - logP[rows.y[row]];
  });
});

/**
 * Brier loss: squared distance of the probabilities to the targets, which are not differentiated.
 *
 *   loss = sum_c (p[c] - t[c])^2;   gradient = 2 (p (p - t) - p sum_k p[k] (p[k] - t[k])): the softmax's vector-Jacobian product of twice the residual
 *
 * @param logits - float32 [B, C] or [B, ..., C]; -Infinity = impossible class
 * @param targets - float32, the shape of the logits; usually probabilities (`smoothLabels(labels, C, 0)` for labels)
 * @param options - those of every loss, `axis`
 * @returns float32 [B], [B, ...] ("none") or [], between 0 and 2 for probabilities. A row with NaN or +Infinity, or of -Infinity only: NaN. `withGrad`: `grad`, the shape of the logits
 * @throws RangeError for another shape, weights or a mask that are none
 * @example
 *   brierLoss([[0, 0]], [[1, 0]]); // 0.25 + 0.25 = 0.5
 * Source: Brier, Monthly Weather Review 78 (1950).
 */
export const brierLoss: Loss<[logits: TensorLike, targets: TensorLike], RowLossOptions> = /* @__PURE__ */ defineLoss("brierLoss", 2, (where, [logits, targets], options) => {
  const rows = scoreRows(where, "logits", logits, options), t = targetRows(where, "targets", targets, rows, options).z.data;
  return rowPlan(where, rows, (row, p, _, pull) => {
    let sum = 0;
    for (let c = 0, i = row * p.length; c < p.length; c++, i++) {
      const gap = p[c] - t[i];
      sum += gap * gap;
      pull[c] = 2 * p[c] * gap;
    }
    return sum;
  });
});

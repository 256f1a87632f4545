import { logSoftmax, softmax } from "@logits/core-wasm";
import { checkPositive, defineLoss, scoreRows, type Loss, type RowLossOptions, type TensorLike } from "@logits/tensor";
import { checkRange } from "../range.ts";
import { targetRows } from "../targetRows.ts";

/** Options of `consistencyLoss` beside those of every loss. */
export interface ConsistencyOptions extends RowLossOptions {
  /** T of the target: below 1 sharpens it. Default 1. */
  readonly temperature?: number;
  /** Rows whose target has a largest probability (at T = 1) below this have the loss 0; they stay in the mean. Default 0. */
  readonly threshold?: number;
}

/**
 * Consistency of two views: the prediction of one, sharpened, is the target of the other.
 *
 *   loss[b] = [max_c q[b, c] >= threshold] KL(softmax(targetLogits / T) || softmax(logits)),   q = softmax(targetLogits)
 *
 * @param logits - float32 [B, C] or [B, ..., C], of the strongly augmented view; -Infinity = impossible class
 * @param targetLogits - float32, the same shape, of the weak view; it gets no gradient
 * @param options - `temperature` (1; UDA 0.4), `threshold` (0; UDA 0.8); those of every loss; `axis` of the classes
 * @returns float32 [B] ("none") or []; +Infinity where the target has mass on an impossible class. A row with NaN or +Infinity, or of -Infinity only: NaN. `withGrad`: `grad`, softmax(logits) - target
 * @throws RangeError for another shape, a temperature that is not positive, a threshold outside [0, 1]
 * @example
 *   const { loss, grad } = consistencyLoss.withGrad(strongLogits, weakLogits, { temperature: 0.4, threshold: 0.8 });
 * Source: Xie, Dai, Hovy, Luong, Le, "Unsupervised data augmentation for consistency training", NeurIPS 2020 (arXiv:1904.12848).
 */
export const consistencyLoss: Loss<[logits: TensorLike, targetLogits: TensorLike], ConsistencyOptions> = /* @__PURE__ */ defineLoss("consistencyLoss", 2, (where, [logits, targetLogits], options) => {
  const { temperature = 1, threshold = 0 } = options, least = Math.fround(threshold), student = scoreRows(where, "logits", logits, options), { z, rows, classes, shape, weights, gradient } = student, target = targetRows(where, "targetLogits", targetLogits, student, options);
  checkPositive(where, "temperature", temperature);
  checkRange(where, "threshold", threshold, 0, 1);
  return {
    shape,
    weights,
    pass(coefficients) {
      const logP = logSoftmax(z).data, logT = logSoftmax(target.z, { temperature }).data, t = softmax(target.z, { temperature }).data, q = temperature === 1 ? t : softmax(target.z).data;
      const p = coefficients && softmax(z).data, values = new Float64Array(rows), grad = new Float32Array(p ? z.size : 0);
      for (let i = 0; i < rows; i++) {
        const first = i * classes, end = first + classes;
        // NaN is no confidence below the threshold: it comes through.
        if (weights?.[i] === 0 || q.subarray(first, end).every((x) => x < least)) continue;
        for (let k = first; k < end; k++) if (t[k] !== 0) values[i] += t[k] * (logT[k] - logP[k]);
        if (p) for (let k = first; k < end; k++) grad[k] = coefficients[i] * (p[k] - t[k]);
      }
      return { values, gradients: () => ({ grad: gradient(grad) }) };
    },
  };
});

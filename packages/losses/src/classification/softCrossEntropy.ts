import { asInt32, checkInteger, checkLabels, defineLoss, scoreRows, Tensor, type Loss, type RowLossOptions, type TensorLike } from "@logits/tensor";
import { checkRange, perClass } from "../range.ts";
import { rowPlan } from "../rowLoss.ts";
import { targetRows } from "../targetRows.ts";

/** Options of `softCrossEntropy`. */
export interface SoftCrossEntropyOptions extends RowLossOptions {
  /** float32 [C], finite and not negative: factors of the targets. They do not enter the mean. */
  readonly classWeight?: TensorLike;
}

/**
 * Cross-entropy of logits with targets that are numbers for every class, in nats. They need not sum to 1.
 *
 *   loss[b] = sum_c w[c] t[b, c] (log Z[b] - logits[b, c])
 *   d loss / d logits[b, c] = p[b, c] sum_k w[k] t[b, k] - w[c] t[b, c],   d loss / d t[b, c] = w[c] (log Z[b] - logits[b, c])
 *
 * @param logits - float32 [B, C] or [B, ..., C]; -Infinity = impossible class
 * @param targets - float32, the shape of the logits; usually probabilities
 * @param options - those of every loss, `axis`, `classWeight` [C]
 * @returns float32 [B], [B, ...] ("none") or []. A target of 0 adds 0, on an impossible class too; another target there: +Infinity. A row with NaN or +Infinity among its logits, or of -Infinity only: NaN.
 *   `withGrad`: `grads.logits` and `grads.targets`; the latter +Infinity where the class is impossible
 * @throws RangeError for another shape, weights or a mask that are none
 * @example
 *   softCrossEntropy([[0, 0]], [[0.5, 0.5]]); // log 2 = 0.6931
 * Source: Goodfellow, Bengio, Courville, Deep Learning (2016), 6.2.2.3.
 */
export const softCrossEntropy: Loss<[logits: TensorLike, targets: TensorLike], SoftCrossEntropyOptions, { readonly grads: { readonly logits: Tensor<"float32">; readonly targets: Tensor<"float32"> } }> = /* @__PURE__ */ defineLoss(
  "softCrossEntropy",
  2,
  (where, [logits, targets], options) => {
    const rows = scoreRows(where, "logits", logits, options), { z: t, gradient } = targetRows(where, "targets", targets, rows, options), { classes } = rows;
    const w = options.classWeight === undefined ? undefined : perClass(where, "classWeight", options.classWeight, classes), ofTargets = new Float32Array(t.size);
    const plan = rowPlan(where, rows, (row, _, logP, pull, coefficient) => {
      let sum = 0;
      for (let c = 0, i = row * classes; c < classes; c++, i++) {
        const share = w === undefined ? 1 : w[c];
        if (coefficient !== 0) ofTargets[i] = -coefficient * share * logP[c];
        pull[c] = -share * t.data[i];
        if (pull[c] !== 0) sum += pull[c] * logP[c];
      }
      return sum;
    });
    return {
      ...plan,
      pass(coefficients) {
        const { values, gradients } = plan.pass(coefficients);
        return { values, gradients: () => ({ grads: { logits: gradients().grad, targets: gradient(ofTargets) } }) };
      },
    };
  },
);

/**
 * Integer labels as targets, with a share spread evenly over the classes.
 *
 *   t[..., c] = (1 - e) [c = labels[...]] + e / C
 *
 * @param labels - int32 [B] or of more axes, in [0, C)
 * @param classes - C, at least 1
 * @param smoothing - e in [0, 1]; default 0.1
 * @returns float32 [..., C]; 0: one-hot
 * @throws RangeError for a label outside [0, C), with its index, or a smoothing outside [0, 1]
 * @example
 *   smoothLabels([1], 4, 0.2); // 0.05, 0.85, 0.05, 0.05
 * Source: Szegedy et al., "Rethinking the Inception Architecture", CVPR 2016, section 7.
 */
export function smoothLabels(labels: TensorLike, classes: number, smoothing = 0.1): Tensor<"float32"> {
  const where = "smoothLabels", y = asInt32(where, "labels", labels);
  checkInteger(where, "classes", classes, 1, 2147483647);
  checkRange(where, "smoothing", smoothing, 0, 1);
  checkLabels(where, "labels", y, classes);
  const out = new Float32Array(y.size * classes).fill(smoothing / classes);
  y.data.forEach((label, i) => (out[i * classes + label] = 1 - smoothing + smoothing / classes));
  return new Tensor("float32", [...y.shape, classes], out);
}

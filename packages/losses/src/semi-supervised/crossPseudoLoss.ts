import { Tensor, defineLoss, scoreRows, type Loss, type RowLossOptions, type TensorLike } from "@logits/tensor";
import { labelPlan } from "../labelLoss.ts";
import { checkRange } from "../range.ts";
import { targetRows } from "../targetRows.ts";
import { answersOf } from "./predictions.ts";

/** Options of `crossPseudoLoss` beside those of every loss. */
export interface CrossPseudoOptions extends RowLossOptions {
  /** An answer below this confidence teaches nothing; the row stays in the mean. Default 0. */
  readonly threshold?: number;
}

/**
 * Cross pseudo supervision: two models, each taught by the other's answers.
 *
 *   loss[b] = [max p2 >= threshold] CE(logits1[b], argmax p2[b]) + [max p1 >= threshold] CE(logits2[b], argmax p1[b])
 *
 * For more than two models add the losses of their pairs.
 *
 * @param logits1 - float32 [B, C] or [B, ..., C]
 * @param logits2 - float32, the same shape
 * @param options - `threshold` (0); those of every loss; `axis` of the classes
 * @returns float32 [B] ("none") or []. `withGrad`: `grads` of both; answers are constants, no gradient flows through them
 * @throws RangeError for another shape, a row with NaN or without a possible class, a threshold outside [0, 1]
 * @example
 *   const { loss, grads } = crossPseudoLoss.withGrad(a, b); // grads.logits1, grads.logits2
 * Source: Chen, Yuan, Zeng, Wang, "Semi-supervised semantic segmentation with cross pseudo supervision", CVPR 2021 (arXiv:2106.01226).
 */
export const crossPseudoLoss: Loss<[logits1: TensorLike, logits2: TensorLike], CrossPseudoOptions, { readonly grads: { readonly logits1: Tensor<"float32">; readonly logits2: Tensor<"float32"> } }> = /* @__PURE__ */ defineLoss("crossPseudoLoss", 2, (where, [logits1, logits2], options) => {
  const { threshold = 0 } = options, first = scoreRows(where, "logits1", logits1, options), second = targetRows(where, "logits2", logits2, first, options, "logits1"), { shape, weights, classes } = first;
  checkRange(where, "threshold", threshold, 0, 1);
  const taught = (own: typeof first, argument: string, other: typeof first) => {
    // Rows that take no part may hold anything.
    const clean = weights === undefined ? other.z : new Tensor("float32", other.z.shape, other.z.data.map((x, k) => (weights[Math.floor(k / classes)] === 0 ? 0 : x)));
    const { labels, confidence } = answersOf(where, argument, clean), trust = confidence.map((p) => Number(p >= Math.fround(threshold)));
    return labelPlan(where, { ...own, weights, y: labels }, { value: (logP, _, row) => (trust[row] === 0 ? 0 : -logP), slope: (_, __, row) => trust[row] });
  };
  const plans = [taught(first, "logits2", second), taught(second, "logits1", first)];
  return {
    shape,
    weights,
    pass(coefficients) {
      const [one, two] = plans.map((plan) => plan.pass(coefficients));
      return { values: (one.values as Float64Array).map((v, i) => v + two.values[i]), gradients: () => ({ grads: { logits1: one.gradients().grad, logits2: two.gradients().grad } }) };
    },
  };
});

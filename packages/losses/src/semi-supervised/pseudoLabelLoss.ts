import { asFloat32, defineLoss, lastingData, lossRows, rangeError, type Loss, type RowLossOptions, type TensorLike } from "@logits/tensor";
import { labelPlan } from "../labelLoss.ts";

/**
 * Cross-entropy with pseudo-labels of which each counts as much as it is trusted.
 *
 *   loss[b] = -confidence[b] log p[b, labels[b]]
 *
 * Unlike `weight`, the trust does not enter the mean: a batch of which few rows are trusted has a small loss, as in FixMatch and its kin.
 *
 * @param logits - float32 [B, C] or [B, ..., C], of the strongly augmented view
 * @param labels - int32 [B] or [B, ...], in [0, C)
 * @param trust - float32, the labels' shape: finite and not negative, the `weight` of a `Threshold`; no gradient
 * @param options - those of every loss; `axis` of the classes
 * @returns float32 of the labels' shape ("none") or []. `withGrad`: `grad`, trust (p - onehot(label))
 * @throws RangeError for another shape, a label outside [0, C), a trust that is negative or not finite (with its index)
 * @example
 *   const { labels, weight } = threshold.select(weakLogits);
 *   const { loss, grad } = pseudoLabelLoss.withGrad(strongLogits, labels, weight);
 * Source: Sohn et al., "FixMatch", NeurIPS 2020 (arXiv:2001.07685), equation 4.
 */
export const pseudoLabelLoss: Loss<[logits: TensorLike, labels: TensorLike, trust: TensorLike], RowLossOptions> = /* @__PURE__ */ defineLoss("pseudoLabelLoss", 3, (where, [logits, labels, trust], options) => {
  const rows = lossRows(where, logits, labels, options), t = asFloat32(where, "trust", trust), data = lastingData(t);
  if (t.size !== rows.rows) throw rangeError(where, "trust", `of shape [${rows.shape.join(", ")}]`, `[${t.shape.join(", ")}]`);
  const bad = data.findIndex((x, i) => rows.weights?.[i] !== 0 && !(x >= 0 && x < Infinity));
  if (bad >= 0) throw rangeError(where, "trust", "finite and not negative", `${data[bad]} at index ${bad}`);
  // 0 times an impossible label's Infinity is 0: it is not trusted.
  return labelPlan(where, rows, { value: (logP, _, row) => (data[row] === 0 ? 0 : -data[row] * logP), slope: (_, __, row) => data[row] });
});

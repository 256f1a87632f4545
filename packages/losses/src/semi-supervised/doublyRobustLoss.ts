import { asInt32, checkLabels, defineLoss, lossRows, rangeError, type Loss, type RowLossOptions, type TensorLike } from "@logits/tensor";
import { labelPlan } from "../labelLoss.ts";
import { checkRange } from "../range.ts";

/** Options of `doublyRobustLoss` beside those of every loss. */
export interface DoublyRobustOptions extends RowLossOptions {
  /** The label of rows without one. Default -1. */
  readonly unlabelled?: number;
  /** Share of the correction, in [0, 1]; from 0 to 1 over the epochs. Default 1. */
  readonly alpha?: number;
}

/**
 * Self-training that bad pseudo-labels cannot mislead in expectation: on labelled rows the pseudo-label's loss is taken back as often as it is used.
 *
 *   loss[b] = CE(b, pseudo[b]) - alpha N / n [b labelled] (CE(b, pseudo[b]) - CE(b, labels[b]))
 *
 * N rows take part, n of them labelled. With pseudo-labels as good as labels it is cross-entropy on all rows; with useless ones its expectation is that of the labelled rows. Values of single rows may be negative.
 *
 * @param logits - float32 [B, C] or [B, ..., C]
 * @param pseudo - int32 [B] or [B, ...], the teacher's label of every row, in [0, C)
 * @param labels - int32, the same shape, in [0, C) or `unlabelled`
 * @param options - `alpha` (1), `unlabelled` (-1); those of every loss; `axis` of the classes
 * @returns float32 of the labels' shape ("none") or []. `withGrad`: `grad`
 * @throws RangeError for another shape, a label outside [0, C), an alpha outside [0, 1]
 * @example
 *   doublyRobustLoss(logits, teacherLabels, [0, 1, -1, -1], { alpha: epoch / epochs });
 * Source: Zhu, Ding, Jordan et al., "Doubly robust self-training", NeurIPS 2023 (arXiv:2306.00265), equations 2 and 3.
 */
export const doublyRobustLoss: Loss<[logits: TensorLike, pseudo: TensorLike, labels: TensorLike], DoublyRobustOptions> = /* @__PURE__ */ defineLoss("doublyRobustLoss", 3, (where, [logits, pseudo, labels], options) => {
  const { alpha = 1, unlabelled = -1 } = options, rows = lossRows(where, logits, pseudo, options), y = asInt32(where, "labels", labels), { weights } = rows;
  checkRange(where, "alpha", alpha, 0, 1);
  if (y.size !== rows.rows) throw rangeError(where, "labels", `of shape [${rows.shape.join(", ")}]`, `[${y.shape.join(", ")}]`);
  checkLabels(where, "labels", y, rows.classes, unlabelled);
  let all = 0, known = 0;
  for (let i = 0; i < rows.rows; i++) {
    if (weights?.[i] === 0) continue;
    all++;
    if (y.data[i] !== unlabelled) known++;
  }
  const ratio = known === 0 ? 0 : (alpha * all) / known, share = Float64Array.from(y.data, (label) => (label === unlabelled ? 0 : ratio));
  const pseudoPlan = labelPlan(where, rows, { value: (logP, _, row) => (share[row] === 1 ? 0 : -(1 - share[row]) * logP), slope: (_, __, row) => 1 - share[row] });
  // Rows without a label have the share 0: which class stands in does not matter.
  const labelled = labelPlan(where, { ...rows, y: y.data.map((label) => (label === unlabelled ? 0 : label)) }, { value: (logP, _, row) => (share[row] === 0 ? 0 : -share[row] * logP), slope: (_, __, row) => share[row] });
  return {
    shape: rows.shape,
    weights,
    pass(coefficients) {
      const one = pseudoPlan.pass(coefficients), two = labelled.pass(coefficients);
      return {
        values: (one.values as Float64Array).map((v, i) => v + two.values[i]),
        gradients() {
          const { grad } = one.gradients(), other = two.gradients().grad.data;
          for (let k = 0; k < other.length; k++) grad.data[k] += other[k];
          return { grad };
        },
      };
    },
  };
});

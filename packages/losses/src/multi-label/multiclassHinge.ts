import type { Loss, RowLossOptions, TensorLike } from "@logits/tensor";
import { labelledVectorLoss, vectorLoss } from "../vectorLoss.ts";

/** Options of the hinge losses of a row. */
export interface MulticlassHingeOptions extends RowLossOptions {
  /** How far the label's score must lie above another. Default 1. */
  readonly margin?: number;
  /** 1 (default), or 2: squared. */
  readonly power?: 1 | 2;
}

/**
 * Multiclass hinge loss of Crammer and Singer: the most dangerous class counts.
 *
 *   loss[b] = max(0, margin + max_{j != y} x[b, j] - x[b, y])^power
 *
 * @param scores - float32 [B, C] or [B, ..., C]
 * @param labels - y, int32 [B] or [B, ...], in [0, C)
 * @param options - those of every loss, `axis`; `margin` (1; 0: the multiclass perceptron), `power` (1)
 * @returns float32 of the labels' shape ("none") or []. One class: 0. `withGrad`: `grad`; of equal classes the one with the lower index; NaN for a row with NaN
 * @throws RangeError for another shape or a label outside [0, C)
 * @example
 *   crammerSingerLoss([[2, 1.5, 0]], [0]); // 0.5
 * Source: Crammer and Singer, "On the algorithmic implementation of multiclass kernel-based vector machines", JMLR 2, 2001.
 */
export const crammerSingerLoss: Loss<[scores: TensorLike, labels: TensorLike], MulticlassHingeOptions> = /* @__PURE__ */ labelledVectorLoss("crammerSingerLoss", ({ margin = 1, power = 1 }: MulticlassHingeOptions) => (z, _, at, size, y, add) => {
  let worst = -1, gap = -Infinity;
  for (let j = 0; j < size; j++) {
    const d = margin + z[at + j] - z[at + y];
    if (j !== y && !(d <= gap)) [worst, gap] = [j, d];
    if (d !== d) break;
  }
  if (gap <= 0) return 0;
  const slope = power === 2 ? 2 * gap : gap === gap ? 1 : gap;
  add?.(worst, slope);
  add?.(y, -slope);
  return power === 2 ? gap * gap : gap;
});

/**
 * Multiclass hinge loss of Weston and Watkins: every class within the margin counts.
 *
 *   loss[b] = sum_{j != y} max(0, margin + x[b, j] - x[b, y])^power
 *
 * @param scores - float32 [B, C] or [B, ..., C]
 * @param labels - y, int32 [B] or [B, ...], in [0, C)
 * @param options - those of every loss, `axis`; `margin` (1), `power` (1). torch's `multi_margin_loss` is this over C
 * @returns float32 of the labels' shape ("none") or []. `withGrad`: `grad`; NaN for a row with NaN
 * @throws RangeError for another shape or a label outside [0, C)
 * @example
 *   westonWatkinsLoss([[2, 1.5, 1.25]], [0]); // 0.75
 * Source: Weston and Watkins, "Support vector machines for multi-class pattern recognition", ESANN 1999.
 */
export const westonWatkinsLoss: Loss<[scores: TensorLike, labels: TensorLike], MulticlassHingeOptions> = /* @__PURE__ */ labelledVectorLoss("westonWatkinsLoss", ({ margin = 1, power = 1 }: MulticlassHingeOptions) => (z, _, at, size, y, add) => {
  let value = 0;
  for (let j = 0; j < size; j++) {
    const d = margin + z[at + j] - z[at + y];
    if (j === y || d <= 0) continue;
    const slope = power === 2 ? 2 * d : d === d ? 1 : d;
    add?.(j, slope);
    add?.(y, -slope);
    value += power === 2 ? d * d : d;
  }
  return value;
});

/**
 * Multi-label margin loss: every positive should lie above every negative of its row.
 *
 *   loss[b] = (1 / C) sum_{j positive} sum_{i negative} max(0, margin - x[b, j] + x[b, i])^power
 *
 * @param scores - float32 [B, C] or [B, ..., C]
 * @param targets - float32, the same shape: 1 positive, 0 negative
 * @param options - those of every loss, `axis`; `margin` (1), `power` (1). One value for each row
 * @returns float32 of the shape without the axis ("none") or []; 0 for a row without positives or without negatives. `withGrad`: `grad`
 * @throws RangeError for another shape or a target outside [0, 1]
 * @example
 *   multilabelMarginLoss([[2, 1.5, 0]], [[1, 0, 0]]); // 0.5 / 3
 * Source: Weston and Watkins' sum over several positives, as in torch's `multilabel_margin_loss` (there: indices ended by -1).
 */
export const multilabelMarginLoss: Loss<[scores: TensorLike, targets: TensorLike], MulticlassHingeOptions> = /* @__PURE__ */ vectorLoss("multilabelMarginLoss", ({ margin = 1, power = 1 }: MulticlassHingeOptions) => (z, t, at, size, _, add) => {
  let value = 0;
  for (let j = 0; j < size; j++) {
    if (t[at + j] === 0) continue;
    for (let i = 0; i < size; i++) {
      const w = (t[at + j] * (1 - t[at + i])) / size, d = margin - z[at + j] + z[at + i];
      if (w === 0 || d <= 0) continue;
      const slope = w * (power === 2 ? 2 * d : d === d ? 1 : d);
      add?.(i, slope);
      add?.(j, -slope);
      value += w * (power === 2 ? d * d : d);
    }
  }
  return value;
}, [0, 1], "scores");

import { checkInteger, type Loss, type RowLossOptions, type TensorLike } from "@logits/tensor";
import { checkRange } from "../range.ts";
import { labelledVectorLoss, vectorLoss } from "../vectorLoss.ts";

/** Options of the hinge losses of a row. */
export interface MulticlassHingeOptions extends RowLossOptions {
  /** How far the label's score must lie above another. Default 1. */
  readonly margin?: number;
  /** 1 (default), or 2: squared. */
  readonly power?: 1 | 2;
}

/** max(0, d)^power and its derivative; NaN for NaN. */
export function hingeOf(where: string, margin: number, power: number): readonly [value: (d: number) => number, slope: (d: number) => number] {
  checkRange(where, "margin", margin, 0);
  checkInteger(where, "power", power, 1, 2);
  return power === 2 ? [(d) => Math.max(0, d) ** 2, (d) => 2 * Math.max(0, d)] : [(d) => Math.max(0, d), (d) => (d > 0 ? 1 : d <= 0 ? 0 : d)];
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
 * @throws RangeError for another shape, a label outside [0, C), options out of range
 * @example
 *   crammerSingerLoss([[2, 1.5, 0]], [0]); // 0.5
 * Source: Crammer and Singer, "On the algorithmic implementation of multiclass kernel-based vector machines", JMLR 2, 2001.
 */
export const crammerSingerLoss: Loss<[scores: TensorLike, labels: TensorLike], MulticlassHingeOptions> = /* @__PURE__ */ labelledVectorLoss("crammerSingerLoss", ({ margin = 1, power = 1 }: MulticlassHingeOptions, where) => {
  const [value, slope] = hingeOf(where, margin, power);
  return (z, _, at, size, y, add) => {
    let worst = y, gap = -Infinity;
    for (let j = 0; j < size; j++) {
      const d = margin + z[at + j] - z[at + y];
      // NaN is kept once it is there.
      if (j !== y && !(d <= gap) && gap === gap) [worst, gap] = [j, d];
    }
    add?.(worst, slope(gap));
    add?.(y, -slope(gap));
    return value(gap);
  };
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
 * @throws RangeError for another shape, a label outside [0, C), options out of range
 * @example
 *   westonWatkinsLoss([[2, 1.5, 1.25]], [0]); // 0.75
 * Source: Weston and Watkins, "Support vector machines for multi-class pattern recognition", ESANN 1999.
 */
export const westonWatkinsLoss: Loss<[scores: TensorLike, labels: TensorLike], MulticlassHingeOptions> = /* @__PURE__ */ labelledVectorLoss("westonWatkinsLoss", ({ margin = 1, power = 1 }: MulticlassHingeOptions, where) => {
  const [value, slope] = hingeOf(where, margin, power);
  return (z, _, at, size, y, add) => {
    let sum = 0;
    for (let j = 0; j < size; j++) {
      const d = margin + z[at + j] - z[at + y];
      if (j === y) continue;
      sum += value(d);
      add?.(j, slope(d));
      add?.(y, -slope(d));
    }
    return sum;
  };
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
 * @throws RangeError for another shape, a target outside [0, 1], options out of range
 * @example
 *   multilabelMarginLoss([[2, 1.5, 0]], [[1, 0, 0]]); // 0.5 / 3
 * Source: Weston and Watkins' sum over several positives, as in torch's `multilabel_margin_loss` (there: indices ended by -1).
 */
export const multilabelMarginLoss: Loss<[scores: TensorLike, targets: TensorLike], MulticlassHingeOptions> = /* @__PURE__ */ vectorLoss("multilabelMarginLoss", ({ margin = 1, power = 1 }: MulticlassHingeOptions, where) => {
  const [value, slope] = hingeOf(where, margin, power);
  return (z, t, at, size, _, add) => {
    let sum = 0;
    for (let j = 0; j < size; j++) for (let i = 0; i < size; i++) {
      const w = (t[at + j] * (1 - t[at + i])) / size, d = margin - z[at + j] + z[at + i];
      if (w === 0) continue;
      sum += w * value(d);
      add?.(i, w * slope(d));
      add?.(j, -w * slope(d));
    }
    return sum;
  };
}, [0, 1], "scores");

import { sigmoid } from "@logits/statistics";
import { checkPositive } from "@logits/tensor";
import { checkChoice, checkRange } from "../range.ts";
import { matthews } from "../segmentation/overlap.ts";
import { overlap, regionLoss, type RegionLoss, type RegionOptions, type RegionTerms } from "../segmentation/regions.ts";

/** Options of `anyLoss`. */
export interface AnyLossOptions extends RegionOptions {
  /** What is one minus: default "f-score". */
  readonly metric?: "accuracy" | "balanced-accuracy" | "f-score" | "geometric-mean" | "matthews";
  /** How steeply probabilities become 0 or 1 around 1/2. Default 73. */
  readonly amplification?: number;
  /** Weight of recall in the F-score. Default 1. */
  readonly beta?: number;
}

/** Sensitivity and specificity, and what they make; where a class has no positives, the sensitivity is 1; no negatives: the specificity. */
function rates(value: (sensitivity: number, specificity: number) => readonly [value: number, bySensitivity: number, bySpecificity: number]): RegionTerms {
  return ([tp, p, t, , , n], slopes) => {
    const [score, a, b] = value(t === 0 ? 1 : tp / t, n === t ? 1 : 1 - (p - tp) / (n - t)), negatives = n === t ? 0 : b / (n - t);
    slopes[0] = (t === 0 ? 0 : -a / t) - negatives;
    slopes[1] = negatives;
    return 1 - score;
  };
}

/**
 * A metric of 0-1 decisions as a loss: probabilities are amplified towards 0 and 1, counted, and the metric taken of the counts.
 *
 *   loss[c] = 1 - metric(TP, FP, FN, TN),   TP = sum a t, FP = sum a (1 - t), ...,   a = 1 / (1 + e^(-amplification (p - 1/2)))
 *
 * @param logits - float32 [B, C] or [B, ..., C]
 * @param targets - masks in [0, 1], float32, the shape of the logits (sigmoid); or int32 labels without the axis of the classes (softmax)
 * @param options - those of `diceLoss` without smoothing; `metric` ("f-score"), `amplification` (73), `beta` (1)
 * @returns float32 [C], [B, C] ("none") or []. Labels without a positive take no part; with `absent` "count" they do, at sensitivity 1. `withGrad`: `grad`
 * @throws RangeError for shapes that do not fit, a label or a target out of range
 * @example
 *   anyLoss([[2], [-1], [1]], [[1], [0], [0]]); // near 1 / 3
 * Source: Han, Moniz, Chawla, "AnyLoss: transforming classification metrics into loss functions", KDD 2024, equations 2 to 8.
 */
export const anyLoss: RegionLoss<AnyLossOptions> = /* @__PURE__ */ regionLoss("anyLoss", ({ metric = "f-score", amplification = 73, beta = 1 }: AnyLossOptions, where) => {
  checkChoice(where, "metric", metric, ["accuracy", "balanced-accuracy", "f-score", "geometric-mean", "matthews"]);
  checkPositive(where, "amplification", amplification);
  checkRange(where, "beta", beta, 0);
  return {
    map: (p) => {
      const a = sigmoid(amplification * (p - 0.5));
      return [a, amplification * a * (1 - a)];
    },
    terms:
      metric === "f-score" ? overlap(1 + beta * beta, 0, 1, beta * beta)
      : metric === "matthews" ? matthews(1e-5)
      : metric === "balanced-accuracy" ? rates((s, r) => [(s + r) / 2, 0.5, 0.5])
      : metric === "geometric-mean" ? rates((s, r) => {
        const g = Math.sqrt(s * r);
        return [g, g === 0 ? 0 : r / (2 * g), g === 0 ? 0 : s / (2 * g)];
      })
      : ([tp, p, t, , , n], slopes) => {
        slopes[0] = -2 / n;
        slopes[1] = 1 / n;
        return (p + t - 2 * tp) / n;
      },
  };
});

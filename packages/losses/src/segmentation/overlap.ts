import { pow, tanh } from "@logits/statistics";
import { checkPositive } from "@logits/tensor";
import { logCosh } from "../regression/robust.ts";
import { checkRange } from "../range.ts";
import { after, overlap, regionLoss, type RegionLoss, type RegionOptions, type RegionTerms } from "./regions.ts";

/** Options of the losses of overlap. */
export interface OverlapOptions extends RegionOptions {
  /** Added to both sides of the ratio, in pixels. Default 0. */
  readonly smooth?: number;
  /** -log of the overlap in place of 1 - overlap. Default false. */
  readonly logarithm?: boolean;
}

/** Options of `diceLoss`. */
export interface DiceOptions extends OverlapOptions {
  /** Squares in the denominator, as in V-Net. Default false. */
  readonly squared?: boolean;
}

/** Options of `tverskyLoss`. */
export interface TverskyOptions extends OverlapOptions {
  /** Weight of false positives. Default 0.3. */
  readonly alpha?: number;
  /** Weight of false negatives. Default 0.7. */
  readonly beta?: number;
}

/** Options of `focalTverskyLoss`. */
export interface FocalTverskyOptions extends TverskyOptions {
  /** Exponent of the loss; below 1, classes that overlap well still count. Default 0.75. */
  readonly gamma?: number;
}

function dice({ smooth = 0, squared = false, logarithm = false }: DiceOptions, where: string): RegionTerms {
  checkRange(where, "smooth", smooth, 0);
  return overlap(2, smooth, 1, 1, { squared, logarithm });
}

function tversky({ alpha = 0.3, beta = 0.7, smooth = 0, logarithm = false }: TverskyOptions, where: string): RegionTerms {
  checkRange(where, "alpha", alpha, 0);
  checkRange(where, "beta", beta, 0);
  checkRange(where, "smooth", smooth, 0);
  return overlap(1, smooth, alpha, beta, { logarithm });
}

/**
 * Soft Dice loss of each class: one minus twice the overlap over both areas.
 *
 *   loss[c] = 1 - (2 sum p t + smooth) / (sum p + sum t + smooth)   sums over the pixels of class c;   squared: sum p^2 + sum t^2 below
 *
 * @param logits - float32 [B, C] or [B, ..., C], [B, C, H, W] with `axis` 1
 * @param targets - int32 without the axis of the classes, in [0, C) (softmax); or masks in [0, 1], float32, the shape of the logits (sigmoid; one class: with or without the axis)
 * @param options - those of every loss: `weight` is of the values ([C], or [B] or [B, C] with `per` "image"), `where` and `ignoreIndex` of pixels; `axis`, `activation`, `per` ("batch"), `absent` ("skip"),
 *   `smooth` (0), `squared` (false), `logarithm` (false)
 * @returns float32 [C], [B, C] ("none") or []. No class takes part: 0. On masks of 0 and 1 it is one minus the Dice score, or F1. `withGrad`: `grad`
 * @throws RangeError for shapes that do not fit, a label or a target out of range (with its index), options out of range
 * @example
 *   diceLoss([[4, 0], [0, 4]], [0, 1]); // 0.0180
 * Source: Milletari, Navab, Ahmadi, "V-Net", 3DV 2016 (squared); Drozdzal et al., 2016. Tokens: Li et al., "Dice loss for data-imbalanced NLP tasks", ACL 2020.
 */
export const diceLoss: RegionLoss<DiceOptions> = /* @__PURE__ */ regionLoss("diceLoss", (options: DiceOptions, where) => ({ terms: dice(options, where) }));

/**
 * Jaccard loss of each class: one minus intersection over union.
 *
 *   loss[c] = 1 - (sum p t + smooth) / (sum p + sum t - sum p t + smooth)
 *
 * @param logits - as in `diceLoss`
 * @param targets - as in `diceLoss`
 * @param options - those of `diceLoss` without `squared`
 * @returns as `diceLoss`
 * @throws RangeError as `diceLoss`
 * @example
 *   jaccardLoss([[4, 0], [0, 4]], [0, 1]); // 0.0353
 * Source: Rahman and Wang, "Optimizing intersection-over-union in deep neural networks for image segmentation", ISVC 2016.
 */
export const jaccardLoss: RegionLoss<OverlapOptions> = /* @__PURE__ */ regionLoss("jaccardLoss", (options: OverlapOptions, where) => ({ terms: tversky({ smooth: options.smooth, logarithm: options.logarithm, alpha: 1, beta: 1 }, where) }));

/**
 * Tversky loss of each class: Dice with weights of its own for false positives and false negatives.
 *
 *   loss[c] = 1 - (TP + smooth) / (TP + alpha FP + beta FN + smooth),   TP = sum p t, FP = sum p (1 - t), FN = sum (1 - p) t
 *
 * @param logits - as in `diceLoss`
 * @param targets - as in `diceLoss`
 * @param options - those of `diceLoss` without `squared`; `alpha` (0.3), `beta` (0.7). Both 0.5: Dice; both 1: Jaccard; 0 and 1: recall
 * @returns as `diceLoss`
 * @throws RangeError as `diceLoss`
 * @example
 *   tverskyLoss([[4, 0], [0, 4]], [0, 1], { alpha: 0, beta: 1 }); // 0.0180
 * Source: Salehi, Erdogmus, Gholipour, "Tversky loss function for image segmentation using 3D fully convolutional deep networks", MLMI 2017.
 */
export const tverskyLoss: RegionLoss<TverskyOptions> = /* @__PURE__ */ regionLoss("tverskyLoss", (options: TverskyOptions, where) => ({ terms: tversky(options, where) }));

/**
 * Focal Tversky loss: a power of the Tversky loss of each class.
 *
 *   loss[c] = tversky[c]^gamma
 *
 * @param logits - as in `diceLoss`
 * @param targets - as in `diceLoss`
 * @param options - those of `tverskyLoss`; `gamma` (0.75, the paper's 1 / (4/3))
 * @returns as `diceLoss`. A perfect class has gradient 0
 * @throws RangeError as `diceLoss`
 * @example
 *   focalTverskyLoss([[4, 0], [0, 4]], [0, 1]);
 * Source: Abraham and Khan, "A novel focal Tversky loss function with improved attention U-Net for lesion segmentation", ISBI 2019.
 */
export const focalTverskyLoss: RegionLoss<FocalTverskyOptions> = /* @__PURE__ */ regionLoss("focalTverskyLoss", (options: FocalTverskyOptions, where) => {
  const { gamma = 0.75 } = options;
  checkRange(where, "gamma", gamma, 0);
  return { terms: after(tversky(options, where), (v) => pow(v, gamma), (v) => (v === 0 ? 0 : gamma * pow(v, gamma - 1))) };
});

/**
 * Log-cosh Dice loss: smooth near 0, where Dice is linear.
 *
 *   loss[c] = log cosh(dice[c])
 *
 * @param logits - as in `diceLoss`
 * @param targets - as in `diceLoss`
 * @param options - those of `diceLoss`
 * @returns as `diceLoss`
 * @throws RangeError as `diceLoss`
 * @example
 *   logCoshDiceLoss([[4, 0], [0, 4]], [0, 1]);
 * Source: Jadon, "A survey of loss functions for semantic segmentation", CIBCB 2020.
 */
export const logCoshDiceLoss: RegionLoss<DiceOptions> = /* @__PURE__ */ regionLoss("logCoshDiceLoss", (options: DiceOptions, where) => ({ terms: after(dice(options, where), logCosh, tanh) }));

/**
 * Generalised Dice loss: one ratio over all classes, where each class counts by the inverse square of its area.
 *
 *   loss = 1 - (2 sum_c g_c sum p t + smooth) / (sum_c g_c (sum p + sum t) + smooth),   g_c = 1 / (sum t)^2
 *
 * @param logits - as in `diceLoss`
 * @param targets - as in `diceLoss`
 * @param options - those of `diceLoss`; `absent` "skip" (default) or "zero": g = 0; "count": the largest g of the other classes, as MONAI has it
 * @returns float32 [], or [B] with `per` "image" and reduction "none". No class takes part: 0. `withGrad`: `grad`
 * @throws RangeError as `diceLoss`
 * @example
 *   generalizedDiceLoss([[4, 0], [0, 4], [0, 4]], [0, 1, 1]);
 * Source: Sudre et al., "Generalised Dice overlap as a deep learning loss function for highly unbalanced segmentations", DLMIA 2017.
 */
export const generalizedDiceLoss: RegionLoss<DiceOptions> = /* @__PURE__ */ regionLoss("generalizedDiceLoss", (options: DiceOptions, where) => ({ terms: dice(options, where), joint: true }));

/** Options of `matthewsLoss`. */
export interface MatthewsOptions extends RegionOptions {
  /** Added to each of the four counts. Default 1e-5. */
  readonly epsilon?: number;
}

/**
 * One minus Matthews' correlation of each class with its mask.
 *
 *   loss[c] = 1 - (TP TN - FP FN) / sqrt((TP + FP)(TP + FN)(TN + FP)(TN + FN))
 *
 * @param logits - as in `diceLoss`
 * @param targets - as in `diceLoss`
 * @param options - those of every loss of regions; `absent` ("skip"), `epsilon` (1e-5)
 * @returns as `diceLoss`, in [0, 2]
 * @throws RangeError as `diceLoss`
 * @example
 *   matthewsLoss([[4, 0], [0, 4]], [0, 1]); // 0.0360
 * Source: Abhishek and Hamarneh, "Matthews correlation coefficient loss for deep convolutional networks", ISBI 2021.
 */
export const matthewsLoss: RegionLoss<MatthewsOptions> = /* @__PURE__ */ regionLoss("matthewsLoss", ({ epsilon = 1e-5 }: MatthewsOptions, where) => {
  checkPositive(where, "epsilon", epsilon);
  return { terms: matthews(epsilon) };
});

/** TP TN - FP FN is TP N - P T. */
export function matthews(epsilon: number): RegionTerms {
  return (sums, slopes) => {
    const tp = sums[0] + epsilon, p = sums[1] + 2 * epsilon, t = sums[2] + 2 * epsilon, n = sums[5] + 4 * epsilon, bottom = Math.sqrt(p * t) * Math.sqrt((n - p) * (n - t)), score = (tp * n - p * t) / bottom;
    slopes[0] = -n / bottom;
    slopes[1] = t / bottom + (score / 2) * (1 / p - 1 / (n - p));
    slopes[2] = 0;
    return 1 - score;
  };
}

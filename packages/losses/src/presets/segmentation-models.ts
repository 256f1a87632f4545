import { asFloat32, asInt32, type Reduction, type Tensor, type TensorLike } from "@logits/tensor";
import { crossEntropy } from "../classification/crossEntropy.ts";
import { binaryCrossEntropy } from "../multi-label/binaryCrossEntropy.ts";
import { sigmoidFocalLoss } from "../multi-label/focal.ts";
import { checkChoice } from "../range.ts";
import { wingLoss as ownWingLoss } from "../regression/robust.ts";
import { lovaszHingeLoss, lovaszSoftmaxLoss } from "../segmentation/lovasz.ts";
import { diceLoss as ownDiceLoss, jaccardLoss as ownJaccardLoss, matthewsLoss as ownMatthewsLoss, tverskyLoss as ownTverskyLoss } from "../segmentation/overlap.ts";
import { masksOf, preset, reshaped, type Preset, type PresetLoss } from "./preset.ts";

/** What the predictions [N, C, H, W] are: one mask, one of C classes (targets [N, H, W]), or C masks. */
export type SegmentationMode = "binary" | "multiclass" | "multilabel";

/** Options of the losses of overlap. */
export interface SegmentationModelsOptions {
  readonly mode: SegmentationMode;
  /** Classes that count. Default all. */
  readonly classes?: readonly number[];
  /** -log in place of 1 -. Default false. */
  readonly logLoss?: boolean;
  /** Default true; false: probabilities. */
  readonly fromLogits?: boolean;
  /** Default 0. */
  readonly smooth?: number;
  readonly ignoreIndex?: number;
}

function checkMode(where: string, mode: SegmentationMode): void {
  checkChoice(where, "mode", mode, ["binary", "multiclass", "multilabel"]);
}

/** One mask is one column, however many channels it has. */
function regionPreset(where: string, loss: Preset["loss"], x: Tensor<"float32">, targets: TensorLike, given: SegmentationModelsOptions, extra: object = {}): Preset {
  const { mode, classes, logLoss = false, fromLogits = true, smooth = 0, ignoreIndex } = given, binary = mode === "binary";
  checkMode(where, mode);
  const weight = classes && Float32Array.from({ length: x.shape[1] }, (_, c) => (classes.includes(c) ? 1 : 0));
  const t = mode === "multiclass" ? asInt32(where, "targets", targets) : asFloat32(where, "targets", targets);
  return {
    loss,
    x: binary ? reshaped(x, [x.size, 1]) : x,
    t: binary ? { data: t.data, shape: [x.size, 1] } : t,
    options: { axis: 1, activation: !fromLogits ? "none" : mode === "multiclass" ? "softmax" : "sigmoid", absent: "zero", smooth, logarithm: logLoss, ignoreIndex, weight, ...extra },
  };
}

/**
 * Dice loss as `smp.losses.DiceLoss`: the mean over classes, to which absent ones add 0.
 *
 * @param predictions - float32 [N, C, H, W]
 * @param targets - int32 [N, H, W] in [0, C) ("multiclass"), or masks of the shape of the predictions
 * @param options - `mode`, `classes`, `logLoss` (false), `fromLogits` (true), `smooth` (0), `ignoreIndex`
 * @returns float32 []
 * @throws RangeError for a mode that is none, and as `diceLoss`
 * @example
 *   diceLoss([[[[2, -1]]]], [[[[1, 0]]]], { mode: "binary" });
 * Source: segmentation_models.pytorch, losses/dice.py.
 */
export const diceLoss: PresetLoss<SegmentationModelsOptions> = /* @__PURE__ */ preset("diceLoss", (where, x, t, options: SegmentationModelsOptions) => regionPreset(where, ownDiceLoss, x, t, options));

/**
 * Jaccard loss as `smp.losses.JaccardLoss`.
 *
 * @param predictions - as in `diceLoss`
 * @param targets - as in `diceLoss`
 * @param options - those of `diceLoss`
 * @returns float32 []
 * @throws RangeError as `diceLoss`
 * @example
 *   jaccardLoss([[[[2, -1]]]], [[[[1, 0]]]], { mode: "binary" });
 * Source: segmentation_models.pytorch, losses/jaccard.py.
 */
export const jaccardLoss: PresetLoss<SegmentationModelsOptions> = /* @__PURE__ */ preset("jaccardLoss", (where, x, t, options: SegmentationModelsOptions) => regionPreset(where, ownJaccardLoss, x, t, options));

/** Options of `tverskyLoss`. */
export interface SegmentationModelsTverskyOptions extends SegmentationModelsOptions {
  /** Weight of false positives. Default 0.5. */
  readonly alpha?: number;
  /** Weight of false negatives. Default 0.5. */
  readonly beta?: number;
}

/**
 * Tversky loss as `smp.losses.TverskyLoss` with gamma 1.
 *
 * @param predictions - as in `diceLoss`
 * @param targets - as in `diceLoss`
 * @param options - those of `diceLoss`; `alpha` (0.5), `beta` (0.5)
 * @returns float32 []
 * @throws RangeError as `diceLoss`
 * @example
 *   tverskyLoss([[[[2, -1]]]], [[[[1, 0]]]], { mode: "binary", alpha: 0.3, beta: 0.7 });
 * Source: segmentation_models.pytorch, losses/tversky.py.
 */
export const tverskyLoss: PresetLoss<SegmentationModelsTverskyOptions> = /* @__PURE__ */ preset("tverskyLoss", (where, x, t, options: SegmentationModelsTverskyOptions) => regionPreset(where, ownTverskyLoss, x, t, options, { alpha: options.alpha ?? 0.5, beta: options.beta ?? 0.5 }));

/**
 * Matthews loss as `smp.losses.MCCLoss`: one mask, of probabilities.
 *
 * @param predictions - float32 [N, 1, H, W]: probabilities
 * @param targets - masks of as many elements
 * @param options - `eps` (1e-5)
 * @returns float32 []
 * @throws RangeError as `matthewsLoss`
 * @example
 *   matthewsLoss([[[[0.9, 0.2]]]], [[[[1, 0]]]]);
 * Source: segmentation_models.pytorch, losses/mcc.py.
 */
export const matthewsLoss: PresetLoss<{ readonly eps?: number }> = /* @__PURE__ */ preset("matthewsLoss", (where, x, t, { eps = 1e-5 }: { readonly eps?: number }) => ({
  loss: ownMatthewsLoss,
  x: reshaped(x, [x.size, 1]),
  t: { data: asFloat32(where, "targets", t).data, shape: [x.size, 1] },
  options: { activation: "none", absent: "count", epsilon: eps },
}));

/** Options of `lovaszLoss`. */
export interface SegmentationModelsLovaszOptions {
  readonly mode: SegmentationMode;
  /** Default false. */
  readonly perImage?: boolean;
  readonly ignoreIndex?: number;
}

/**
 * Lovasz loss as `smp.losses.LovaszLoss`: the hinge of all pixels and channels together, or, "multiclass", Lovasz-softmax of the classes that occur; `perImage`: the mean over images.
 *
 * @param predictions - float32 [N, C, H, W]: logits
 * @param targets - as in `diceLoss`
 * @param options - `mode`, `perImage` (false), `ignoreIndex`
 * @returns float32 []
 * @throws RangeError as `diceLoss`
 * @example
 *   lovaszLoss([[[[2, -1]]]], [[[[1, 0]]]], { mode: "binary" });
 * Source: segmentation_models.pytorch, losses/lovasz.py.
 */
export const lovaszLoss: PresetLoss<SegmentationModelsLovaszOptions> = /* @__PURE__ */ preset("lovaszLoss", (where, x, targets, { mode, perImage = false, ignoreIndex }: SegmentationModelsLovaszOptions) => {
  checkMode(where, mode);
  const per = perImage ? "image" : "batch", images = x.shape[0], shape = [images, x.size / Math.max(1, images), 1];
  if (mode === "multiclass") {
    const t = asInt32(where, "targets", targets), size = t.size / Math.max(1, images);
    // The mean over images of the means over the classes that occur: an image without any adds 0.
    const occurring = Array.from({ length: images }, (_, b) => new Set(t.data.slice(b * size, (b + 1) * size).filter((y) => y !== ignoreIndex)).size);
    return { loss: lovaszSoftmaxLoss, x, t, options: { axis: 1, per, ignoreIndex, ...(perImage && { weight: occurring.map((n) => (n === 0 ? 0 : 1 / n)) }) }, factor: perImage ? occurring.filter((n) => n > 0).length / Math.max(1, images) : 1 };
  }
  return { loss: lovaszHingeLoss, x: reshaped(x, shape), t: { data: asFloat32(where, "targets", targets).data, shape }, options: { per, ignoreIndex } };
});

/** Options of `focalLoss`. */
export interface SegmentationModelsFocalOptions {
  readonly mode: SegmentationMode;
  /** Default none. */
  readonly alpha?: number | null;
  /** Default 2. */
  readonly gamma?: number;
  readonly ignoreIndex?: number;
}

/**
 * Focal loss as `smp.losses.FocalLoss`: of sigmoids, also for classes that exclude each other (one against the rest, the means of the classes added).
 *
 * @param predictions - float32 [N, C, H, W]: logits
 * @param targets - as in `diceLoss`
 * @param options - `mode`, `alpha` (none), `gamma` (2), `ignoreIndex`
 * @returns float32 []
 * @throws RangeError as `sigmoidFocalLoss`
 * @example
 *   focalLoss([[[[2, -1]]]], [[[[1, 0]]]], { mode: "binary" });
 * Source: segmentation_models.pytorch, losses/focal.py.
 */
export const focalLoss: PresetLoss<SegmentationModelsFocalOptions> = /* @__PURE__ */ preset("focalLoss", (where, x, targets, { mode, alpha = null, gamma = 2, ignoreIndex }: SegmentationModelsFocalOptions) => {
  checkMode(where, mode);
  if (mode !== "multiclass") return { loss: sigmoidFocalLoss, x, t: reshaped(asFloat32(where, "targets", targets), x.shape), options: { alpha, gamma, ignoreIndex } };
  const { masks, where: kept } = masksOf(where, targets, x.shape, { axis: 1, ignoreIndex });
  return { loss: sigmoidFocalLoss, x, t: masks, options: { alpha, gamma, where: kept }, factor: x.shape[1] };
});

/** Options of `softBceWithLogitsLoss`. */
export interface SegmentationModelsBceOptions {
  /** Default -100. */
  readonly ignoreIndex?: number;
  /** Targets become t (1 - s) + (1 - t) s. Default 0. */
  readonly smoothFactor?: number;
  /** Along the last axis. */
  readonly posWeight?: TensorLike;
  /** Default "mean": over all elements, the ignored ones included. */
  readonly reduction?: Reduction;
}

/**
 * Binary cross-entropy as `smp.losses.SoftBCEWithLogitsLoss`: ignored elements count in the denominator.
 *
 * @param predictions - float32, any shape: logits
 * @param targets - float32, the same shape
 * @param options - `ignoreIndex` (-100), `smoothFactor` (0), `posWeight`, `reduction` ("mean")
 * @returns float32 of that shape ("none") or []
 * @throws RangeError as `binaryCrossEntropy`
 * @example
 *   softBceWithLogitsLoss([2, -1], [1, -100]); // 0.1269 / 2
 * Source: segmentation_models.pytorch, losses/soft_bce.py.
 */
export const softBceWithLogitsLoss: PresetLoss<SegmentationModelsBceOptions> = /* @__PURE__ */ preset("softBceWithLogitsLoss", (_, x, t, { ignoreIndex = -100, smoothFactor = 0, posWeight, reduction = "mean" }: SegmentationModelsBceOptions) => ({
  loss: binaryCrossEntropy,
  x,
  t,
  options: { ignoreIndex, labelSmoothing: 2 * smoothFactor, posWeight, reduction: reduction === "mean" ? "sum" : reduction },
  factor: reduction === "mean" ? 1 / x.size : 1,
}));

/** Options of `softCrossEntropyLoss`. */
export interface SegmentationModelsCrossEntropyOptions {
  /** Default -100. */
  readonly ignoreIndex?: number;
  /** Label smoothing. Default 0. */
  readonly smoothFactor?: number;
  /** Default "mean": over all pixels, the ignored ones included. */
  readonly reduction?: Reduction;
}

/**
 * Cross-entropy as `smp.losses.SoftCrossEntropyLoss`: ignored pixels count in the denominator.
 *
 * @param predictions - float32 [N, C, ...]: logits
 * @param targets - int32 [N, ...]
 * @param options - `ignoreIndex` (-100), `smoothFactor` (0), `reduction` ("mean")
 * @returns float32 [N, ...] ("none") or []
 * @throws RangeError as `crossEntropy`
 * @example
 *   softCrossEntropyLoss([[2, 0], [0, 1]], [0, -100]); // 0.1269 / 2
 * Source: segmentation_models.pytorch, losses/soft_ce.py.
 */
export const softCrossEntropyLoss: PresetLoss<SegmentationModelsCrossEntropyOptions> = /* @__PURE__ */ preset("softCrossEntropyLoss", (_, x, t, { ignoreIndex = -100, smoothFactor = 0, reduction = "mean" }: SegmentationModelsCrossEntropyOptions) => ({
  loss: crossEntropy,
  x,
  t,
  options: { axis: 1, ignoreIndex, labelSmoothing: smoothFactor, reduction: reduction === "mean" ? "sum" : reduction },
  factor: reduction === "mean" ? x.shape[1] / x.size : 1,
}));

/**
 * Wing loss as `smp.losses.functional.wing_loss`: width 5 and curvature 0.5.
 *
 * @param predictions - float32, any shape
 * @param targets - float32, the same shape
 * @param options - those of `wingLoss`; `width` (5), `curvature` (0.5)
 * @returns float32 of that shape ("none") or []
 * @throws RangeError as `wingLoss`
 * @example
 *   wingLoss([1, 20], [0, 0]);
 * Source: segmentation_models.pytorch, losses/_functional.py.
 */
export const wingLoss: PresetLoss<{ readonly width?: number; readonly curvature?: number; readonly reduction?: Reduction }> = /* @__PURE__ */ preset("wingLoss", (_, x, t, { width = 5, curvature = 0.5, reduction = "mean" }: { readonly width?: number; readonly curvature?: number; readonly reduction?: Reduction }) => ({ loss: ownWingLoss, x, t, options: { width, curvature, reduction } }));

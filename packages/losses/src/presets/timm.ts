import { asFloat32, Tensor, type TensorLike } from "@logits/tensor";
import { crossEntropy } from "../classification/crossEntropy.ts";
import { softCrossEntropy } from "../classification/softCrossEntropy.ts";
import { asymmetricLoss } from "../multi-label/asymmetric.ts";
import { binaryCrossEntropy as ownBinaryCrossEntropy } from "../multi-label/binaryCrossEntropy.ts";
import { masksOf, preset, type PresetLoss } from "./preset.ts";

/** Options of `asymmetricLossMultiLabel`. */
export interface TimmAsymmetricOptions {
  /** Focusing of negatives. Default 4. */
  readonly gammaNeg?: number;
  /** Focusing of positives. Default 1. */
  readonly gammaPos?: number;
  /** Probability margin of negatives. Default 0.05. */
  readonly clip?: number;
  /** The focusing factor as a constant. Default false. */
  readonly disableTorchGradFocalLoss?: boolean;
  /** Moves targets towards 1/2. Default 0. */
  readonly smoothing?: number;
  /** Default "batchmean": sums over classes, mean over the batch. */
  readonly reduction?: "batchmean" | "mean" | "sum" | "none";
}

/**
 * `timm.loss.AsymmetricLossMultiLabel`: gammaPos 1 and "batchmean", where the paper has 0 and a sum.
 *
 * @param predictions - float32 [B, C]: logits
 * @param targets - float32 [B, C], in [0, 1]
 * @param options - `gammaNeg` (4), `gammaPos` (1), `clip` (0.05), `disableTorchGradFocalLoss` (false), `smoothing` (0), `reduction` ("batchmean")
 * @returns float32 [B, C] ("none") or []
 * @throws RangeError as `asymmetricLoss`
 * @example
 *   asymmetricLossMultiLabel([[2, -1]], [[1, 0]]);
 * Source: timm, loss/asymmetric_loss.py.
 */
export const asymmetricLossMultiLabel: PresetLoss<TimmAsymmetricOptions> = /* @__PURE__ */ preset("asymmetricLossMultiLabel", (where, x, t, { gammaNeg = 4, gammaPos = 1, clip = 0.05, disableTorchGradFocalLoss = false, smoothing = 0, reduction = "batchmean" }: TimmAsymmetricOptions) => {
  const { data, shape } = asFloat32(where, "targets", t), batchmean = reduction === "batchmean";
  return {
    loss: asymmetricLoss,
    x,
    t: { data: smoothing === 0 ? data : data.map((y) => y * (1 - smoothing) + smoothing / 2), shape },
    options: { gammaNegative: gammaNeg, gammaPositive: gammaPos, clip, gradient: disableTorchGradFocalLoss ? "official" : "exact", reduction: batchmean ? "sum" : reduction },
    factor: batchmean ? 1 / x.shape[0] : 1,
  };
});

/** Options of `binaryCrossEntropy`. */
export interface TimmBinaryCrossEntropyOptions {
  /** Of integer targets: off = smoothing / C, on = 1 - smoothing + off. Default 0.1. */
  readonly smoothing?: number;
  /** Targets above it become 1, the others 0. Default none. */
  readonly targetThreshold?: number;
  readonly posWeight?: TensorLike;
  /** Default "mean". */
  readonly reduction?: "mean" | "sum" | "none";
}

/**
 * `timm.loss.BinaryCrossEntropy`: integer targets become one-hot and smoothed, dense ones stay as they are.
 *
 * @param predictions - float32 [B, C]: logits
 * @param targets - int32 [B] or float32 [B, C]
 * @param options - `smoothing` (0.1), `targetThreshold` (none), `posWeight`, `reduction` ("mean")
 * @returns float32 [B, C] ("none") or []
 * @throws RangeError as `binaryCrossEntropy`
 * @example
 *   binaryCrossEntropy([[2, -1]], [0]);
 * Source: timm, loss/binary_cross_entropy.py.
 */
export const binaryCrossEntropy: PresetLoss<TimmBinaryCrossEntropyOptions> = /* @__PURE__ */ preset("binaryCrossEntropy", (where, x, targets, { smoothing = 0.1, targetThreshold, posWeight, reduction = "mean" }: TimmBinaryCrossEntropyOptions) => {
  const given = asFloat32(where, "targets", targets), off = smoothing / x.shape[x.shape.length - 1], sparse = given.shape.length < x.shape.length;
  let data = sparse ? masksOf(where, targets, x.shape).masks.data.map((t) => t * (1 - smoothing) + off) : given.data;
  if (targetThreshold !== undefined) data = data.map((t) => (t > targetThreshold ? 1 : 0));
  return { loss: ownBinaryCrossEntropy, x, t: new Tensor("float32", sparse ? x.shape : given.shape, data), options: { posWeight, reduction } };
});

/**
 * `timm.loss.LabelSmoothingCrossEntropy`: smoothing 0.1, always the mean.
 *
 * @param predictions - float32 [B, C]: logits
 * @param targets - int32 [B]
 * @param options - `smoothing` (0.1)
 * @returns float32 []
 * @throws RangeError as `crossEntropy`
 * @example
 *   labelSmoothingCrossEntropy([[2, -1]], [0]);
 * Source: timm, loss/cross_entropy.py.
 */
export const labelSmoothingCrossEntropy: PresetLoss<{ readonly smoothing?: number }> = /* @__PURE__ */ preset("labelSmoothingCrossEntropy", (_, x, t, { smoothing = 0.1 }: { readonly smoothing?: number }) => ({ loss: crossEntropy, x, t, options: { labelSmoothing: smoothing } }));

/**
 * `timm.loss.SoftTargetCrossEntropy`: always the mean.
 *
 * @param predictions - float32 [B, C]: logits
 * @param targets - float32 [B, C]
 * @returns float32 []
 * @throws RangeError as `softCrossEntropy`
 * @example
 *   softTargetCrossEntropy([[2, 0]], [[0.5, 0.5]]); // 1.1269
 * Source: timm, loss/cross_entropy.py.
 */
export const softTargetCrossEntropy: PresetLoss = /* @__PURE__ */ preset("softTargetCrossEntropy", (_, x, t) => ({ loss: softCrossEntropy, x, t, options: {} }));

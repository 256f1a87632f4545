import { asFloat32, type Loss, type TensorLike } from "@logits/tensor";
import { crossEntropy } from "../classification/crossEntropy.ts";
import { softCrossEntropy } from "../classification/softCrossEntropy.ts";
import { checkTargets } from "../elementLoss.ts";
import { binaryCrossEntropy } from "../multi-label/binaryCrossEntropy.ts";
import { sigmoidFocalLoss as ownSigmoidFocalLoss } from "../multi-label/focal.ts";
import { hingeLoss as ownHingeLoss, perceptronLoss as ownPerceptronLoss } from "../multi-label/hinge.ts";
import { crammerSingerLoss } from "../multi-label/multiclassHinge.ts";
import { huberLoss as ownHuberLoss, logCoshLoss, squaredErrorLoss } from "../regression/robust.ts";
import { cosineDistanceLoss } from "../regression/vectors.ts";
import { tverskyLoss } from "../segmentation/overlap.ts";
import { preset, reshaped, type PresetLoss } from "./preset.ts";

/** A loss as it is, without a reduction. */
function unreduced<Options extends object = object>(name: string, loss: Loss<any, any, any>, defaults: (options: Options) => object, factor = 1): PresetLoss<Options> {
  return preset(name, (_, x, t, options: Options) => ({ loss, x, t, options: { ...defaults(options), reduction: "none" }, factor }));
}

/** Targets of -1 and 1 as 0 and 1. */
function signed(name: string, loss: Loss<any, any, any>): PresetLoss {
  return preset(name, (where, x, t) => {
    const { data, shape } = asFloat32(where, "targets", t);
    checkTargets(where, data, undefined, [-1, 1]);
    return { loss, x, t: { data: data.map((s) => (s + 1) / 2), shape }, options: { reduction: "none" } };
  });
}

/**
 * `optax.sigmoid_binary_cross_entropy`: no reduction.
 *
 * @param predictions - float32, any shape: logits
 * @param targets - float32, the same shape, in [0, 1]
 * @returns float32 of that shape
 * @throws RangeError as `binaryCrossEntropy`
 * @example
 *   sigmoidBinaryCrossEntropy([2, -1], [1, 0]); // 0.1269, 0.3133
 * Source: optax, losses/_classification.py.
 */
export const sigmoidBinaryCrossEntropy: PresetLoss = /* @__PURE__ */ unreduced("sigmoidBinaryCrossEntropy", binaryCrossEntropy, () => ({}));

/** Options of `sigmoidFocalLoss`. */
export interface OptaxFocalOptions {
  /** Default none. */
  readonly alpha?: number | null;
  /** Default 2. */
  readonly gamma?: number;
}

/**
 * `optax.sigmoid_focal_loss`: no alpha by default, no reduction.
 *
 * @param predictions - float32, any shape: logits
 * @param targets - float32, the same shape, in [0, 1]
 * @param options - `alpha` (none), `gamma` (2)
 * @returns float32 of that shape
 * @throws RangeError as `sigmoidFocalLoss`
 * @example
 *   sigmoidFocalLoss([2, -1], [1, 0]);
 * Source: optax, losses/_classification.py.
 */
export const sigmoidFocalLoss: PresetLoss<OptaxFocalOptions> = /* @__PURE__ */ unreduced("sigmoidFocalLoss", ownSigmoidFocalLoss, ({ alpha = null, gamma = 2 }: OptaxFocalOptions) => ({ alpha, gamma }));

/**
 * `optax.hinge_loss`: targets of -1 and 1, no reduction.
 *
 * @param predictions - float32, any shape: scores
 * @param targets - the same shape, -1 or 1
 * @returns float32 of that shape
 * @throws RangeError as `hingeLoss`
 * @example
 *   hingeLoss([0.5, 2], [1, -1]); // 0.5, 3
 * Source: optax, losses/_classification.py.
 */
export const hingeLoss: PresetLoss = /* @__PURE__ */ signed("hingeLoss", ownHingeLoss);

/**
 * `optax.perceptron_loss`: targets of -1 and 1, no reduction.
 *
 * @param predictions - float32, any shape: scores
 * @param targets - the same shape, -1 or 1
 * @returns float32 of that shape
 * @throws RangeError as `perceptronLoss`
 * @example
 *   perceptronLoss([0.5, 2], [1, -1]); // 0, 2
 * Source: optax, losses/_classification.py.
 */
export const perceptronLoss: PresetLoss = /* @__PURE__ */ signed("perceptronLoss", ownPerceptronLoss);

/**
 * `optax.multiclass_hinge_loss`, that of Crammer and Singer: no reduction.
 *
 * @param predictions - float32 [B, C]: scores
 * @param targets - int32 [B]
 * @returns float32 [B]
 * @throws RangeError as `crammerSingerLoss`
 * @example
 *   multiclassHingeLoss([[2, 1.5]], [0]); // 0.5
 * Source: optax, losses/_classification.py.
 */
export const multiclassHingeLoss: PresetLoss = /* @__PURE__ */ unreduced("multiclassHingeLoss", crammerSingerLoss, () => ({}));

/**
 * `optax.multiclass_perceptron_loss`: no reduction.
 *
 * @param predictions - float32 [B, C]: scores
 * @param targets - int32 [B]
 * @returns float32 [B]
 * @throws RangeError as `crammerSingerLoss`
 * @example
 *   multiclassPerceptronLoss([[2, 1.5]], [1]); // 0.5
 * Source: optax, losses/_classification.py.
 */
export const multiclassPerceptronLoss: PresetLoss = /* @__PURE__ */ unreduced("multiclassPerceptronLoss", crammerSingerLoss, () => ({ margin: 0 }));

/**
 * `optax.softmax_cross_entropy_with_integer_labels`: no reduction.
 *
 * @param predictions - float32 [..., C]: logits
 * @param targets - int32 [...]
 * @param options - `axis` (-1)
 * @returns float32 [...]
 * @throws RangeError as `crossEntropy`
 * @example
 *   softmaxCrossEntropyWithIntegerLabels([[2, 0]], [0]); // 0.1269
 * Source: optax, losses/_classification.py.
 */
export const softmaxCrossEntropyWithIntegerLabels: PresetLoss<{ readonly axis?: number }> = /* @__PURE__ */ unreduced("softmaxCrossEntropyWithIntegerLabels", crossEntropy, ({ axis = -1 }: { readonly axis?: number }) => ({ axis }));

/**
 * `optax.softmax_cross_entropy`, where impossible classes have target 0 as `optax.safe_softmax_cross_entropy`: no reduction.
 *
 * @param predictions - float32 [..., C]: logits
 * @param targets - float32 of that shape
 * @param options - `axis` (-1)
 * @returns float32 [...]
 * @throws RangeError as `softCrossEntropy`
 * @example
 *   softmaxCrossEntropy([[2, 0]], [[0.5, 0.5]]); // 1.1269
 * Source: optax, losses/_classification.py.
 */
export const softmaxCrossEntropy: PresetLoss<{ readonly axis?: number }> = /* @__PURE__ */ preset("softmaxCrossEntropy", (_, x, t, { axis = -1 }: { readonly axis?: number }) => ({ loss: softCrossEntropy, x, t, options: { axis, reduction: "none" } }));

/**
 * `optax.squared_error`: no reduction.
 *
 * @param predictions - float32, any shape
 * @param targets - float32, the same shape
 * @returns float32 of that shape
 * @throws RangeError as `squaredErrorLoss`
 * @example
 *   squaredError([1, 2], [0, 4]); // 1, 4
 * Source: optax, losses/_regression.py.
 */
export const squaredError: PresetLoss = /* @__PURE__ */ unreduced("squaredError", squaredErrorLoss, () => ({}));

/**
 * `optax.l2_loss`: half the squared error, no reduction.
 *
 * @param predictions - float32, any shape
 * @param targets - float32, the same shape
 * @returns float32 of that shape
 * @throws RangeError as `squaredErrorLoss`
 * @example
 *   l2Loss([1, 2], [0, 4]); // 0.5, 2
 * Source: optax, losses/_regression.py.
 */
export const l2Loss: PresetLoss = /* @__PURE__ */ unreduced("l2Loss", squaredErrorLoss, () => ({}), 0.5);

/**
 * `optax.huber_loss`: no reduction.
 *
 * @param predictions - float32, any shape
 * @param targets - float32, the same shape
 * @param options - `delta` (1)
 * @returns float32 of that shape
 * @throws RangeError as `huberLoss`
 * @example
 *   huberLoss([1, 2], [0.5, 4]); // 0.125, 1.5
 * Source: optax, losses/_regression.py.
 */
export const huberLoss: PresetLoss<{ readonly delta?: number }> = /* @__PURE__ */ unreduced("huberLoss", ownHuberLoss, ({ delta = 1 }: { readonly delta?: number }) => ({ delta }));

/**
 * `optax.log_cosh`: no reduction.
 *
 * @param predictions - float32, any shape
 * @param targets - float32, the same shape
 * @returns float32 of that shape
 * @throws RangeError as `logCoshLoss`
 * @example
 *   logCosh([1, 2], [0, 4]); // 0.4338, 1.3250
 * Source: optax, losses/_regression.py.
 */
export const logCosh: PresetLoss = /* @__PURE__ */ unreduced("logCosh", logCoshLoss, () => ({}));

/**
 * `optax.cosine_distance`: no reduction. epsilon bounds squared norms there: ours is its root.
 *
 * @param predictions - float32 [..., F]
 * @param targets - float32, the same shape
 * @param options - `epsilon` (0), `axis` (-1)
 * @returns float32 [...]
 * @throws RangeError as `cosineDistanceLoss`
 * @example
 *   cosineDistance([[1, 0]], [[1, 1]]); // 0.2929
 * Source: optax, losses/_regression.py.
 */
export const cosineDistance: PresetLoss<{ readonly epsilon?: number; readonly axis?: number }> = /* @__PURE__ */ unreduced("cosineDistance", cosineDistanceLoss, ({ epsilon = 0, axis = -1 }: { readonly epsilon?: number; readonly axis?: number }) => ({ epsilon: Math.sqrt(epsilon), axis }));

/** Options of `diceLoss`. */
export interface OptaxDiceOptions {
  /** Default 1. */
  readonly smooth?: number;
  /** Weight of false positives. Default 0.5. */
  readonly alpha?: number;
  /** Weight of false negatives. Default 0.5. */
  readonly beta?: number;
  /** Default true: of one class the sigmoid. */
  readonly applySoftmax?: boolean;
  /** Without class 0. Default false. */
  readonly ignoreBackground?: boolean;
}

/**
 * `optax.losses.dice_loss` with reduction "mean", averaged over images: each image and class on its own, also absent classes.
 *
 * @param predictions - float32 [B, ..., C]: logits
 * @param targets - the same shape, one-hot
 * @param options - `smooth` (1), `alpha` (0.5), `beta` (0.5), `applySoftmax` (true), `ignoreBackground` (false)
 * @returns float32 []: the mean over the images that optax hands out
 * @throws RangeError as `tverskyLoss`
 * @example
 *   diceLoss([[[2, 0], [0, 1]]], [[[1, 0], [0, 1]]]);
 * Source: optax, losses/_segmentation.py.
 */
export const diceLoss: PresetLoss<OptaxDiceOptions> = /* @__PURE__ */ preset("diceLoss", (_, x, t, { smooth = 1, alpha = 0.5, beta = 0.5, applySoftmax = true, ignoreBackground = false }: OptaxDiceOptions) => {
  const classes = x.shape[x.shape.length - 1], images = x.shape[0], skipped = ignoreBackground && classes > 1;
  return {
    loss: tverskyLoss,
    x,
    t,
    options: { per: "image", absent: "count", smooth, alpha, beta, activation: !applySoftmax ? "none" : classes === 1 ? "sigmoid" : "softmax", ...(skipped && { weight: { data: Float32Array.from({ length: images * classes }, (_v, i) => (i % classes === 0 ? 0 : 1)), shape: [images, classes] } }) },
  };
});

/**
 * `optax.losses.binary_dice_loss`, averaged over images.
 *
 * @param predictions - float32 [B, ...]: logits
 * @param targets - the same shape, 0 or 1
 * @param options - `smooth` (1), `applySigmoid` (true)
 * @returns float32 []
 * @throws RangeError as `diceLoss`
 * @example
 *   binaryDiceLoss([[2, -1]], [[1, 0]]);
 * Source: optax, losses/_segmentation.py.
 */
export const binaryDiceLoss: PresetLoss<{ readonly smooth?: number; readonly applySigmoid?: boolean }> = /* @__PURE__ */ preset("binaryDiceLoss", (where, x, t: TensorLike, { smooth = 1, applySigmoid = true }: { readonly smooth?: number; readonly applySigmoid?: boolean }) => {
  const shape = x.shape[x.shape.length - 1] === 1 ? x.shape : [...x.shape, 1];
  return { loss: tverskyLoss, x: reshaped(x, shape), t: reshaped(asFloat32(where, "targets", t), shape), options: { per: "image", absent: "count", smooth, alpha: 0.5, beta: 0.5, activation: applySigmoid ? "sigmoid" : "none" } };
});

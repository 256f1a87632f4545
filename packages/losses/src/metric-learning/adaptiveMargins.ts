import { similarityPass } from "@logits/core-wasm/similarity";
import { exp, log } from "@logits/statistics";
import { checkPositive, rangeError, Tensor, type TensorLike } from "@logits/tensor";
import { sineCosine } from "./angle.ts";
import { classBatch, classLoss, type ClassBatch, type ClassLoss } from "./classCosines.ts";
import { logSum } from "./tupleLoss.ts";
import { softmaxOf, type CosineSoftmaxOptions, type MarginOptions } from "./marginSoftmax.ts";
import { arcFaceMargin } from "./targetMargins.ts";

/** Options of `curricularFaceLoss`. */
export interface CurricularFaceOptions extends MarginOptions {
  /** t, the running mean of the labels' cosines: 0 at the start. Default 0. */
  readonly curriculum?: number;
}

/** Options of `magFaceLoss`. */
export interface MagFaceOptions extends CosineSoftmaxOptions {
  /** The margins in radians at both ends of `norms`; default [0.45, 0.8]. */
  readonly margins?: readonly [number, number];
  /** |embedding| between which the margin grows; default [10, 110]. Outside of it |embedding| counts as the nearer end. */
  readonly norms?: readonly [number, number];
  /** Weight of |embedding| / norms[1]^2 + 1 / |embedding|. Default 35. */
  readonly lambda?: number;
}

/** Options of `adaFaceLoss`. */
export interface AdaFaceOptions extends MarginOptions {
  /** h, how much of the range of the margins one standard deviation of |embedding| is. Default 0.333. */
  readonly concentration?: number;
  /** Running mean of |embedding|. Default 20. */
  readonly normMean?: number;
  /** Running standard deviation of |embedding|. Default 100. */
  readonly normDeviation?: number;
}

/**
 * CurricularFace: the margin of ArcFace, and cosines of other classes that exceed it count more as training goes on.
 *
 *   f[b, y] = cos(theta + m);   f[b, c] = c where c <= f[b, y], else c (t + c)
 *
 * @param embeddings - float32 [B, F]
 * @param weights - float32 [C, F]; [C K, F] with `centers` K
 * @param labels - int32 [B], in [0, C)
 * @param options - `curriculum` t, default 0: after each step 0.01 mean(targetCosines(...)) + 0.99 t; `margin` m in radians, default 0.5; `scale` s, default 64; `centers`; those of every loss
 * @returns as `marginSoftmaxLoss`; t is a number without a gradient
 * @throws as `marginSoftmaxLoss`
 * @example
 *   curricularFaceLoss([[1, 0]], [[1, 0], [0, 1]], [0], { scale: 8, curriculum: 0.3 }); // log(1 + exp(-8 cos 0.5))
 * Source: Huang et al., "CurricularFace: Adaptive Curriculum Learning Loss for Deep Face Recognition", CVPR 2020, eq. 5 and 10.
 */
export const curricularFaceLoss: ClassLoss<CurricularFaceOptions> = /* @__PURE__ */ classLoss("curricularFaceLoss", ({ scale = 64, margin = 0.5, curriculum = 0 }, batch, where) => {
  const others = (f: Float32Array, target: number, slopes: Float32Array): void => {
    for (let j = 0; j < f.length; j++) {
      const c = f[j], hard = c > target;
      slopes[j] = hard ? curriculum + 2 * c : 1;
      if (hard) f[j] = c * (curriculum + c);
    }
  };
  return softmaxOf({ scale, target: arcFaceMargin(margin), others }, batch, where);
});

/**
 * MagFace: the angular margin grows with the length of the embedding, and a regulariser asks for length; so the length comes to tell quality.
 *
 *   loss[b] = CE(s cos(theta + m(a)), s cos theta_c) + lambda (a / u^2 + 1 / a),   a = |embeddings[b]| within [l, u], m(a) linear from margins[0] at l to margins[1] at u
 *
 * @param embeddings - float32 [B, F]
 * @param weights - float32 [C, F]; [C K, F] with `centers` K
 * @param labels - int32 [B], in [0, C)
 * @param options - `margins`, `norms`, `lambda`; `scale` s, default 64; `centers`; those of every loss
 * @returns as `marginSoftmaxLoss`; the gradient goes through |embedding| where it lies inside `norms`
 * @throws as `marginSoftmaxLoss`
 * @example
 *   magFaceLoss([[10, 0]], [[1, 0], [0, 1]], [0], { scale: 8, lambda: 0 }); // log(1 + exp(-8 cos 0.45))
 * Source: Meng et al., "MagFace: A Universal Representation for Face Recognition and Quality Assessment", CVPR 2021, eq. 3; numbers of its published code.
 */
export const magFaceLoss: ClassLoss<MagFaceOptions> = /* @__PURE__ */ classLoss("magFaceLoss", ({ scale = 64, margins: [low, high] = [0.45, 0.8], norms: [least, most] = [10, 110], lambda = 35 }, batch, where) => {
  if (!(least > 0 && most > least)) throw rangeError(where, "norms", "[l, u] with 0 < l < u", `[${least}, ${most}]`);
  const growth = (high - low) / (most - least), { norm, radial } = batch, size = (i: number): number => Math.max(least, Math.min(most, norm(i)));
  const row = softmaxOf({
    scale,
    target: (c, i) => {
      const a = size(i), m = low + growth * (a - least), [sine, cosine] = sineCosine(m), [t, slope] = arcFaceMargin(m)(c);
      return [t, slope, a === norm(i) ? -growth * (c < -cosine ? sine + m * cosine : Math.sqrt((1 - c) * (1 + c)) * cosine + c * sine) : 0];
    },
  }, batch, where);
  return (cosines, i, coefficient) => {
    const a = size(i);
    if (coefficient !== undefined && a === norm(i)) radial[i] += coefficient * lambda * (1 / (most * most) - 1 / (a * a));
    return row(cosines, i, coefficient) + lambda * (a / (most * most) + 1 / a);
  };
});

/**
 * AdaFace: embeddings that are short against the running mean get a negative angular margin, long ones a cosine margin, so that images without quality are not learnt.
 *
 *   g = clip(h (|embeddings[b]| - mean) / deviation, -1, 1);   f[b, y] = cos(theta - m g) - m (1 + g), the angle clipped to [0, pi]
 *
 * @param embeddings - float32 [B, F]
 * @param weights - float32 [C, F]; [C K, F] with `centers` K
 * @param labels - int32 [B], in [0, C)
 * @param options - `margin` m, default 0.4; `concentration` h, default 0.333; `normMean` and `normDeviation`, running statistics that the caller keeps (the published code moves them by 1 % of each batch's); `scale` s, default 64; `centers`; those of every loss
 * @returns as `marginSoftmaxLoss`; g has no gradient. Where the angle is clipped the slope is 0
 * @throws as `marginSoftmaxLoss`
 * @example
 *   adaFaceLoss([[20, 0]], [[1, 0], [0, 1]], [0], { scale: 8 }); // g = 0: log(1 + exp(-8 (1 - 0.4)))
 * Source: Kim, Jain, Liu, "AdaFace: Quality Adaptive Margin for Face Recognition", CVPR 2022, eq. 8 to 10. The published code also keeps cosines within 0.999 and angles 0.001 from 0 and pi.
 */
export const adaFaceLoss: ClassLoss<AdaFaceOptions> = /* @__PURE__ */ classLoss("adaFaceLoss", ({ scale = 64, margin = 0.4, concentration = 0.333, normMean = 20, normDeviation = 100 }, batch, where) => {
  checkPositive(where, "normDeviation", normDeviation);
  return softmaxOf({
    scale,
    target: (c, i) => {
      const g = Math.max(-1, Math.min(1, (concentration * (batch.norm(i) - normMean)) / normDeviation)), [sine, cosine] = sineCosine(-margin * g), s = Math.sqrt((1 - c) * (1 + c)), add = margin * (1 + g);
      if (sine < 0 ? c > cosine : c < -cosine) return [(sine < 0 ? 1 : -1) - add, 0];
      return [c * cosine - s * sine - add, cosine + (c * sine) / Math.max(s, 1e-6)];
    },
  }, batch, where);
});

/**
 * The cosine of each embedding with its label's class vector, for the running mean of CurricularFace and for looking at a training.
 *
 * @param embeddings - float32 [B, F]
 * @param weights - float32 [C, F]
 * @param labels - int32 [B], in [0, C)
 * @returns float32 [B]; 0 where one of both is a vector of zeros
 * @throws RangeError for shapes that do not fit or a label outside [0, C)
 * @example
 *   targetCosines([[1, 1]], [[1, 0], [0, 1]], [1]); // [0.7071]
 * Source: folklore.
 */
export function targetCosines(embeddings: TensorLike, weights: TensorLike, labels: TensorLike): Tensor<"float32"> {
  const { y, cosine } = classBatch("targetCosines", [embeddings, weights, labels]);
  return new Tensor("float32", [y.length], Float32Array.from(y, (label, i) => cosine(i, label)));
}

/**
 * The scale that AdaCos takes: fixed from the number of classes, or dynamic from a batch and the scale before. For `normalizedSoftmaxLoss`.
 *
 *   fixed: sqrt(2) log(C - 1);   dynamic: log(mean_b sum_{c != y} exp(scale cos theta[b, c])) / cos(min(pi / 4, median_b theta[b, y]))
 *
 * @param embeddings - float32 [B, F], B >= 1
 * @param weights - float32 [C, F], C >= 3 for a scale above 0
 * @param labels - int32 [B], in [0, C)
 * @param options - `scale`, that of the step before; without it the fixed scale
 * @returns the scale. The median of an even number of cosines is the mean of the middle two
 * @throws RangeError for shapes that do not fit, no row or a label outside [0, C)
 * @example
 *   adaCosScale([[1, 0]], [[1, 0], [0, 1], [-1, 0]], [0]); // sqrt(2) log 2
 * Source: Zhang et al., "AdaCos: Adaptively Scaling Cosine Logits for Effectively Learning Deep Face Representations", CVPR 2019, eq. 12 and 15.
 */
export function adaCosScale(embeddings: TensorLike, weights: TensorLike, labels: TensorLike, options: { readonly scale?: number } = {}): number {
  const where = "adaCosScale", { scale } = options, batch = classBatch(where, [embeddings, weights, labels]), { z, w, y, classes } = batch;
  if (scale === undefined) return Math.SQRT2 * log(classes - 1);
  const { middle } = medianTarget(where, batch);
  let sum = 0;
  similarityPass({ data: z.data }, { data: w.data }, z.shape[1], "cosine", (i, row) => {
    for (let c = 0; c < classes; c++) if (c !== y[i]) sum += exp(scale * row[c]);
  }, false);
  return log(sum / y.length) / Math.max(Math.SQRT1_2, middle);
}

/**
 * Scale and margin of MadaCos, for `cosFaceLoss`: the row whose cosine is the batch's median gets the probability alpha.
 *
 *   s = max(32, log(9999999 (1 - alpha) / alpha) / (1 - c~)),  m = max(0, c~ - log(B alpha / (1 - alpha)) / s),  B = sum_{c != y} exp(s cos theta[median, c])
 *
 * @param embeddings - float32 [B, F], B >= 1
 * @param weights - float32 [C, F]
 * @param labels - int32 [B], in [0, C)
 * @param options - `alpha`, in (0, 1), default 0.1
 * @returns `scale` and `margin`, numbers without a gradient. Of an even number of rows the lower median
 * @throws RangeError for shapes that do not fit, no row, a label outside [0, C), another alpha, or a median cosine of 1
 * @example
 *   madaCos([[1, 1]], [[1, 0], [0, 1]], [0]); // { scale: 62.5, margin: 0.035 }: exp(s (c - m)) is a ninth of exp(s c)
 * Source: Zhu et al., "Coarse-to-Fine: Learning Compact Discriminative Representation for Single-Stage Image Retrieval", ICCV 2023, and its published code for the numbers.
 */
export function madaCos(embeddings: TensorLike, weights: TensorLike, labels: TensorLike, options: { readonly alpha?: number } = {}): { readonly scale: number; readonly margin: number } {
  const where = "madaCos", { alpha = 0.1 } = options, batch = classBatch(where, [embeddings, weights, labels]), odds = (1 - alpha) / alpha;
  if (!(alpha > 0 && alpha < 1)) throw rangeError(where, "alpha", "in (0, 1)", `${alpha}`);
  const { lower, at } = medianTarget(where, batch), scale = Math.max(32, log(9999999 * odds) / (1 - lower));
  if (lower === 1) throw rangeError(where, "embeddings", "with a median cosine below 1: the scale would be infinite", "1");
  const others = Float64Array.from({ length: batch.classes }, (_, c) => (c === batch.y[at] ? -Infinity : batch.cosine(at, c)));
  const [logOthers] = logSum(others, Int32Array.from(others.keys()), scale, 0, 0);
  return { scale, margin: Math.max(0, lower - (logOthers - log(odds)) / scale) };
}

/** The median of the labels' cosines, the lower one of the middle two, and whose that is. */
function medianTarget(where: string, { y, cosine }: ClassBatch): { middle: number; lower: number; at: number } {
  if (y.length === 0) throw rangeError(where, "embeddings", "with at least one row", "none");
  const cosines = Float64Array.from(y, (label, i) => cosine(i, label)), sorted = cosines.slice().sort(), lower = sorted[(y.length - 1) >> 1];
  return { middle: (lower + sorted[y.length >> 1]) / 2, lower, at: cosines.indexOf(lower) };
}

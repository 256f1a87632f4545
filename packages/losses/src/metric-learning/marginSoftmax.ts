import { checkPositive } from "@logits/tensor";
import { classLoss, softmaxRow, type ClassBatch, type ClassLoss, type ClassLossOptions, type ClassRow } from "./classCosines.ts";
import { arcFaceMargin, combinedMargin, cosFaceMargin, sphereFaceMargin, type TargetMargin } from "./targetMargins.ts";

/** Options of a softmax over cosines. */
export interface CosineSoftmaxOptions extends ClassLossOptions {
  /** s, what cosines are multiplied with: the inverse of a temperature. */
  readonly scale?: number;
}

/** Options of `marginSoftmaxLoss`. */
export interface MarginSoftmaxOptions extends CosineSoftmaxOptions {
  /** What becomes of the label's cosine; default nothing. */
  readonly margin?: TargetMargin;
  /** Scores are multiplied with |embedding| as well. Default false. */
  readonly embeddingNorm?: boolean;
}

/** Options of losses with one margin. */
export interface MarginOptions extends CosineSoftmaxOptions {
  /** m. */
  readonly margin?: number;
}

/** Options of `combinedMarginLoss`. */
export interface CombinedMarginOptions extends CosineSoftmaxOptions {
  /** m1, m2 (radians) and m3; default [1, 0.5, 0]. */
  readonly margins?: readonly [multiple: number, angle: number, cosine: number];
}

/** What a row of cosines becomes before the softmax. */
export interface SoftmaxTerms {
  readonly scale: number;
  readonly embeddingNorm?: boolean | undefined;
  /** f of the label, its derivative in the cosine, and that in |embedding|. */
  target(cosine: number, i: number): readonly [value: number, slope: number, norm?: number];
  /** f of the other classes in place of the cosines, where they are changed; `slopes` receives the derivatives. */
  others?(cosines: Float32Array, target: number, slopes: Float32Array): void;
}

/** Softmax over changed cosines, a row at a time. */
export function softmaxOf({ scale, embeddingNorm, target, others }: SoftmaxTerms, batch: ClassBatch, where: string): ClassRow {
  checkPositive(where, "scale", scale);
  const { y, classes, radial, norm } = batch, kept = new Float32Array(classes);
  return (f, i, coefficient) => {
    const label = y[i], [t, slope, radially = 0] = target(batch.target(i), i), s = embeddingNorm ? scale * norm(i) : scale;
    if (s === 0) return softmaxRow(f.fill(0), label, 1, 0, undefined);
    if (others) others(f, t, kept);
    else if (embeddingNorm) kept.set(f);
    const value = softmaxRow(f, label, s, t, coefficient);
    if (coefficient === undefined) return value;
    const own = f[label];
    radial[i] += own * radially;
    if (embeddingNorm) {
      // d / d |z| of softmax(scale |z| f): f has s times too much.
      kept[label] = t;
      for (let j = 0; j < classes; j++) radial[i] += (f[j] * kept[j]) / norm(i);
    } else if (others) for (let j = 0; j < classes; j++) f[j] *= kept[j];
    f[label] = own * slope;
    return value;
  };
}

const none: TargetMargin = (c) => [c, 1];

function marginSoftmax<Options extends CosineSoftmaxOptions>(name: string, scale: number, marginOf: (options: Options) => TargetMargin, normOf?: (options: Options) => boolean | undefined): ClassLoss<Options> {
  return classLoss(name, (options: Options, batch, where) => softmaxOf({ scale: options.scale ?? scale, target: marginOf(options), embeddingNorm: normOf?.(options) }, batch, where));
}

/**
 * Softmax cross-entropy over scaled cosines with any margin on the label's cosine.
 *
 *   loss[b] = log sum_c exp(s f[b, c]) - s f[b, y],   f[b, c] = cos(embeddings[b], weights[c]), f[b, y] = margin(cos(embeddings[b], weights[y]))
 *
 * @param embeddings - float32 [B, F], of any length; a vector of zeros has the cosine 0 with everything and the gradient 0
 * @param weights - float32 [C, F], a vector for each class, of any length; [C K, F] with `centers` K: the largest cosine of a class counts (sub-centres)
 * @param labels - int32 [B], in [0, C)
 * @param options - `scale` s > 0 (default 30), `margin` (default none), `embeddingNorm` (scores s |embedding| f), `centers`; those of every loss
 * @returns float32 [B] ("none") or []. `withGrad`: `grads.embeddings` and `grads.weights`. A row with NaN: NaN
 * @throws RangeError for shapes that do not fit, a label outside [0, C), a scale that is not above 0
 * @example
 *   marginSoftmaxLoss([[1, 0]], [[1, 0], [0, 1]], [0], { scale: 8, margin: cosFaceMargin(0.2) }); // log(1 + exp(-6.4))
 * Source: Deng et al., "ArcFace", CVPR 2019, eq. 4, for the frame.
 */
export const marginSoftmaxLoss: ClassLoss<MarginSoftmaxOptions> = /* @__PURE__ */ marginSoftmax("marginSoftmaxLoss", 30, ({ margin = none }) => margin, ({ embeddingNorm }) => embeddingNorm);

/**
 * Normalised softmax: cross-entropy over scaled cosines (NormFace; class vectors as proxies: Proxy-NCA++).
 *
 *   loss[b] = log sum_c exp(s cos(embeddings[b], weights[c])) - s cos(embeddings[b], weights[y])
 *
 * @param embeddings - float32 [B, F]
 * @param weights - float32 [C, F]; [C K, F] with `centers` K
 * @param labels - int32 [B], in [0, C)
 * @param options - `scale` s, default 20, a temperature of 0.05; `centers`; those of every loss
 * @returns as `marginSoftmaxLoss`
 * @throws as `marginSoftmaxLoss`
 * @example
 *   normalizedSoftmaxLoss([[2, 0]], [[1, 0], [0, 3]], [0], { scale: 8 }); // log(1 + exp(-8))
 * Source: Wang et al., "NormFace: L2 Hypersphere Embedding for Face Verification", ACM MM 2017; Zhai and Wu, "Classification is a Strong Baseline for Deep Metric Learning", BMVC 2019, for the temperature.
 */
export const normalizedSoftmaxLoss: ClassLoss<CosineSoftmaxOptions> = /* @__PURE__ */ marginSoftmax("normalizedSoftmaxLoss", 20, () => none);

/**
 * CosFace (AM-Softmax): the label's cosine less a margin.
 *
 *   f[b, y] = cos(embeddings[b], weights[y]) - m
 *
 * @param embeddings - float32 [B, F]
 * @param weights - float32 [C, F]; [C K, F] with `centers` K
 * @param labels - int32 [B], in [0, C)
 * @param options - `margin` m, default 0.35; `scale` s, default 64; `centers`; those of every loss
 * @returns as `marginSoftmaxLoss`
 * @throws as `marginSoftmaxLoss`
 * @example
 *   cosFaceLoss([[1, 0]], [[1, 0], [0, 1]], [0], { scale: 8 }); // log(1 + exp(-5.2))
 * Source: Wang et al., "CosFace", CVPR 2018, eq. 4.
 */
export const cosFaceLoss: ClassLoss<MarginOptions> = /* @__PURE__ */ marginSoftmax("cosFaceLoss", 64, ({ margin = 0.35 }) => cosFaceMargin(margin));

/**
 * ArcFace: the label's angle plus a margin. With `centers` K it is sub-centre ArcFace.
 *
 *   f[b, y] = cos(theta + m) = c cos m - sqrt(1 - c^2) sin m where theta <= pi - m, else c - m sin m
 *
 * @param embeddings - float32 [B, F]
 * @param weights - float32 [C, F]; [C K, F] with `centers` K (3 in the sub-centre paper)
 * @param labels - int32 [B], in [0, C)
 * @param options - `margin` m in radians, default 0.5; `scale` s, default 64; `centers`; those of every loss
 * @returns as `marginSoftmaxLoss`; the gradient is finite at cosines of 1 and -1 (see `arcFaceMargin`)
 * @throws as `marginSoftmaxLoss`
 * @example
 *   arcFaceLoss([[1, 0]], [[1, 0], [0, 1]], [0], { scale: 8 }); // log(1 + exp(-8 cos 0.5))
 * Source: Deng et al., "ArcFace", CVPR 2019, eq. 3; Deng et al., "Sub-center ArcFace", ECCV 2020.
 */
export const arcFaceLoss: ClassLoss<MarginOptions> = /* @__PURE__ */ marginSoftmax("arcFaceLoss", 64, ({ margin = 0.5 }) => arcFaceMargin(margin));

/**
 * SphereFace (A-Softmax): a multiple of the label's angle; scores keep the length of the embedding.
 *
 *   f[b, y] = (-1)^k cos(m theta) - 2k, theta in [k pi / m, (k + 1) pi / m];   scores s |embeddings[b]| f[b, c]
 *
 * @param embeddings - float32 [B, F]
 * @param weights - float32 [C, F]; [C K, F] with `centers` K
 * @param labels - int32 [B], in [0, C)
 * @param options - `margin` m, an integer, default 4; `scale` s, default 1; `centers`; those of every loss
 * @returns as `marginSoftmaxLoss`
 * @throws as `marginSoftmaxLoss`, and for a margin that is no integer >= 1
 * @example
 *   sphereFaceLoss([[3, 0]], [[1, 0], [0, 1]], [0]); // log(1 + exp(-3))
 * Source: Liu et al., "SphereFace", CVPR 2017, eq. 7.
 */
export const sphereFaceLoss: ClassLoss<MarginOptions> = /* @__PURE__ */ marginSoftmax("sphereFaceLoss", 1, ({ margin = 4 }) => sphereFaceMargin(margin), () => true);

/**
 * Multiplicative, angular and cosine margin in one.
 *
 *   f[b, y] = cos(m1 theta + m2) - m3
 *
 * @param embeddings - float32 [B, F]
 * @param weights - float32 [C, F]; [C K, F] with `centers` K
 * @param labels - int32 [B], in [0, C)
 * @param options - `margins` [m1, m2, m3], default [1, 0.5, 0]; `scale` s, default 64; `centers`; those of every loss
 * @returns as `marginSoftmaxLoss`
 * @throws as `marginSoftmaxLoss` and `combinedMargin`
 * @example
 *   combinedMarginLoss([[1, 0]], [[1, 0], [0, 1]], [0], { scale: 8, margins: [1, 0.3, 0.2] }); // log(1 + exp(-8 (cos 0.3 - 0.2)))
 * Source: Deng et al., "ArcFace", CVPR 2019, eq. 4.
 */
export const combinedMarginLoss: ClassLoss<CombinedMarginOptions> = /* @__PURE__ */ marginSoftmax("combinedMarginLoss", 64, ({ margins: [multiple, angle, cosine] = [1, 0.5, 0] }) => combinedMargin(multiple, angle, cosine));

import { sigmoid, softplus } from "@logits/statistics";
import { asFloat32, asInt32, checkShape, rangeError, Tensor, watchedOptions, type Loss, type TensorLike } from "@logits/tensor";
import { sineCosine } from "../metric-learning/angle.ts";
import type { ClassLoss, ClassLossOptions } from "../metric-learning/classCosines.ts";
import { arcFaceLoss as ownArcFaceLoss, normalizedSoftmaxLoss as ownNormalizedSoftmaxLoss, type MarginOptions } from "../metric-learning/marginSoftmax.ts";
import { liftedStructureLoss as ownLiftedStructureLoss, swapTripletMarginLoss } from "../metric-learning/matrixLoss.ts";
import { contrastiveLoss as ownContrastiveLoss } from "../metric-learning/pairwise.ts";
import { softTripleLoss as ownSoftTripleLoss, type SoftTripleOptions } from "../metric-learning/proxies.ts";
import { fastApLoss as ownFastApLoss } from "../metric-learning/ranked.ts";
import { tripletMarginLoss as ownTripletMarginLoss } from "../metric-learning/triplet.ts";
import { distanceLoss, logSum, type DistanceOptions } from "../metric-learning/tupleLoss.ts";
import { circleLoss as ownCircleLoss, multiSimilarityLoss as ownMultiSimilarityLoss, ncaLoss as ownNcaLoss, tupletMarginLoss as ownTupletMarginLoss } from "../metric-learning/weightedPairs.ts";
import { integers } from "../shaped.ts";

// The same defaults as ours.
export { cosFaceLoss, sphereFaceLoss } from "../metric-learning/marginSoftmax.ts";
export { p2sGradLoss, proxyNcaLoss } from "../metric-learning/proxies.ts";
export { proxyAnchorLoss } from "../metric-learning/proxyAnchor.ts";

/** A loss with the options, defaults and reducer of the class of the same name in pytorch-metric-learning 2.8, as a function of embeddings and labels. */
export interface PmlLoss<Options = object> {
  (embeddings: TensorLike, labels: TensorLike, options?: Options): Tensor<"float32">;
  withGrad(embeddings: TensorLike, labels: TensorLike, options?: Options & { readonly upstream?: number }): { readonly loss: Tensor<"float32">; readonly grad: Tensor<"float32"> };
}

/** One of our losses, and how its values become one number. */
interface Part {
  readonly loss: Loss<[TensorLike, TensorLike], any>;
  readonly options?: object;
  /** "mean": ours. "nonZero": over the anchors above 0. "terms": over the pairs or triplets above 0. "pairs": over the pairs of an anchor with a positive. */
  readonly over: "mean" | "nonZero" | "terms" | "pairs";
  readonly factor?: number;
}

/** Embeddings at length 1, as `torch.nn.functional.normalize` leaves those of zeros. */
function unitRows(z: Tensor<"float32">): { unit: Tensor<"float32">; back(grad: Float32Array): Float32Array } {
  const [rows, features] = z.shape, sizes = new Float64Array(rows), unit = new Float32Array(z.size);
  for (let k = 0; k < z.size; k++) sizes[Math.floor(k / features)] += z.data[k] * z.data[k];
  for (let k = 0; k < z.size; k++) unit[k] = z.data[k] / (Math.sqrt(sizes[Math.floor(k / features)]) || 1);
  return {
    unit: new Tensor("float32", z.shape, unit),
    back: (grad) => {
      const along = new Float64Array(rows);
      for (let k = 0; k < z.size; k++) along[Math.floor(k / features)] += grad[k] * unit[k];
      return grad.map((g, k) => (g - along[Math.floor(k / features)] * unit[k]) / (Math.sqrt(sizes[Math.floor(k / features)]) || 1));
    },
  };
}

/** How many numbers of the batch are summed. */
function divisor({ loss, options, over }: Part, z: Tensor<"float32">, y: Int32Array): number {
  const values = (extra: object): Float32Array => loss(z, y, { ...options, ...extra, reduction: "none" }).data;
  if (over === "nonZero") return values({}).filter((v) => v > 0).length;
  const [sums, means] = [values({ average: "sum" }), values({ average: "nonZero" })];
  return sums.reduce((count, sum, i) => count + (means[i] > 0 ? Math.round(sum / means[i]) : 0), 0);
}

/** Value and gradient of one number over the batch. */
type Run<Options> = (where: string, z: Tensor<"float32">, labels: TensorLike, options: Options, upstream: number) => { readonly value: number; readonly grad: Float32Array };

function made<Options extends object>(name: string, run: Run<Options>): PmlLoss<Options> {
  const result = (where: string, embeddings: TensorLike, labels: TensorLike, given: Options & { readonly upstream?: number }, read: readonly string[]): { loss: Tensor<"float32">; grad: Tensor<"float32"> } => {
    const { options, refuseUnread } = watchedOptions(where, given, read), { upstream = 1 } = given, z = asFloat32(where, "embeddings", embeddings);
    checkShape(where, "embeddings", z, ["N", "F"]);
    const { value, grad } = run(where, z, labels, options, upstream);
    refuseUnread();
    return { loss: new Tensor("float32", [], Float32Array.of(value)), grad: new Tensor("float32", z.shape, grad) };
  };
  return Object.assign((embeddings: TensorLike, labels: TensorLike, options?: Options) => result(name, embeddings, labels, options ?? ({} as Options), []).loss, {
    withGrad: (embeddings: TensorLike, labels: TensorLike, options?: Options & { readonly upstream?: number }) => result(`${name}.withGrad`, embeddings, labels, options ?? ({} as Options), ["upstream"]),
  });
}

function preset<Options extends object>(name: string, unit: boolean, parts: (options: Options) => readonly Part[]): PmlLoss<Options> {
  return made(name, (where, z, labels, options, upstream) => {
    const y = asInt32(where, "labels", labels).data, { unit: rows, back } = unit ? unitRows(z) : { unit: z, back: (grad: Float32Array) => grad }, total = new Float32Array(z.size);
    let value = 0;
    for (const part of parts(options)) {
      const { loss, options: own, over, factor = 1 } = part, counted = over === "nonZero" || over === "terms", scale = factor / (counted ? divisor(part, rows, y) || 1 : 1);
      // A row without a positive counts for nothing, but stays a negative: its weight is not 0.
      const weight = over === "pairs" ? Float32Array.from(y, (label) => Math.max(1, y.reduce((count, other) => count + (other === label ? 1 : 0), -1))) : undefined;
      const { loss: got, grad } = loss.withGrad(rows, y, { ...own, ...(over === "terms" && { average: "sum" }), ...(weight && { weight }), reduction: counted ? "sum" : "mean", upstream: [scale * upstream] });
      value += scale * got.item();
      grad.data.forEach((g: number, k: number) => (total[k] += g));
    }
    return { value, grad: back(total) };
  });
}

/**
 * `ContrastiveLoss(pos_margin=0, neg_margin=1)`: hinges, not squares, of Euclidean distances at length 1; the mean of the positive pairs above 0 plus that of the negative ones.
 *
 * @param embeddings - float32 [N, F]
 * @param labels - int32 [N]
 * @param options - `posMargin`, `negMargin`
 * @returns a number; `withGrad`: `grad`
 * @throws RangeError for shapes that do not fit
 * @example
 *   contrastiveLoss([[1, 0], [0.6, 0.8], [0, 1]], [0, 0, 1]);
 * Source: Musgrave, Belongie, Lim, pytorch-metric-learning 2.8.1.
 */
export const contrastiveLoss: PmlLoss<{ readonly posMargin?: number; readonly negMargin?: number }> = /* @__PURE__ */ preset("contrastiveLoss", true, ({ posMargin = 0, negMargin = 1 }) =>
  hinges(posMargin, negMargin, 1, 1, "euclidean"));

/**
 * `ThresholdConsistentMarginLoss(lambda_plus=1, lambda_minus=1, margin_plus=0.9, margin_minus=0.5)`: means over all pairs of the batch beyond their margin.
 *
 * @param embeddings - float32 [N, F]
 * @param labels - int32 [N]
 * @param options - `lambdaPlus`, `lambdaMinus`, `marginPlus`, `marginMinus`
 * @returns a number; `withGrad`: `grad`
 * @throws RangeError for shapes that do not fit
 * @example
 *   thresholdConsistentMarginLoss([[1, 0], [0.8, 0.6], [0.6, 0.8]], [0, 0, 1]);
 * Source: pytorch-metric-learning 2.8.1.
 */
export const thresholdConsistentMarginLoss: PmlLoss<{ readonly lambdaPlus?: number; readonly lambdaMinus?: number; readonly marginPlus?: number; readonly marginMinus?: number }> = /* @__PURE__ */ preset(
  "thresholdConsistentMarginLoss",
  false,
  ({ lambdaPlus = 1, lambdaMinus = 1, marginPlus = 0.9, marginMinus = 0.5 }) => hinges(1 - marginPlus, 1 - marginMinus, lambdaPlus, lambdaMinus, "cosine"),
);

function hinges(positiveMargin: number, negativeMargin: number, near: number, far: number, distance: string): Part[] {
  const part = (positiveWeight: number, negativeWeight: number): Part => ({ loss: ownContrastiveLoss, options: { positiveMargin, negativeMargin, power: 1, distance, positiveWeight, negativeWeight }, over: "terms", factor: positiveWeight === 1 ? near : far });
  return [part(1, 0), part(0, 1)];
}

/**
 * `TripletMarginLoss(margin=0.05, swap=False, smooth_loss=False)`: Euclidean distances at length 1, the mean of the triplets above 0.
 *
 * @param embeddings - float32 [N, F]
 * @param labels - int32 [N]
 * @param options - `margin`, `swap`, `smoothLoss`
 * @returns a number; `withGrad`: `grad`
 * @throws RangeError for shapes that do not fit
 * @example
 *   tripletMarginLoss([[1, 0], [0.6, 0.8], [0.8, 0.6]], [0, 0, 1]);
 * Source: pytorch-metric-learning 2.8.1.
 */
export const tripletMarginLoss: PmlLoss<{ readonly margin?: number; readonly swap?: boolean; readonly smoothLoss?: boolean }> = /* @__PURE__ */ preset("tripletMarginLoss", true, ({ margin = 0.05, swap = false, smoothLoss = false }) => [
  { loss: swap ? swapTripletMarginLoss : ownTripletMarginLoss, options: { margin, smooth: smoothLoss }, over: "terms" },
]);

/**
 * `MultiSimilarityLoss(alpha=2, beta=50, base=0.5)`, without a miner.
 *
 * @param embeddings - float32 [N, F]
 * @param labels - int32 [N]
 * @param options - `alpha`, `beta`, `base`
 * @returns a number; `withGrad`: `grad`
 * @throws RangeError for shapes that do not fit
 * @example
 *   multiSimilarityLoss([[1, 0], [0.6, 0.8], [0.8, 0.6]], [0, 0, 1]);
 * Source: pytorch-metric-learning 2.8.1.
 */
export const multiSimilarityLoss: PmlLoss<{ readonly alpha?: number; readonly beta?: number; readonly base?: number }> = /* @__PURE__ */ preset("multiSimilarityLoss", false, ({ alpha, beta, base }) => [
  { loss: ownMultiSimilarityLoss, options: { alpha, beta, base, mining: false }, over: "mean" },
]);

/**
 * `CircleLoss(m=0.4, gamma=80)`: the mean of the anchors above 0.
 *
 * @param embeddings - float32 [N, F]
 * @param labels - int32 [N]
 * @param options - `m`, `gamma`
 * @returns a number; `withGrad`: `grad`
 * @throws RangeError for shapes that do not fit
 * @example
 *   circleLoss([[1, 0], [0.6, 0.8], [0.8, 0.6]], [0, 0, 1]);
 * Source: pytorch-metric-learning 2.8.1.
 */
export const circleLoss: PmlLoss<{ readonly m?: number; readonly gamma?: number }> = /* @__PURE__ */ preset("circleLoss", false, ({ m = 0.4, gamma = 80 }) => [{ loss: ownCircleLoss, options: { margin: m, scale: gamma }, over: "nonZero" }]);

/**
 * `NCALoss(softmax_scale=1)`: squared Euclidean distances at length 1.
 *
 * @param embeddings - float32 [N, F]
 * @param labels - int32 [N]
 * @param options - `softmaxScale`
 * @returns a number; `withGrad`: `grad`
 * @throws RangeError for shapes that do not fit
 * @example
 *   ncaLoss([[1, 0], [0.6, 0.8], [0.8, 0.6]], [0, 0, 1]);
 * Source: pytorch-metric-learning 2.8.1.
 */
export const ncaLoss: PmlLoss<{ readonly softmaxScale?: number }> = /* @__PURE__ */ preset("ncaLoss", true, ({ softmaxScale = 1 }) => [{ loss: ownNcaLoss, options: { scale: softmaxScale }, over: "mean" }]);

/**
 * `LiftedStructureLoss(neg_margin=1, pos_margin=0)`: Euclidean distances at length 1, the mean of the positive pairs.
 *
 * @param embeddings - float32 [N, F]
 * @param labels - int32 [N]
 * @param options - `negMargin`, `posMargin`
 * @returns a number; `withGrad`: `grad`
 * @throws RangeError for shapes that do not fit
 * @example
 *   liftedStructureLoss([[1, 0], [0.6, 0.8], [0.8, 0.6]], [0, 0, 1]);
 * Source: pytorch-metric-learning 2.8.1.
 */
export const liftedStructureLoss: PmlLoss<{ readonly negMargin?: number; readonly posMargin?: number }> = /* @__PURE__ */ preset("liftedStructureLoss", true, ({ negMargin = 1, posMargin = 0 }) => [
  { loss: ownLiftedStructureLoss, options: { margin: negMargin - posMargin }, over: "pairs" },
]);

/** Ours over all anchors: what an anchor without positives or without negatives sums is 1, as there. */
const allLifted: Loss<[TensorLike, TensorLike], any> = /* @__PURE__ */ distanceLoss("generalizedLiftedStructureLoss", "euclidean", ({ margin, posMargin }: DistanceOptions & { readonly margin: number; readonly posMargin: number }) => (d, positives, negatives, slopes) => {
  const [near, addNear] = logSum(d, positives, 1, posMargin, 0), [far, addFar] = logSum(d, negatives, -1, margin, 0), value = Math.max(0, (positives.length > 0 ? near : 0) + (negatives.length > 0 ? far : 0));
  if (slopes && value > 0) {
    addNear(slopes, 1);
    addFar(slopes, 1);
  }
  return value;
}, "none");

/**
 * `GeneralizedLiftedStructureLoss(neg_margin=1, pos_margin=0)`: Euclidean distances at length 1, the mean of all anchors; the part of those without a positive, or without a negative, is 0.
 *
 * @param embeddings - float32 [N, F]
 * @param labels - int32 [N]
 * @param options - `negMargin`, `posMargin`
 * @returns a number; `withGrad`: `grad`
 * @throws RangeError for shapes that do not fit
 * @example
 *   generalizedLiftedStructureLoss([[1, 0], [0.6, 0.8], [0.8, 0.6]], [0, 0, 1]);
 * Source: pytorch-metric-learning 2.8.1.
 */
export const generalizedLiftedStructureLoss: PmlLoss<{ readonly negMargin?: number; readonly posMargin?: number }> = /* @__PURE__ */ preset("generalizedLiftedStructureLoss", true, ({ negMargin = 1, posMargin = 0 }) => [
  { loss: allLifted, options: { margin: negMargin, posMargin }, over: "mean" },
]);

/**
 * `TupletMarginLoss(margin=5.73, scale=64)`: the margin in degrees, the mean of the positive pairs.
 *
 * @param embeddings - float32 [N, F]
 * @param labels - int32 [N]
 * @param options - `margin` in degrees, `scale`
 * @returns a number; `withGrad`: `grad`
 * @throws RangeError for shapes that do not fit
 * @example
 *   tupletMarginLoss([[1, 0], [0.6, 0.8], [0.8, 0.6]], [0, 0, 1]);
 * Source: pytorch-metric-learning 2.8.1.
 */
export const tupletMarginLoss: PmlLoss<{ readonly margin?: number; readonly scale?: number }> = /* @__PURE__ */ preset("tupletMarginLoss", false, ({ margin = 5.73, scale = 64 }) => [
  { loss: ownTupletMarginLoss, options: { margin: (margin * Math.PI) / 180, scale }, over: "pairs" },
]);

/**
 * `AngularLoss(alpha=40)`: the angle in degrees, the mean of the positive pairs. Anchors and positives are at length 1, negatives keep theirs.
 *
 * @param embeddings - float32 [N, F]
 * @param labels - int32 [N]
 * @param options - `alpha` in degrees, between 0 and 90
 * @returns a number; `withGrad`: `grad`
 * @throws RangeError for shapes that do not fit, an angle outside (0, 90)
 * @example
 *   angularLoss([[1, 0], [0.6, 0.8], [0.8, 0.6]], [0, 0, 1]);
 * Source: pytorch-metric-learning 2.8.1.
 */
export const angularLoss: PmlLoss<{ readonly alpha?: number }> = /* @__PURE__ */ made("angularLoss", (where, z, labels, { alpha = 40 }: { readonly alpha?: number }, upstream) => {
  if (!(alpha > 0 && alpha < 90)) throw rangeError(where, "alpha", "between 0 and 90 degrees", `${alpha}`);
  const [n, features] = z.shape, y = integers(where, "labels", labels, [n]).data, { unit: { data: u }, back } = unitRows(z), [sine, cosine] = sineCosine((alpha * Math.PI) / 180), square = (sine * sine) / (cosine * cosine);
  const dot = (a: Float32Array, i: number, b: Float32Array, j: number): number => {
    let sum = 0;
    for (let f = 0; f < features; f++) sum += a[i * features + f] * b[j * features + f];
    return sum;
  };
  const all = Int32Array.from(y, (_, i) => i), pairs = [...all].flatMap((a) => [...all].filter((p) => p !== a && y[p] === y[a]).map((p) => [a, p] as const));
  const across = Array.from(all, (i) => Float64Array.from(all, (j) => dot(u, i, z.data, j))), slopes = Array.from(all, () => new Float64Array(n)), ofUnit = new Float32Array(z.size), ofRaw = new Float32Array(z.size);
  const pull = (to: Float32Array, i: number, from: Float32Array, j: number, slope: number): void => {
    for (let f = 0; f < features; f++) to[i * features + f] += slope * from[j * features + f];
  };
  let value = 0;
  for (const [a, p] of pairs) {
    const negatives = all.filter((j) => y[j] !== y[a]), [sum, add] = logSum(across[a].map((v, j) => v + across[p][j]), negatives, 4 * square, 0, 0), x = sum - 2 * (1 + square) * dot(u, a, u, p), slope = (upstream * sigmoid(x)) / pairs.length;
    value += softplus(x) / pairs.length;
    add(slopes[a], slope);
    add(slopes[p], slope);
    pull(ofUnit, a, u, p, -2 * (1 + square) * slope);
    pull(ofUnit, p, u, a, -2 * (1 + square) * slope);
  }
  slopes.forEach((row, i) => row.forEach((slope, j) => {
    pull(ofUnit, i, z.data, j, slope);
    pull(ofRaw, j, u, i, slope);
  }));
  return { value, grad: back(ofUnit).map((g, k) => g + ofRaw[k]) };
});

/**
 * `FastAPLoss(num_bins=10)`.
 *
 * @param embeddings - float32 [N, F]
 * @param labels - int32 [N]
 * @param options - `numBins`
 * @returns a number; `withGrad`: `grad`
 * @throws RangeError for shapes that do not fit
 * @example
 *   fastApLoss([[1, 0], [0.6, 0.8], [0.8, 0.6]], [0, 0, 1]);
 * Source: pytorch-metric-learning 2.8.1.
 */
export const fastApLoss: PmlLoss<{ readonly numBins?: number }> = /* @__PURE__ */ preset("fastApLoss", false, ({ numBins = 10 }) => [{ loss: ownFastApLoss, options: { bins: numBins }, over: "mean" }]);

/** Options of `normalizedSoftmaxLoss`. */
export interface NormalizedSoftmaxOptions extends ClassLossOptions {
  /** Default 0.05. */
  readonly temperature?: number;
}

/** One of our losses with other options. */
function renamed<Own extends ClassLossOptions, Options extends ClassLossOptions>(own: ClassLoss<Own>, map: (options: Options) => Own): ClassLoss<Options> {
  return Object.assign((z: TensorLike, w: TensorLike, y: TensorLike, options: Options = {} as Options) => own(z, w, y, map(options)), {
    withGrad: (z: TensorLike, w: TensorLike, y: TensorLike, options: Options = {} as Options) => own.withGrad(z, w, y, map(options)),
  });
}

/**
 * `ArcFaceLoss(margin=28.6, scale=64)`: the margin in degrees. With `centers: 3` it is `SubCenterArcFaceLoss`.
 *
 * @param embeddings - float32 [B, F]
 * @param weights - float32 [C, F]; their parameter `W` is the transpose
 * @param labels - int32 [B], in [0, C)
 * @param options - `margin` in degrees, `scale`, `centers`; those of every loss
 * @returns as the loss of the same name in `metric-learning`
 * @throws RangeError for shapes that do not fit
 * @example
 *   arcFaceLoss([[1, 0]], [[1, 0], [0, 1]], [0]);
 * Source: pytorch-metric-learning 2.8.1.
 */
export const arcFaceLoss: ClassLoss<MarginOptions> = /* @__PURE__ */ renamed(ownArcFaceLoss, ({ margin = 28.6, ...options }: MarginOptions) => ({ ...options, margin: (margin * Math.PI) / 180 }));

/**
 * `NormalizedSoftmaxLoss(temperature=0.05)`: cosines, as its default distance normalises the embeddings too.
 *
 * @param embeddings - float32 [B, F]
 * @param weights - float32 [C, F]
 * @param labels - int32 [B], in [0, C)
 * @param options - `temperature`; those of every loss
 * @returns as `normalizedSoftmaxLoss` of `metric-learning`
 * @throws RangeError for shapes that do not fit
 * @example
 *   normalizedSoftmaxLoss([[1, 0]], [[1, 0], [0, 1]], [0]);
 * Source: pytorch-metric-learning 2.8.1.
 */
export const normalizedSoftmaxLoss: ClassLoss<NormalizedSoftmaxOptions> = /* @__PURE__ */ renamed(ownNormalizedSoftmaxLoss, ({ temperature = 0.05, ...options }: NormalizedSoftmaxOptions) => ({ ...options, scale: 1 / temperature }));

/**
 * `SoftTripleLoss(centers_per_class=10, la=20, gamma=0.1, margin=0.01)`.
 *
 * @param embeddings - float32 [B, F]
 * @param weights - float32 [10 C, F], the vectors of a class side by side
 * @param labels - int32 [B], in [0, C)
 * @param options - `centers`, `scale`, `gamma`, `margin`; those of every loss
 * @returns as the loss of the same name in `metric-learning`
 * @throws RangeError for shapes that do not fit
 * @example
 *   softTripleLoss([[1, 0]], [[1, 0], [0, 1]], [0], { centers: 1 });
 * Source: pytorch-metric-learning 2.8.1.
 */
export const softTripleLoss: ClassLoss<SoftTripleOptions> = /* @__PURE__ */ renamed(ownSoftTripleLoss, ({ centers = 10, ...options }: SoftTripleOptions) => ({ ...options, centers }));

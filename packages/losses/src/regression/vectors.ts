import { log } from "@logits/statistics";
import { asFloat32, checkShape, defineLoss, rangeError, rowWeights, Tensor, type Loss, type LossOptions, type RowLossOptions, type TensorLike } from "@logits/tensor";
import { checkRange } from "../range.ts";
import { vectorLoss } from "../vectorLoss.ts";

type VectorLoss<Options extends LossOptions> = Loss<[predictions: TensorLike, targets: TensorLike], Options>;

/** Options of `cosineDistanceLoss`. */
export interface CosineOptions extends RowLossOptions {
  /** Norms count as at least this. Default 1e-8. */
  readonly epsilon?: number;
}

/**
 * Cosine distance of vectors.
 *
 *   loss[b] = 1 - x[b] . t[b] / (max(|x[b]|, epsilon) max(|t[b]|, epsilon))
 *
 * @param predictions - x, float32 [B, F] or [..., F]
 * @param targets - t, float32, the same shape
 * @param options - those of every loss, `axis`; `epsilon` (1e-8)
 * @returns float32 of the shape without the axis ("none") or [], in [0, 2]; a zero vector: 1. `withGrad`: `grad` of the predictions, at right angles to them
 * @throws RangeError for shapes that differ or fewer than two axes
 * @example
 *   cosineDistanceLoss([[1, 0]], [[1, 1]]); // 0.2929
 * Source: folklore; Salton, Wong, Yang, "A vector space model for automatic indexing", 1975.
 */
export const cosineDistanceLoss: VectorLoss<CosineOptions> = /* @__PURE__ */ vectorLoss("cosineDistanceLoss", ({ epsilon = 1e-8 }: CosineOptions, where) => {
  checkRange(where, "epsilon", epsilon, 0);
  return (z, t, at, size, _, add) => {
    let dot = 0, xx = 0, tt = 0;
    for (let j = at; j < at + size; j++) {
      dot += z[j] * t[j];
      xx += z[j] * z[j];
      tt += t[j] * t[j];
    }
    const length = Math.sqrt(xx), x = Math.max(length, epsilon), cos = dot / x / Math.max(Math.sqrt(tt), epsilon);
    if (add) for (let j = 0; j < size; j++) add(j, (length > epsilon ? (cos * z[at + j]) / xx : 0) - t[at + j] / (x * Math.max(Math.sqrt(tt), epsilon)));
    return 1 - cos;
  };
});

/** Options of `scaleInvariantSnrLoss`. */
export interface ScaleInvariantSnrOptions extends RowLossOptions {
  /** Takes the mean from both signals. Default false. */
  readonly zeroMean?: boolean;
  /** Added to energies, so that a perfect or a silent signal stays finite. Default 1e-8. */
  readonly epsilon?: number;
}

/**
 * Negative scale-invariant signal-to-noise ratio of an estimated signal, in decibel.
 *
 *   loss[b] = -10 log10((|s|^2 + epsilon) / (|x - s|^2 + epsilon)),   s = ((x . t + epsilon) / (|t|^2 + epsilon)) t
 *
 * @param predictions - x, float32 [B, T] or [..., T]: estimated signals
 * @param targets - t, float32, the same shape: clean signals
 * @param options - those of every loss, `axis`; `zeroMean` (false), `epsilon` (1e-8)
 * @returns float32 of the shape without the axis ("none") or []. `withGrad`: `grad` of the predictions, at right angles to them (but for epsilon)
 * @throws RangeError for shapes that differ or fewer than two axes
 * @example
 *   scaleInvariantSnrLoss([[1, 1]], [[1, 0]]); // 0
 * Source: Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019; as a loss, Luo and Mesgarani, "Conv-TasNet", 2019.
 */
export const scaleInvariantSnrLoss: VectorLoss<ScaleInvariantSnrOptions> = /* @__PURE__ */ vectorLoss("scaleInvariantSnrLoss", ({ zeroMean = false, epsilon = 1e-8 }: ScaleInvariantSnrOptions, where) => {
  checkRange(where, "epsilon", epsilon, 0);
  return (z, t, at, size, _, add) => {
    let mx = 0, mt = 0, xt = 0, tt = 0, noise = 0;
    if (zeroMean) for (let j = at; j < at + size; j++) {
      mx += z[j] / size;
      mt += t[j] / size;
    }
    for (let j = at; j < at + size; j++) {
      xt += (z[j] - mx) * (t[j] - mt);
      tt += (t[j] - mt) ** 2;
    }
    const a = (xt + epsilon) / (tt + epsilon), signal = a * a * tt;
    for (let j = at; j < at + size; j++) noise += (z[j] - mx - a * (t[j] - mt)) ** 2;
    // d signal = 2 a tt da, d noise = 2 e . (dx - t da), da = t . dx / (tt + epsilon); e . t is xt - a tt. With means taken, the derivative of x - mean sums to 0 already: e and t do.
    const scale = 20 / Math.LN10, ds = (-scale * a * tt) / (signal + epsilon), dn = scale / (noise + epsilon), da = (ds - dn * (xt - a * tt)) / (tt + epsilon);
    if (add) for (let j = 0; j < size; j++) {
      const s = t[at + j] - mt;
      add(j, da * s + dn * (z[at + j] - mx - a * s));
    }
    return (10 / Math.LN10) * (log(noise + epsilon) - log(signal + epsilon));
  };
});

/**
 * One minus the concordance correlation coefficient, over the rows of the batch: correlation, lowered by differences of mean and spread.
 *
 *   loss[f] = 1 - 2 cov(x, t) / (var(x) + var(t) + (mean(x) - mean(t))^2)   of column f, moments over the rows
 *
 * @param predictions - x, float32 [B] or [B, F]
 * @param targets - t, float32, the same shape
 * @param options - those of every loss: `where` [B] is of rows, `weight` [F] of columns
 * @returns float32 [F] ("none"; [] for one column without an axis) or [], in [0, 2]. Predictions and targets constant and equal: 0 with gradient 0; no row: 0. `withGrad`: `grad` of the predictions
 * @throws RangeError for shapes that differ, more than two axes, weights or a mask that are none
 * @example
 *   concordanceLoss([1, 2, 3], [2, 3, 4]); // 1 - 4 / 7
 * Source: Lin, "A concordance correlation coefficient to evaluate reproducibility", Biometrics 45, 1989.
 */
export const concordanceLoss: VectorLoss<LossOptions> = /* @__PURE__ */ defineLoss("concordanceLoss", 2, (where, [predictions, targets]: [TensorLike, TensorLike], options: LossOptions) => {
  const { shape: whole, data: x } = asFloat32(where, "predictions", predictions), given = asFloat32(where, "targets", targets), t = given.data, [rows, columns = 1] = whole, shape = whole.slice(1);
  if (whole.length < 1 || whole.length > 2) throw rangeError(where, "predictions", "of shape [B] or [B, F]", `[${whole.join(", ")}]`);
  checkShape(where, "targets", given, whole);
  const mask = rowWeights(where, rows, { where: options.where }), kept = Array.from({ length: rows }, (_, r) => r).filter((r) => mask?.[r] !== 0), n = kept.length;
  const weights = rowWeights(where, shape, { weight: options.weight }) ?? new Float32Array(columns).fill(1);
  if (n === 0) weights.fill(0);
  return {
    shape,
    weights,
    pass(coefficients) {
      const values = new Float64Array(columns), grad = new Float32Array(coefficients ? x.length : 0);
      for (let f = 0; f < columns; f++) {
        if (weights[f] === 0) continue;
        let mx = 0, mt = 0, spread = 0, xt = 0;
        for (const r of kept) [mx, mt] = [mx + x[r * columns + f] / n, mt + t[r * columns + f] / n];
        for (const r of kept) {
          const dx = x[r * columns + f] - mx, dt = t[r * columns + f] - mt;
          spread += (dx * dx + dt * dt) / n;
          xt += (dx * dt) / n;
        }
        const bottom = spread + (mx - mt) ** 2, ccc = bottom === 0 ? 1 : (2 * xt) / bottom;
        values[f] = 1 - ccc;
        if (coefficients && bottom !== 0) for (const r of kept) grad[r * columns + f] = ((2 * coefficients[f]) / (n * bottom)) * (ccc * (x[r * columns + f] - mt) - (t[r * columns + f] - mt));
      }
      return { values, gradients: () => ({ grad: new Tensor("float32", whole, grad) }) };
    },
  };
});

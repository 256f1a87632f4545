import { exp, expm1, log, log1p, tanh } from "@logits/statistics";
import { checkPositive, type LossOptions } from "@logits/tensor";
import { elementLoss, type ElementLoss } from "../elementLoss.ts";
import { checkRange } from "../range.ts";

/** A loss of d = prediction - target, from its value and its derivative. */
function differenceLoss<Options extends LossOptions>(name: string, terms: (options: Options, where: string) => readonly [value: (d: number) => number, slope: (d: number) => number]): ElementLoss<Options> {
  return elementLoss(name, (options: Options, where) => {
    const [value, slope] = terms(options, where);
    return { value: (x, t) => value(x - t), slope: (x, t) => slope(x - t) };
  });
}

/** -1, 0, 1, or NaN. */
function signOf(d: number): number {
  return d > 0 ? 1 : d < 0 ? -1 : d;
}

/**
 * Squared error.
 *
 *   loss[i] = d^2,   d = predictions[i] - targets[i]
 *
 * @param predictions - float32, any shape
 * @param targets - float32, the same shape
 * @param options - those of every loss; elements with target `ignoreIndex` take no part
 * @returns float32 of that shape ("none") or []; the mean is over elements. `withGrad`: `grad`, 2 d
 * @throws RangeError for shapes that differ
 * @example
 *   squaredErrorLoss([1, 2], [0, 4]); // 2.5
 * Source: Legendre, 1805.
 */
export const squaredErrorLoss: ElementLoss = /* @__PURE__ */ differenceLoss("squaredErrorLoss", () => [(d) => d * d, (d) => 2 * d]);

/**
 * Absolute error.
 *
 *   loss[i] = |predictions[i] - targets[i]|
 *
 * @param predictions - float32, any shape
 * @param targets - float32, the same shape
 * @param options - those of every loss
 * @returns float32 of that shape ("none") or []. `withGrad`: `grad`, the sign of the difference; 0 at 0
 * @throws RangeError for shapes that differ
 * @example
 *   absoluteErrorLoss([1, 2], [0, 4]); // 1.5
 * Source: Laplace, 1774.
 */
export const absoluteErrorLoss: ElementLoss = /* @__PURE__ */ differenceLoss("absoluteErrorLoss", () => [Math.abs, signOf]);

/** Options of `huberLoss`. */
export interface HuberOptions extends LossOptions {
  /** Where quadratic becomes linear, in units of the targets. Default 1. */
  readonly delta?: number;
}

/**
 * Huber loss: quadratic for small errors, linear for large ones.
 *
 *   loss[i] = d^2 / 2 for |d| <= delta,   delta (|d| - delta / 2) beyond,   d = predictions[i] - targets[i]
 *
 * @param predictions - float32, any shape
 * @param targets - float32, the same shape
 * @param options - those of every loss; `delta` (1, greater than 0)
 * @returns float32 of that shape ("none") or []. `withGrad`: `grad`, d kept within [-delta, delta]
 * @throws RangeError for shapes that differ or a `delta` that is not positive and finite
 * @example
 *   huberLoss([1, 2], [0.5, 4]); // (0.125 + 1.5) / 2
 * Source: Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics 35, 1964.
 */
export const huberLoss: ElementLoss<HuberOptions> = /* @__PURE__ */ differenceLoss("huberLoss", ({ delta = 1 }: HuberOptions, where) => {
  checkPositive(where, "delta", delta);
  return [(d) => (Math.abs(d) <= delta ? (d * d) / 2 : delta * (Math.abs(d) - delta / 2)), (d) => Math.max(-delta, Math.min(delta, d))];
});

/** Options of `smoothL1Loss`. */
export interface SmoothL1Options extends LossOptions {
  /** Where quadratic becomes linear, in units of the targets. Default 1. */
  readonly beta?: number;
}

/**
 * Smooth L1 loss: `huberLoss` over beta, so that its slope far out is 1.
 *
 *   loss[i] = d^2 / (2 beta) for |d| <= beta,   |d| - beta / 2 beyond,   d = predictions[i] - targets[i]
 *
 * @param predictions - float32, any shape
 * @param targets - float32, the same shape
 * @param options - those of every loss; `beta` (1, greater than 0)
 * @returns float32 of that shape ("none") or []. `withGrad`: `grad`, d / beta kept within [-1, 1]
 * @throws RangeError for shapes that differ or a `beta` that is not positive and finite
 * @example
 *   smoothL1Loss([1, 2], [0.5, 4], { beta: 0.5 }); // (0.25 + 1.75) / 2
 * Source: Girshick, "Fast R-CNN", ICCV 2015, equation 3.
 */
export const smoothL1Loss: ElementLoss<SmoothL1Options> = /* @__PURE__ */ differenceLoss("smoothL1Loss", ({ beta = 1 }: SmoothL1Options, where) => {
  checkPositive(where, "beta", beta);
  return [(d) => (Math.abs(d) <= beta ? (d * d) / (2 * beta) : Math.abs(d) - beta / 2), (d) => Math.max(-1, Math.min(1, d / beta))];
});

/**
 * Log-cosh loss: about d^2 / 2 for small errors and |d| - log 2 for large ones, smooth everywhere.
 *
 *   loss[i] = log cosh(predictions[i] - targets[i])
 *
 * @param predictions - float32, any shape
 * @param targets - float32, the same shape
 * @param options - those of every loss
 * @returns float32 of that shape ("none") or []. `withGrad`: `grad`, tanh of the difference
 * @throws RangeError for shapes that differ
 * @example
 *   logCoshLoss([1, 2], [0, 4]); // (0.4338 + 1.3250) / 2
 * Source: Green, "Bayesian reconstructions from emission tomography data using a modified EM algorithm", IEEE TMI 9, 1990.
 */
export const logCoshLoss: ElementLoss = /* @__PURE__ */ differenceLoss("logCoshLoss", () => [logCosh, tanh]);

/** log cosh d without overflow: cosh d = 1 + (e^|d| - 1)^2 / 2 e^|d| keeps the digits of small d. */
export function logCosh(d: number): number {
  const a = Math.abs(d), e = expm1(a);
  return a > 20 ? a - Math.LN2 : log1p((e * e) / (2 * exp(a)));
}

/** Options of `quantileLoss`. */
export interface QuantileOptions extends LossOptions {
  /** The quantile to learn, in [0, 1]. Default 0.5. */
  readonly quantile?: number;
}

/**
 * Quantile loss, or pinball loss: its minimum is the quantile of the targets.
 *
 *   loss[i] = quantile (t - x) for t >= x,   (1 - quantile)(x - t) below
 *
 * @param predictions - x, float32, any shape
 * @param targets - t, float32, the same shape
 * @param options - those of every loss; `quantile` (0.5: half the absolute error)
 * @returns float32 of that shape ("none") or []. `withGrad`: `grad`; 0 where both are equal
 * @throws RangeError for shapes that differ or a quantile outside [0, 1]
 * @example
 *   quantileLoss([1, 2], [0, 4], { quantile: 0.9 }); // (0.1 + 1.8) / 2
 * Source: Koenker and Bassett, "Regression quantiles", Econometrica 46, 1978.
 */
export const quantileLoss: ElementLoss<QuantileOptions> = /* @__PURE__ */ differenceLoss("quantileLoss", ({ quantile = 0.5 }: QuantileOptions, where) => {
  checkRange(where, "quantile", quantile, 0, 1);
  const slope = (d: number): number => (d > 0 ? 1 - quantile : d < 0 ? -quantile : d);
  return [(d) => (d === 0 ? 0 : d * slope(d)), slope];
});

/** Options of `wingLoss`. */
export interface WingOptions extends LossOptions {
  /** Up to which error the logarithm holds, in units of the targets. Default 10. */
  readonly width?: number;
  /** How sharp the logarithm is near 0. Default 2. */
  readonly curvature?: number;
}

/**
 * Wing loss of landmarks: small and medium errors weigh more than with an absolute error.
 *
 *   loss[i] = width log(1 + |d| / curvature) for |d| < width,   |d| - width + width log(1 + width / curvature) beyond
 *
 * @param predictions - float32, any shape
 * @param targets - float32, the same shape
 * @param options - those of every loss; `width` (10), `curvature` (2), in units of the targets
 * @returns float32 of that shape ("none") or []. `withGrad`: `grad`; 0 at 0
 * @throws RangeError for shapes that differ, a `width` or a `curvature` that is not positive and finite
 * @example
 *   wingLoss([1, 20], [0, 0]); // (4.0547 + 27.9176) / 2
 * Source: Feng et al., "Wing loss for robust facial landmark localisation", CVPR 2018, equation 5.
 */
export const wingLoss: ElementLoss<WingOptions> = /* @__PURE__ */ differenceLoss("wingLoss", ({ width = 10, curvature = 2 }: WingOptions, where) => {
  checkPositive(where, "width", width);
  checkPositive(where, "curvature", curvature);
  const offset = width - width * log(1 + width / curvature);
  return [(d) => (Math.abs(d) < width ? width * log1p(Math.abs(d) / curvature) : Math.abs(d) - offset), (d) => signOf(d) * (Math.abs(d) < width ? width / (curvature + Math.abs(d)) : 1)];
});

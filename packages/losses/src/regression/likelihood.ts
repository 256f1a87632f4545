import { exp, logGamma } from "@logits/statistics";
import { rangeError, type Loss, type LossOptions, type TensorLike } from "@logits/tensor";
import { elementLoss, elementsLoss, times, type ElementLoss, type NamedGradients } from "../elementLoss.ts";

const HALF_LOG_TWO_PI = 0.9189385332046727;

/** Options of the negative log-likelihoods. */
export interface LikelihoodOptions extends LossOptions {
  /** With the terms that do not depend on the predictions, so that the value is a negative log-density. Default false. */
  readonly full?: boolean;
}

/**
 * Negative log-likelihood of a normal distribution whose mean and variance are both predicted.
 *
 *   loss[i] = (s + (t - mean)^2 e^-s) / 2   (full: + log(2 pi) / 2),   s = log variance
 *
 * @param means - float32, any shape
 * @param logVariances - s, float32, the same shape: any number, so that no variance is clamped
 * @param targets - t, float32, the same shape
 * @param options - those of every loss; `full` (false)
 * @returns float32 of that shape ("none") or []. `withGrad`: `grads.means`, `grads.logVariances`
 * @throws RangeError for shapes that differ
 * @example
 *   gaussianLoss([1], [0], [3]); // 2
 * Source: Nix and Weigend, "Estimating the mean and variance of the target probability distribution", ICNN 1994.
 */
export const gaussianLoss: Loss<[means: TensorLike, logVariances: TensorLike, targets: TensorLike], LikelihoodOptions, NamedGradients<"means" | "logVariances">> = /* @__PURE__ */ elementsLoss("gaussianLoss", ["means", "logVariances", "targets"], ({ full = false }: LikelihoodOptions) => ({
  value: (m, s, t) => (s + times((t - m) ** 2, exp(-s))) / 2 + (full ? HALF_LOG_TWO_PI : 0),
  slopes: [(m, s, t) => times(m - t, exp(-s)), (m, s, t) => (1 - times((t - m) ** 2, exp(-s))) / 2],
}));

/**
 * Negative log-likelihood of a Laplace distribution whose location and scale are both predicted.
 *
 *   loss[i] = s + |t - location| e^-s   (full: + log 2),   s = log scale
 *
 * @param locations - float32, any shape
 * @param logScales - s, float32, the same shape
 * @param targets - t, float32, the same shape
 * @param options - those of every loss; `full` (false)
 * @returns float32 of that shape ("none") or []. `withGrad`: `grads.locations` (0 where t is the location), `grads.logScales`
 * @throws RangeError for shapes that differ
 * @example
 *   laplaceLoss([1], [0], [3]); // 2
 * Source: Laplace, 1774; for networks, Kendall and Gal, NeurIPS 2017.
 */
export const laplaceLoss: Loss<[locations: TensorLike, logScales: TensorLike, targets: TensorLike], LikelihoodOptions, NamedGradients<"locations" | "logScales">> = /* @__PURE__ */ elementsLoss("laplaceLoss", ["locations", "logScales", "targets"], ({ full = false }: LikelihoodOptions) => ({
  value: (m, s, t) => s + times(Math.abs(t - m), exp(-s)) + (full ? Math.LN2 : 0),
  slopes: [(m, s, t) => (m > t ? exp(-s) : m < t ? -exp(-s) : m - t), (m, s, t) => 1 - times(Math.abs(t - m), exp(-s))],
}));

/**
 * Negative log-likelihood of a Poisson count whose rate is predicted.
 *
 *   loss[i] = e^x - t x   (full: + log t!),   x = log rate
 *
 * @param logRates - x, float32, any shape; -Infinity = rate 0
 * @param targets - t, float32, the same shape, at least 0
 * @param options - those of every loss; `full` (false; log t! by the gamma function, not by Stirling's formula)
 * @returns float32 of that shape ("none") or []. `withGrad`: `grad`, e^x - t
 * @throws RangeError for shapes that differ or a negative target
 * @example
 *   poissonLoss([0], [2]); // 1
 * Source: Nelder and Wedderburn, "Generalized linear models", 1972.
 */
export const poissonLoss: ElementLoss<LikelihoodOptions> = /* @__PURE__ */ elementLoss("poissonLoss", ({ full = false }: LikelihoodOptions) => ({
  value: (x, t) => exp(x) - times(t, x) + (full ? logGamma(t + 1) : 0),
  slope: (x, t) => exp(x) - t,
}), [0, Infinity], "logRates");

/** Options of `tweedieLoss`. */
export interface TweedieOptions extends LossOptions {
  /** Variance = mean^power. Default 1.5 (many zeros and a long tail); in (1, 2), or 2 = gamma distribution. */
  readonly power?: number;
}

/**
 * Tweedie loss of amounts that are 0 or positive: half the deviance, without the terms of the targets alone.
 *
 *   loss[i] = e^((2 - power) x) / (2 - power) - t e^((1 - power) x) / (1 - power),   x = log mean;   power 2: x + t e^-x
 *
 * @param logMeans - x, float32, any shape
 * @param targets - t, float32, the same shape, at least 0
 * @param options - those of every loss; `power` (1.5)
 * @returns float32 of that shape ("none") or []. `withGrad`: `grad`, e^((1 - power) x)(e^x - t): that of `poissonLoss` at power 1
 * @throws RangeError for shapes that differ, a negative target or a power outside (1, 2]
 * @example
 *   tweedieLoss([0], [3]); // 8
 * Source: Jorgensen, "Exponential dispersion models", JRSS B 49, 1987.
 */
export const tweedieLoss: ElementLoss<TweedieOptions> = /* @__PURE__ */ elementLoss("tweedieLoss", ({ power = 1.5 }: TweedieOptions, where) => {
  if (!(power > 1 && power <= 2)) throw rangeError(where, "power", "in (1, 2]", `${power}`);
  return {
    value: (x, t) => (power === 2 ? x : exp((2 - power) * x) / (2 - power)) + times(t, exp((1 - power) * x)) / (power - 1),
    slope: (x, t) => exp((2 - power) * x) - times(t, exp((1 - power) * x)),
  };
}, [0, Infinity], "logMeans");

/** Options of `intervalLoss`. */
export interface IntervalOptions extends LossOptions {
  /** Miscoverage of the interval, in (0, 1). Default 0.1. */
  readonly alpha?: number;
}

/**
 * Interval score as a loss of both ends: width, and what misses it, dearly. Its minimum are the alpha / 2 and 1 - alpha / 2 quantiles.
 *
 *   loss[i] = (upper - lower) + (2 / alpha) max(0, lower - t) + (2 / alpha) max(0, t - upper)
 *
 * @param lower - float32, any shape
 * @param upper - float32, the same shape
 * @param targets - t, float32, the same shape
 * @param options - those of every loss; `alpha` (0.1)
 * @returns float32 of that shape ("none") or []. `withGrad`: `grads.lower`, `grads.upper`; a target on an end counts as inside
 * @throws RangeError for shapes that differ or an alpha outside (0, 1]
 * @example
 *   intervalLoss([0], [1], [1.1], { alpha: 0.5 }); // 1.4
 * Source: Gneiting and Raftery, "Strictly proper scoring rules, prediction, and estimation", JASA 102, 2007, equation 43.
 */
export const intervalLoss: Loss<[lower: TensorLike, upper: TensorLike, targets: TensorLike], IntervalOptions, NamedGradients<"lower" | "upper">> = /* @__PURE__ */ elementsLoss("intervalLoss", ["lower", "upper", "targets"], ({ alpha = 0.1 }: IntervalOptions, where) => {
  if (!(alpha > 0 && alpha <= 1)) throw rangeError(where, "alpha", "in (0, 1]", `${alpha}`);
  return {
    value: (l, u, t) => u - l + (2 / alpha) * (Math.max(0, l - t) + Math.max(0, t - u)),
    slopes: [(l, _, t) => (t < l ? 2 / alpha - 1 : t >= l ? -1 : NaN), (_, u, t) => (t > u ? 1 - 2 / alpha : t <= u ? 1 : NaN)],
  };
});

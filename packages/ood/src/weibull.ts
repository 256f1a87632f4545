import { newton1d } from "@logits/optimize";
import { exp, log } from "@logits/statistics";

/** The shape of a fit of equal numbers: a step, for any purpose here. */
const STEEPEST = 1e4;

/** P(X <= x) = 1 - exp(-(x / scale)^shape), x > 0. */
export interface Weibull {
  readonly shape: number;
  readonly scale: number;
}

/**
 * The Weibull distribution of largest likelihood, of two parameters.
 *
 *   1 / shape = sum x^shape log x / sum x^shape - mean log x,    scale = (mean x^shape)^(1 / shape)
 *
 * The likelihood along the best scale is convex in the shape. Equal numbers have none that is best: the shape is then 1e4.
 *
 * @param x - numbers > 0, at least one
 * Source: Johnson, Kotz, Balakrishnan, Continuous Univariate Distributions 1 (1994), chapter 21.
 */
export function fitWeibull(x: readonly number[]): Weibull {
  const n = x.length, largest = Math.max(...x), logs = x.map((value) => log(value) - log(largest)), mean = logs.reduce((sum, value) => sum + value, 0) / n;
  const { x: shape } = newton1d((k) => {
    let s0 = 0, s1 = 0, s2 = 0;
    for (const value of logs) {
      const weight = exp(k * value);
      s0 += weight;
      s1 += weight * value;
      s2 += weight * value * value;
    }
    const first = s1 / s0;
    return { value: log(s0 / n) - log(k) - k * mean, gradient: first - 1 / k - mean, curvature: s2 / s0 - first * first + 1 / (k * k) };
  }, { low: 1e-3, high: STEEPEST, start: 1, gradientTolerance: 1e-13 });
  return { shape, scale: largest * exp(log(logs.reduce((sum, value) => sum + exp(shape * value), 0) / n) / shape) };
}

/** P(X <= x). */
export function weibullCdf({ shape, scale }: Weibull, x: number): number {
  return x > 0 ? 1 - exp(-exp(shape * (log(x) - log(scale)))) : 0;
}

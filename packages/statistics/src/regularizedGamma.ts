import { rangeError } from "@logits/tensor";
import { incompleteGamma } from "./incompleteGamma.ts";

function tails(where: string, x: number, a: number): readonly [number, number] {
  if (!(a > 0 && a <= 1e12)) throw rangeError(where, "a", "a number in (0, 1e12]", `${a}`);
  if (x !== x) return [NaN, NaN];
  if (!(x >= 0)) throw rangeError(where, "x", "a number >= 0", `${x}`);
  return incompleteGamma(x, a);
}

/**
 * P(a, x): the probability that a Gamma(a, 1) variable is at most x, in float64.
 *
 *   P(a, x) = 1 / Gamma(a) integral_0^x t^(a-1) e^-t dt
 *
 * Relative error within 3e-14 wherever the result exceeds 1e-290 and a is at most 1e4 (measured). Cost O(sqrt(a)) near x = a.
 *
 * @param x - number >= 0
 * @param a - shape in (0, 1e12]
 * @returns number in [0, 1]; 0 for x = 0, 1 for +Infinity, NaN for NaN
 * @throws RangeError if x < 0 or `a` is outside (0, 1e12]
 * @example regularizedGamma(1, 1) // 0.6321205588285577 = 1 - 1/e
 * Source: DLMF 8.7.1 (series, x < a + 1) and 8.9.2 (continued fraction, by Lentz's method).
 */
export function regularizedGamma(x: number, a: number): number {
  return tails("regularizedGamma", x, a)[0];
}

/**
 * Q(a, x) = 1 - P(a, x), computed without cancellation where it is small.
 *
 * @param x - number >= 0
 * @param a - shape in (0, 1e12]
 * @returns number in [0, 1]; 1 for x = 0, 0 for +Infinity, NaN for NaN
 * @throws RangeError if x < 0 or `a` is outside (0, 1e12]
 * @example regularizedGammaComplement(50, 1) // 1.9287498479639178e-22 = e^-50
 * Source: as `regularizedGamma`.
 */
export function regularizedGammaComplement(x: number, a: number): number {
  return tails("regularizedGammaComplement", x, a)[1];
}

/**
 * Probability that a chi-square variable with `degrees` degrees of freedom exceeds x: the p-value of a chi-square statistic.
 *
 * @param x - statistic, number >= 0
 * @param degrees - degrees of freedom in (0, 1e12]
 * @returns Q(degrees / 2, x / 2), in [0, 1]; 1 for x = 0, 0 for +Infinity, NaN for NaN
 * @throws RangeError if x < 0 or `degrees` is outside (0, 1e12]
 * @example chiSquareSurvival(3.841458820694124, 1) // 0.05
 * Source: Abramowitz and Stegun 26.4.2.
 */
export function chiSquareSurvival(x: number, degrees: number): number {
  if (!(degrees > 0 && degrees <= 1e12)) throw rangeError("chiSquareSurvival", "degrees", "a number in (0, 1e12]", `${degrees}`);
  return tails("chiSquareSurvival", x / 2, degrees / 2)[1];
}

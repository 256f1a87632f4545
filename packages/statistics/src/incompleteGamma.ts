import { exp } from "./exponential.ts";
import { deviance, stirlingError } from "./gamma.ts";

/**
 * Regularised lower and upper incomplete gamma functions of x >= 0 with a > 0: the smaller one is computed, the other is its complement.
 * @returns [P(a, x), Q(a, x)]
 */
export function incompleteGamma(x: number, a: number): readonly [number, number] {
  if (x === 0) return [0, 1];
  if (x === Infinity) return [1, 0];
  // x^a e^-x / Gamma(a)
  const front = Math.sqrt(a) * 0.3989422804014327 * exp(-deviance(a, x - a, x) - stirlingError(a));
  if (x < a + 1) {
    let term = 1 / a, sum = term;
    for (let n = 1; term > sum * 1.1102230246251565e-17; n++) {
      term *= x / (a + n);
      sum += term;
    }
    const lower = Math.min(1, front * sum);
    return [lower, 1 - lower];
  }
  let b = x + 1 - a, c = 1e300, d = 1 / b, h = d;
  // As for the Beta distribution, O(sqrt(a)) terms are enough, and the last factor may keep on rounding to a neighbour of 1.
  const limit = 200 + 20 * Math.sqrt(a);
  for (let n = 1; ; n++) {
    const an = n * (a - n);
    b += 2;
    d = an * d + b;
    if (d === 0) d = 1e-300;
    c = b + an / c;
    if (c === 0) c = 1e-300;
    d = 1 / d;
    const step = d * c;
    h *= step;
    if (Math.abs(step - 1) <= 2.220446049250313e-16 || n > limit) break;
  }
  const upper = Math.min(1, front * h);
  return [1 - upper, upper];
}

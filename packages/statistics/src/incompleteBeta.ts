import { productError, sumError } from "./doubleDouble.ts";
import { exp } from "./exponential.ts";
import { deviance, stirlingError } from "./gamma.ts";

/** x^a (1 - x)^b / B(a, b) with y = 1 - x, by deviances from the mean, so that nothing large cancels. */
export function betaFront(x: number, y: number, a: number, b: number): number {
  const s = a + b;
  // s x - a, with the rounding errors of s and of the product
  const p = s * x;
  const d = x <= y ? p - a + (productError(s, x, p) + sumError(a, b, s) * x) : b - s * y - (productError(s, y, s * y) + sumError(a, b, s) * y);
  return Math.sqrt((a / s) * b) * 0.3989422804014327 * exp(stirlingError(s) - stirlingError(a) - stirlingError(b) - deviance(a, d, p) - deviance(b, -d, s * y));
}

/**
 * The continued fraction of I_x(a, b), x < (a + 1) / (a + b + 2), by Lentz's method. It needs O(sqrt(max(a, b))) terms; the limit is there because
 * the last factor may keep on rounding to a neighbour of 1.
 */
function fraction(x: number, a: number, b: number): number {
  let c = 1, d = 1 - ((a + b) * x) / (a + 1);
  if (d === 0) d = 1e-300;
  d = 1 / d;
  let h = d;
  const limit = 200 + 20 * Math.sqrt(Math.max(a, b));
  for (let m = 1; ; m++) {
    const even = ((m * (b - m)) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 + even * d;
    if (d === 0) d = 1e-300;
    c = 1 + even / c;
    if (c === 0) c = 1e-300;
    d = 1 / d;
    h *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 + odd * d;
    if (d === 0) d = 1e-300;
    c = 1 + odd / c;
    if (c === 0) c = 1e-300;
    d = 1 / d;
    const step = d * c;
    h *= step;
    if (Math.abs(step - 1) <= 2.220446049250313e-16 || m > limit) return h;
  }
}

/** [I_x(a, b), 1 - I_x(a, b)] with y = 1 - x; each is accurate where it is small. */
export function betaTails(x: number, y: number, a: number, b: number): readonly [number, number] {
  if (x === 0) return [0, 1];
  if (y === 0) return [1, 0];
  if (x * (a + b + 2) < a + 1) {
    const lower = Math.min(1, (betaFront(x, y, a, b) * fraction(x, a, b)) / a);
    return [lower, 1 - lower];
  }
  const upper = Math.min(1, (betaFront(y, x, b, a) * fraction(y, b, a)) / b);
  return [1 - upper, upper];
}

import { productError } from "./doubleDouble.ts";
import { exponentialOfSum } from "./exponential.ts";

/** Chebyshev coefficients of (1 + 2x) e^(x^2) erfc(x) in t = (x - 3.75) / (x + 3.75), computed with 120 digits; the rest is below 1e-17. */
const CHEBYSHEV = [
  1.1775789345674017, -0.004590054580646478, -0.08424913336651792, 0.05920993999819189, -0.026658668435305753, 0.009074997670705265, -0.002413163540417608,
  0.0004907758365258086, -6.916973302501207e-05, 4.13902798607301e-06, 7.74038306619849e-07, -2.1886401049234397e-07, 1.076499946567091e-08,
  4.521959811218287e-09, -7.754400208831351e-10, -6.318088340886684e-11, 2.86879501093067e-11, 1.9455868545777347e-13, -9.65469674843344e-13,
  3.25254814814874e-14, 3.3478119482868056e-14, -1.864562880419313e-15, -1.2507950530688648e-15, 7.418235256624044e-17, 5.068148904796111e-17,
];

/** e^(x^2) erfc(x) for x >= 0. */
function scaledComplement(x: number): number {
  const t = (x - 3.75) / (x + 3.75);
  let a = 0, b = 0;
  for (let k = CHEBYSHEV.length - 1; k > 0; k--) {
    const next = 2 * t * a - b + CHEBYSHEV[k];
    b = a;
    a = next;
  }
  return (t * a - b + CHEBYSHEV[0]) / (1 + 2 * x);
}

/** e^(-c x^2) for c = 1 or 1/2, with the rounding error of the square. */
export function gaussian(x: number, c: 1 | 0.5): number {
  const square = x * x;
  return c * square > 746 ? 0 : exponentialOfSum(-c * square, -c * productError(x, x, square));
}

/** 2 / sqrt(pi) times the sum of (-1)^n x^(2n+1) / (n! (2n + 1)), |x| <= 1. */
function errorSeries(x: number): number {
  const z = x * x;
  let term = 1, sum = 0;
  for (let n = 1; Math.abs(term) > 1e-18; n++) {
    term *= -z / n;
    sum += term / (2 * n + 1);
  }
  return 1.1283791670955126 * (x + x * sum);
}

/**
 * Error function erf(x) = 2 / sqrt(pi) integral_0^x e^(-t^2) dt, in float64. Within 3 ULP (measured).
 *
 * @param x - any number
 * @returns -1 for -Infinity, 1 for +Infinity, NaN for NaN; -0 stays -0
 * @example erf(0.5) // 0.5204998778130465
 * Source: DLMF 7.6.1 for |x| < 0.75; beyond, 1 - erfc(x).
 */
export function erf(x: number): number {
  const size = Math.abs(x);
  if (size < 0.75) return x === 0 ? x : errorSeries(x);
  const y = 1 - gaussian(size, 1) * scaledComplement(size > 30 ? 30 : size);
  return x < 0 ? -y : size === size ? y : NaN;
}

/**
 * Complementary error function 1 - erf(x), in float64, without cancellation. Relative error within 1e-15 where the result is at least 2^-1022 (measured).
 *
 * @param x - any number
 * @returns 2 for -Infinity, 0 for +Infinity and for x > 27.3, NaN for NaN
 * @example erfc(10) // 2.088487583762545e-45
 * Source: Shepherd and Laframboise, Mathematics of Computation 36 (1981): one Chebyshev series for e^(x^2) erfc(x) on [0, Infinity).
 */
export function erfc(x: number): number {
  if (x < 0.5) return x === -Infinity ? 2 : 1 - erf(x);
  return gaussian(x, 1) * scaledComplement(x > 30 ? 30 : x);
}

/** Upper tail of the normal distribution, z >= 0. */
export function normalTail(z: number): number {
  return 0.5 * gaussian(z, 0.5) * scaledComplement(z > 40 ? 30 : z * 0.7071067811865476);
}

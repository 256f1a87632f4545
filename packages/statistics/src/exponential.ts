import { powerOfTwo, scaleByPowerOfTwo } from "./bits.ts";
import { sumError } from "./doubleDouble.ts";

const LOG2_E = 1.4426950408889634;
/** ln 2 in two steps (Cody and Waite): the first has 32 bits, so that k times it is exact for |k| < 2^21. */
const LN2_HIGH = 0.6931471803691238;
const LN2_LOW = 1.9082149292705877e-10;

/** e^r - 1 - r for |r| <= 0.35: the Taylor series to degree 13 (the rest is below 2^-57 of r), even and odd terms apart. */
function beyondLinear(r: number): number {
  const z = r * r;
  const even = 1 / 2 + z * (1 / 24 + z * (1 / 720 + z * (1 / 40320 + z * (1 / 3628800 + z * (1 / 479001600)))));
  const odd = 1 / 6 + z * (1 / 120 + z * (1 / 5040 + z * (1 / 362880 + z * (1 / 39916800 + z * (1 / 6227020800)))));
  return z * (even + r * odd);
}

/** e^(x + dx) for finite x in [-746, 710] and |dx| < 2^-40: the core of `exp` and `pow`. */
export function exponentialOfSum(x: number, dx: number): number {
  const k = Math.floor(x * LOG2_E + 0.5);
  const high = x - k * LN2_HIGH;
  const low = k * LN2_LOW - dx;
  const r = high - low;
  const t = (high - r - low) + beyondLinear(r);
  const s = 1 + r;
  return scaleByPowerOfTwo(s + ((r - (s - 1)) + t), k);
}

/**
 * e^x in float64, the same bits in every engine: + - * / only.
 *
 * x = k ln 2 + r, |r| <= (ln 2) / 2; e^x = 2^k (1 + r + r^2 Q(r)), Q of degree 11, 1 + r with its rounding error.
 * Within 0.7 ULP of the true value, also where the result is subnormal (measured, see the page).
 *
 * @param x - any number
 * @returns 0 for -Infinity and for x < -745.13; +Infinity for x > 709.78; NaN for NaN; exp(0) = 1
 * @example exp(1) // 2.718281828459045
 * Source: Cody and Waite, Software Manual for the Elementary Functions (1980), chapter 6.
 */
export function exp(x: number): number {
  if (!(x >= -746)) return x !== x ? x : 0;
  if (x > 710) return Infinity;
  return exponentialOfSum(x, 0);
}

/**
 * e^x - 1 in float64, accurate where x is small.
 *
 * x = k ln 2 + r; (2^k - 1) + 2^k (r + r^2 Q(r)), the first sum with its rounding error. Within 1.3 ULP (measured).
 *
 * @param x - any number
 * @returns -1 for -Infinity; +Infinity for x > 709.78; x itself for |x| < 2^-54 (so -0 stays -0); NaN for NaN
 * @example expm1(1e-20) // 1e-20
 * Source: as `exp`.
 */
export function expm1(x: number): number {
  if (x > 40) return exp(x);
  if (!(x > -40)) return x !== x ? x : -1;
  if (Math.abs(x) < 5.551115123125783e-17) return x;
  const k = Math.floor(x * LOG2_E + 0.5);
  const high = x - k * LN2_HIGH;
  const low = k * LN2_LOW;
  const r = high - low;
  const t = (high - r - low) + beyondLinear(r);
  if (k === 0) return r + t;
  const scale = powerOfTwo(k);
  // 2^k - 1 is exact for k in [-53, 53]; beyond it the error term carries what is lost.
  const a = scale - 1, lost = sumError(scale, -1, a);
  const b = scale * r, s = a + b;
  return s + (sumError(a, b, s) + (lost + scale * t));
}

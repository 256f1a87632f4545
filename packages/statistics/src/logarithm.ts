import { highWord, powerOfTwo } from "./bits.ts";
import { productError, sumError } from "./doubleDouble.ts";

const LN2_HIGH = 0.6931471803691238;
const LN2_LOW = 1.9082149292705877e-10;
const TWO_54 = 18014398509481984;

/** The atanh series beyond its first term, over z = s^2 with |s| <= 0.1716: log((1 + s) / (1 - s)) = s (2 + series(z)), to z^10 (the rest is below 2^-58). */
function series(z: number): number {
  const w = z * z;
  const odd = 2 / 3 + w * (2 / 7 + w * (2 / 11 + w * (2 / 15 + w * (2 / 19))));
  const even = 2 / 5 + w * (2 / 9 + w * (2 / 13 + w * (2 / 17 + w * (2 / 21))));
  return z * (odd + z * even);
}

/** k ln 2 + log(1 + f + c), f in [sqrt(1/2) - 1, sqrt(2) - 1], c a correction far below one ULP of 1 + f. */
function assemble(k: number, f: number, c: number): number {
  const s = f / (2 + f);
  const half = 0.5 * f * f;
  const high = k * LN2_HIGH;
  const w = high + f;
  return w + (sumError(high, f, w) + (k * LN2_LOW + c - (half - s * (half + series(s * s)))));
}

/** Exponent k of positive normal x = 2^k m with m in [sqrt(1/2), sqrt(2)): the fraction's upper bits decide, so the edge is sqrt(2) to 2^-20. */
function exponentOf(high: number): number {
  return ((high + 0x00095f64) >>> 20) - 1023;
}

/**
 * Natural logarithm in float64, the same bits in every engine.
 *
 * x = 2^k m, m in [sqrt(1/2), sqrt(2)], f = m - 1, s = f / (2 + f); log x = k ln 2 + f - (f^2/2 - s (f^2/2 + R(s^2))), R the atanh series.
 * Within 0.8 ULP (measured).
 *
 * @param x - any number
 * @returns -Infinity for 0; NaN for x < 0 and NaN; +Infinity for +Infinity; log(1) = 0; subnormal x are exact cases like any other
 * @example log(10) // 2.302585092994046
 * Source: Cody and Waite (1980), chapter 5, with the identity s f = f^2/2 - s f^2/2 that keeps the large part exact (Ng, fdlibm 5.3).
 */
export function log(x: number): number {
  if (!(x > 0)) return x === 0 ? -Infinity : NaN;
  if (x === Infinity) return x;
  let k = 0;
  if (x < 2.2250738585072014e-308) {
    x *= TWO_54;
    k = -54;
  }
  const high = highWord(x);
  const e = exponentOf(high);
  return assemble(k + e, x * powerOfTwo(-e) - 1, 0);
}

/**
 * log(1 + x) in float64, accurate where x is small.
 *
 * 1 + x is split as u + c with c the rounding error; log(u) gets the correction c / u. Within 0.9 ULP (measured).
 *
 * @param x - any number
 * @returns -Infinity for -1; NaN for x < -1 and NaN; +Infinity for +Infinity; x itself for |x| < 2^-54 (so -0 stays -0)
 * @example log1p(1e-20) // 1e-20
 * Source: as `log`.
 */
export function log1p(x: number): number {
  if (!(x > -1)) return x === -1 ? -Infinity : NaN;
  if (Math.abs(x) < 5.551115123125783e-17 || x === Infinity) return x;
  if (x > -0.29 && x < 0.41) return assemble(0, x, 0);
  const u = 1 + x;
  const high = highWord(u);
  const e = exponentOf(high);
  return assemble(e, u * powerOfTwo(-e) - 1, sumError(1, x, u) / u);
}

/**
 * The logarithm of positive finite x to about 100 bits, as a pair `out[0] + out[1]`; what `pow` and `log2` need.
 * The first two terms of the series are taken in double-double, the rest is below 2^-17 of the sum.
 */
export function logPair(x: number, out: Float64Array): void {
  let k = 0;
  if (x < 2.2250738585072014e-308) {
    x *= TWO_54;
    k = -54;
  }
  const word = highWord(x);
  const e = exponentOf(word);
  const f = x * powerOfTwo(-e) - 1;
  k += e;
  // s = f / (2 + f) = sh + sl
  const d = 2 + f, dl = sumError(2, f, d);
  const sh = f / d;
  const p = sh * d;
  const sl = (f - p - productError(sh, d, p) - sh * dl) / d;
  // z = s^2 = zh + zl
  const zh = sh * sh;
  const zl = productError(sh, sh, zh) + 2 * sh * sl;
  // q = 2/5 + z (2/7 + z (...)), then 2/3 + z q, both as pairs
  const rest = zh * (2 / 7 + zh * (2 / 9 + zh * (2 / 11 + zh * (2 / 13 + zh * (2 / 15 + zh * (2 / 17 + zh * (2 / 19 + zh * (2 / 21 + zh * (2 / 23)))))))));
  const qh = 0.4 + rest;
  const ql = sumError(0.4, rest, qh) - 2.2204460492503132e-17;
  const zq = zh * qh;
  const zql = productError(zh, qh, zq) + zh * ql + zl * qh;
  const th = 0.6666666666666666 + zq;
  const tl = sumError(0.6666666666666666, zq, th) + 3.700743415417188e-17 + zql;
  // v = 2 + z t, then s v
  const zt = zh * th;
  const ztl = productError(zh, th, zt) + zh * tl + zl * th;
  const vh = 2 + zt;
  const vl = sumError(2, zt, vh) + ztl;
  const mh = sh * vh;
  const ml = productError(sh, vh, mh) + sh * vl + sl * vh;
  // k ln 2 + (mh + ml)
  const kh = k * LN2_HIGH;
  const w = kh + mh;
  const wl = sumError(kh, mh, w) + (k * LN2_LOW + ml);
  out[0] = w + wl;
  out[1] = wl - (out[0] - w);
}

const pair = new Float64Array(2);

/**
 * Logarithm to the base 2 in float64; exact for powers of two. Within 0.51 ULP (measured).
 *
 * @param x - any number
 * @returns as `log`: -Infinity for 0, NaN for x < 0 and NaN, +Infinity for +Infinity
 * @example log2(8) // 3
 * Source: log x in double-double, divided by ln 2 in double-double.
 */
export function log2(x: number): number {
  if (!(x > 0)) return x === 0 ? -Infinity : NaN;
  if (x === Infinity) return x;
  logPair(x, pair);
  const p = pair[0] * 1.4426950408889634;
  return p + (productError(pair[0], 1.4426950408889634, p) + (pair[1] * 1.4426950408889634 + pair[0] * 2.0355273740931033e-17));
}

import { exp, expm1 } from "./exponential.ts";
import { log, log1p } from "./logarithm.ts";

/**
 * Logistic function 1 / (1 + e^-x) in float64. Within 2.3 ULP (measured).
 *
 * @param x - log-odds, any number
 * @returns probability in [0, 1]; 0 for -Infinity, 1 for +Infinity, 0.5 for 0, NaN for NaN
 * @example sigmoid(0) // 0.5
 * Source: folklore; the exponential is taken of -|x|, so nothing overflows.
 */
export function sigmoid(x: number): number {
  const e = exp(-Math.abs(x));
  return x < 0 ? e / (1 + e) : 1 / (1 + e);
}

/**
 * Log-odds log(p / (1 - p)) in float64, the inverse of `sigmoid`. Within 2.5 ULP, also near p = 1/2 where it crosses 0 (measured).
 *
 * @param p - probability in [0, 1]
 * @returns -Infinity for 0, +Infinity for 1, 0 for 0.5; NaN outside [0, 1] and for NaN
 * @example logit(0.5) // 0
 * Source: folklore.
 */
export function logit(p: number): number {
  // 2p - 1 is exact on [1/4, 1]; there log1p keeps the digits that p / (1 - p) near 1 would lose.
  return p > 0.25 && p < 0.75 ? log1p((2 * p - 1) / (1 - p)) : log(p / (1 - p));
}

/**
 * log(1 + e^x) in float64, without overflow. Within 1.5 ULP (measured).
 *
 * @param x - any number
 * @returns 0 for -Infinity, +Infinity for +Infinity, NaN for NaN; softplus(0) = ln 2
 * @example softplus(0) // 0.6931471805599453
 * Source: folklore.
 */
export function softplus(x: number): number {
  return (x > 0 ? x : 0) + log1p(exp(-Math.abs(x)));
}

/**
 * log(1 - e^x) in float64: the log of the probability that is left beside one of log x. Within 1.5 ULP (measured).
 *
 * @param x - log of a probability, at most 0
 * @returns 0 for -Infinity, -Infinity for 0; NaN above 0 and for NaN
 * @example log1mExp(-Math.LN2) // -0.6931471805599453
 * Source: Mächler, "Accurately computing log(1 - exp(-|a|))" (2012), with its border at log 2.
 */
export function log1mExp(x: number): number {
  return x > -0.6931471805599453 ? log(0 - expm1(x)) : log1p(0 - exp(x));
}

/**
 * log(e^a + e^b) in float64, without overflow.
 *
 * max(a, b) + log1p(e^-|a - b|). The error is at most 1 ULP of max(|a|, |b|, |result|) (cancellation between them is inherent).
 *
 * @param a - log of a non-negative quantity; -Infinity is the log of 0
 * @param b - likewise
 * @returns -Infinity when both are -Infinity; +Infinity when one is +Infinity; NaN when one is NaN
 * @example logAddExp(1000, 1000) // 1000.6931471805599
 * Source: folklore.
 */
export function logAddExp(a: number, b: number): number {
  if (a === b) return a + (a - a === 0 ? 0.6931471805599453 : 0);
  const m = a > b ? a : b;
  return m === Infinity ? (a !== a || b !== b ? NaN : m) : m + log1p(exp(-Math.abs(a - b)));
}

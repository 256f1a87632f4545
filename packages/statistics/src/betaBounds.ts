import { rangeError } from "@logits/tensor";
import { betaQuantileOf } from "./betaQuantile.ts";
import { betaTails } from "./incompleteBeta.ts";
import { expm1 } from "./exponential.ts";
import { log1p } from "./logarithm.ts";

function checkOpen(where: string, argument: string, value: number): void {
  if (!(value > 0 && value < 1)) throw rangeError(where, argument, "a number in (0, 1)", `${value}`);
}

/**
 * Exact confidence interval of a proportion: k successes in n independent trials.
 *
 *   low = BetaQuantile((1 - c) / 2; k, n - k + 1),  high = BetaQuantile(1 - (1 - c) / 2; k + 1, n - k)
 *
 * @param k - successes, integer in [0, n]
 * @param n - trials, integer in [0, 1e12]
 * @param confidence - c in (0, 1), such as 0.95
 * @returns [low, high]; low = 0 for k = 0, high = 1 for k = n; [0, 1] for n = 0. It covers the true proportion with probability at least c
 * @throws RangeError if k or n is no integer in its range, or the confidence is outside (0, 1)
 * @example clopperPearson(0, 10, 0.95) // [0, 0.3084971078187608]
 * Source: Clopper and Pearson, Biometrika 26 (1934).
 */
export function clopperPearson(k: number, n: number, confidence: number): readonly [low: number, high: number] {
  if (!(Number.isSafeInteger(n) && n >= 0 && n <= 1e12)) throw rangeError("clopperPearson", "n", "an integer in [0, 1e12]", `${n}`);
  if (!(Number.isInteger(k) && k >= 0 && k <= n)) throw rangeError("clopperPearson", "k", `an integer in [0, ${n}]`, `${k}`);
  checkOpen("clopperPearson", "confidence", confidence);
  const tail = (1 - confidence) / 2;
  return [k === 0 ? 0 : betaQuantileOf(tail, k, n - k + 1), k === n ? 1 : 1 - betaQuantileOf(tail, n - k, k + 1)];
}

/** Arguments of `pacOrderStatistic`. */
export interface PacOptions {
  /** The share that may exceed the threshold, in (0, 1). */
  alpha: number;
  /** The probability, over the drawing of the N rows, that the share is kept; in (0, 1). */
  confidence: number;
}

/** Answer of `pacOrderStatistic`. */
export type PacOrderStatistic =
  | { readonly attainable: true; /** The threshold is the k-th largest of the N values. */ readonly k: number }
  | { readonly attainable: false; /** The smallest N for which k = 1 would do; +Infinity beyond 2^52. */ readonly needed: number };

/**
 * Which of N values is a threshold that a share of at most alpha exceeds, with the given confidence over the drawing of the N values.
 *
 * The share of the distribution above the k-th largest of N values is Beta(k, N + 1 - k) (continuous distributions; with ties it is smaller).
 * The answer is the largest k with P(Beta(k, N + 1 - k) <= alpha) >= confidence.
 *
 * @param n - number of independent values, integer in [0, 1e12]
 * @returns k in [1, N], or that no k exists and how many values would be needed: (1 - alpha)^N <= 1 - confidence
 * @throws RangeError if n is no integer in [0, 1e12], or alpha or confidence is outside (0, 1)
 * @example pacOrderStatistic(100, { alpha: 0.05, confidence: 0.95 }) // { attainable: true, k: 2 }
 * Source: Tong, Feng, Li, "Neyman-Pearson classification algorithms and NP receiver operating characteristics", Science Advances 4 (2018); Wilks (1941).
 */
export function pacOrderStatistic(n: number, options: PacOptions): PacOrderStatistic {
  if (!(Number.isSafeInteger(n) && n >= 0 && n <= 1e12)) throw rangeError("pacOrderStatistic", "n", "an integer in [0, 1e12]", `${n}`);
  const { alpha, confidence } = options;
  checkOpen("pacOrderStatistic", "alpha", alpha);
  checkOpen("pacOrderStatistic", "confidence", confidence);
  // The probability falls as k grows, so the answer is found by halving [1, n].
  const holds = (k: number): boolean => betaTails(alpha, 1 - alpha, k, n + 1 - k)[0] >= confidence;
  if (n === 0 || !attains(n, alpha, confidence)) {
    let needed = Math.max(1, Math.floor(log1p(-confidence) / log1p(-alpha)) - 1);
    if (needed > 4503599627370496) return { attainable: false, needed: Infinity };
    while (!attains(needed, alpha, confidence)) needed++;
    return { attainable: false, needed };
  }
  let low = 1, high = n + 1;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (middle <= n && holds(middle)) low = middle;
    else high = middle;
  }
  return { attainable: true, k: low };
}

/** P(Beta(1, n) <= alpha) = 1 - (1 - alpha)^n >= confidence. */
function attains(n: number, alpha: number, confidence: number): boolean {
  return -expm1(n * log1p(-alpha)) >= confidence;
}

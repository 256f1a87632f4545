import { rangeError, type TensorLike } from "@logits/tensor";
import type { Estimate } from "./estimate.ts";
import { checkedLevel, ends, finite, meanOf, type EstimateOptions } from "./regressionRows.ts";

/** Options of `intervalScore`. */
export interface IntervalScoreOptions extends EstimateOptions {
  /** Miscoverage that the intervals were made for, in (0, 1): 0.1 for 90 % intervals. */
  readonly alpha: number;
}

/**
 * Interval score (Winkler): width plus what missing costs. Lower is better, and the true alpha / 2 and 1 - alpha / 2 quantiles have the smallest mean.
 *
 *   (1 / N) sum_n (u_n - l_n) + 2 / alpha (l_n - y_n)_+ + 2 / alpha (y_n - u_n)_+
 *
 * @param low - float32 or float64 [N]; -Infinity = no lower end
 * @param high - float32 or float64 [N], at least `low`; +Infinity = no upper end
 * @param targets - float32 or float64 [N], finite
 * @param options - `alpha`, `level` (0.95)
 * @returns `value` >= 0 in the units of the targets, Infinity where an interval has no end; `n`, `interval` (normal), `level`, `convention`
 * @throws RangeError as `intervalCoverage`, and for an alpha outside (0, 1)
 * @example
 *   intervalScore([0], [1], [1.5], { alpha: 0.1 }).value; // 11
 * Source: Winkler, JASA 67 (1972); Gneiting and Raftery, JASA 102 (2007), 6.2.
 */
export function intervalScore(low: TensorLike, high: TensorLike, targets: TensorLike, options: IntervalScoreOptions): Estimate {
  const where = "intervalScore", { alpha } = options, level = checkedLevel(where, options.level);
  if (!(alpha > 0 && alpha < 1)) throw rangeError(where, "alpha", "in (0, 1)", `${alpha}`);
  const y = finite(where, "targets", targets), n = y.length, { low: from, high: to } = ends(where, low, high, n);
  const scores = Float64Array.from({ length: n }, (_, i) => (from[i] === to[i] ? 0 : to[i] - from[i]) + (2 / alpha) * (Math.max(0, from[i] - y[i]) + Math.max(0, y[i] - to[i])));
  return meanOf(scores, level, `interval score, alpha ${alpha}, lower is better`);
}

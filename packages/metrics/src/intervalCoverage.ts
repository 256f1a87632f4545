import type { TensorLike } from "@logits/tensor";
import type { Estimate } from "./estimate.ts";
import { checkedLevel, ends, finite, shareOf, type EstimateOptions } from "./regressionRows.ts";

/** Share of covered rows, with the width that it cost. */
export interface IntervalCoverage extends Estimate {
  /** Mean of high - low; Infinity where an interval has no end. */
  readonly meanWidth: number;
}

/**
 * Share of true numbers inside their predicted intervals (PICP), ends included, and the mean width.
 *
 *   (1 / N) #{n : low[n] <= targets[n] <= high[n]}
 *
 * @param low - float32 or float64 [N]; -Infinity = no lower end
 * @param high - float32 or float64 [N], at least `low`; +Infinity = no upper end
 * @param targets - float32 or float64 [N], finite
 * @param options - `level` (0.95)
 * @returns `value` in [0, 1], `meanWidth`, `n`, `interval` (Clopper-Pearson: exact), `level`, `convention`
 * @throws RangeError for no rows, another shape, a NaN, an upper end below the lower one (the row is named), a level outside (0, 1)
 * @example
 *   intervalCoverage([0, 0], [1, 1], [0.5, 2]).value; // 0.5
 * Source: Khosravi, Nahavandi, Creighton, Atiya, IEEE Transactions on Neural Networks 22 (2011).
 */
export function intervalCoverage(low: TensorLike, high: TensorLike, targets: TensorLike, options: EstimateOptions = {}): IntervalCoverage {
  const where = "intervalCoverage", level = checkedLevel(where, options.level);
  const y = finite(where, "targets", targets), n = y.length, { low: from, high: to } = ends(where, low, high, n);
  let covered = 0, width = 0;
  for (let i = 0; i < n; i++) {
    if (from[i] <= y[i] && y[i] <= to[i]) covered++;
    width += from[i] === to[i] ? 0 : to[i] - from[i];
  }
  return { ...shareOf(covered, n, level, "rows inside their intervals, ends included"), meanWidth: width / n };
}

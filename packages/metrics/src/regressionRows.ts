import { clopperPearson, normalQuantile } from "@logits/statistics";
import { rangeError, type TensorLike } from "@logits/tensor";
import type { Estimate } from "./estimate.ts";
import { numbers } from "./rows.ts";

/** Options of the measures of predicted distributions and intervals. */
export interface EstimateOptions {
  /** Confidence of `interval`, in (0, 1). Default 0.95. */
  readonly level?: number;
}

/** The confidence of an interval; default 0.95. */
export function checkedLevel(where: string, level: number = 0.95): number {
  if (!(level > 0 && level < 1)) throw rangeError(where, "level", "in (0, 1)", `${level}`);
  return level;
}

/** Finite numbers, one per row; float64 stays float64. */
export function finite(where: string, argument: string, x: TensorLike, rows?: number): ArrayLike<number> {
  const values = numbers(where, argument, x);
  if (rows !== undefined && values.length !== rows) throw rangeError(where, argument, `of shape [${rows}]`, `[${values.length}]`);
  for (let i = 0; i < values.length; i++) if (values[i] - values[i] !== 0) throw rangeError(where, argument, "of finite numbers", `${values[i]} in row ${i}`);
  return values;
}

/** Ends of intervals with the lower one first; infinite ones say that there is no end. */
export function ends(where: string, lower: TensorLike, upper: TensorLike, rows: number): { readonly low: ArrayLike<number>; readonly high: ArrayLike<number> } {
  const low = numbers(where, "low", lower), high = numbers(where, "high", upper);
  if (low.length !== rows) throw rangeError(where, "low", `of shape [${rows}]`, `[${low.length}]`);
  if (high.length !== rows) throw rangeError(where, "high", `of shape [${rows}]`, `[${high.length}]`);
  for (let i = 0; i < rows; i++) if (!(low[i] <= high[i])) throw rangeError(where, "high", "at least `low`", `${high[i]} for ${low[i]} in row ${i}`);
  return { low, high };
}

/** The mean of scores of rows with its normal interval: `least` and above; all of [least, Infinity) for one row. */
export function meanOf(scores: Float64Array, level: number, convention: string, least: number = 0): Estimate {
  const n = scores.length;
  let value = 0, spread = 0;
  for (let i = 0; i < n; i++) value += scores[i];
  value /= n;
  if (!(value < Infinity)) return { value, n, interval: [least, Infinity], level, convention };
  for (let i = 0; i < n; i++) spread += (scores[i] - value) ** 2;
  const half = n > 1 ? normalQuantile((1 + level) / 2) * Math.sqrt(spread / (n - 1) / n) : Infinity;
  return { value, n, interval: [Math.max(least, value - half), value + half], level, convention };
}

/** A share of rows with its Clopper-Pearson interval. */
export function shareOf(count: number, n: number, level: number, convention: string): Estimate {
  return { value: count / n, n, interval: clopperPearson(count, n, level), level, convention };
}

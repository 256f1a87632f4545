import { percentileInterval } from "@logits/statistics";
import { asMask, checkInteger, checkShape, rangeError, type RandomSource, type TensorLike } from "@logits/tensor";
import type { PairedDifference } from "./delong.ts";
import type { Estimate } from "./estimate.ts";
import { checkedLevel, type EstimateOptions } from "./regressionRows.ts";

/** Options of `bootstrapEstimate` and `bootstrapDifference`. */
export interface BootstrapOptions extends EstimateOptions {
  /** Source of random numbers: the same state gives the same interval. */
  readonly random: RandomSource;
  /** Samples, an integer >= 1. Default 2000. */
  readonly repetitions?: number;
  /** Mask [N]: rows of each kind are drawn from their own kind, so that every sample has as many of each. For metrics of positive and negative rows. */
  readonly strata?: TensorLike;
}

/**
 * Any metric with a bootstrap interval: rows are drawn again with replacement, and the percentiles of the metric on these samples are the ends.
 *
 * @param n - N, the number of rows
 * @param metric - called with row indices, int32 [N]: all rows in order, for the value, then those of each sample. It must give a number for each
 * @param options - `random`, `repetitions` (2000), `strata`, `level` (0.95)
 * @returns `value`, `n`, `interval` (percentiles, no interpolation), `level`, `convention`
 * @throws RangeError for an n below 1, `strata` of another length, a level outside (0, 1), a metric that is NaN on the rows or a sample
 * @example
 *   const rows = (order) => [Array.from(order, (i) => scores[i]), Array.from(order, (i) => outliers[i])];
 *   bootstrapEstimate(scores.length, (order) => falsePositiveRateAtRecall(...rows(order)), { random: randomSource(1), strata: outliers }).interval;
 * Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
 */
export function bootstrapEstimate(n: number, metric: (rows: Int32Array) => number, options: BootstrapOptions): Estimate {
  const { value, samples, level } = resampled("bootstrapEstimate", n, metric, options);
  return { value, n, interval: percentileInterval(samples, level), level, convention: `percentiles of ${samples.length} bootstrap samples${options.strata === undefined ? "" : ", each kind of rows drawn by itself"}` };
}

/**
 * The difference of a metric of two models on the same rows, with a bootstrap interval and test: each sample takes the same rows for both, so that what both find hard cancels.
 *
 *   p = min(1, 2 (1 + min(#{d* <= 0}, #{d* >= 0})) / (R + 1))
 *
 * @param n - N, the number of rows
 * @param metrics - called with row indices as for `bootstrapEstimate`: the metric of the one model and of the other
 * @param options - as for `bootstrapEstimate`
 * @returns `value` = the first minus the second, `interval`, `pValue` (two-sided; at least 2 / (R + 1))
 * @throws RangeError as `bootstrapEstimate`
 * @example
 *   bootstrapDifference(n, (rows) => [riskCoverage(of(a, rows), of(wrongA, rows)).augrc, riskCoverage(of(b, rows), of(wrongB, rows)).augrc], { random: randomSource(1) }).pValue;
 * Source: Efron and Tibshirani, 1993, chapters 13 and 16.
 */
export function bootstrapDifference(n: number, metrics: (rows: Int32Array) => readonly [one: number, other: number], options: BootstrapOptions): PairedDifference {
  const difference = (rows: Int32Array): number => {
    const [one, other] = metrics(rows);
    return one - other;
  };
  const { value, samples, level } = resampled("bootstrapDifference", n, difference, options);
  const below = samples.filter((d) => d <= 0).length, above = samples.filter((d) => d >= 0).length;
  return {
    value, n, interval: percentileInterval(samples, level), level, convention: `difference on the same rows, percentiles of ${samples.length} bootstrap samples`,
    pValue: Math.min(1, (2 * (1 + Math.min(below, above))) / (samples.length + 1)),
  };
}

function resampled(where: string, n: number, metric: (rows: Int32Array) => number, options: BootstrapOptions): { readonly value: number; readonly samples: Float64Array; readonly level: number } {
  const { random, repetitions = 2000, strata } = options, level = checkedLevel(where, options.level);
  checkInteger(where, "n", n, 1, 2147483647);
  checkInteger(where, "repetitions", repetitions, 1, 2147483647);
  const all = Int32Array.from({ length: n }, (_, i) => i);
  let kinds: readonly Int32Array[] = [all];
  if (strata !== undefined) {
    const mask = asMask(where, "strata", strata);
    checkShape(where, "strata", mask, ["N"]);
    if (mask.size !== n) throw rangeError(where, "strata", `of shape [${n}]`, `[${mask.size}]`);
    kinds = [all.filter((i) => mask.data[i] === 0), all.filter((i) => mask.data[i] === 1)];
  }
  const of = (rows: Int32Array, sample: string): number => {
    const value = metric(rows);
    if (typeof value !== "number" || value !== value) throw rangeError(where, "metric", "to return a number", `${value} for ${sample}`, "With few rows of a kind pass `strata`");
    return value;
  };
  const value = of(all, "all rows"), samples = new Float64Array(repetitions), drawn = new Int32Array(n);
  for (let r = 0; r < repetitions; r++) {
    let at = 0;
    for (const kind of kinds) for (let i = 0; i < kind.length; i++) drawn[at++] = kind[random.integer(kind.length)];
    samples[r] = of(drawn, `sample ${r}`);
  }
  return { value, samples, level };
}

import { type RandomSource, type TensorLike, checkInteger, rangeError } from "@logits/tensor";
import { select } from "./orderStatistic.ts";
import { empiricalPValue } from "./pValue.ts";
import { asOrderable } from "./values.ts";

/**
 * The rows of one bootstrap sample: n indices drawn uniformly with replacement.
 *
 * @param n - number of rows, integer in [1, 2^31 - 1]
 * @param random - source of random numbers; the same source state gives the same indices in every engine
 * @returns int32, length n, each in [0, n)
 * @throws RangeError if n is not such an integer
 * @example bootstrapIndices(4, randomSource(1)) // Int32Array of length 4
 * Source: Efron, Annals of Statistics 7 (1979).
 */
export function bootstrapIndices(n: number, random: RandomSource): Int32Array {
  checkInteger("bootstrapIndices", "n", n, 1, 2147483647);
  const out = new Int32Array(n);
  for (let i = 0; i < n; i++) out[i] = random.integer(n);
  return out;
}

/** Options of `bootstrap`. */
export interface ResampleOptions {
  /** Source of random numbers. */
  random: RandomSource;
  /** Number of samples, integer >= 1. */
  repetitions: number;
}

/**
 * A statistic on bootstrap samples.
 *
 * @param n - number of rows
 * @param statistic - called with the rows of each sample, in order of the repetitions
 * @returns float64, length `repetitions`: the statistic of each sample
 * @throws RangeError if n or `repetitions` is no integer >= 1
 * @example bootstrap(3, (rows) => rows[0], { random: randomSource(1), repetitions: 10 })
 * Source: as `bootstrapIndices`.
 */
export function bootstrap(n: number, statistic: (rows: Int32Array) => number, options: ResampleOptions): Float64Array {
  checkInteger("bootstrap", "repetitions", options.repetitions, 1, 2147483647);
  const out = new Float64Array(options.repetitions);
  for (let i = 0; i < out.length; i++) out[i] = statistic(bootstrapIndices(n, options.random));
  return out;
}

/**
 * Percentile interval of bootstrap replicates: order statistics, no interpolation, so that the ends are values that occurred.
 *
 *   low = x_(floor((R + 1) t)), high = x_(R + 1 - floor((R + 1) t)), t = (1 - confidence) / 2, ranks from 1, clipped to [1, R]
 *
 * @param replicates - shape [R], R >= 1, any TensorLike, float64 kept
 * @param confidence - in (0, 1), such as 0.95
 * @returns [low, high]
 * @throws RangeError if `replicates` is empty or has a NaN (with its index), or the confidence is outside (0, 1)
 * @example percentileInterval([5, 1, 4, 2, 3], 0.5) // [1, 5]
 * Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 13.3.
 */
export function percentileInterval(replicates: TensorLike, confidence: number): readonly [low: number, high: number] {
  const values = asOrderable("percentileInterval", "replicates", replicates);
  if (values.length === 0) throw rangeError("percentileInterval", "replicates", "with at least 1 element", "0");
  if (!(confidence > 0 && confidence < 1)) throw rangeError("percentileInterval", "confidence", "a number in (0, 1)", `${confidence}`);
  const r = values.length, rank = Math.max(1, Math.floor(((r + 1) * (1 - confidence)) / 2 + 1e-9));
  const copy = values.slice();
  return [select(copy, rank - 1), select(copy, r - rank)];
}

/**
 * Permutation test: the p-value of a statistic under random orders of n rows, high values being extreme.
 *
 * @param n - number of rows, integer in [1, 2^31 - 1]
 * @param statistic - called with an order of the rows: the given one (0..n-1) first, then the random ones
 * @returns (1 + number of random orders whose statistic is at least the observed one) / (repetitions + 1)
 * @throws RangeError if n or `repetitions` is no integer >= 1, or the statistic is NaN
 * @example permutationTest(4, (rows) => rows[0], { random: randomSource(1), repetitions: 99 }) // 1: no first row is below 0
 * Source: Phipson and Smyth, SAGMB 9 (2010).
 */
export function permutationTest(n: number, statistic: (rows: Int32Array) => number, options: ResampleOptions): number {
  checkInteger("permutationTest", "n", n, 1, 2147483647);
  checkInteger("permutationTest", "repetitions", options.repetitions, 1, 2147483647);
  const observed = statistic(Int32Array.from({ length: n }, (_, i) => i));
  const others = new Float64Array(options.repetitions);
  for (let i = 0; i < others.length; i++) {
    others[i] = statistic(options.random.permutation(n));
    if (others[i] !== others[i]) throw rangeError("permutationTest", "statistic", "to return a number", `NaN in repetition ${i}`);
  }
  if (observed !== observed) throw rangeError("permutationTest", "statistic", "to return a number", "NaN for the given order");
  return empiricalPValue(others, observed);
}

import { runSteps, type Steps } from "@logits/tensor";
import { byteView, wasmMemory } from "./memory.ts";
import { kernels, tallied, type Groups } from "./tally.ts";

/** Sums over the groups of a tally, in one piece: `use` calls one kernel. */
function summed<Result>(where: string, x: Float32Array, mask: Uint8Array, extra: number, use: (groups: Groups) => Result): Result {
  return runSteps(tallied(where, x, mask, extra, function* (groups): Steps<Result> {
    yield 1;
    return use(groups);
  }));
}

/**
 * Twice the number of pairs in which a row with mask 1 has the larger value than one with mask 0, equal values counting one: exact below 2^53.
 *
 * @param x - float32 [N]; infinities are ordinary values, -0 is 0
 * @param mask - uint8 [N] of 0 and 1
 * @throws RangeError as `withTally`
 * @example
 *   pairsWon(Float32Array.of(1, 2, 2), Uint8Array.of(0, 1, 0)); // 3
 * Source: Mann and Whitney, Annals of Mathematical Statistics 18 (1947).
 */
export function pairsWon(x: Float32Array, mask: Uint8Array): number {
  return summed("pairsWon", x, mask, 0, ({ counts, ones, groups }) => kernels().f32_tally_pairs(counts, ones, groups));
}

/** What `riskSums` adds up. */
export interface RiskSums {
  /** sum_i risk[i], risk[i] = share of ones among the i largest values, ones of equal values spread evenly. */
  readonly risk: number;
  /** sum_i i risk[i]. */
  readonly weighted: number;
  /** sum_i of the risk when all ones come last. */
  readonly best: number;
  /** uint8 [N], from the largest value down: 2 where a value begins, and 1 for as many of its rows as it has ones. */
  readonly marks: Uint8Array;
}

/**
 * The sums of a risk-coverage curve.
 *
 * @param x - float32 [N]; infinities are ordinary values, -0 is 0
 * @param mask - uint8 [N] of 0 and 1: 1 = an error
 * @param errors - number of ones in the mask
 * @throws RangeError as `withTally`
 * @example
 *   riskSums(Float32Array.of(2, 1), Uint8Array.of(0, 1), 1); // risk 0.5, weighted 1, best 0.5, marks 2, 3
 * Source: Geifman, Uziel, El-Yaniv, ICLR 2019.
 */
export function riskSums(x: Float32Array, mask: Uint8Array, errors: number): RiskSums {
  return summed("riskSums", x, mask, 16, ({ counts, ones, groups, n, free, more }) => {
    const { f32_tally_risk, f64_rise } = kernels();
    f32_tally_risk(counts, ones, groups, free, more);
    const [risk, weighted] = new Float64Array(wasmMemory().buffer, more, 2);
    return { risk, weighted, best: f64_rise(n - errors, errors), marks: byteView().slice(free, free + n) };
  });
}

/** What `differenceSums` adds up; values above 1 count as 1. */
export interface DifferenceSums {
  /** The largest of 0 and the sums of mask - x over the rows up to a value. */
  readonly high: number;
  /** The smallest of 0 and those. */
  readonly low: number;
  /** sum x (1 - x). */
  readonly variance: number;
  /** sum (mask - x)^2. */
  readonly squares: number;
  /** sum mask. */
  readonly right: number;
}

/**
 * Cumulative differences of answers and confidences, in the order of the confidences.
 *
 * @param x - float32 [N]
 * @param mask - uint8 [N] of 0 and 1
 * @throws RangeError as `withTally`
 * @example
 *   differenceSums(Float32Array.of(0.5, 0.75), Uint8Array.of(1, 0)); // high 0.5, low -0.25, variance 0.4375, squares 0.8125, right 1
 * Source: Arrieta-Ibarra, Gujral, Tannen, Tygert, Xu, JMLR 23 (2022).
 */
export function differenceSums(x: Float32Array, mask: Uint8Array): DifferenceSums {
  return summed("differenceSums", x, mask, 40, ({ values, counts, ones, groups, more }) => {
    kernels().f32_tally_differences(values, counts, ones, groups, more);
    const [high, low, variance, squares, right] = new Float64Array(wasmMemory().buffer, more, 5);
    return { high, low, variance, squares, right };
  });
}

/** Sums over bins of about equal count. */
export interface MassBins {
  /** Shape [B]: rows. */
  readonly count: Int32Array;
  /** Shape [B]: sum of x. */
  readonly confidence: Float64Array;
  /** Shape [B]: sum of the mask. */
  readonly correct: Int32Array;
  /** Shape [B]: sum of (mask - x)^2. */
  readonly squares: Float64Array;
}

/**
 * Sums over the bins of the sorted values, the first N mod B bins with one row more; equal values stay together in the lower bin, so that some may be empty.
 *
 * @param x - float32 [N]
 * @param mask - uint8 [N] of 0 and 1
 * @param bins - B, from 1 to 1,000,000
 * @throws RangeError as `withTally`
 * @example
 *   massBins(Float32Array.of(0.5, 0.75), Uint8Array.of(1, 0), 2); // count 1, 1; confidence 0.5, 0.75; correct 1, 0; squares 0.25, 0.5625
 * Source: Nixon et al., CVPR Workshops 2019.
 */
export function massBins(x: Float32Array, mask: Uint8Array, bins: number): MassBins {
  return summed("massBins", x, mask, 24 * bins, ({ values, counts, ones, groups, n, more }) => {
    kernels().f32_tally_bins(values, counts, ones, groups, n, bins, more);
    const { buffer } = wasmMemory(), doubles = new Float64Array(buffer, more, 3 * bins), ints = new Int32Array(buffer, more, 6 * bins);
    const result = { count: new Int32Array(bins), confidence: new Float64Array(bins), correct: new Int32Array(bins), squares: new Float64Array(bins) };
    for (let b = 0; b < bins; b++) {
      result.confidence[b] = doubles[3 * b];
      result.squares[b] = doubles[3 * b + 1];
      result.count[b] = ints[6 * b + 4];
      result.correct[b] = ints[6 * b + 5];
    }
    return result;
  });
}

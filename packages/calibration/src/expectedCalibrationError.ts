import { empiricalPValue, quantile } from "@logits/statistics";
import { checkInteger, typeError, type RandomSource, type TensorLike } from "@logits/tensor";
import { CONVENTION, binSums, type BinSums } from "./bins.ts";
import { areConfidences, checkedConfidences, type CheckedConfidences, type Confidences } from "./confidences.ts";

/** Options of `expectedCalibrationError`. */
export interface ExpectedCalibrationErrorOptions {
  /** Number of bins B of equal width. Default 15. */
  readonly bins?: number;
  /** Simulates what a perfectly calibrated model with these confidences would show. */
  readonly nullDistribution?: {
    readonly random: RandomSource;
    /** Simulated data sets. Default 1000. */
    readonly repetitions?: number;
  };
}

/** What a perfectly calibrated model with the same confidences would show. */
export interface NullDistribution {
  readonly mean: number;
  /** 95 % of perfectly calibrated data sets show less (linear between order statistics). */
  readonly quantile95: number;
  /** (1 + #{simulated >= value}) / (1 + repetitions): small = miscalibrated. */
  readonly pValue: number;
  readonly repetitions: number;
}

/** An expected calibration error with everything that is needed to read it. */
export interface ExpectedCalibrationError {
  readonly value: number;
  /** Rows. */
  readonly n: number;
  readonly bins: number;
  /** The binning rule in words. */
  readonly convention: string;
  /** Present when asked for. */
  readonly null?: NullDistribution;
}

/**
 * Expected calibration error of the top label: mean gap between confidence and accuracy over bins of equal width.
 *
 *   sum_b n_b / N |acc_b - conf_b|,   row n in bin b where b / B < c_n <= (b + 1) / B
 *
 * Bins are (low, high] with float64 edges: a confidence of exactly k / B is in the lower bin, 1 in the last, 0 in the first. c_n = max_c p[n, c];
 * equal probabilities: the smaller index is predicted. Empty bins count nothing.
 *
 * The value is biased upwards, more so for few rows: it is never 0 for a perfect model. `nullDistribution` says how much a perfectly calibrated model
 * with the same confidences would show: correct_n ~ Bernoulli(c_n), each row drawn by itself, exact to 2^-40.
 *
 * @param predictions - probabilities, float32 [N, C] with rows that sum to 1 within 1e-2; or `{ confidence, correct }`
 * @param labels - int32 [N], in [0, C); with probabilities only
 * @param options - `bins` (15), `nullDistribution: { random, repetitions = 1000 }`
 * @returns `value` in [0, 1], `n`, `bins`, `convention`, `null`
 * @throws RangeError for no rows, another shape, a label outside [0, C), values that are no probabilities (NaN included; the row is named)
 * @example
 *   expectedCalibrationError({ confidence: [0.75, 0.75], correct: [1, 0] }).value; // 0.25
 * Source: Naeini, Cooper, Hauskrecht, AAAI 2015; null distribution as the consistency resampling of Broecker and Smith, 2007.
 */
export function expectedCalibrationError(probabilities: TensorLike, labels: TensorLike, options?: ExpectedCalibrationErrorOptions): ExpectedCalibrationError;
export function expectedCalibrationError(confidences: Confidences, options?: ExpectedCalibrationErrorOptions): ExpectedCalibrationError;
export function expectedCalibrationError(
  predictions: TensorLike | Confidences, second?: TensorLike | ExpectedCalibrationErrorOptions, third?: ExpectedCalibrationErrorOptions,
): ExpectedCalibrationError {
  const where = "expectedCalibrationError";
  const plain = areConfidences(predictions);
  const { bins = 15, nullDistribution } = ((plain ? second : third) ?? {}) as ExpectedCalibrationErrorOptions;
  const rows = checkedConfidences(where, predictions, plain ? undefined : (second as TensorLike | undefined));
  const sums = binSums(where, rows, bins);
  const n = rows.confidence.length;
  const value = gap(sums.confidence, sums.correct) / n;
  const result = { value, n, bins, convention: CONVENTION };
  if (nullDistribution === undefined) return result;
  const { random, repetitions = 1000 } = nullDistribution;
  if (typeof random?.uint32 !== "function") throw typeError(where, "nullDistribution.random", "a RandomSource", typeof random, "Pass randomSource(seed)");
  checkInteger(where, "nullDistribution.repetitions", repetitions, 1, 10000000);
  return { ...result, null: simulate(rows, sums, value, random, repetitions) };
}

/** sum_b |correct_b - confidence_b|, which is N times the error. */
function gap(confidence: Float64Array, correct: ArrayLike<number>): number {
  let total = 0;
  for (let b = 0; b < confidence.length; b++) total += Math.abs(correct[b] - confidence[b]);
  return total;
}

function simulate({ confidence }: CheckedConfidences, sums: BinSums, value: number, random: RandomSource, repetitions: number): NullDistribution {
  const n = confidence.length, bins = sums.count.length;
  const ends = new Int32Array(bins);
  for (let b = 0, end = 0; b < bins; b++) ends[b] = end += sums.count[b];
  // c is compared with a random fraction of 8 bits, four to a word; only where those are equal, with 32 bits more. Rows of a bin stand together.
  const coarse = new Uint16Array(n), fine = new Float64Array(n);
  const next = Int32Array.from(ends, (end, b) => end - sums.count[b]);
  for (let i = 0; i < n; i++) {
    const at = next[sums.index[i]]++, scaled = confidence[i] * 256;
    coarse[at] = Math.floor(scaled);
    fine[at] = (scaled - coarse[at]) * 4294967296;
  }
  const draws = new Float64Array(repetitions);
  const hits = new Int32Array(bins);
  let total = 0, word = 0, left = 0;
  for (let r = 0; r < repetitions; r++) {
    for (let b = 0, i = 0; b < bins; b++) {
      let count = 0;
      for (const end = ends[b]; i < end; i++) {
        if (left === 0) {
          word = random.uint32();
          left = 4;
        }
        const byte = word & 255;
        word >>>= 8;
        left--;
        if (byte < coarse[i] || (byte === coarse[i] && random.uint32() < fine[i])) count++;
      }
      hits[b] = count;
    }
    const draw = gap(sums.confidence, hits) / n;
    draws[r] = draw;
    total += draw;
  }
  return { mean: total / repetitions, quantile95: quantile(draws, 0.95), pValue: empiricalPValue(draws, value), repetitions };
}

import { differenceSums, type DifferenceSums } from "@logits/core-wasm/order";
import type { Estimate } from "@logits/metrics";
import { chiSquareSurvival, exp, normalCdf, withTally } from "@logits/statistics";
import { rangeError, type TensorLike } from "@logits/tensor";
import { massSums } from "./bins.ts";
import { areConfidences, checkLevel, checkedConfidences, type CheckedConfidences, type Confidences } from "./confidences.ts";

/** Options of `calibrationTest`. */
export interface CalibrationTestOptions {
  /** Which test. Default "kuiper", which needs no bins and sees gaps anywhere. */
  readonly method?: "kuiper" | "kolmogorov-smirnov" | "spiegelhalter" | "hosmer-lemeshow";
  /** Bins of equal mass of "hosmer-lemeshow". Default 10. */
  readonly bins?: number;
  /** Confidence of the interval of `difference`, in (0, 1). Default 0.95. */
  readonly level?: number;
}

/** A test of "the confidences are the probabilities of being right". */
export interface CalibrationTest {
  /** The statistic of the method. */
  readonly value: number;
  /** Probability of at least this under the hypothesis; small = miscalibrated. Asymptotic in N. */
  readonly pValue: number;
  /** Rows. */
  readonly n: number;
  /** What was computed, in words. */
  readonly convention: string;
  /** Of the cumulative methods: the same in units of probability, max_k |S_k| / N or (max_k S_k - min_k S_k) / N, which says how much and not only whether. */
  readonly difference?: Estimate;
}

/**
 * Tests the hypothesis that every row is right with the probability that its confidence says.
 *
 *   "kuiper"               (max_k S_k - min_k S_k) / s,  S_0 = 0, S_k = sum of correct_n - c_n over the k smallest confidences, s^2 = sum_n c_n (1 - c_n)
 *   "kolmogorov-smirnov"   max_k |S_k| / s
 *   "spiegelhalter"        |Z|, Z = sum_n (correct_n - c_n)(1 - 2 c_n) / sqrt(sum_n (1 - 2 c_n)^2 c_n (1 - c_n)); two-sided
 *   "hosmer-lemeshow"      sum_b (O_b - E_b)^2 / (E_b (1 - E_b / n_b)) over B bins of equal mass, chi-square with B degrees of freedom
 *
 * S_k is taken at the ends of blocks of equal confidences only, so the order of the rows does not matter. P-values: range and maximum of a Brownian motion, normal,
 * chi-square. The confidences were not fitted on these rows: with rows of its own no degree of freedom is lost (the B - 2 of the original are for the rows of the fit).
 *
 * The interval of `difference` is for infinitely many rows: the sums differ from theirs by no more than a Brownian motion with the variance of the residuals, at once for all k.
 *
 * @param predictions - probabilities, float32 [N, C] with rows that sum to 1 within 1e-2; or `{ confidence, correct }`
 * @param labels - int32 [N], in [0, C); with probabilities only
 * @param options - `method` ("kuiper"), `bins` (10), `level` (0.95)
 * @returns `value` >= 0, `pValue` in [0, 1], `n`, `convention`, `difference` of the cumulative methods. Where nothing can vary (all confidences 0 or 1; for "spiegelhalter" also 1/2): 0 and 1 if nothing deviates, else Infinity and 0
 * @throws RangeError as `expectedCalibrationError`, and for an unknown method or bins outside [1, 1000000]
 * @example
 *   calibrationTest({ confidence: [0.75, 0.75, 0.75, 0.75], correct: [1, 1, 0, 1] }).pValue; // 1
 * Source: Arrieta-Ibarra, Gujral, Tannen, Tygert, Xu, "Metrics of calibration for probabilistic predictions", JMLR 23 (2022); Spiegelhalter, 1986; Hosmer and
 * Lemeshow, 1980; range of a Brownian motion: Feller, 1951.
 */
export function calibrationTest(probabilities: TensorLike, labels: TensorLike, options?: CalibrationTestOptions): CalibrationTest;
export function calibrationTest(confidences: Confidences, options?: CalibrationTestOptions): CalibrationTest;
export function calibrationTest(predictions: TensorLike | Confidences, second?: TensorLike | CalibrationTestOptions, third?: CalibrationTestOptions): CalibrationTest {
  const where = "calibrationTest";
  const plain = areConfidences(predictions);
  const { method = "kuiper", bins = 10, level: asked } = ((plain ? second : third) ?? {}) as CalibrationTestOptions, level = checkLevel(where, asked);
  const given = checkedConfidences(where, predictions, plain ? undefined : (second as TensorLike | undefined));
  const n = given.confidence.length;
  switch (method) {
    case "kuiper":
    case "kolmogorov-smirnov":
      return cumulative(given, method === "kuiper", level);
    case "spiegelhalter": {
      const value = spiegelhalter(given);
      return { value, pValue: 2 * normalCdf(-value), n, convention: "top label, |Z| of Spiegelhalter, two-sided" };
    }
    case "hosmer-lemeshow": {
      const { value, degrees } = hosmerLemeshow(where, given, bins);
      return { value, pValue: degrees === 0 ? 1 : chiSquareSurvival(value, degrees), n, convention: `top label, Hosmer-Lemeshow, equal mass, chi-square with ${degrees} degrees of freedom` };
    }
    default:
      throw rangeError(where, "method", '"kuiper", "kolmogorov-smirnov", "spiegelhalter" or "hosmer-lemeshow"', `${method as string}`);
  }
}

/** A deviation in units of its standard deviation. */
function ratio(deviation: number, variance: number): number {
  return variance > 0 ? deviation / Math.sqrt(variance) : deviation === 0 ? 0 : Infinity;
}

function cumulative(rows: CheckedConfidences, range: boolean, level: number): CalibrationTest {
  const n = rows.confidence.length;
  const { high, low, variance, squares, right } = rows.confidence instanceof Float32Array ? differenceSums(rows.confidence, rows.correct) : differencesOf(rows.confidence as Float64Array, rows.correct);
  const deviation = range ? high - low : Math.max(high, -low), value = ratio(deviation, variance), tail = range ? rangeTail : maximumTail;
  // Four rows more, two of them right, so that rows without an error are not certain.
  const p = (right + 2) / (n + 4), noise = squares + n * p * (1 - p) - (right * (n - right)) / n, half = quantileOf(tail, 1 - level) * Math.sqrt(noise);
  const convention = `top label, cumulative differences, ${range ? "range (Kuiper)" : "largest (Kolmogorov-Smirnov)"}`;
  const interval = [Math.max(0, (deviation - half) / n), Math.min(1, (deviation + half) / n)] as const;
  return { value, pValue: tail(value), n, convention, difference: { value: deviation / n, n, interval, level, convention: `${convention}, over rows` } };
}

/** As `differenceSums`, for confidences that are no float32. */
function differencesOf(confidence: Float64Array, correct: Uint8Array): DifferenceSums {
  return withTally(confidence, correct, ({ values, counts, ones }) => {
    let sum = 0, high = 0, low = 0, variance = 0, squares = 0, right = 0;
    for (let k = 0; k < values.length; k++) {
      // Rounding above 1 would make a variance negative.
      const c = values[k] > 1 ? 1 : values[k], count = counts[k], yes = ones[k], rest = 1 - c;
      sum += yes - count * c;
      squares += yes * rest * rest + (count - yes) * c * c;
      variance += count * c * rest;
      right += yes;
      if (sum > high) high = sum;
      else if (sum < low) low = sum;
    }
    return { high, low, variance, squares, right };
  });
}

/** The x where a falling tail is p, by bisection. */
function quantileOf(tail: (x: number) => number, p: number): number {
  let low = 0, high = 50;
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (tail(middle) > p) low = middle;
    else high = middle;
  }
  return high;
}

function spiegelhalter({ confidence, correct }: CheckedConfidences): number {
  let sum = 0, variance = 0;
  for (let i = 0; i < confidence.length; i++) {
    const c = confidence[i] > 1 ? 1 : confidence[i], slope = 1 - 2 * c;
    sum += (correct[i] - c) * slope;
    variance += slope * slope * c * (1 - c);
  }
  return ratio(Math.abs(sum), variance);
}

function hosmerLemeshow(where: string, rows: CheckedConfidences, bins: number): { readonly value: number; readonly degrees: number } {
  const { count, confidence, correct } = massSums(where, rows, bins);
  let value = 0, degrees = 0;
  for (let b = 0; b < bins; b++) {
    if (count[b] === 0) continue;
    const expected = Math.min(count[b], confidence[b]), gap = correct[b] - expected, variance = expected * (1 - expected / count[b]);
    // A bin in which all is certain has nothing to test, unless it is wrong.
    if (variance > 0) {
      value += (gap * gap) / variance;
      degrees++;
    } else if (gap !== 0) {
      value = Infinity;
      degrees++;
    }
  }
  return { value, degrees };
}

/** P(max |W| >= x) of a Brownian motion on [0, 1]. */
function maximumTail(x: number): number {
  if (x <= 0) return 1;
  if (x < 1) {
    // 1 - 4 / pi sum_k (-1)^k / (2k + 1) exp(-(2k + 1)^2 pi^2 / (8 x^2))
    let sum = 0;
    for (let k = 0; k < 6; k++) sum += ((k % 2 === 0 ? 1 : -1) / (2 * k + 1)) * exp((-((2 * k + 1) ** 2) * Math.PI * Math.PI) / (8 * x * x));
    return Math.max(0, 1 - (4 / Math.PI) * sum);
  }
  // By reflection: 4 sum_{k >= 1} (-1)^(k + 1) P(Z > (2k - 1) x), which keeps its digits where it is small.
  let sum = 0;
  for (let k = 1; k <= 6; k++) sum += (k % 2 === 1 ? 4 : -4) * normalCdf(-(2 * k - 1) * x);
  return Math.min(1, sum);
}

/** P(max W - min W >= x) of a Brownian motion on [0, 1], W_0 = 0. */
function rangeTail(x: number): number {
  if (x <= 0) return 1;
  if (x < 1.5) {
    // The density 8 sum (-1)^(k+1) k^2 phi(k r), integrated after Poisson summation: P(range < x) = sum_k (8 / ((2k + 1)^2 pi^2) + 8 / x^2) exp(-(2k + 1)^2 pi^2 / (2 x^2)).
    let sum = 0;
    for (let k = 0; k < 6; k++) {
      const m = (2 * k + 1) ** 2 * Math.PI * Math.PI;
      sum += (8 / m + 8 / (x * x)) * exp(-m / (2 * x * x));
    }
    return Math.max(0, 1 - sum);
  }
  // The density of Feller, integrated from x: 8 sum_{k >= 1} (-1)^(k + 1) k P(Z > k x).
  let sum = 0;
  for (let k = 1; k <= 12; k++) sum += (k % 2 === 1 ? 8 : -8) * k * normalCdf(-k * x);
  return Math.min(1, sum);
}

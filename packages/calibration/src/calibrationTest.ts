import { chiSquareSurvival, exp, normalCdf, sortOrder } from "@logits/statistics";
import { rangeError, type TensorLike } from "@logits/tensor";
import { massSums } from "./bins.ts";
import { areConfidences, checkedConfidences, type CheckedConfidences, type Confidences } from "./confidences.ts";

/** Options of `calibrationTest`. */
export interface CalibrationTestOptions {
  /** Which test. Default "kuiper", which needs no bins and sees gaps anywhere. */
  readonly method?: "kuiper" | "kolmogorov-smirnov" | "spiegelhalter" | "hosmer-lemeshow";
  /** Bins of equal mass of "hosmer-lemeshow". Default 10. */
  readonly bins?: number;
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
 * @param predictions - probabilities, float32 [N, C] with rows that sum to 1 within 1e-2; or `{ confidence, correct }`
 * @param labels - int32 [N], in [0, C); with probabilities only
 * @param options - `method` ("kuiper"), `bins` (10)
 * @returns `value` >= 0, `pValue` in [0, 1], `n`, `convention`. Where nothing can vary (all confidences 0 or 1; for "spiegelhalter" also 1/2): 0 and 1 if nothing deviates, else Infinity and 0
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
  const { method = "kuiper", bins = 10 } = ((plain ? second : third) ?? {}) as CalibrationTestOptions;
  const given = checkedConfidences(where, predictions, plain ? undefined : (second as TensorLike | undefined));
  // Rounding above 1 would make a variance negative.
  const rows = { confidence: Float64Array.from(given.confidence, (c) => Math.min(1, c)), correct: given.correct };
  const n = rows.confidence.length;
  switch (method) {
    case "kuiper":
    case "kolmogorov-smirnov": {
      const kuiper = method === "kuiper", value = cumulative(rows, kuiper);
      return { value, pValue: kuiper ? rangeTail(value) : maximumTail(value), n, convention: `top label, cumulative differences, ${kuiper ? "range (Kuiper)" : "largest (Kolmogorov-Smirnov)"}` };
    }
    case "spiegelhalter": {
      const value = spiegelhalter(rows);
      return { value, pValue: 2 * normalCdf(-value), n, convention: "top label, |Z| of Spiegelhalter, two-sided" };
    }
    case "hosmer-lemeshow": {
      const { value, degrees } = hosmerLemeshow(where, rows, bins);
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

function cumulative({ confidence, correct }: CheckedConfidences, range: boolean): number {
  const order = sortOrder(Float64Array.from(confidence)), n = order.length;
  let sum = 0, high = 0, low = 0, variance = 0;
  for (let i = 0; i < n; i++) {
    const c = confidence[order[i]];
    sum += correct[order[i]] - c;
    variance += c * (1 - c);
    if (i + 1 < n && confidence[order[i + 1]] === c) continue;
    high = Math.max(high, sum);
    low = Math.min(low, sum);
  }
  return ratio(range ? high - low : Math.max(high, -low), variance);
}

function spiegelhalter({ confidence, correct }: CheckedConfidences): number {
  let sum = 0, variance = 0;
  for (let i = 0; i < confidence.length; i++) {
    const c = confidence[i], slope = 1 - 2 * c;
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
    const gap = correct[b] - confidence[b], variance = confidence[b] * (1 - confidence[b] / count[b]);
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

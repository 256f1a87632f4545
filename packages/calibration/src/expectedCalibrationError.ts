import type { Estimate } from "@logits/metrics";
import { empiricalPValue, erf, exp, quantile } from "@logits/statistics";
import { checkInteger, rangeError, typeError, type RandomSource, type TensorLike } from "@logits/tensor";
import { binSums, massSums, sweepSums, type BinSums } from "./bins.ts";
import { areConfidences, checkLevel, checkedConfidences, eachClass, eachPrediction, labelledProbabilities, type CheckedConfidences, type Confidences, type LabelledProbabilities } from "./confidences.ts";
import { errorInterval, type WeightedBins } from "./errorInterval.ts";

/** Options of `expectedCalibrationError`. */
export interface ExpectedCalibrationErrorOptions {
  /** Number of bins B. Default 15; of a sweep the most that are tried, default 10,000. */
  readonly bins?: number;
  /**
   * "equal-width" (default). "equal-mass": the first N mod B bins have one row more, equal values are in one bin. "sweep": the most bins of equal mass whose shares of
   * right answers rise.
   */
  readonly binning?: "equal-width" | "equal-mass" | "sweep";
  /**
   * "top-label" (default): the largest probability of each row. "class-wise": every class against all others, the mean over classes. "predicted-class": within the rows
   * of each predicted class, weighted by their number. The last two need probabilities [N, C].
   */
  readonly kind?: "top-label" | "class-wise" | "predicted-class";
  /** 1 (default): mean gap, ECE. 2: root of the mean squared gap, RMSCE. "max": the largest gap, MCE. */
  readonly norm?: 1 | 2 | "max";
  /** Takes away what chance adds, with norm 1 or 2. Default false. */
  readonly debiased?: boolean;
  /** Confidence of `interval`, in (0, 1). Default 0.95. */
  readonly level?: number;
  /** Simulates what a perfectly calibrated model with these confidences would show; for the top label and bins that do not depend on the answers. */
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
export interface ExpectedCalibrationError extends Estimate {
  /** Bins; the most of any class where a sweep chose them class by class. */
  readonly bins: number;
  /** float64 [C], of "class-wise" and "predicted-class": the error of each class, NaN for one that is never predicted. */
  readonly perClass?: Float64Array;
  /** Present when asked for. */
  readonly null?: NullDistribution;
}

/**
 * Calibration error over bins: how far confidence and accuracy are apart. By default the expected calibration error of the top label with bins of equal width.
 *
 *   norm 1     sum_b n_b / N |acc_b - conf_b|              row n in bin b where b / B < c_n <= (b + 1) / B
 *   norm 2     sqrt(sum_b n_b / N (acc_b - conf_b)^2)      debiased: minus acc_b (1 - acc_b) / (n_b - 1) in each bin, bins of one row count nothing, at least 0
 *   norm max   max_b |acc_b - conf_b|
 *   norm 1, debiased: 2 ECE - sum_b n_b / N E|acc_b - conf_b + s_b Z|, Z normal, s_b^2 = acc_b (1 - acc_b) / n_b; at least 0
 *
 * Bins are (low, high] with float64 edges: a confidence of exactly k / B is in the lower bin, 1 in the last, 0 in the first. c_n = max_c p[n, c];
 * equal probabilities: the smaller index is predicted. Empty bins count nothing.
 * Errors e_c of the classes become one: (sum_c w_c e_c^norm)^(1 / norm), w_c = 1 / C class-wise, n_c / N for predicted classes; the largest with norm "max".
 *
 * The value is biased upwards unless `debiased`, more so for few rows: it is never 0 for a perfect model. `nullDistribution` says how much a perfectly calibrated
 * model with the same confidences would show: correct_n ~ Bernoulli(c_n), each row drawn by itself, exact to 2^-40.
 * `interval` is for the error that infinitely many rows would show in the same bins, without the bias: it begins at 0 where the model may be perfect, and the plain value of norm 2
 * can lie above it. It needs no resampling, and it covers at a perfect model too.
 *
 * @param predictions - probabilities, float32 [N, C] with rows that sum to 1 within 1e-2; or `{ confidence, correct }`
 * @param labels - int32 [N], in [0, C); with probabilities only
 * @param options - `bins` (15), `binning`, `kind`, `norm`, `debiased`, `level` (0.95), `nullDistribution: { random, repetitions = 1000 }`
 * @returns `value` in [0, 1], `n`, `bins`, `interval`, `level`, `convention`, `perClass`, `null`
 * @throws RangeError for no rows, another shape, a label outside [0, C), values that are no probabilities (NaN included; the row is named), options that do not go together
 * @example
 *   expectedCalibrationError({ confidence: [0.75, 0.75], correct: [1, 0] }).value; // 0.25
 * Source: Naeini, Cooper, Hauskrecht, AAAI 2015; class-wise: Nixon et al., CVPR Workshops 2019, and Kull et al., NeurIPS 2019; predicted classes: Gupta and Ramdas, ICLR
 * 2022; sweep: Roelofs et al., AISTATS 2022; debiased: Broecker, 2012, Kumar, Liang, Ma, NeurIPS 2019; null distribution as the consistency resampling of Broecker and Smith, 2007.
 */
export function expectedCalibrationError(probabilities: TensorLike, labels: TensorLike, options?: ExpectedCalibrationErrorOptions): ExpectedCalibrationError;
export function expectedCalibrationError(confidences: Confidences, options?: ExpectedCalibrationErrorOptions): ExpectedCalibrationError;
export function expectedCalibrationError(
  predictions: TensorLike | Confidences, second?: TensorLike | ExpectedCalibrationErrorOptions, third?: ExpectedCalibrationErrorOptions,
): ExpectedCalibrationError {
  const where = "expectedCalibrationError";
  const plain = areConfidences(predictions);
  const options = ((plain ? second : third) ?? {}) as ExpectedCalibrationErrorOptions;
  const { kind = "top-label", nullDistribution } = options;
  const rule = ruleOf(where, options, plain);
  const labels = plain ? undefined : (second as TensorLike | undefined);
  if (kind !== "top-label") return overClasses(kind, labelledProbabilities(where, predictions as TensorLike, labels), rule);
  const rows = checkedConfidences(where, predictions, labels);
  const sums = rule.sums(rows), measure = (correct: ArrayLike<number>): number => errorOf(sums, correct, rule);
  const value = measure(sums.correct), n = rows.confidence.length;
  const result = { value, n, bins: sums.count.length, interval: errorInterval([{ sums, share: 1 }], n, rule.norm, rule.level, undefined), level: rule.level, convention: rule.convention };
  if (nullDistribution === undefined) return result;
  const { random, repetitions = 1000 } = nullDistribution;
  if (typeof random?.uint32 !== "function") throw typeError(where, "nullDistribution.random", "a RandomSource", typeof random, "Pass randomSource(seed)");
  checkInteger(where, "nullDistribution.repetitions", repetitions, 1, 10000000);
  return { ...result, null: simulate(sums, value, random, repetitions, measure) };
}

/** Options that were checked. */
interface Rule {
  readonly norm: 1 | 2 | "max";
  readonly debiased: boolean;
  readonly level: number;
  readonly convention: string;
  sums(rows: CheckedConfidences): BinSums;
}

const KINDS = { "top-label": "top label", "class-wise": "mean over classes", "predicted-class": "by predicted class" };
const EDGES = { "equal-width": "equal width, bins (low, high], 0 in the first", "equal-mass": "equal mass, bins (low, high], equal values together", sweep: "equal mass, the most bins that rise" };
const NORMS = { 1: "", 2: ", root mean square", max: ", largest" };

function ruleOf(where: string, options: ExpectedCalibrationErrorOptions, plain: boolean): Rule {
  const { binning = "equal-width", kind = "top-label", norm = 1, debiased = false } = options;
  if (!Object.hasOwn(EDGES, binning)) throw rangeError(where, "binning", '"equal-width", "equal-mass" or "sweep"', `${binning}`);
  if (!Object.hasOwn(KINDS, kind)) throw rangeError(where, "kind", '"top-label", "class-wise" or "predicted-class"', `${kind}`);
  if (!Object.hasOwn(NORMS, norm)) throw rangeError(where, "norm", '1, 2 or "max"', `${norm}`);
  const level = checkLevel(where, options.level);
  if (debiased && norm === "max") throw rangeError(where, "norm", "1 or 2 with `debiased`", `${norm}`);
  if (plain && kind !== "top-label") throw rangeError(where, "kind", '"top-label" with confidences', `"${kind}"`, "Pass probabilities and labels");
  if (options.nullDistribution !== undefined && (kind !== "top-label" || binning === "sweep" || debiased)) {
    throw rangeError(where, "nullDistribution", 'with "top-label", bins that do not depend on the answers, and not `debiased`', `"${kind}", "${binning}"${debiased ? ", debiased" : ""}`);
  }
  const bins = options.bins ?? (binning === "sweep" ? 10000 : 15);
  const sums = binning === "equal-width" ? binSums : binning === "equal-mass" ? massSums : sweepSums;
  return { norm, debiased, level, convention: `${KINDS[kind]}, ${EDGES[binning]}${NORMS[norm]}${debiased ? ", debiased" : ""}`, sums: (rows) => sums(where, rows, bins) };
}

/** Mean of |mean + deviation Z|, Z normal. */
function foldedMean(mean: number, deviation: number): number {
  if (deviation === 0) return mean;
  const t = mean / deviation;
  return deviation * Math.sqrt(2 / Math.PI) * exp((-t * t) / 2) + mean * erf(t * Math.SQRT1_2);
}

/** The error of one set of bins, `correct` instead of the answers that were seen. */
function errorOf({ count, confidence }: BinSums, correct: ArrayLike<number>, { norm, debiased }: Rule): number {
  let total = 0, n = 0;
  for (let b = 0; b < count.length; b++) {
    const rows = count[b], distance = Math.abs(correct[b] - confidence[b]);
    n += rows;
    if (norm === 1) total += debiased && rows > 0 ? 2 * distance - foldedMean(distance, Math.sqrt((correct[b] * (rows - correct[b])) / rows)) : distance;
    else if (norm === "max") total = rows > 0 ? Math.max(total, distance / rows) : total;
    else if (!debiased) total += rows > 0 ? (distance * distance) / rows : 0;
    // n_b [(acc - conf)^2 - acc (1 - acc) / (n_b - 1)], with acc = correct / n_b.
    else if (rows > 1) total += (distance * distance - (correct[b] * (rows - correct[b])) / (rows - 1)) / rows;
  }
  return norm === 1 ? Math.max(0, total / n) : norm === 2 ? Math.sqrt(Math.max(0, total / n)) : total;
}

function overClasses(kind: "class-wise" | "predicted-class", labelled: LabelledProbabilities, rule: Rule): ExpectedCalibrationError {
  const { rows, classes } = labelled, wise = kind === "class-wise";
  const perClass = new Float64Array(classes).fill(NaN), counted: WeightedBins[] = [], residuals = new Float64Array(wise ? rows : 0);
  let total = 0, bins = 0, together = 0;
  for (const { label, part } of wise ? eachClass(labelled) : eachPrediction(labelled)) {
    const sums = rule.sums(part), error = errorOf(sums, sums.correct, rule), share = wise ? 1 / classes : part.confidence.length / rows;
    perClass[label] = error;
    bins = Math.max(bins, sums.count.length);
    total = rule.norm === "max" ? Math.max(total, error) : total + share * (rule.norm === 2 ? error * error : error);
    const { count, confidence, correct, squares } = sums;
    counted.push({ sums: { count, confidence, correct, squares }, share });
    if (wise) for (let n = 0; n < rows; n++) residuals[n] += Math.abs(part.correct[n] - part.confidence[n]) / classes;
  }
  for (let n = 0; n < residuals.length; n++) together += residuals[n] * residuals[n];
  const interval = errorInterval(counted, rows, rule.norm, rule.level, wise ? together : undefined);
  return { value: rule.norm === 2 ? Math.sqrt(total) : total, n: rows, bins, interval, level: rule.level, convention: rule.convention, perClass };
}

function simulate(sums: BinSums, value: number, random: RandomSource, repetitions: number, measure: (correct: Int32Array) => number): NullDistribution {
  const { confidence } = sums.rows, n = confidence.length, bins = sums.count.length;
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
    const draw = measure(hits);
    draws[r] = draw;
    total += draw;
  }
  return { mean: total / repetitions, quantile95: quantile(draws, 0.95), pValue: empiricalPValue(draws, value), repetitions };
}

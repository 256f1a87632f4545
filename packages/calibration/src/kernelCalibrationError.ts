import type { Estimate } from "@logits/metrics";
import { exp, normalCdf, normalQuantile } from "@logits/statistics";
import { rangeError, typeError, type RandomSource, type TensorLike } from "@logits/tensor";
import { areConfidences, checkLevel, checkedConfidences, eachClass, labelledProbabilities, type Confidences, type LabelledProbabilities } from "./confidences.ts";
import { ornsteinUhlenbeckTail } from "./kernelNull.ts";
import { sortedRows, type SortedRows } from "./sortedRows.ts";
import { squaredNormInterval } from "./squaredNormInterval.ts";

/** Options of `kernelCalibrationError`. */
export interface KernelCalibrationErrorOptions {
  /** "top-label" (default): the largest probability of each row. "class-wise": every class against all others, the mean over classes. "canonical": whole rows of probabilities, by pairs of rows. */
  readonly kind?: "top-label" | "class-wise" | "canonical";
  /** h of the Laplace kernel exp(-distance / h), in [0.001, 1000]. Default 0.2. */
  readonly bandwidth?: number;
  /** Confidence of `interval`, in (0, 1). Default 0.95. */
  readonly level?: number;
  /** Of "canonical": pairs rows at random. Without it rows 0 and 1 are a pair, 2 and 3 and so on, which is as good where the order of the rows is by chance. */
  readonly random?: RandomSource;
}

/** A squared kernel calibration error with its test. */
export interface KernelCalibrationError extends Estimate {
  /** Unbiased: 0 on average for a perfect model, so that half of the time it is negative there. */
  readonly value: number;
  /** Probability of at least this for a perfect model; small = miscalibrated. Asymptotic in N. */
  readonly pValue: number;
  /** Of "top-label": root of the mean over all pairs, a row with itself included (MMCE); never 0 for a perfect model. */
  readonly mmce?: number;
  /** float64 [C], of "class-wise": the value of each class. */
  readonly perClass?: Float64Array;
}

/**
 * Squared kernel calibration error (SKCE) with a Laplace kernel: whether residuals of rows with similar confidences agree. No bins; in O(N log N), where the definition has all pairs.
 *
 *   "top-label"    1 / (N (N - 1)) sum_{i != j} r_i r_j exp(-|c_i - c_j| / h),   r_n = correct_n - c_n;   mmce = root of (1 / N^2) sum_{i, j}
 *   "class-wise"   the same for p[n, c] and 1[y_n = c], the mean over classes
 *   "canonical"    mean over pairs (i, j) of distinct rows of exp(-TV(p_i, p_j) / h) sum_c (1[y_i = c] - p[i, c]) (1[y_j = c] - p[j, c]),   TV = sum_c |p[i, c] - p[j, c]| / 2
 *
 * In the order of confidence, L_i = exp(-(c_i - c_{i-1}) / h) (L_{i-1} + r_{i-1}) has what all rows before i add, so one sort and one pass give all pairs exactly.
 *
 * P-values, one-sided. "top-label": N value is a sum of squared normal variables at a perfect model, whose tail is inverted to about 11 digits, small ones too; no resampling, no randomness
 * (confidences are taken together in cells of h / 128 or 1 / 512 for it, if there are more; a relative error of 1e-3 of the p-value). "class-wise": C times the smallest p-value of a class, at most 1 (Bonferroni), whatever the classes share.
 * "canonical": normal, from the pairs. `interval`: of the value that infinitely many rows would give, at least 0.
 *
 * @param predictions - probabilities, float32 [N, C] with rows that sum to 1 within 1e-2, N >= 2; or `{ confidence, correct }`
 * @param labels - int32 [N], in [0, C); with probabilities only
 * @param options - `kind` ("top-label"), `bandwidth` (0.2), `level` (0.95), `random`
 * @returns `value` (a square: 0.0025 is a gap of 0.05 everywhere), `n`, `interval`, `level`, `pValue`, `mmce`, `perClass`, `convention`. All confidences 0 or 1: p 1 if all is as they say, else 0
 * @throws RangeError as `expectedCalibrationError`; for fewer than 2 rows, fewer than 4 with "canonical", an unknown kind, a bandwidth or level outside its range
 * @example
 *   kernelCalibrationError({ confidence: [0.75, 0.75, 0.75, 0.75], correct: [0, 0, 0, 0] }).value; // 0.5625
 * Source: Widmann, Lindsten, Zachariah, "Calibration tests in multi-class classification", NeurIPS 2019; mmce: Kumar, Sarawagi, Jain, ICML 2018.
 */
export function kernelCalibrationError(probabilities: TensorLike, labels: TensorLike, options?: KernelCalibrationErrorOptions): KernelCalibrationError;
export function kernelCalibrationError(confidences: Confidences, options?: KernelCalibrationErrorOptions): KernelCalibrationError;
export function kernelCalibrationError(
  predictions: TensorLike | Confidences, second?: TensorLike | KernelCalibrationErrorOptions, third?: KernelCalibrationErrorOptions,
): KernelCalibrationError {
  const where = "kernelCalibrationError", plain = areConfidences(predictions);
  const options = ((plain ? second : third) ?? {}) as KernelCalibrationErrorOptions;
  const { kind = "top-label", bandwidth = 0.2, random } = options, level = checkLevel(where, options.level);
  if (kind !== "top-label" && kind !== "class-wise" && kind !== "canonical") throw rangeError(where, "kind", '"top-label", "class-wise" or "canonical"', `${kind as string}`);
  if (plain && kind !== "top-label") throw rangeError(where, "kind", '"top-label" with confidences', `"${kind}"`, "Pass probabilities and labels");
  if (!(bandwidth >= 0.001 && bandwidth <= 1000)) throw rangeError(where, "bandwidth", "in [0.001, 1000]", `${bandwidth}`);
  if (random !== undefined && kind !== "canonical") throw rangeError(where, "random", 'with "canonical"', `"${kind}"`, "The other kinds take all pairs");
  if (random !== undefined && typeof random?.uint32 !== "function") throw typeError(where, "random", "a RandomSource", typeof random, "Pass randomSource(seed)");
  const labels = plain ? undefined : (second as TensorLike | undefined);
  if (kind === "top-label") {
    const rows = sortedRows(checkedConfidences(where, predictions, labels)), n = atLeast(where, 2, rows.confidence.length);
    const { pairs, squares, fourth } = allPairs(rows, bandwidth);
    const value = pairs / (n * (n - 1));
    return { value, n, interval: intervalOf(value, fourth, n, level), level, convention: `top label, Laplace kernel ${bandwidth}, all pairs of rows`, pValue: tail(rows, pairs, bandwidth), mmce: Math.sqrt(Math.max(0, pairs + squares)) / n };
  }
  const labelled = labelledProbabilities(where, predictions as TensorLike, labels);
  return kind === "class-wise" ? classWise(where, labelled, bandwidth, level) : canonical(where, labelled, bandwidth, level, random);
}

function atLeast(where: string, least: number, rows: number): number {
  if (rows < least) throw rangeError(where, "rows", `at least ${least}`, `${rows}`);
  return rows;
}

/** exp(-t) for t >= 0; neighbours among many rows are near each other, where six terms of the series are within 2^-53. */
function decayOf(t: number): number {
  return t < 0.0078125 ? 1 - t * (1 - (t / 2) * (1 - (t / 3) * (1 - (t / 4) * (1 - (t / 5) * (1 - t / 6))))) : exp(-t);
}

/** Of sorted rows: sum over i != j of r_i r_j k_ij, sum of r_i^2, and sum over all i, j of r_i^2 r_j^2 k_ij^2. */
function allPairs({ confidence, correct }: SortedRows, bandwidth: number): { readonly pairs: number; readonly squares: number; readonly fourth: number } {
  let pairs = 0, squares = 0, fourth = 0, before = 0, beforeSquares = 0, last = 0;
  for (let i = 0; i < confidence.length; i++) {
    const c = confidence[i] > 1 ? 1 : confidence[i], r = correct[i] - c, square = r * r;
    if (c !== last) {
      const decay = decayOf((c - last) / bandwidth);
      before *= decay;
      beforeSquares *= decay * decay;
      last = c;
    }
    pairs += r * before;
    fourth += square * (2 * beforeSquares + square);
    squares += square;
    before += r;
    beforeSquares += square;
  }
  return { pairs: 2 * pairs, squares, fourth };
}

/** With K the sum of the squared eigenvalues of the noise, the largest is at most its root. */
function intervalOf(value: number, fourth: number, n: number, level: number): readonly [low: number, high: number] {
  const k = fourth / n / n / n / n;
  return squaredNormInterval(value, Math.sqrt(k), k, level);
}

/** The p-value of a sum over pairs, in cells of confidences. */
function tail({ confidence, correct }: SortedRows, pairs: number, bandwidth: number): number {
  const cells = Math.ceil(Math.max(512, 128 / bandwidth)), n = confidence.length;
  const variances: number[] = [], centres: number[] = [];
  let total = 0, wrong = false;
  for (let i = 0; i < n; ) {
    const first = confidence[i], end = (Math.floor(first * cells) + 1) / cells;
    let variance = 0, moment = 0;
    for (; i < n && (confidence[i] < end || confidence[i] === first); i++) {
      const c = Math.min(1, confidence[i]), v = c * (1 - c);
      if (v === 0 && correct[i] !== c) wrong = true;
      variance += v;
      moment += v * (c - first);
    }
    if (variance > 0) {
      variances.push(variance);
      centres.push(first + moment / variance);
      total += variance;
    }
  }
  if (total === 0) return wrong ? 0 : 1;
  const decays = Float64Array.from({ length: centres.length - 1 }, (_, j) => exp((centres[j] - centres[j + 1]) / bandwidth));
  return ornsteinUhlenbeckTail((pairs + total) / total, Float64Array.from(variances, (v) => v / total), decays);
}

function classWise(where: string, labelled: LabelledProbabilities, bandwidth: number, level: number): KernelCalibrationError {
  const { rows, classes } = labelled, n = atLeast(where, 2, rows), perClass = new Float64Array(classes);
  let total = 0, roots = 0, least = 1;
  for (const { label, part } of eachClass(labelled)) {
    const sorted = sortedRows(part), { pairs, fourth } = allPairs(sorted, bandwidth);
    perClass[label] = pairs / (n * (n - 1));
    total += perClass[label];
    roots += Math.sqrt(fourth);
    least = Math.min(least, tail(sorted, pairs, bandwidth));
  }
  // Classes share rows: the root of the sum of squared eigenvalues of all is at most the sum of the roots.
  const fourth = (roots / classes) ** 2;
  return { value: total / classes, n, interval: intervalOf(total / classes, fourth, n, level), level, convention: `mean over classes, Laplace kernel ${bandwidth}, all pairs of rows`, pValue: Math.min(1, classes * least), perClass };
}

function canonical(where: string, { data, labels, rows, classes }: LabelledProbabilities, bandwidth: number, level: number, random: RandomSource | undefined): KernelCalibrationError {
  const n = atLeast(where, 4, rows), pairs = Math.floor(n / 2), order = random?.permutation(n);
  let mean = 0, spread = 0;
  for (let k = 0; k < pairs; k++) {
    const i = order ? order[2 * k] : 2 * k, j = order ? order[2 * k + 1] : 2 * k + 1, first = i * classes, second = j * classes;
    let distance = 0, product = labels[i] === labels[j] ? 1 : 0;
    for (let c = 0; c < classes; c++) {
      const p = data[first + c], q = data[second + c];
      distance += Math.abs(p - q);
      product += p * q;
    }
    product -= data[first + labels[j]] + data[second + labels[i]];
    const h = product * exp(-distance / (2 * bandwidth)), step = h - mean;
    mean += step / (k + 1);
    spread += step * (h - mean);
  }
  const error = Math.sqrt(spread / (pairs - 1) / pairs), half = normalQuantile((1 + level) / 2) * error;
  const pValue = error > 0 ? normalCdf(-mean / error) : mean > 0 ? 0 : 1;
  return { value: mean, n, interval: [Math.max(0, mean - half), Math.max(0, mean + half)], level, convention: `whole rows, Laplace kernel ${bandwidth} of the total variation, ${pairs} pairs of rows`, pValue };
}

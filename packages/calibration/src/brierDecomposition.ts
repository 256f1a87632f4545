import type { Estimate } from "@logits/metrics";
import { normalQuantile, pava } from "@logits/statistics";
import { rangeError, type TensorLike } from "@logits/tensor";
import { binSums, massSums } from "./bins.ts";
import { areConfidences, checkLevel, checkedConfidences, eachClass, labelledProbabilities, type CheckedConfidences, type Confidences } from "./confidences.ts";
import { sortedRows } from "./sortedRows.ts";

/** Options of `brierDecomposition`. */
export interface BrierDecompositionOptions {
  /** "isotonic" (default): groups of equal isotonic regression, nothing to choose, no remainder. "equal-width", "equal-mass": bins as `expectedCalibrationError`. */
  readonly binning?: "isotonic" | "equal-width" | "equal-mass";
  /** Number of bins B. Default 15. */
  readonly bins?: number;
  /** Takes from each part what few rows in a bin add to it; with bins. Default false. */
  readonly debiased?: boolean;
  /** Confidence of `interval`, in (0, 1). Default 0.95. */
  readonly level?: number;
}

/** A Brier score and its parts: value = miscalibration - discrimination + uncertainty + remainder. */
export interface BrierDecomposition extends Estimate {
  /** What recalibration would gain (reliability); 0 = calibrated. */
  readonly miscalibration: number;
  /** What the probabilities know beyond the base rate (resolution); higher is better. */
  readonly discrimination: number;
  /** The score of the base rate. */
  readonly uncertainty: number;
  /** What differs inside bins: 0 with "isotonic". */
  readonly remainder: number;
}

/**
 * The Brier score and why it is what it is: miscalibration, discrimination and uncertainty.
 *
 *   (1 / N) sum_n (c_n - y_n)^2 = MCB - DSC + UNC,   UNC = m (1 - m), m the mean of y
 *   "isotonic"   MCB = B(c) - B(g(c)),   DSC = B(m) - B(g(c)),   B the Brier score, g the isotonic regression of y on c; both at least 0
 *   bins         MCB = sum_b n_b / N (conf_b - acc_b)^2,   DSC = sum_b n_b / N (acc_b - m)^2,   and a remainder from confidences that differ inside bins
 *   `debiased`   with v = sum_b n_b / N acc_b (1 - acc_b) / (n_b - 1):   MCB - v,   DSC - v + UNC / (N - 1),   UNC N / (N - 1)
 *
 * Of `{ confidence, correct }` the score of two answers, (c - y)^2. Of probabilities [N, C] the sum over classes, so that `value` is `brierScore`. Recalibration is fitted on the same rows: for a perfect model MCB is
 * small and not 0, as every calibration error.
 *
 * @param predictions - probabilities, float32 [N, C] with rows that sum to 1 within 1e-2; or `{ confidence, correct }`
 * @param labels - int32 [N], in [0, C); with probabilities only
 * @param options - `binning` ("isotonic"), `bins` (15), `debiased` (false), `level` (0.95)
 * @returns `value`, its parts, `n`, `interval` of the value (normal, from the scores of the rows), `level`, `convention`; one row: `interval` [0, 1] or [0, 2]
 * @throws RangeError as `expectedCalibrationError`; for an unknown binning, `debiased` with "isotonic", a level outside (0, 1)
 * @example
 *   brierDecomposition({ confidence: [0.75, 0.75, 0.75, 0.75], correct: [1, 1, 0, 0] }).miscalibration; // 0.0625
 * Source: Murphy, "A new vector partition of the probability score", 1973; isotonic: Dimitriadis, Gneiting, Jordan, PNAS 118 (2021); debiased: Ferro and Fricker, 2012.
 */
export function brierDecomposition(probabilities: TensorLike, labels: TensorLike, options?: BrierDecompositionOptions): BrierDecomposition;
export function brierDecomposition(confidences: Confidences, options?: BrierDecompositionOptions): BrierDecomposition;
export function brierDecomposition(predictions: TensorLike | Confidences, second?: TensorLike | BrierDecompositionOptions, third?: BrierDecompositionOptions): BrierDecomposition {
  const where = "brierDecomposition", plain = areConfidences(predictions);
  const { binning = "isotonic", bins = 15, debiased = false, level: asked } = ((plain ? second : third) ?? {}) as BrierDecompositionOptions, level = checkLevel(where, asked);
  if (binning !== "isotonic" && binning !== "equal-width" && binning !== "equal-mass") throw rangeError(where, "binning", '"isotonic", "equal-width" or "equal-mass"', `${binning as string}`);
  if (debiased && binning === "isotonic") throw rangeError(where, "debiased", "false with \"isotonic\"", "true", 'Pass `binning: "equal-mass"`');
  const parts = plain ? [checkedConfidences(where, predictions, undefined)] : Array.from(eachClass(labelledProbabilities(where, predictions, second as TensorLike | undefined)), ({ part }) => part);
  const n = parts[0].confidence.length, scores = new Float64Array(n), total = { miscalibration: 0, discrimination: 0, uncertainty: 0 };
  for (const part of parts) {
    const one = binning === "isotonic" ? isotonicParts(part) : binnedParts(where, part, binning, bins, debiased);
    total.miscalibration += one.miscalibration;
    total.discrimination += one.discrimination;
    total.uncertainty += one.uncertainty;
    for (let i = 0; i < n; i++) scores[i] += (part.confidence[i] - part.correct[i]) ** 2;
  }
  let value = 0, spread = 0;
  for (let i = 0; i < n; i++) value += scores[i] / n;
  for (let i = 0; i < n; i++) spread += (scores[i] - value) ** 2;
  const most = plain ? 1 : 2, half = n > 1 ? normalQuantile((1 + level) / 2) * Math.sqrt(spread / (n - 1) / n) : Infinity;
  const remainder = binning === "isotonic" ? 0 : value - total.miscalibration + total.discrimination - total.uncertainty;
  const convention = `${plain ? "two answers" : "sum over classes"}, ${binning === "isotonic" ? "isotonic" : `${bins} bins of ${binning === "equal-mass" ? "equal mass" : "equal width"}${debiased ? ", debiased" : ""}`}`;
  return { value, n, interval: [Math.max(0, value - half), Math.min(most, value + half)], level, convention, ...total, remainder };
}

interface Parts { readonly miscalibration: number; readonly discrimination: number; readonly uncertainty: number }

function isotonicParts(rows: CheckedConfidences): Parts {
  const { confidence, correct } = sortedRows(rows), n = confidence.length;
  const shares = new Float64Array(n), weights = new Float64Array(n), values = new Float64Array(n);
  let right = 0, groups = 0;
  for (let i = 0; i < n; ) {
    const first = i, c = confidence[i];
    let ones = 0;
    for (; i < n && confidence[i] === c; i++) ones += correct[i];
    shares[groups] = ones / (i - first);
    weights[groups] = i - first;
    values[groups++] = c;
    right += ones;
  }
  const fitted = pava(shares.subarray(0, groups), { weights: weights.subarray(0, groups) }), base = right / n;
  // Inside a group of equal confidences, B(c) - B(g) = (c - share)^2 - (g - share)^2: what the answers add is in both.
  let miscalibration = 0, discrimination = 0;
  for (let k = 0; k < groups; k++) {
    const own = (fitted[k] - shares[k]) ** 2;
    miscalibration += (weights[k] / n) * ((values[k] - shares[k]) ** 2 - own);
    discrimination += (weights[k] / n) * ((base - shares[k]) ** 2 - own);
  }
  return { miscalibration: Math.max(0, miscalibration), discrimination: Math.max(0, discrimination), uncertainty: base * (1 - base) };
}

function binnedParts(where: string, rows: CheckedConfidences, binning: "equal-width" | "equal-mass", bins: number, debiased: boolean): Parts {
  const { count, confidence, correct } = (binning === "equal-mass" ? massSums : binSums)(where, rows, bins), n = rows.confidence.length;
  let right = 0;
  for (let b = 0; b < bins; b++) right += correct[b];
  const base = right / n, uncertainty = base * (1 - base);
  let miscalibration = 0, discrimination = 0, chance = 0;
  for (let b = 0; b < bins; b++) {
    if (count[b] === 0) continue;
    const share = count[b] / n, accuracy = correct[b] / count[b];
    miscalibration += share * (confidence[b] / count[b] - accuracy) ** 2;
    discrimination += share * (accuracy - base) ** 2;
    if (count[b] > 1) chance += (share * accuracy * (1 - accuracy)) / (count[b] - 1);
  }
  if (!debiased || n === 1) return { miscalibration, discrimination, uncertainty };
  return { miscalibration: miscalibration - chance, discrimination: discrimination - chance + uncertainty / (n - 1), uncertainty: (uncertainty * n) / (n - 1) };
}

import { erf, exp, sortOrder } from "@logits/statistics";
import { asFloat32, checkShape, rangeError, type TensorLike } from "@logits/tensor";
import type { Estimate } from "./estimate.ts";
import { checkedLevel, finite, meanOf, type EstimateOptions } from "./regressionRows.ts";

/** Options of `continuousRankedProbabilityScore`. */
export interface ContinuousRankedProbabilityScoreOptions extends EstimateOptions {
  /** Of samples: true (default) leaves out pairs of a sample with itself, unbiased for the distribution they come from; false scores the samples as the whole distribution. */
  readonly fair?: boolean;
}

/** A normal distribution for each row. */
export interface NormalPredictions {
  /** float32 or float64 [N]. */
  readonly means: TensorLike;
  /** float32 or float64 [N], at least 0. */
  readonly deviations: TensorLike;
}

/**
 * Continuous ranked probability score (CRPS): the distance of a predicted distribution F from what happened, in the units of the targets. Lower is better, and the true distribution has the smallest mean.
 *
 *   int (F(x) - 1[x >= y])^2 dx = E|X - y| - E|X - X'| / 2
 *   normal     s (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)),   z = (y - mean) / s;   |y - mean| for s = 0
 *   samples    (1 / M) sum_i |x_i - y| - sum_{i < j} |x_i - x_j| / (M (M - 1)),   or / M^2 with `fair: false`; sorted, so in O(M log M)
 *
 * @param predictions - `{ means, deviations }`, or samples, float32 [N, M] (2 or more of them, or 1 with `fair: false`)
 * @param targets - float32 or float64 [N]
 * @param options - `fair` (true), `level` (0.95)
 * @returns `value` in the units of the targets (of fair samples it may be negative), `n`, `interval` (normal, from the scores of the rows), `level`, `convention`
 * @throws RangeError for no rows, another shape, a number that is not finite, a standard deviation below 0 (the row is named)
 * @example
 *   continuousRankedProbabilityScore({ means: [0], deviations: [1] }, [0]).value; // 0.2337
 * Source: Matheson and Winkler, Management Science 22 (1976); Gneiting and Raftery, JASA 102 (2007); fair: Ferro, QJRMS 140 (2014).
 */
export function continuousRankedProbabilityScore(predictions: TensorLike | NormalPredictions, targets: TensorLike, options: ContinuousRankedProbabilityScoreOptions = {}): Estimate {
  const where = "continuousRankedProbabilityScore", level = checkedLevel(where, options.level);
  const y = finite(where, "targets", targets), n = y.length;
  if (typeof predictions === "object" && predictions !== null && "means" in predictions) {
    if (options.fair !== undefined) throw rangeError(where, "fair", "with samples only", `${options.fair}`);
    const mean = finite(where, "means", predictions.means, n), deviation = finite(where, "deviations", predictions.deviations, n);
    return meanOf(Float64Array.from({ length: n }, (_, i) => ofNormal(where, y[i] - mean[i], deviation[i], i)), level, "CRPS of normal distributions, lower is better");
  }
  const { fair = true } = options, x = asFloat32(where, "samples", predictions);
  checkShape(where, "samples", x, ["N", "M"]);
  const [rows, count] = x.shape, least = fair ? 2 : 1;
  if (rows !== n) throw rangeError(where, "samples", `of ${n} rows`, `${rows}`);
  if (count < least) throw rangeError(where, "samples", `at least ${least} in each row`, `${count}`);
  const scores = Float64Array.from({ length: n }, (_, row) => ofSamples(where, x.data.subarray(row * count, (row + 1) * count), y[row], fair, row));
  return meanOf(scores, level, `CRPS of ${count} samples${fair ? ", fair" : ""}, lower is better`, fair ? -Infinity : 0);
}

function ofNormal(where: string, error: number, deviation: number, row: number): number {
  if (!(deviation >= 0)) throw rangeError(where, "deviations", "at least 0", `${deviation} in row ${row}`);
  if (deviation === 0) return Math.abs(error);
  const z = error / deviation;
  // 2 Phi(z) - 1 = erf(z / sqrt 2).
  return deviation * (z * erf(z * Math.SQRT1_2) + Math.sqrt(2 / Math.PI) * exp((-z * z) / 2) - 1 / Math.sqrt(Math.PI));
}

function ofSamples(where: string, samples: Float32Array, y: number, fair: boolean, row: number): number {
  const m = samples.length;
  let distance = 0, pairs = 0;
  for (let i = 0; i < m; i++) {
    if (samples[i] - samples[i] !== 0) throw rangeError(where, "samples", "of finite numbers", `${samples[i]} in row ${row}, column ${i}`);
    distance += Math.abs(samples[i] - y);
  }
  // In order, x_i is above i of the others and below m - 1 - i.
  const order = sortOrder(samples);
  for (let i = 0; i < m; i++) pairs += (2 * i - (m - 1)) * samples[order[i]];
  return distance / m - pairs / (fair ? m * (m - 1) : m * m);
}

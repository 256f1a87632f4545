import { Tensor, checkInteger, randomSource, rangeError, readJson, runSteps, runStepsAsync, tensorToJSON, type LongWorkOptions, type Steps, type TensorJSON, type TensorLike } from "@logits/tensor";
import { BinaryMap, checkedBinary, firstAtLeast, knotsOf, type BinaryPairs } from "./binaryCalibrator.ts";
import { groupedSteps, type GroupedScores } from "./groupedScores.ts";
import { PlattScaling } from "./plattScaling.ts";

/** Options of `HistogramBinning`. */
export interface HistogramBinningOptions {
  /** Bins at most, integer >= 1; default 10. */
  readonly bins?: number;
}

/** Options of `ScalingBinning`. */
export interface ScalingBinningOptions extends HistogramBinningOptions {
  /** Chooses the three parts of the rows; default 0. */
  readonly seed?: number;
}

/** What the binning calibrators write as JSON. */
export interface BinningJSON {
  readonly format: "logits/histogram-binning" | "logits/scaling-binning";
  readonly version: 1;
  readonly n: number;
  readonly edges: TensorJSON;
  readonly values: TensorJSON;
}

/** A step function of the score. */
abstract class StepMap extends BinaryMap {
  /** Upper edges of all bins but the last, float32 [bins - 1], strictly increasing. A bin is (lower edge, upper edge]. */
  readonly edges: Tensor<"float32">;
  /** Probability of each bin, float32 [bins]. */
  readonly values: Tensor<"float32">;

  protected constructor(n: number, edges: Tensor<"float32">, values: Tensor<"float32">) {
    super(n);
    this.edges = edges;
    this.values = values;
  }

  at(score: number): number {
    return score !== score ? NaN : this.values.data[firstAtLeast(this.edges.data, score)];
  }

  protected json(format: BinningJSON["format"]): BinningJSON {
    return { format, version: 1, n: this.n, edges: tensorToJSON(this.edges), values: tensorToJSON(this.values) };
  }
}

/** Upper edges of bins of equal mass: bin b ends at the first distinct score with at least (b + 1) n / B rows up to it, so that equal scores share a bin; the last has no edge. */
function equalMass({ x, count }: GroupedScores, n: number, bins: number): number[] {
  const edges: number[] = [];
  for (let i = 0, seen = 0, b = 1; i < x.length - 1 && b < bins; i++) {
    seen += count[i];
    if (seen * bins < b * n) continue;
    edges.push(x[i]);
    while (b < bins && seen * bins >= b * n) b++;
  }
  return edges;
}

const vector = (values: readonly number[]): Tensor<"float32"> => new Tensor("float32", [values.length], Float32Array.from(values));

/**
 * The share of yes in bins of the score, each with the same number of rows.
 *
 * Bins are (lower, upper], equal scores share a bin (so there can be fewer bins), the first and the last are open. Shares can be 0 and 1 and need not rise from bin to bin.
 *
 * Source: Zadrozny and Elkan, "Obtaining calibrated probability estimates from decision trees and naive Bayesian classifiers", ICML 2001.
 */
export class HistogramBinning extends StepMap {
  private constructor(n: number, edges: Tensor<"float32">, values: Tensor<"float32">) {
    super(n, edges, values);
    Object.freeze(this);
  }

  protected get name(): string {
    return "HistogramBinning";
  }

  /**
   * Fits edges and shares on rows that no later step uses.
   *
   * @param scores - float32 [N], N at least 1, finite; any score
   * @param labels - mask [N]: 1 or true = yes
   * @param options - `bins` (default 10)
   * @throws RangeError for no rows, another shape, a score that is not finite (the row is named), an option out of range
   * @example
   *   HistogramBinning.fit([1, 2, 3, 4], [0, 1, 1, 1], { bins: 2 }).probabilities([2, 2.5]); // 0.5, 1
   */
  static fit(scores: TensorLike, labels: TensorLike, options: HistogramBinningOptions = {}): HistogramBinning {
    return runSteps(HistogramBinning.fitSteps("HistogramBinning.fit", scores, labels, options));
  }

  /** `fit` with pauses at least every 16 ms: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(scores: TensorLike, labels: TensorLike, options: HistogramBinningOptions & LongWorkOptions = {}): Promise<HistogramBinning> {
    return runStepsAsync(HistogramBinning.fitSteps("HistogramBinning.fitAsync", scores, labels, options), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, scores: TensorLike, labels: TensorLike, options: HistogramBinningOptions = {}): Steps<HistogramBinning> {
    const { bins = 10 } = options;
    checkInteger(where, "bins", bins, 1, 1000000);
    const pairs = checkedBinary(where, scores, labels), grouped = yield* groupedSteps(pairs), edges = equalMass(grouped, pairs.n, bins);
    const rows = new Float64Array(edges.length + 1), ones = new Float64Array(edges.length + 1);
    for (let i = 0, b = 0; i < grouped.x.length; i++) {
      if (b < edges.length && grouped.x[i] > edges[b]) b++;
      rows[b] += grouped.count[i];
      ones[b] += grouped.ones[i];
    }
    return HistogramBinning.fromCounts(edges, rows, ones);
  }

  /** The shares of bins with these upper edges (all but the last), rows and rows with yes, for `HistogramBinningAccumulator`; a bin without a row joins the next one, the last the one before. */
  static fromCounts(edges: ArrayLike<number>, rows: Float64Array, ones: Float64Array): HistogramBinning {
    const upper: number[] = [], shares: number[] = [];
    for (let b = 0; b < rows.length; b++) {
      if (rows[b] === 0) continue;
      shares.push(ones[b] / rows[b]);
      upper.push(edges[b]);
    }
    return new HistogramBinning(rows.reduce((sum, count) => sum + count, 0), vector(upper.slice(0, -1)), vector(shares));
  }

  toJSON(): BinningJSON {
    return this.json("logits/histogram-binning");
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): HistogramBinning {
    const fields = readJson("HistogramBinning.fromJSON", json, "logits/histogram-binning", 1, "@logits/calibration");
    return new HistogramBinning(fields.integer("n", 1, Number.MAX_SAFE_INTEGER), ...knotsOf(fields, "edges", "values", 1, false));
  }
}

/**
 * Platt scaling, then bins of equal mass, each with the mean of the scaled probabilities in it: a step function whose calibration error can be measured, and which needs fewer rows
 * than the share of yes in each bin would.
 *
 * The rows are split into three parts: one fits Platt scaling, one the edges, one the means; a bin without a row of the third part takes those of the second.
 *
 * Source: Kumar, Liang, Ma, "Verified uncertainty calibration", NeurIPS 2019, section 4.
 */
export class ScalingBinning extends StepMap {
  private constructor(n: number, edges: Tensor<"float32">, values: Tensor<"float32">) {
    super(n, edges, values);
    Object.freeze(this);
  }

  protected get name(): string {
    return "ScalingBinning";
  }

  /**
   * Fits scaling, edges and means on rows that no later step uses.
   *
   * @param scores - float32 [N], N at least 3, finite; any score where more means yes
   * @param labels - mask [N]: 1 or true = yes
   * @param options - `bins` (default 10), `seed` of the split (default 0)
   * @throws RangeError for fewer than 3 rows, another shape, a score that is not finite (the row is named), an option out of range
   * @example
   *   ScalingBinning.fit([-2, -1, 0, 0, 1, 2], [0, 0, 1, 0, 1, 1], { bins: 2 }).values.size; // 2
   */
  static fit(scores: TensorLike, labels: TensorLike, options: ScalingBinningOptions = {}): ScalingBinning {
    return runSteps(ScalingBinning.fitSteps("ScalingBinning.fit", scores, labels, options));
  }

  /** `fit` with pauses at least every 16 ms: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(scores: TensorLike, labels: TensorLike, options: ScalingBinningOptions & LongWorkOptions = {}): Promise<ScalingBinning> {
    return runStepsAsync(ScalingBinning.fitSteps("ScalingBinning.fitAsync", scores, labels, options), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, scores: TensorLike, labels: TensorLike, options: ScalingBinningOptions = {}): Steps<ScalingBinning> {
    const { bins = 10, seed = 0 } = options;
    checkInteger(where, "bins", bins, 1, 1000000);
    const { s, t, n } = checkedBinary(where, scores, labels);
    if (n < 3) throw rangeError(where, "scores", "with at least 3 rows, one for each part", `${n}`);
    const order = randomSource(seed).permutation(n), third = Math.floor(n / 3);
    const part = (first: number, end: number): BinaryPairs => {
      const rows = order.subarray(first, end), own = Float32Array.from(rows, (row) => s[row]), answers = Uint8Array.from(rows, (row) => t[row]);
      return { s: own, t: answers, n: own.length, positives: answers.reduce((sum, x) => sum + x, 0) };
    };
    const scaling = part(0, n - 2 * third), edging = part(n - 2 * third, n - third), averaging = part(n - third, n);
    const platt = yield* PlattScaling.fitSteps(where, scaling.s, scaling.t);
    // Where the scaling is constant, all scores have one value.
    const edges = platt.atBound ? [] : equalMass(yield* groupedSteps(edging), edging.n, bins);
    const means = [averaging, edging].map(({ s: own }) => {
      const sums = new Float64Array(edges.length + 1), counts = new Int32Array(edges.length + 1);
      for (const score of own) {
        const b = firstAtLeast(edges, score);
        counts[b]++;
        sums[b] += (platt.at(score) - sums[b]) / counts[b];
      }
      return Array.from(sums, (mean, b) => (counts[b] > 0 ? mean : undefined));
    });
    return new ScalingBinning(n, vector(edges), vector(means[0].map((mean, b) => mean ?? means[1][b]!)));
  }

  toJSON(): BinningJSON {
    return this.json("logits/scaling-binning");
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): ScalingBinning {
    const fields = readJson("ScalingBinning.fromJSON", json, "logits/scaling-binning", 1, "@logits/calibration");
    return new ScalingBinning(fields.integer("n", 1, Number.MAX_SAFE_INTEGER), ...knotsOf(fields, "edges", "values", 1, false));
  }
}

import { choleskySteps, matmul, nearestNeighbors, solveTriangularSteps } from "@logits/core-wasm";
import { Tensor, rangeError, readJson, partOf, runSteps, runStepsAsync, tensorToJSON, type LongWorkOptions, type Steps, type TensorJSON, type TensorLike } from "@logits/tensor";
import type { Detector, DetectorNeeds, DetectorRows } from "./detector.ts";
import { featuresOf, settle } from "./featureRows.ts";
import type { FeatureStatistics } from "./featureStatistics.ts";
import type { Fingerprints } from "./fingerprints.ts";
import { checkStatistics, statisticsSteps } from "./fitStatistics.ts";
import { KeptMatrix } from "./keptMatrix.ts";
import { spreads, unscaled } from "./spreads.ts";

const FORMAT = "logits/mahalanobis-detector";

/** A feature that keeps less than this share of its variance, given the features before it, counts as a combination of them. */
const LEAST_SHARE = 1e-6;
/** Rows that are whitened together. */
const ROWS = 2048;

/** Options of `MahalanobisDetector.from`. */
export interface MahalanobisOptions {
  /** lambda in [0, 1]: the covariance becomes (1 - lambda) S + lambda diag(S). Default: 0 where the covariance is invertible; the class says what otherwise. */
  readonly shrinkage?: number;
}

/** Options of `MahalanobisDetector.fit`. */
export interface MahalanobisFitOptions extends MahalanobisOptions {
  /** C. Default: one more than the largest label. */
  readonly classes?: number;
}

/** What `MahalanobisDetector` writes as JSON. */
export interface MahalanobisDetectorJSON {
  readonly format: "logits/mahalanobis-detector";
  readonly version: 1;
  readonly classes: number;
  readonly features: number;
  /** Rows of the fit. */
  readonly n: number;
  readonly shrinkage: number;
  readonly deadFeatures: number;
  /** int32 [K], ascending: the classes that had rows. */
  readonly supportedClasses: TensorJSON;
  /** float32 [F]: subtracted from a row. */
  readonly mean: TensorJSON;
  /** float32 [F (F + 1) / 2]: the lower triangle of W, row by row. */
  readonly whitening: TensorJSON;
  /** float32 [K, F]: W (class mean - mean). */
  readonly means: TensorJSON;
}

interface Fields {
  readonly classes: number;
  readonly features: number;
  readonly n: number;
  readonly shrinkage: number;
  readonly deadFeatures: number;
  readonly supportedClasses: Int32Array;
  readonly mean: Float32Array;
  /** [F, F]: W', an upper triangle. One row times its rows is the fastest order for a single row. */
  readonly whitening: Float32Array;
  readonly means: Float32Array;
  readonly fingerprints?: Fingerprints;
}

/**
 * How far a row's features are from the nearest class mean, in the metric of the covariance that all classes share. Higher = more out-of-distribution.
 *
 *   score(f) = min_c (f - mean_c)' inv(S) (f - mean_c),    S = (1 / N) sum_n (f_n - mean_{y_n}) (f_n - mean_{y_n})'
 *            = min_c |W (f - m) - W (mean_c - m)|^2,       W' W = inv(S), m the mean of all rows
 *
 * The squared distance, so that features that are Gaussian given their class score as chi-square numbers with F degrees of freedom. Invariant to any invertible affine map of
 * the features, as long as S is invertible. A class without rows is left out (`supportedClasses` says which remain). One class (all labels 0) is the score of a single Gaussian.
 *
 * **Where S is not invertible** (fewer rows than features, a feature that repeats others, a feature that never varied) nothing is ignored: what never happened in the fit scores high.
 * A feature that never varied within a class gets a millionth of the median variance of the others: a thousandth of a typical standard deviation away from its constant adds 1 to the score.
 * With fewer rows than features and classes together S becomes (1 - lambda) S + lambda diag(S), lambda the oracle-approximating shrinkage of the correlation matrix R (F features, n = N - K):
 * min(1, ((1 - 2 / F) tr(R^2) + F^2) / ((n + 1 - 2 / F) (tr(R^2) - F))). Where there are rows enough, but a feature keeps less than a millionth of its variance given those before it,
 * lambda is the least of 1e-6, 1e-5, ... for which all of them keep lambda / 2. `shrinkage` and `deadFeatures` say what was done.
 *
 * Source: Lee, Lee, Lee, Shin, "A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks", NeurIPS 2018, equations 1 and 2 (the score is the
 * negative of theirs). Shrinkage: Chen, Wiesel, Eldar, Hero, "Shrinkage Algorithms for MMSE Covariance Estimation", IEEE Transactions on Signal Processing 58 (2010), equation 23.
 */
export class MahalanobisDetector implements Detector {
  /** The format that `toJSON` writes: by it a reader finds the class. */
  static readonly format: string = FORMAT;
  readonly method = "mahalanobis";
  readonly needs: readonly DetectorNeeds[] = ["features"];
  /** C. */
  readonly classes: number;
  /** F. */
  readonly features: number;
  /** Rows of the fit. */
  readonly n: number;
  /** lambda of (1 - lambda) S + lambda diag(S); 0 = S as it is. */
  readonly shrinkage: number;
  /** Features that never varied within a class. */
  readonly deadFeatures: number;
  /** The classes that had rows, ascending; the others are not in the minimum. */
  readonly supportedClasses: readonly number[];
  /** Recognises the rows of the fit; undefined when read from JSON. */
  readonly fingerprints: Fingerprints | undefined;
  readonly #mean: Float32Array;
  readonly #whitening: KeptMatrix;
  readonly #means: KeptMatrix;

  private constructor(fields: Fields) {
    this.classes = fields.classes;
    this.features = fields.features;
    this.n = fields.n;
    this.shrinkage = fields.shrinkage;
    this.deadFeatures = fields.deadFeatures;
    this.supportedClasses = Object.freeze(Array.from(fields.supportedClasses));
    this.fingerprints = fields.fingerprints;
    this.#mean = fields.mean;
    this.#whitening = new KeptMatrix(fields.whitening, [fields.features, fields.features]);
    this.#means = new KeptMatrix(fields.means, [fields.supportedClasses.length, fields.features]);
    Object.freeze(this);
  }

  /**
   * Class means and shared covariance of labelled rows.
   *
   * @param features - float32 [N, F], finite, N >= 1
   * @param labels - int32 [N], in [0, C). All 0 for one class
   * @param options - `classes` (the largest label + 1), `shrinkage` (see the class)
   * @throws RangeError for other shapes, a label outside [0, C), a row with NaN or an infinity (named), features of which none varies within a class, a `shrinkage` that does not do
   * @example
   *   const detector = MahalanobisDetector.fit([[0, 0], [2, 0], [0, 2], [2, 2]], [0, 0, 0, 0]);
   *   detector.score({ features: [[1, 1], [4, 1]] }); // 0, 9
   */
  static fit(features: TensorLike, labels: TensorLike, options: MahalanobisFitOptions = {}): MahalanobisDetector {
    return runSteps(MahalanobisDetector.fitSteps("MahalanobisDetector.fit", features, labels, options));
  }

  /** `fit` with pauses: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(features: TensorLike, labels: TensorLike, options: MahalanobisFitOptions & LongWorkOptions = {}): Promise<MahalanobisDetector> {
    return runStepsAsync(MahalanobisDetector.fitSteps("MahalanobisDetector.fitAsync", features, labels, options), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, features: TensorLike, labels: TensorLike, options: MahalanobisFitOptions): Steps<MahalanobisDetector> {
    const statistics = yield* partOf(statisticsSteps(where, features, labels, options.classes), 0, 0.7);
    return yield* partOf(MahalanobisDetector.fromSteps(where, statistics, options), 0.7, 0.3);
  }

  /**
   * From statistics, which may come from many batches or machines.
   *
   * @throws RangeError for statistics without rows, features of which none varies within a class, a `shrinkage` that does not do
   */
  static from(statistics: FeatureStatistics, options: MahalanobisOptions = {}): MahalanobisDetector {
    return runSteps(MahalanobisDetector.fromSteps("MahalanobisDetector.from", statistics, options));
  }

  /** The pieces of `from`; `where` names the caller in errors. */
  static *fromSteps(where: string, statistics: FeatureStatistics, options: MahalanobisOptions): Steps<MahalanobisDetector> {
    checkStatistics(where, statistics);
    const { shrinkage } = options;
    if (shrinkage !== undefined && !(shrinkage >= 0 && shrinkage <= 1)) throw rangeError(where, "shrinkage", "in [0, 1]", `${shrinkage}`);
    const { classes, features, count, counts, means, scatter, fingerprints } = statistics.finish();
    yield 0.1;
    const supportedClasses = Int32Array.from({ length: classes }, (_, c) => c).filter((c) => counts[c] > 0);
    const mean = new Float32Array(features), size = new Float64Array(features);
    for (let j = 0; j < features; j++) {
      let sum = 0;
      for (const c of supportedClasses) {
        sum += counts[c] * means[c * features + j];
        size[j] += (counts[c] / count) * means[c * features + j] ** 2;
      }
      mean[j] = sum / count;
    }
    const { scales, dead } = spreads(where, scatter, features + 1, size, count);
    // The correlation matrix: what counts as dependent must not change with the units of a feature.
    const correlation = scatter;
    for (let i = 0; i < features; i++) {
      for (let j = 0; j < i; j++) correlation[i * features + j] *= dead[i] || dead[j] ? 0 : 1 / (count * scales[i] * scales[j]);
      correlation[i * features + i] = 1;
    }
    const freedom = count - supportedClasses.length;
    const factored = yield* factor(where, correlation, features, shrinkage ?? (freedom < features ? oracleShrinkage(correlation, features, freedom) : undefined));
    const inverse = new Float64Array(features * features);
    for (let i = 0; i < features; i++) inverse[i * features + i] = 1;
    yield* partOf(solveTriangularSteps(factored.factor, inverse), 0.5, 0.45);
    const centred = new Float64Array(supportedClasses.length * features);
    supportedClasses.forEach((c, k) => {
      for (let j = 0; j < features; j++) centred[k * features + j] = (means[c * features + j] - mean[j]) / scales[j];
    });
    yield* partOf(solveTriangularSteps(factored.factor, centred), 0.95, 0.05);
    const whitening = new Float32Array(features * features);
    // inv(L') is upper triangular, W' the same with its rows divided by the scales.
    for (let j = 0; j < features; j++) for (let at = j * features + j; at < (j + 1) * features; at++) whitening[at] = inverse[at] / scales[j];
    yield 1;
    const whitenedMeans = Float32Array.from(centred);
    if (![whitening, whitenedMeans].every((numbers) => numbers.every((value) => value - value === 0))) throw unscaled(where, scales);
    const deadFeatures = dead.reduce((sum, value) => sum + value, 0);
    return new MahalanobisDetector({ classes, features, n: count, shrinkage: factored.shrinkage, deadFeatures, supportedClasses, mean, whitening, means: whitenedMeans, fingerprints });
  }

  /**
   * One score per row; the same bits alone and in any batch.
   *
   * @param rows - `features` float32 [..., F]
   * @returns float32 [...], squared distances >= 0. A row with NaN: NaN. With an infinity, or too far for float32: Infinity
   * @throws RangeError without `features`, or for another width
   */
  score(rows: DetectorRows): Tensor<"float32"> {
    const { features } = this, mean = this.#mean;
    const { x, count } = featuresOf("MahalanobisDetector.score", rows, features);
    const { data } = x;
    const scores = new Float32Array(count);
    const centred = new Float32Array(Math.min(count, ROWS) * features);
    for (let first = 0; first < count; first += ROWS) {
      const some = Math.min(ROWS, count - first);
      for (let n = 0, at = 0, from = first * features; n < some; n++) for (let j = 0; j < features; j++, at++, from++) centred[at] = data[from] - mean[j];
      const whitened = matmul({ data: centred.subarray(0, some * features), shape: [some, features] }, this.#whitening.tensor);
      const part = scores.subarray(first, first + some);
      part.set(nearestNeighbors(whitened, this.#means.tensor, 1).distances.data);
      settle(part, x.data, features, first);
    }
    return new Tensor("float32", x.shape.slice(0, -1), scores);
  }

  /**
   * What the score is made of, for other backends: mean float32 [F] (m), whitening float32 [F, F] (W, a lower triangle), means float32 [K, F] (W (mean_c - m) of the supported classes). Copies.
   *
   * @example
   *   const state = detector.parameters();
   *   mahalanobis(gpu.tensor(rows), { mean: gpu.tensor(state.mean), whitening: gpu.tensor(state.whitening), means: gpu.tensor(state.means) }); // of @logits/webgpu
   */
  parameters(): { readonly mean: Tensor<"float32">; readonly whitening: Tensor<"float32">; readonly means: Tensor<"float32"> } {
    const { features } = this, upper = this.#whitening.data, whitening = new Float32Array(features * features);
    for (let i = 0; i < features; i++) for (let j = 0; j <= i; j++) whitening[i * features + j] = upper[j * features + i];
    return { mean: new Tensor("float32", [features], this.#mean.slice()), whitening: new Tensor("float32", [features, features], whitening), means: new Tensor("float32", [...this.#means.shape], this.#means.data.slice()) };
  }

  /** Gives back the WebAssembly memory at once; without it that happens when the object is collected. The detector is of no use afterwards. */
  dispose(): void {
    this.#whitening.dispose();
    this.#means.dispose();
  }

  toJSON(): MahalanobisDetectorJSON {
    const { classes, features, n, shrinkage, deadFeatures } = this;
    const upper = this.#whitening.data, lower = new Float32Array((features * (features + 1)) / 2);
    for (let i = 0, p = 0; i < features; i++) for (let j = 0; j <= i; j++, p++) lower[p] = upper[j * features + i];
    return {
      format: FORMAT, version: 1, classes, features, n, shrinkage, deadFeatures,
      supportedClasses: tensorToJSON(new Tensor("int32", [this.supportedClasses.length], Int32Array.from(this.supportedClasses))),
      mean: tensorToJSON(new Tensor("float32", [features], this.#mean)),
      whitening: tensorToJSON(new Tensor("float32", [lower.length], lower)),
      means: tensorToJSON(new Tensor("float32", [...this.#means.shape], this.#means.data)),
    };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): MahalanobisDetector {
    const fields = readJson("MahalanobisDetector.fromJSON", json, FORMAT, 1, "@logits/ood");
    const classes = fields.integer("classes", 1, 4194304), features = fields.integer("features", 1, 32768), n = fields.integer("n", 1, Number.MAX_SAFE_INTEGER);
    const shrinkage = fields.number("shrinkage", 0, 1), deadFeatures = fields.integer("deadFeatures", 0, features - 1);
    const supportedClasses = fields.tensor("supportedClasses", "int32", 1).data.slice();
    if (supportedClasses.length === 0) fields.fail("supportedClasses", "at least one class", "none");
    supportedClasses.forEach((c, i) => {
      if (!(c > (i === 0 ? -1 : supportedClasses[i - 1]) && c < classes)) fields.fail("supportedClasses", `ascending in [0, ${classes})`, `${c} at index ${i}`);
    });
    const vector = (field: string, length: number): Float32Array => {
      const { data } = fields.tensor(field, "float32", 1);
      return data.length === length ? data.slice() : fields.fail(field, `${length} numbers`, `${data.length}`);
    };
    const mean = vector("mean", features), lower = vector("whitening", (features * (features + 1)) / 2);
    const means = fields.tensor("means", "float32", 2);
    if (means.shape[0] !== supportedClasses.length || means.shape[1] !== features) fields.fail("means", `of shape [${supportedClasses.length}, ${features}]`, `[${means.shape.join(", ")}]`);
    const whitening = new Float32Array(features * features);
    for (let i = 0, p = 0; i < features; i++) {
      for (let j = 0; j <= i; j++, p++) whitening[j * features + i] = lower[p];
      if (!(lower[p - 1] > 0)) fields.fail("whitening", "a positive diagonal", `${lower[p - 1]} at index ${i}`);
    }
    return new MahalanobisDetector({ classes, features, n, shrinkage, deadFeatures, supportedClasses, mean, whitening, means: means.data.slice() });
  }
}

/** Oracle-approximating shrinkage of a correlation matrix (its lower triangle) of n degrees of freedom towards the unit matrix. */
function oracleShrinkage(correlation: Float64Array, features: number, n: number): number {
  let squares = features;
  for (let i = 0; i < features; i++) for (let j = 0; j < i; j++) squares += 2 * correlation[i * features + j] ** 2;
  return Math.min(1, ((1 - 2 / features) * squares + features ** 2) / ((n + 1 - 2 / features) * (squares - features)));
}

/** Cholesky factor of (1 - lambda) R + lambda I, with the lambda that was asked for or the least that does. */
function* factor(where: string, correlation: Float64Array, n: number, asked: number | undefined): Steps<{ factor: Float64Array; shrinkage: number }> {
  let failed = -1;
  for (const shrinkage of asked === undefined ? [0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1] : [asked]) {
    const matrix = correlation.slice();
    for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) matrix[i * n + j] *= 1 - shrinkage;
    failed = yield* partOf(choleskySteps(matrix, { leastPivot: asked === 0 || shrinkage === 0 ? LEAST_SHARE : shrinkage / 2 }), 0.1, 0.4);
    if (failed < 0) return { factor: matrix, shrinkage };
  }
  throw rangeError(where, "shrinkage", "that makes the covariance invertible", `${asked}: feature ${failed} is a combination of the features before it`, "Leave it out to have the least that does");
}


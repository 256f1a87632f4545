import { Tensor, partOf, rangeError, readJson, runSteps, runStepsAsync, type LongWorkOptions, type Steps, type TensorLike } from "@logits/tensor";
import type { Detector, DetectorNeeds, DetectorRows } from "./detector.ts";
import { featuresOf } from "./featureRows.ts";
import type { FeatureStatistics } from "./featureStatistics.ts";
import type { Fingerprints } from "./fingerprints.ts";
import { checkStatistics, statisticsSteps } from "./fitStatistics.ts";
import { pairsOf } from "./logitRows.ts";
import { PrincipalSubspace, type SubspaceJSON } from "./principalSubspace.ts";
import { spreads } from "./spreads.ts";
import { checkDimension } from "./subspaceOptions.ts";

const FORMAT = "logits/neco-detector";

/** Options of `NecoDetector`. */
export interface NecoOptions {
  /** C, of the logits that are scored. Default: one more than the largest label. */
  readonly classes?: number;
  /** D, in [1, F). Default: C - 1, the directions that the class means span where classes have collapsed, at most F - 1. */
  readonly dimension?: number;
  /** Multiply by the largest logit. Default true; the authors leave it out for ResNet. */
  readonly maxLogit?: boolean;
}

/** What `NecoDetector` writes as JSON. */
export interface NecoDetectorJSON extends SubspaceJSON {
  readonly format: "logits/neco-detector";
  readonly version: 1;
  /** C. */
  readonly classes: number;
  /** Rows of the fit. */
  readonly n: number;
  readonly maxLogit: boolean;
}

/**
 * How small a share of a row's standardised features lies in the directions in which the rows of the fit vary most: where classes have collapsed to their means, known rows lie in the span of the means.
 * Higher = more out-of-distribution.
 *
 *   score(f, z) = -|P' g| / |g| max_c z_c,    g_j = (f_j - mean_j) / deviation_j,    P the eigenvectors of the D largest eigenvalues of the correlation matrix of all rows
 *
 * Without `maxLogit` the score is -|P' g| / |g|, in [-1, 0]. A feature that never varied gets a thousandth of the median deviation of the others, so that a row in which it does leaves the span.
 *
 * Source: Ben Ammar, Belkhir, Popescu, Manzanera, Franchi, "NECO: NEural Collapse Based Out-of-distribution detection", ICLR 2024, equation 6; the standardisation and the largest logit from their code.
 */
export class NecoDetector implements Detector {
  /** The format that `toJSON` writes: by it a reader finds the class. */
  static readonly format: string = FORMAT;
  readonly method = "neco";
  readonly needs: readonly DetectorNeeds[];
  /** C. */
  readonly classes: number;
  /** Rows of the fit. */
  readonly n: number;
  /** Whether the share is multiplied by the largest logit. */
  readonly maxLogit: boolean;
  /** Recognises the rows of the fit; undefined when read from JSON. */
  readonly fingerprints: Fingerprints | undefined;
  readonly #subspace: PrincipalSubspace;

  private constructor(subspace: PrincipalSubspace, classes: number, n: number, maxLogit: boolean, fingerprints: Fingerprints | undefined) {
    this.#subspace = subspace;
    this.needs = maxLogit ? ["features", "logits"] : ["features"];
    this.classes = classes;
    this.n = n;
    this.maxLogit = maxLogit;
    this.fingerprints = fingerprints;
    Object.freeze(this);
  }

  /** F. */
  get features(): number {
    return this.#subspace.features;
  }

  /** D. */
  get dimension(): number {
    return this.#subspace.dimension;
  }

  /**
   * The principal subspace of standardised rows.
   *
   * @param features - float32 [N, F], finite, N >= 1, F >= 2
   * @param labels - int32 [N], in [0, C): only to count the classes
   * @param options - `classes`, `dimension`, `maxLogit` (true)
   * @throws RangeError for other shapes, a label outside [0, C), a row with NaN or an infinity (named), a `dimension` outside [1, F), features of which none varies
   * @example
   *   NecoDetector.fit([[-2, -2], [2, 2], [0, 1], [0, -1]], [0, 1, 0, 1], { maxLogit: false }).score({ features: [[5, 5], [5, -5]] }); // near -1, near 0
   */
  static fit(features: TensorLike, labels: TensorLike, options: NecoOptions = {}): NecoDetector {
    return runSteps(NecoDetector.fitSteps("NecoDetector.fit", features, labels, options));
  }

  /** `fit` with pauses: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(features: TensorLike, labels: TensorLike, options: NecoOptions & LongWorkOptions = {}): Promise<NecoDetector> {
    return runStepsAsync(NecoDetector.fitSteps("NecoDetector.fitAsync", features, labels, options), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, features: TensorLike, labels: TensorLike, options: NecoOptions): Steps<NecoDetector> {
    const statistics = yield* partOf(statisticsSteps(where, features, labels, options.classes), 0, 0.5);
    return yield* partOf(NecoDetector.fromSteps(where, statistics, options), 0.5, 0.5);
  }

  /**
   * From statistics, which may come from many batches or machines.
   *
   * @throws RangeError for statistics without rows, a `dimension` outside [1, F), features of which none varies
   */
  static from(statistics: FeatureStatistics, options: Omit<NecoOptions, "classes"> = {}): NecoDetector {
    return runSteps(NecoDetector.fromSteps("NecoDetector.from", statistics, options));
  }

  /** The pieces of `from`; `where` names the caller in errors. */
  static *fromSteps(where: string, statistics: FeatureStatistics, options: NecoOptions): Steps<NecoDetector> {
    checkStatistics(where, statistics);
    const { classes } = statistics, { maxLogit = true } = options;
    const { features, count, means, scatter, fingerprints } = statistics.pooled().finish();
    if (features === 1) throw rangeError(where, "features", "of shape [N, F], F >= 2", "F = 1", "One direction has no others beside it");
    const dimension = checkDimension(where, options.dimension ?? Math.max(1, Math.min(classes, features) - 1), features, 1);
    yield 0.1;
    const { scales } = spreads(where, scatter, features + 1, means.map((mean) => mean ** 2), count);
    for (let i = 0; i < features; i++) for (let j = 0; j <= i; j++) scatter[i * features + j] /= scales[i] * scales[j];
    const subspace = yield* partOf(PrincipalSubspace.fromMoments(scatter, Float32Array.from(means), Float32Array.from(scales, (scale) => 1 / scale), dimension), 0.1, 0.9);
    return new NecoDetector(subspace, classes, count, maxLogit, fingerprints);
  }

  /**
   * One score per row; the same bits alone and in any batch.
   *
   * @param rows - `features` float32 [..., F], and `logits` float32 [..., C] unless the detector is without `maxLogit`
   * @returns float32 [...]. A row with NaN: NaN. A row at the mean of the fit, or with an infinity among the features, or too far for float32, has the share 0
   * @throws RangeError without what is needed, for another width or number of rows
   */
  score(rows: DetectorRows): Tensor<"float32"> {
    const where = "NecoDetector.score", { features, classes } = this;
    const pairs = this.maxLogit ? pairsOf(where, rows, features, classes) : undefined;
    const { x, count } = pairs ?? featuresOf(where, rows, features), { whole, inside } = this.#subspace.lengths(x, count, "inside");
    const scores = new Float32Array(count), z = pairs?.z.data;
    for (let n = 0; n < count; n++) {
      const from = n * features;
      let share = 0;
      if (whole[n] > 0 && whole[n] < Infinity) share = Math.sqrt(Math.min(1, inside[n] / whole[n]));
      else if (x.data.subarray(from, from + features).some((value) => value !== value)) share = NaN;
      let most = z === undefined ? 1 : -Infinity;
      if (z !== undefined) for (let c = 0; c < classes; c++) most = Math.max(most, z[n * classes + c]);
      scores[n] = 0 - share * most;
    }
    return new Tensor("float32", x.shape.slice(0, -1), scores);
  }

  /** Gives back the WebAssembly memory at once; without it that happens when the object is collected. The detector is of no use afterwards. */
  dispose(): void {
    this.#subspace.dispose();
  }

  toJSON(): NecoDetectorJSON {
    return { format: FORMAT, version: 1, classes: this.classes, n: this.n, maxLogit: this.maxLogit, ...this.#subspace.toJSON() };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): NecoDetector {
    const fields = readJson("NecoDetector.fromJSON", json, FORMAT, 1, "@logits/ood");
    const classes = fields.integer("classes", 1, 4194304), n = fields.integer("n", 1, Number.MAX_SAFE_INTEGER), maxLogit = fields.boolean("maxLogit");
    return new NecoDetector(PrincipalSubspace.fromFields(fields), classes, n, maxLogit, undefined);
  }
}

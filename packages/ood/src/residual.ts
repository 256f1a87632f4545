import { Tensor, partOf, readJson, runSteps, runStepsAsync, type LongWorkOptions, type Steps, type TensorLike } from "@logits/tensor";
import type { Detector, DetectorNeeds, DetectorRows } from "./detector.ts";
import { featuresOf, settle } from "./featureRows.ts";
import type { FeatureStatistics } from "./featureStatistics.ts";
import type { Fingerprints } from "./fingerprints.ts";
import { checkStatistics, statisticsSteps } from "./fitStatistics.ts";
import { PrincipalSubspace, type SubspaceJSON } from "./principalSubspace.ts";
import { checkDimension, originOf, type OriginOptions } from "./subspaceOptions.ts";

const FORMAT = "logits/residual-detector";

/** Options of `ResidualDetector`. */
export interface ResidualOptions extends OriginOptions {
  /** D, in [0, F). Default: 1000 for F >= 2048, 512 for F >= 768, else half of F, rounded down. */
  readonly dimension?: number;
}

/** What `ResidualDetector` writes as JSON. */
export interface ResidualDetectorJSON extends SubspaceJSON {
  readonly format: "logits/residual-detector";
  readonly version: 1;
  /** Rows of the fit. */
  readonly n: number;
}

/**
 * How much of a row's features lies outside the directions in which the rows of the fit vary most. Higher = more out-of-distribution.
 *
 *   score(f) = |g - P P' g|,    g = f - o,    P the eigenvectors of the D largest eigenvalues of (1 / N) sum_n g_n g_n'
 *
 * The origin o is where the head's logits are 0, -pinv(W) b, if the head is given, else the mean of the rows. Without labels and without logits.
 *
 * Source: Wang, Li, Feng, Zhang, "ViM: Out-Of-Distribution with Virtual-logit Matching", CVPR 2022, section 3, where it is the residual score; Ndiour, Ahuja, Tickoo, "Out-Of-Distribution Detection With
 * Subspace Techniques And Probabilistic Modeling Of Features", 2020, for the reconstruction error of principal components.
 */
export class ResidualDetector implements Detector {
  /** The format that `toJSON` writes: by it a reader finds the class. */
  static readonly format: string = FORMAT;
  readonly method = "residual";
  readonly needs: readonly DetectorNeeds[] = ["features"];
  /** Rows of the fit. */
  readonly n: number;
  /** Recognises the rows of the fit; undefined when read from JSON. */
  readonly fingerprints: Fingerprints | undefined;
  readonly #subspace: PrincipalSubspace;

  private constructor(subspace: PrincipalSubspace, n: number, fingerprints: Fingerprints | undefined) {
    this.#subspace = subspace;
    this.n = n;
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
   * The principal subspace of rows.
   *
   * @param features - float32 [N, F], finite, N >= 1
   * @param options - `dimension`, `head` (the last layer: `weights` float32 [F, C], `bias` float32 [C]) or `origin` float32 [F]
   * @throws RangeError for other shapes, a row with NaN or an infinity (named), a `dimension` outside [0, F)
   * @example
   *   ResidualDetector.fit([[-2, 0], [2, 0], [0, 0]], { dimension: 1 }).score({ features: [[9, 0], [9, 3]] }); // 0, 3
   */
  static fit(features: TensorLike, options: ResidualOptions = {}): ResidualDetector {
    return runSteps(ResidualDetector.fitSteps("ResidualDetector.fit", features, options));
  }

  /** `fit` with pauses: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(features: TensorLike, options: ResidualOptions & LongWorkOptions = {}): Promise<ResidualDetector> {
    return runStepsAsync(ResidualDetector.fitSteps("ResidualDetector.fitAsync", features, options), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, features: TensorLike, options: ResidualOptions): Steps<ResidualDetector> {
    const statistics = yield* partOf(statisticsSteps(where, features, undefined, 1), 0, 0.5);
    return yield* partOf(ResidualDetector.fromSteps(where, statistics, options), 0.5, 0.5);
  }

  /**
   * From statistics, which may come from many batches or machines; their classes do not matter.
   *
   * @throws RangeError for statistics without rows, a `dimension` outside [0, F)
   */
  static from(statistics: FeatureStatistics, options: ResidualOptions = {}): ResidualDetector {
    return runSteps(ResidualDetector.fromSteps("ResidualDetector.from", statistics, options));
  }

  /** The pieces of `from`; `where` names the caller in errors. */
  static *fromSteps(where: string, statistics: FeatureStatistics, options: ResidualOptions): Steps<ResidualDetector> {
    checkStatistics(where, statistics);
    const { features, count } = statistics;
    const dimension = checkDimension(where, options.dimension, features, 0);
    const subspace = yield* PrincipalSubspace.fromStatistics(statistics, originOf(where, options, features), dimension);
    return new ResidualDetector(subspace, count, statistics.finish().fingerprints);
  }

  /**
   * One score per row; the same bits alone and in any batch.
   *
   * @param rows - `features` float32 [..., F]
   * @returns float32 [...], lengths >= 0. A row with NaN: NaN. With an infinity, or too far for float32: Infinity
   * @throws RangeError without `features`, or for another width
   */
  score(rows: DetectorRows): Tensor<"float32"> {
    const { x, count } = featuresOf("ResidualDetector.score", rows, this.features);
    const scores = Float32Array.from(this.#subspace.lengths(x, count, "outside").outside, Math.sqrt);
    settle(scores, x.data, this.features, 0);
    return new Tensor("float32", x.shape.slice(0, -1), scores);
  }

  /** Gives back the WebAssembly memory at once; without it that happens when the object is collected. The detector is of no use afterwards. */
  dispose(): void {
    this.#subspace.dispose();
  }

  toJSON(): ResidualDetectorJSON {
    return { format: FORMAT, version: 1, n: this.n, ...this.#subspace.toJSON() };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): ResidualDetector {
    const fields = readJson("ResidualDetector.fromJSON", json, FORMAT, 1, "@logits/ood");
    return new ResidualDetector(PrincipalSubspace.fromFields(fields), fields.integer("n", 1, Number.MAX_SAFE_INTEGER), undefined);
  }
}

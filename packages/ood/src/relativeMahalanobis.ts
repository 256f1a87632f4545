import { Tensor, partOf, readJson, runSteps, runStepsAsync, type LongWorkOptions, type Steps, type TensorLike } from "@logits/tensor";
import type { Detector, DetectorNeeds, DetectorRows } from "./detector.ts";
import type { FeatureStatistics } from "./featureStatistics.ts";
import type { Fingerprints } from "./fingerprints.ts";
import { checkStatistics, statisticsSteps } from "./fitStatistics.ts";
import { MahalanobisDetector, type MahalanobisDetectorJSON, type MahalanobisFitOptions, type MahalanobisOptions } from "./mahalanobis.ts";
import { partFromJSON } from "./partFromJSON.ts";

const FORMAT = "logits/relative-mahalanobis-detector";

/** What `RelativeMahalanobisDetector` writes as JSON. */
export interface RelativeMahalanobisDetectorJSON {
  readonly format: "logits/relative-mahalanobis-detector";
  readonly version: 1;
  readonly classes: MahalanobisDetectorJSON;
  readonly background: MahalanobisDetectorJSON;
}

/**
 * Mahalanobis distance to the nearest class, less that to the Gaussian of all rows: what every row of the data shares does not count. Higher = more out-of-distribution.
 *
 *   score(f) = min_c (f - mean_c)' inv(S) (f - mean_c) - (f - mean)' inv(S0) (f - mean),    S within the classes, S0 of all rows, both divided by N
 *
 * Both parts are `MahalanobisDetector`s and views of one `FeatureStatistics`; a covariance that is not invertible is treated as that class says, each on its own. Negative for most rows of the fit.
 *
 * Source: Ren, Fort, Liu, Roy, Padhy, Lakshminarayanan, "A Simple Fix to Mahalanobis Distance for Improving Near-OOD Detection", 2021, section 3 (the score is theirs; OpenOOD's confidence is its negative).
 */
export class RelativeMahalanobisDetector implements Detector {
  /** The format that `toJSON` writes: by it a reader finds the class. */
  static readonly format: string = FORMAT;
  readonly method = "relativeMahalanobis";
  readonly needs: readonly DetectorNeeds[] = ["features"];
  /** The distance to the nearest class. */
  readonly foreground: MahalanobisDetector;
  /** The distance to the Gaussian of all rows. */
  readonly background: MahalanobisDetector;

  private constructor(foreground: MahalanobisDetector, background: MahalanobisDetector) {
    this.foreground = foreground;
    this.background = background;
    Object.freeze(this);
  }

  /** C. */
  get classes(): number {
    return this.foreground.classes;
  }

  /** F. */
  get features(): number {
    return this.foreground.features;
  }

  /** Rows of the fit. */
  get n(): number {
    return this.foreground.n;
  }

  /** Recognises the rows of the fit; undefined when read from JSON. */
  get fingerprints(): Fingerprints | undefined {
    return this.foreground.fingerprints;
  }

  /**
   * Class means, shared covariance and the Gaussian of all labelled rows.
   *
   * @param features - float32 [N, F], finite, N >= 1
   * @param labels - int32 [N], in [0, C)
   * @param options - `classes` (the largest label + 1), `shrinkage` of both covariances (see `MahalanobisDetector`)
   * @throws RangeError as `MahalanobisDetector.fit`
   * @example
   *   RelativeMahalanobisDetector.fit([[0], [2], [10], [12]], [0, 0, 1, 1]).score({ features: [[1], [6]] }); // -0.9615, 25
   */
  static fit(features: TensorLike, labels: TensorLike, options: MahalanobisFitOptions = {}): RelativeMahalanobisDetector {
    return runSteps(RelativeMahalanobisDetector.fitSteps("RelativeMahalanobisDetector.fit", features, labels, options));
  }

  /** `fit` with pauses: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(features: TensorLike, labels: TensorLike, options: MahalanobisFitOptions & LongWorkOptions = {}): Promise<RelativeMahalanobisDetector> {
    return runStepsAsync(RelativeMahalanobisDetector.fitSteps("RelativeMahalanobisDetector.fitAsync", features, labels, options), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, features: TensorLike, labels: TensorLike, options: MahalanobisFitOptions): Steps<RelativeMahalanobisDetector> {
    const statistics = yield* partOf(statisticsSteps(where, features, labels, options.classes), 0, 0.6);
    return yield* partOf(RelativeMahalanobisDetector.fromSteps(where, statistics, options), 0.6, 0.4);
  }

  /**
   * From statistics, which may come from many batches or machines.
   *
   * @throws RangeError as `MahalanobisDetector.from`
   */
  static from(statistics: FeatureStatistics, options: MahalanobisOptions = {}): RelativeMahalanobisDetector {
    return runSteps(RelativeMahalanobisDetector.fromSteps("RelativeMahalanobisDetector.from", statistics, options));
  }

  /** The pieces of `from`; `where` names the caller in errors. */
  static *fromSteps(where: string, statistics: FeatureStatistics, options: MahalanobisOptions): Steps<RelativeMahalanobisDetector> {
    checkStatistics(where, statistics);
    const foreground = yield* partOf(MahalanobisDetector.fromSteps(where, statistics, options), 0, 0.5);
    return new RelativeMahalanobisDetector(foreground, yield* partOf(MahalanobisDetector.fromSteps(where, statistics.pooled(), options), 0.5, 0.5));
  }

  /**
   * One score per row; the same bits alone and in any batch.
   *
   * @param rows - `features` float32 [..., F]
   * @returns float32 [...], of any sign. A row with NaN: NaN. With an infinity, or too far for float32: Infinity
   * @throws RangeError without `features`, or for another width
   */
  score(rows: DetectorRows): Tensor<"float32"> {
    const near = this.foreground.score(rows), all = this.background.score(rows).data;
    return new Tensor("float32", near.shape, near.data.map((value, i) => (value === Infinity || all[i] === Infinity ? Infinity : value - all[i])));
  }

  /** Gives back the WebAssembly memory at once; without it that happens when the object is collected. The detector is of no use afterwards. */
  dispose(): void {
    this.foreground.dispose();
    this.background.dispose();
  }

  toJSON(): RelativeMahalanobisDetectorJSON {
    return { format: FORMAT, version: 1, classes: this.foreground.toJSON(), background: this.background.toJSON() };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): RelativeMahalanobisDetector {
    const fields = readJson("RelativeMahalanobisDetector.fromJSON", json, FORMAT, 1, "@logits/ood");
    const classes = partFromJSON(fields, "classes", fields.value("classes")), background = partFromJSON(fields, "background", fields.value("background"));
    if (background.features !== classes.features || background.supportedClasses.length !== 1) {
      fields.fail("background", `one class of ${classes.features} features`, `${background.supportedClasses.length} of ${background.features}`);
    }
    return new RelativeMahalanobisDetector(classes, background);
  }
}

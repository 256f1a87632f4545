import { Tensor, asFloat32, asInt32, checkLabels, checkShape, partOf, rangeError, readJson, runSteps, runStepsAsync, type LongWorkOptions, type Steps, type TensorLike } from "@logits/tensor";
import type { Detector, DetectorNeeds, DetectorRows } from "./detector.ts";
import { checkFinite, featuresOf, settle } from "./featureRows.ts";
import { FeatureStatistics } from "./featureStatistics.ts";
import { Fingerprints } from "./fingerprints.ts";
import { MahalanobisDetector, type MahalanobisDetectorJSON, type MahalanobisOptions } from "./mahalanobis.ts";
import { partFromJSON } from "./partFromJSON.ts";
import { unitRows } from "./unitRows.ts";

const FORMAT = "logits/ssd-detector";

/** Options of `SsdDetector.fit`. */
export interface SsdOptions extends MahalanobisOptions {
  /** int32 [N]: which cluster a row belongs to. Default: one cluster. */
  readonly clusters?: TensorLike;
  /** Divide each row by its length, in the fit and in scoring. Default true. */
  readonly normalize?: boolean;
}

/** What `SsdDetector` writes as JSON. */
export interface SsdDetectorJSON {
  readonly format: "logits/ssd-detector";
  readonly version: 1;
  readonly normalize: boolean;
  readonly clusters: readonly MahalanobisDetectorJSON[];
}

/**
 * Distance to the nearest of the Gaussians of unlabelled clusters, each with a covariance of its own, on rows of unit length. For features that were learned without labels. Higher = more out-of-distribution.
 *
 *   score(f) = min_m (z - mean_m)' inv(S_m) (z - mean_m),    z = f / |f|,    S_m = (1 / N_m) sum_{n in m} (z_n - mean_m) (z_n - mean_m)'
 *
 * One cluster is what the paper found best on most data sets and is the default; assignments to more come from any clustering. A cluster whose covariance is not invertible is treated as
 * `MahalanobisDetector` says. Rows of unit length have no length left to be unusual in: a row far out in a usual direction scores as usual (`normalize: false` keeps it).
 *
 * Source: Sehwag, Chiang, Mittal, "SSD: A Unified Framework for Self-Supervised Outlier Detection", ICLR 2021, section 3 (the score; their code divides rows by their lengths and takes a pseudo-inverse).
 */
export class SsdDetector implements Detector {
  /** The format that `toJSON` writes: by it a reader finds the class. */
  static readonly format: string = FORMAT;
  readonly method = "ssd";
  readonly needs: readonly DetectorNeeds[] = ["features"];
  /** F. */
  readonly features: number;
  /** Rows of the fit. */
  readonly n: number;
  /** Whether rows are divided by their lengths. */
  readonly normalize: boolean;
  /** One Gaussian for each cluster that had rows. */
  readonly clusters: readonly MahalanobisDetector[];
  /** Recognises the rows of the fit; undefined when read from JSON. */
  readonly fingerprints: Fingerprints | undefined;

  private constructor(clusters: readonly MahalanobisDetector[], normalize: boolean, fingerprints: Fingerprints | undefined) {
    this.features = clusters[0].features;
    this.n = clusters.reduce((sum, { n }) => sum + n, 0);
    this.normalize = normalize;
    this.clusters = Object.freeze([...clusters]);
    this.fingerprints = fingerprints;
    Object.freeze(this);
  }

  /**
   * A Gaussian for each cluster.
   *
   * @param features - float32 [N, F], finite, N >= 1
   * @param options - `clusters` int32 [N] (all 0), `normalize` (true), `shrinkage` (see `MahalanobisDetector`)
   * @throws RangeError for other shapes, a negative cluster, a row with NaN or an infinity (named), a cluster in which no feature varies
   * @example
   *   SsdDetector.fit([[1], [3]], { normalize: false }).score({ features: [[2], [5]] }); // 0, 9
   */
  static fit(features: TensorLike, options: SsdOptions = {}): SsdDetector {
    return runSteps(SsdDetector.fitSteps("SsdDetector.fit", features, options));
  }

  /** `fit` with pauses: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(features: TensorLike, options: SsdOptions & LongWorkOptions = {}): Promise<SsdDetector> {
    return runStepsAsync(SsdDetector.fitSteps("SsdDetector.fitAsync", features, options), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, features: TensorLike, options: SsdOptions): Steps<SsdDetector> {
    const { normalize = true, clusters } = options;
    const x = asFloat32(where, "features", features);
    checkShape(where, "features", x, ["N", "F"]);
    const [rows, width] = x.shape;
    if (rows === 0 || width === 0) throw rangeError(where, "features", "of shape [N, F], N >= 1 and F >= 1", `[${rows}, ${width}]`);
    checkFinite(where, x.data, width, 0, rows);
    const y = asInt32(where, "clusters", clusters ?? new Int32Array(rows));
    checkShape(where, "clusters", y, [rows]);
    const count = y.data.reduce((most, label) => Math.max(most, label), 0) + 1;
    checkLabels(where, "clusters", y, count);
    const members: number[][] = Array.from({ length: count }, () => []);
    y.data.forEach((cluster, i) => members[cluster].push(i));
    const groups = members.filter((list) => list.length > 0), parts: MahalanobisDetector[] = [];
    for (const [m, list] of groups.entries()) {
      const own = new Float32Array(list.length * width);
      list.forEach((from, to) => own.set(x.data.subarray(from * width, (from + 1) * width), to * width));
      const statistics = new FeatureStatistics({ classes: 1, features: width });
      const start = m / groups.length, share = 1 / groups.length;
      yield* partOf(statistics.updateSteps(where, { features: { data: normalize ? unitRows(own, width) : own, shape: [list.length, width] }, labels: new Int32Array(list.length) }), start, 0.6 * share);
      parts.push(yield* partOf(MahalanobisDetector.fromSteps(where, statistics, options), start + 0.6 * share, 0.4 * share));
    }
    return new SsdDetector(parts, normalize, new Fingerprints().add(x));
  }

  /**
   * One score per row; the same bits alone and in any batch.
   *
   * @param rows - `features` float32 [..., F]
   * @returns float32 [...], distances >= 0. A row with NaN: NaN. With an infinity, or too far for float32: Infinity
   * @throws RangeError without `features`, or for another width
   */
  score(rows: DetectorRows): Tensor<"float32"> {
    const { x, count } = featuresOf("SsdDetector.score", rows, this.features);
    const features = this.normalize ? { data: unitRows(x.data, this.features), shape: x.shape } : x;
    const [first, ...rest] = this.clusters.map((cluster) => cluster.score({ features }));
    for (const { data } of rest) data.forEach((value, i) => (first.data[i] = Math.min(first.data[i], value)));
    if (count > 0) settle(first.data, x.data, this.features, 0);
    return first;
  }

  /** Gives back the WebAssembly memory at once; without it that happens when the object is collected. The detector is of no use afterwards. */
  dispose(): void {
    for (const cluster of this.clusters) cluster.dispose();
  }

  toJSON(): SsdDetectorJSON {
    return { format: FORMAT, version: 1, normalize: this.normalize, clusters: this.clusters.map((cluster) => cluster.toJSON()) };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): SsdDetector {
    const fields = readJson("SsdDetector.fromJSON", json, FORMAT, 1, "@logits/ood");
    const list = fields.value("clusters");
    if (!Array.isArray(list) || list.length === 0) return fields.fail("clusters", "a list of at least one detector", JSON.stringify(list));
    const clusters = list.map((item) => partFromJSON(fields, "clusters", item));
    const odd = clusters.findIndex(({ features, supportedClasses }) => features !== clusters[0].features || supportedClasses.length !== 1);
    if (odd >= 0) fields.fail("clusters", `one class of ${clusters[0].features} features each`, `${clusters[odd].supportedClasses.length} of ${clusters[odd].features} at index ${odd}`);
    return new SsdDetector(clusters, fields.boolean("normalize"), undefined);
  }
}

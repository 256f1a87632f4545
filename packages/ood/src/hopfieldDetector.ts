import { Tensor, asFloat32, asInt32, checkLabels, checkShape, rangeError, readJson, runSteps, runStepsAsync, tensorToJSON, type LongWorkOptions, type Steps, type TensorJSON, type TensorLike } from "@logits/tensor";
import type { Detector, DetectorNeeds, DetectorRows } from "./detector.ts";
import { checkFinite } from "./featureRows.ts";
import { Fingerprints } from "./fingerprints.ts";
import { checkSameRows, fitLogits, pairsOf, predicted, settleRow } from "./logitRows.ts";

const FORMAT = "logits/hopfield-detector";
const METRICS = ["inner", "euclidean", "cosine"] as const;
/** Rows that are taken together. */
const ROWS = 1024;

/** Options of `HopfieldDetector.fit`. */
export interface HopfieldOptions {
  /** How a row is compared with the pattern of its class. Default "inner". */
  readonly metric?: "inner" | "euclidean" | "cosine";
}

/** What `HopfieldDetector` writes as JSON. */
export interface HopfieldDetectorJSON {
  readonly format: "logits/hopfield-detector";
  readonly version: 1;
  readonly metric: "inner" | "euclidean" | "cosine";
  /** C. */
  readonly classes: number;
  /** int32 [K], ascending: the classes with a pattern. */
  readonly supportedClasses: TensorJSON;
  /** float32 [K, F]. */
  readonly patterns: TensorJSON;
}

/**
 * How little a row's features look like the pattern of the class that it is predicted as (simplified Hopfield energy, SHE). Higher = more out-of-distribution.
 *
 *   inner  -f . m_y        euclidean  |f - m_y|        cosine  1 - f . m_y / (|f| |m_y|)
 *
 * y is the class of the largest logit (the first of equal ones), m_c the mean feature of the rows of the fit that belong to class c and are predicted as such. A class without such rows has no pattern
 * (`supportedClasses` says which have one): what is predicted as that class scores Infinity, for nothing like it was ever right.
 *
 * `inner` is the paper's and keeps the size of the features; it needs features that are not centred (after a ReLU).
 *
 * Source: Zhang et al., "Out-of-distribution detection based on in-distribution data patterns memorization with modern Hopfield energy", ICLR 2023.
 */
export class HopfieldDetector implements Detector {
  /** The format that `toJSON` writes: by it a reader finds the class. */
  static readonly format: string = FORMAT;
  readonly method = "she";
  readonly needs: readonly DetectorNeeds[] = ["logits", "features"];
  readonly metric: "inner" | "euclidean" | "cosine";
  /** F. */
  readonly features: number;
  /** C. */
  readonly classes: number;
  /** The classes that have a pattern, ascending. */
  readonly supportedClasses: readonly number[];
  /** Recognises the rows of the fit, by their features; undefined when read from JSON. */
  readonly fingerprints: Fingerprints | undefined;
  /** [K, F]. */
  readonly #patterns: Float32Array;
  /** Row of the pattern of each class, -1 for none. */
  readonly #places: Int32Array;

  private constructor(metric: "inner" | "euclidean" | "cosine", classes: number, supported: readonly number[], patterns: Float32Array, fingerprints: Fingerprints | undefined) {
    this.metric = metric;
    this.classes = classes;
    this.features = patterns.length / supported.length;
    this.supportedClasses = Object.freeze(supported);
    this.fingerprints = fingerprints;
    this.#patterns = patterns;
    this.#places = new Int32Array(classes).fill(-1);
    supported.forEach((c, i) => (this.#places[c] = i));
    Object.freeze(this);
  }

  /**
   * Patterns of the classes from rows that are predicted rightly.
   *
   * @param features - float32 [N, F], finite
   * @param logits - float32 [N, C] of the same rows, finite
   * @param labels - int32 [N], in [0, C)
   * @param options - `metric` ("inner")
   * @throws RangeError for other shapes, numbers that are not finite (named), a label outside [0, C), no row that is predicted rightly, another metric
   * @example
   *   const detector = HopfieldDetector.fit([[2, 0], [0, 4]], [[1, 0], [0, 1]], [0, 1]);
   *   detector.score({ features: [[2, 0], [1, 1]], logits: [[1, 0], [1, 0]] }); // -4, -2
   */
  static fit(features: TensorLike, logits: TensorLike, labels: TensorLike, options: HopfieldOptions = {}): HopfieldDetector {
    return runSteps(HopfieldDetector.fitSteps("HopfieldDetector.fit", features, logits, labels, options));
  }

  /** `fit` with pauses: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(features: TensorLike, logits: TensorLike, labels: TensorLike, options: HopfieldOptions & LongWorkOptions = {}): Promise<HopfieldDetector> {
    return runStepsAsync(HopfieldDetector.fitSteps("HopfieldDetector.fitAsync", features, logits, labels, options), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, features: TensorLike, logits: TensorLike, labels: TensorLike, options: HopfieldOptions): Steps<HopfieldDetector> {
    const { metric = "inner" } = options;
    if (!METRICS.includes(metric)) throw rangeError(where, "metric", METRICS.map((known) => `"${known}"`).join(", "), `${metric}`);
    const x = asFloat32(where, "features", features), z = fitLogits(where, logits), y = asInt32(where, "labels", labels);
    checkShape(where, "features", x, ["N", "F"]);
    const [rows, width] = x.shape, classes = z.shape[1];
    if (rows === 0 || width === 0) throw rangeError(where, "features", "of shape [N, F], N >= 1 and F >= 1", `[${rows}, ${width}]`);
    checkSameRows(where, z.shape[0], rows);
    checkShape(where, "labels", y, [rows]);
    checkLabels(where, "labels", y, classes);
    const fingerprints = new Fingerprints(), sums = new Float64Array(classes * width), counts = new Int32Array(classes);
    for (let from = 0; from < rows; from += ROWS) {
      const to = Math.min(rows, from + ROWS);
      checkFinite(where, x.data, width, from, to);
      fingerprints.add({ data: x.data.subarray(from * width, to * width), shape: [to - from, width] });
      for (let n = from; n < to; n++) {
        const c = y.data[n];
        if (predicted(z.data, classes, n) !== c) continue;
        counts[c]++;
        for (let j = 0; j < width; j++) sums[c * width + j] += x.data[n * width + j];
      }
      yield to / rows;
    }
    const supported = Array.from(counts.keys()).filter((c) => counts[c] > 0);
    if (supported.length === 0) throw rangeError(where, "logits", "with rows whose largest is that of their label", "none");
    const patterns = new Float32Array(supported.length * width);
    supported.forEach((c, i) => {
      for (let j = 0; j < width; j++) patterns[i * width + j] = sums[c * width + j] / counts[c];
    });
    return new HopfieldDetector(metric, classes, supported, patterns, fingerprints);
  }

  /**
   * One score per row; the same bits alone and in any batch.
   *
   * @param rows - `features` float32 [..., F] and `logits` float32 [..., C] of the same rows; -Infinity = impossible class
   * @returns float32 [...]. A row with NaN: NaN. With an infinity among its features, or predicted as a class without a pattern: Infinity. "cosine" of zeros: 1
   * @throws RangeError without `features` or `logits`, or for other widths or numbers of rows
   */
  score(rows: DetectorRows): Tensor<"float32"> {
    const where = "HopfieldDetector.score", { features, classes } = this;
    const { x, z, count } = pairsOf(where, rows, features, classes);
    const scores = new Float32Array(count);
    for (let n = 0; n < count; n++) {
      const row = x.data.subarray(n * features, (n + 1) * features), y = predicted(z.data, classes, n), beyond = settleRow(row);
      scores[n] = y < 0 ? NaN : (beyond ?? (this.#places[y] < 0 ? Infinity : this.#one(row, this.#places[y] * features)));
    }
    return new Tensor("float32", x.shape.slice(0, -1), scores);
  }

  toJSON(): HopfieldDetectorJSON {
    const { metric, classes, features, supportedClasses } = this;
    return {
      format: FORMAT, version: 1, metric, classes,
      supportedClasses: tensorToJSON(new Tensor("int32", [supportedClasses.length], Int32Array.from(supportedClasses))),
      patterns: tensorToJSON(new Tensor("float32", [supportedClasses.length, features], this.#patterns)),
    };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): HopfieldDetector {
    const fields = readJson("HopfieldDetector.fromJSON", json, FORMAT, 1, "@logits/ood");
    const metric = fields.oneOf("metric", METRICS), classes = fields.integer("classes", 1, 2 ** 31 - 1);
    const supported = Array.from(fields.tensor("supportedClasses", "int32", 1).data), patterns = fields.tensor("patterns", "float32", 2);
    if (supported.length === 0 || supported.some((c, i) => c < 0 || c >= classes || (i > 0 && c <= supported[i - 1]))) fields.fail("supportedClasses", `ascending in [0, ${classes})`, `[${supported.join(", ")}]`);
    if (patterns.shape[0] !== supported.length || patterns.shape[1] === 0) fields.fail("patterns", `of shape [${supported.length}, F], F >= 1`, `[${patterns.shape.join(", ")}]`);
    return new HopfieldDetector(metric, classes, supported, patterns.data.slice(), undefined);
  }

  #one(row: Float32Array, at: number): number {
    const patterns = this.#patterns;
    let product = 0, square = 0, length = 0, own = 0;
    for (let j = 0; j < row.length; j++) {
      const f = row[j], m = patterns[at + j];
      product += f * m;
      square += (f - m) * (f - m);
      own += f * f;
      length += m * m;
    }
    if (this.metric === "inner") return 0 - product;
    if (this.metric === "euclidean") return Math.sqrt(square);
    return own === 0 || length === 0 ? 1 : 1 - product / Math.sqrt(own * length);
  }
}

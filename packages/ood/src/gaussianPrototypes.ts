import { chiSquareSurvival, conformalQuantile, log } from "@logits/statistics";
import { Tensor, asInt32, checkLabels, checkShape, describe, partOf, rangeError, readJson, runSteps, runStepsAsync, tensorToJSON, typeError, type LongWorkOptions, type Steps, type TensorJSON, type TensorLike } from "@logits/tensor";
import type { Detector, DetectorNeeds, DetectorRows } from "./detector.ts";
import { featuresOf, settle } from "./featureRows.ts";
import type { FeatureStatistics } from "./featureStatistics.ts";
import { Fingerprints } from "./fingerprints.ts";
import { checkStatistics, statisticsSteps } from "./fitStatistics.ts";
import { spreads, unscaled } from "./spreads.ts";

const FORMAT = "logits/gaussian-prototypes";

/** Label of a row that no prototype claims. */
export const NONE_OF_THE_ABOVE = -1;

const COVARIANCES = ["class", "shared", "unit"] as const;

/** Options of `GaussianPrototypes.from`. */
export interface GaussianPrototypesOptions {
  /** The variances of a prototype: its own ("class", the default), those within all classes ("shared"), or 1 ("unit": the nearest prototype). */
  readonly covariance?: "class" | "shared" | "unit";
  /** How many rows of shared variance are added to those of a class, >= 0. Default 1; 0 needs more than one row in each class. */
  readonly priorRows?: number;
  /** Add log |Sigma_c|, so that a wide prototype does not win because it is wide. Default false. */
  readonly logDeterminant?: boolean;
  /** Share of a class's own Gaussian rows that its boundary keeps, in (0, 1]; 1 never refuses. Default 0.99. */
  readonly keep?: number;
}

/** Options of `GaussianPrototypes.fit`. */
export interface GaussianPrototypesFitOptions extends GaussianPrototypesOptions {
  /** C. Default: one more than the largest label. */
  readonly classes?: number;
}

/** What `GaussianPrototypes` writes as JSON. */
export interface GaussianPrototypesJSON {
  readonly format: "logits/gaussian-prototypes";
  readonly version: 1;
  readonly classes: number;
  readonly features: number;
  readonly n: number;
  readonly covariance: "class" | "shared" | "unit";
  readonly logDeterminant: boolean;
  /** int32 [K], ascending: the classes that had rows. */
  readonly supportedClasses: TensorJSON;
  /** float32 [K, F]. */
  readonly means: TensorJSON;
  /** float32 [K, F]: one over the standard deviation of each feature. */
  readonly scales: TensorJSON;
  /** [K]; null = no boundary. */
  readonly boundaries: readonly (number | null)[];
}

interface Fields {
  readonly classes: number;
  readonly features: number;
  readonly n: number;
  readonly covariance: "class" | "shared" | "unit";
  readonly logDeterminant: boolean;
  readonly supportedClasses: Int32Array;
  readonly means: Float32Array;
  readonly scales: Float32Array;
  readonly boundaries: readonly number[];
  readonly fingerprints?: Fingerprints;
}

/**
 * One Gaussian with independent features for each class, and a boundary around each: a row belongs to the nearest, or to none of the above. For few rows a class. As a detector: higher = more out-of-distribution.
 *
 *   distance_c(f) = sum_j (f_j - mean_cj)^2 / v_cj (+ sum_j log v_cj with `logDeterminant`),    score(f) = min_c distance_c(f)
 *   label(f) = c, the nearest, if its squared distance (without the determinant) is at most boundary_c, else -1
 *
 * v_cj = (S_cj + priorRows s_j) / (N_c - 1 + priorRows), S_cj the sum of squared deviations of the class, s_j the variance within all classes: a class of one row has the shared variances. A feature that never varied within
 * a class gets a millionth of the median variance of the others, as in `MahalanobisDetector`. boundary_c is the chi-square quantile of `keep` with F degrees of freedom, which Gaussian features keep to; `bounded` takes it
 * from rows of their own instead, with a promise. A new class is one more prototype: `FeatureStatistics.grow`, `update`, `from`; the rows of the other classes are not needed.
 *
 * Source: Guo, Zhang, Wang, Lei, Li, Wang, Liu, "Few-shot Open Relation Extraction with Gaussian Prototype and Adaptive Margin", 2024, for Gaussian prototypes with a boundary for none of the above; Snell, Swersky, Zemel, "Prototypical Networks
 * for Few-shot Learning", NeurIPS 2017, for prototypes. The margins are a training loss and not here.
 */
export class GaussianPrototypes implements Detector {
  /** The format that `toJSON` writes: by it a reader finds the class. */
  static readonly format: string = FORMAT;
  readonly method = "gaussianPrototypes";
  readonly needs: readonly DetectorNeeds[] = ["features"];
  /** C. */
  readonly classes: number;
  /** F. */
  readonly features: number;
  /** Rows of the fit. */
  readonly n: number;
  readonly covariance: "class" | "shared" | "unit";
  readonly logDeterminant: boolean;
  /** The classes that had rows, ascending; the others have no prototype. */
  readonly supportedClasses: readonly number[];
  /** Squared distances that `supportedClasses` reach to; Infinity = any. */
  readonly boundaries: readonly number[];
  /** Recognises the rows of the fit; undefined when read from JSON. */
  readonly fingerprints: Fingerprints | undefined;
  readonly #means: Float32Array;
  readonly #scales: Float32Array;
  readonly #determinants: Float64Array;

  private constructor(fields: Fields) {
    this.classes = fields.classes;
    this.features = fields.features;
    this.n = fields.n;
    this.covariance = fields.covariance;
    this.logDeterminant = fields.logDeterminant;
    this.supportedClasses = Object.freeze(Array.from(fields.supportedClasses));
    this.boundaries = Object.freeze([...fields.boundaries]);
    this.fingerprints = fields.fingerprints;
    this.#means = fields.means;
    this.#scales = fields.scales;
    this.#determinants = new Float64Array(fields.boundaries.length);
    if (fields.logDeterminant) fields.scales.forEach((scale, i) => (this.#determinants[Math.floor(i / fields.features)] -= 2 * log(scale)));
    Object.freeze(this);
  }

  /**
   * Prototypes of labelled rows.
   *
   * @param features - float32 [N, F], finite, N >= 1
   * @param labels - int32 [N], in [0, C)
   * @param options - `covariance` ("class"), `priorRows` (1), `logDeterminant` (false), `keep` (0.99), `classes` (the largest label + 1)
   * @throws RangeError for other shapes, a label outside [0, C), a row with NaN or an infinity (named), features of which none varies within a class (unless `covariance` is "unit"), an option out of range
   * @example
   *   const prototypes = GaussianPrototypes.fit([[0], [2], [10], [12]], [0, 0, 1, 1]);
   *   prototypes.classify([[1], [11], [6]]); // 0, 1, -1
   */
  static fit(features: TensorLike, labels: TensorLike, options: GaussianPrototypesFitOptions = {}): GaussianPrototypes {
    return runSteps(GaussianPrototypes.fitSteps("GaussianPrototypes.fit", features, labels, options));
  }

  /** `fit` with pauses: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(features: TensorLike, labels: TensorLike, options: GaussianPrototypesFitOptions & LongWorkOptions = {}): Promise<GaussianPrototypes> {
    return runStepsAsync(GaussianPrototypes.fitSteps("GaussianPrototypes.fitAsync", features, labels, options), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, features: TensorLike, labels: TensorLike, options: GaussianPrototypesFitOptions): Steps<GaussianPrototypes> {
    return prototypesOf(where, yield* partOf(statisticsSteps(where, features, labels, options.classes), 0, 0.9), options, (fields) => new GaussianPrototypes(fields));
  }

  /**
   * From statistics, which may come from many batches or machines, and grow by classes.
   *
   * @throws RangeError for statistics without rows, or without class variances (bytes of version 1) where they are needed; as `fit`
   */
  static from(statistics: FeatureStatistics, options: GaussianPrototypesOptions = {}): GaussianPrototypes {
    return prototypesOf("GaussianPrototypes.from", statistics, options, (fields) => new GaussianPrototypes(fields));
  }

  /**
   * The same prototypes with boundaries from rows that were not in the fit: a new row of a class lies within the boundary of that class with probability at least 1 - alpha, whatever the distribution. (Whether its prototype is also the nearest is not promised.)
   *
   * @param features - float32 [N, F], finite
   * @param labels - int32 [N], of classes that have a prototype
   * @param options - `alpha` in (0, 1): boundary_c is the conformal quantile of the distances of the class's rows from its prototype, and Infinity for a class with fewer than 1 / alpha - 1 rows
   * @throws RangeError for other shapes, a label without prototype, a row of the fit, a row with NaN or an infinity, an `alpha` outside (0, 1)
   * @example prototypes.bounded(calibrationFeatures, calibrationLabels, { alpha: 0.05 }).classify(features);
   */
  bounded(features: TensorLike, labels: TensorLike, options: { readonly alpha: number }): GaussianPrototypes {
    const where = "GaussianPrototypes.bounded", { alpha } = options;
    if (!(alpha > 0 && alpha < 1)) throw rangeError(where, "alpha", "in (0, 1)", `${alpha}`);
    const { x, count } = featuresOf(where, { features }, this.features), y = asInt32(where, "labels", labels);
    checkShape(where, "features", x, ["N", this.features]);
    checkShape(where, "labels", y, [count]);
    checkLabels(where, "labels", y, this.classes);
    const shared = this.fingerprints?.firstShared(x) ?? -1;
    if (shared >= 0) throw rangeError(where, "features", "of rows that were not in the fit", `row ${shared}, which was`, "A promise needs rows of its own");
    const own: number[][] = this.supportedClasses.map(() => []);
    for (let n = 0; n < count; n++) {
      const k = this.supportedClasses.indexOf(y.data[n]);
      if (k < 0) throw rangeError(where, "labels", "of classes with a prototype", `${y.data[n]} at index ${n}`);
      const distance = this.#squared(x.data, n * this.features, k, Infinity);
      if (distance - distance !== 0) throw rangeError(where, "features", "at finite distances", `${distance} in row ${n}`);
      own[k].push(distance);
    }
    return new GaussianPrototypes({ ...this.#fields(), boundaries: own.map((list) => (list.length === 0 ? Infinity : conformalQuantile(Float64Array.from(list), alpha))) });
  }

  /**
   * The distance of each row from each prototype.
   *
   * @param features - float32 [..., F]
   * @returns float32 [..., K], K prototypes in the order of `supportedClasses`. NaN for a row with NaN, Infinity for one with an infinity or too far for float32
   * @throws RangeError for another width
   */
  distances(features: TensorLike): Tensor<"float32"> {
    const { x, count } = featuresOf("GaussianPrototypes.distances", { features }, this.features), prototypes = this.boundaries.length;
    const out = new Float32Array(count * prototypes);
    for (let n = 0; n < count; n++) {
      for (let k = 0; k < prototypes; k++) out[n * prototypes + k] = this.#squared(x.data, n * this.features, k, Infinity) + this.#determinants[k];
      settle(out.subarray(n * prototypes, (n + 1) * prototypes), repeated(x.data, n * this.features, this.features, prototypes), this.features, 0);
    }
    return new Tensor("float32", [...x.shape.slice(0, -1), prototypes], out);
  }

  /**
   * The class of each row, or -1 for none of the above.
   *
   * @param features - float32 [..., F]
   * @returns int32 [...]: the nearest prototype (of equals the smallest class) if the row is inside its boundary, else -1
   * @throws RangeError for another width, or a row with NaN (named)
   */
  classify(features: TensorLike): Tensor<"int32"> {
    const where = "GaussianPrototypes.classify", { x, count } = featuresOf(where, { features }, this.features);
    const labels = Int32Array.from({ length: count }, (_, n) => {
      const { k, squared } = this.#nearest(x.data, n * this.features);
      if (k < 0 && x.data.subarray(n * this.features, (n + 1) * this.features).some((value) => value !== value)) throw rangeError(where, "features", "without NaN", `NaN in row ${n}`);
      return k >= 0 && squared <= this.boundaries[k] ? this.supportedClasses[k] : NONE_OF_THE_ABOVE;
    });
    return new Tensor("int32", x.shape.slice(0, -1), labels);
  }

  /**
   * One score per row, the distance from the nearest prototype; the boundaries do not matter. The same bits alone and in any batch.
   *
   * @param rows - `features` float32 [..., F]
   * @returns float32 [...]. A row with NaN: NaN. With an infinity, or too far for float32: Infinity
   * @throws RangeError without `features`, or for another width
   */
  score(rows: DetectorRows): Tensor<"float32"> {
    const { x, count } = featuresOf("GaussianPrototypes.score", rows, this.features);
    const scores = Float32Array.from({ length: count }, (_, n) => {
      const { k, squared } = this.#nearest(x.data, n * this.features);
      return k < 0 ? NaN : squared + this.#determinants[k];
    });
    settle(scores, x.data, this.features, 0);
    return new Tensor("float32", x.shape.slice(0, -1), scores);
  }

  toJSON(): GaussianPrototypesJSON {
    const { classes, features, n, covariance, logDeterminant, boundaries } = this, prototypes = boundaries.length;
    return {
      format: FORMAT, version: 1, classes, features, n, covariance, logDeterminant,
      supportedClasses: tensorToJSON(new Tensor("int32", [prototypes], Int32Array.from(this.supportedClasses))),
      means: tensorToJSON(new Tensor("float32", [prototypes, features], this.#means)),
      scales: tensorToJSON(new Tensor("float32", [prototypes, features], this.#scales)),
      boundaries: boundaries.map((boundary) => (boundary === Infinity ? null : boundary)),
    };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): GaussianPrototypes {
    const fields = readJson("GaussianPrototypes.fromJSON", json, FORMAT, 1, "@logits/ood");
    const classes = fields.integer("classes", 1, 4194304), features = fields.integer("features", 1, 32768), n = fields.integer("n", 1, Number.MAX_SAFE_INTEGER);
    const supportedClasses = fields.tensor("supportedClasses", "int32", 1).data.slice(), prototypes = supportedClasses.length;
    if (prototypes === 0) fields.fail("supportedClasses", "at least one class", "none");
    supportedClasses.forEach((c, i) => {
      if (!(c > (i === 0 ? -1 : supportedClasses[i - 1]) && c < classes)) fields.fail("supportedClasses", `ascending in [0, ${classes})`, `${c} at index ${i}`);
    });
    const table = (field: string): Float32Array => {
      const { data, shape } = fields.tensor(field, "float32", 2);
      return shape[0] === prototypes && shape[1] === features ? data.slice() : fields.fail(field, `of shape [${prototypes}, ${features}]`, `[${shape.join(", ")}]`);
    };
    const means = table("means"), scales = table("scales"), bad = scales.findIndex((scale) => !(scale > 0));
    if (bad >= 0) fields.fail("scales", "positive numbers", `${scales[bad]} at index ${bad}`);
    const boundaries = fields.value("boundaries");
    if (!Array.isArray(boundaries) || boundaries.length !== prototypes || !boundaries.every((b) => b === null || (Number.isFinite(b) && (b as number) >= 0))) {
      return fields.fail("boundaries", `${prototypes} numbers >= 0 or null`, JSON.stringify(boundaries));
    }
    return new GaussianPrototypes({
      classes, features, n, supportedClasses, means, scales, covariance: fields.oneOf("covariance", COVARIANCES), logDeterminant: fields.boolean("logDeterminant"),
      boundaries: boundaries.map((b: number | null) => b ?? Infinity),
    });
  }

  #fields(): Fields {
    const { classes, features, n, covariance, logDeterminant, boundaries, fingerprints } = this;
    return { classes, features, n, covariance, logDeterminant, boundaries, fingerprints, supportedClasses: Int32Array.from(this.supportedClasses), means: this.#means, scales: this.#scales };
  }

  /** Squared distance of the row at `from` from prototype k, in float64; Infinity once it is at least `limit`. */
  #squared(x: Float32Array, from: number, k: number, limit: number): number {
    const { features } = this, means = this.#means, scales = this.#scales, at = k * features;
    let sum = 0;
    for (let j = 0; j < features; ) {
      for (const end = Math.min(features, j + 64); j < end; j++) {
        const distance = (x[from + j] - means[at + j]) * scales[at + j];
        sum += distance * distance;
      }
      if (sum >= limit) return Infinity;
    }
    return sum;
  }

  /** The nearest prototype of the row at `from`; -1 where no distance is finite. */
  #nearest(x: Float32Array, from: number): { k: number; squared: number } {
    let best = -1, squared = Infinity, least = Infinity;
    for (let k = 0; k < this.boundaries.length; k++) {
      const own = this.#squared(x, from, k, least - this.#determinants[k]), distance = own + this.#determinants[k];
      if (distance < least) [best, squared, least] = [k, own, distance];
    }
    return { k: best, squared };
  }
}

function prototypesOf(where: string, statistics: FeatureStatistics, options: GaussianPrototypesOptions, make: (fields: Fields) => GaussianPrototypes): GaussianPrototypes {
  checkStatistics(where, statistics);
  const { covariance = "class", priorRows = 1, logDeterminant = false, keep = 0.99 } = options;
  if (!COVARIANCES.includes(covariance)) throw rangeError(where, "covariance", COVARIANCES.map((name) => `"${name}"`).join(", "), `${covariance as string}`);
  if (!(priorRows >= 0 && priorRows < Infinity)) throw rangeError(where, "priorRows", "a number >= 0", `${priorRows}`);
  if (!(keep > 0 && keep <= 1)) throw rangeError(where, "keep", "in (0, 1]", `${keep}`);
  if (typeof logDeterminant !== "boolean") throw typeError(where, "logDeterminant", "true or false", describe(logDeterminant));
  const { classes, features, count, counts, means, scatter, squares, fingerprints } = statistics.finish();
  const supportedClasses = Int32Array.from({ length: classes }, (_, c) => c).filter((c) => counts[c] > 0), prototypes = supportedClasses.length;
  const centres = new Float32Array(prototypes * features), scales = new Float32Array(prototypes * features).fill(1);
  const size = new Float64Array(features);
  supportedClasses.forEach((c, k) => {
    for (let j = 0; j < features; j++) {
      centres[k * features + j] = means[c * features + j];
      size[j] += (counts[c] / count) * means[c * features + j] ** 2;
    }
  });
  if (covariance !== "unit") {
    const shared = spreads(where, scatter, features + 1, size, count).scales;
    supportedClasses.forEach((c, k) => {
      for (let j = 0; j < features; j++) {
        const least = 1e-12 * shared[j] ** 2, own = squares[c * features + j];
        if (covariance === "class" && own !== own) throw rangeError(where, "statistics", "with class variances", "none: bytes of version 1", 'Accumulate the rows again, or pass covariance "shared"');
        if (covariance === "class" && counts[c] + priorRows <= 1) throw rangeError(where, "priorRows", "above 0 for a class of one row", `${priorRows} for class ${c}`);
        const variance = covariance === "shared" ? shared[j] ** 2 : (own + priorRows * shared[j] ** 2) / (counts[c] - 1 + priorRows);
        // With no prior a feature that never varied in this class would be infinitely precise.
        scales[k * features + j] = 1 / Math.sqrt(Math.max(least, variance));
      }
    });
    if (!scales.every((scale) => scale > 0 && scale < Infinity)) throw unscaled(where, shared);
  }
  const boundary = keep === 1 ? Infinity : chiSquareQuantile(keep, features);
  return make({ classes, features, n: count, covariance, logDeterminant, supportedClasses, means: centres, scales, boundaries: new Array<number>(prototypes).fill(boundary), fingerprints });
}

/** The x that a chi-square number of `degrees` exceeds with probability 1 - share, by bisection to the last bit. */
function chiSquareQuantile(share: number, degrees: number): number {
  let low = 0, high = degrees + 1;
  while (chiSquareSurvival(high, degrees) > 1 - share) high *= 2;
  for (;;) {
    const middle = low + (high - low) / 2;
    if (middle <= low || middle >= high) return high;
    if (chiSquareSurvival(middle, degrees) > 1 - share) low = middle;
    else high = middle;
  }
}

/** `count` rows that are the row at `from`. */
function repeated(x: Float32Array, from: number, width: number, count: number): Float32Array {
  const out = new Float32Array(count * width);
  for (let i = 0; i < count; i++) out.set(x.subarray(from, from + width), i * width);
  return out;
}

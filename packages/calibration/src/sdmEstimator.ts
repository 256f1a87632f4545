import { argmax, nearestNeighbors } from "@logits/core-wasm";
import { exp, log, sortOrder } from "@logits/statistics";
import { Tensor, asFloat32, asInt32, checkInteger, checkLabels, checkNoNaN, checkShape, lastingData, rangeError, readJson, runSteps, runStepsAsync, tensorToJSON, type LongWorkOptions, type Steps, type TensorJSON, type TensorLike } from "@logits/tensor";
import { firstAtLeast } from "./binaryCalibrator.ts";
import { sdmActivation } from "./sdmActivation.ts";

const FORMAT = "logits/sdm-estimator";
/** Rows whose neighbours are searched together, between two pauses, and how many neighbours at first. */
const PIECE = 64, NEIGHBORS = 32;

/** Rows of one kind that `SdmEstimator` learns from. */
export interface SdmRows {
  /** float32 [N, F], finite: what similarity is measured on, by Euclidean distance. */
  readonly features: TensorLike;
  /** float32 [N, C], with a finite largest score in each row. */
  readonly logits: TensorLike;
  /** int32 [N], in [0, C). */
  readonly labels: TensorLike;
}

/** Options of `SdmEstimator.fit`. */
export interface SdmEstimatorOptions {
  /** The accuracy, for every class and for every answer, that the rows of the reliable region shall have. In [1 / C, 1). Default 0.95. */
  readonly accuracy?: number;
  /** Known rows that are looked at for each row, at most; q is at most this. Default 1000. */
  readonly maxSimilarity?: number;
}

/** What `SdmEstimator` says of rows. */
export interface SdmPrediction {
  /** float32 [B, C]: the SDM activation. */
  readonly probabilities: Tensor<"float32">;
  /** int32 [B]: the largest logit, the smallest class of equal ones. */
  readonly labels: Tensor<"int32">;
  /** float32 [B], q: nearest known rows in succession that were rightly given this label. 0: unlike all that is known. */
  readonly similarity: Tensor<"float32">;
  /** float32 [B], d: 1 - share of calibration rows that lie at most as far from the known ones, of the class where that is least. */
  readonly distance: Tensor<"float32">;
  /** float32 [B], q' = min(q, (2 + q)^p) with p the probability of the label. */
  readonly rescaledSimilarity: Tensor<"float32">;
  /** mask [B]: 1 = in the reliable region. */
  readonly reliable: Tensor<"uint8">;
}

/** What `SdmEstimator` writes as JSON. */
export interface SdmEstimatorJSON {
  readonly format: "logits/sdm-estimator";
  readonly version: 1;
  readonly n: number;
  readonly accuracy: number;
  readonly maxSimilarity: number;
  readonly attained: boolean;
  readonly minimum: number;
  readonly bank: TensorJSON;
  readonly right: TensorJSON;
  readonly distances: TensorJSON;
  readonly counts: TensorJSON;
  readonly thresholds: TensorJSON;
}

/**
 * SDM estimator: probabilities that know how similar a row is to known rows and how far from them, and a region of rows in which every class and every answer shall be right with a given accuracy.
 *
 *   q = nearest known rows in succession with prediction = label = this row's prediction
 *   d = min_c 1 - F_c(distance to the nearest known row),   F_c the share of class c's calibration rows (those with q > 0) strictly nearer
 *   p = sdmActivation(logits, q, d),   q' = min(q, (2 + q)^p_prediction)
 *   reliable: q' >= 1, q' >= minimum, and the prediction is the one class with p_c >= thresholds_c
 *
 * `minimum` is the smallest q' >= 1 of a calibration row such that for every class the (1 - accuracy)-quantile of p_label, over the class's calibration rows with q' at least `minimum`, is at least `accuracy`; these quantiles are the thresholds. A class
 * without such a row fails it. Where no `minimum` does, no row is reliable (`attained` false).
 *
 * The accuracy is an estimate on the calibration rows that choose the region, no promise: for a promise use `SplitConformal` or `learnThenTest` on rows of their own. The paper trains the features and the logits with the SDM loss
 * (`sdmLoss`); here they come from any model.
 *
 * Source: Schmaltz, "Similarity-distance-magnitude universal verification", 2025 (arXiv:2502.20167); "Similarity-distance-magnitude activations", 2025 (arXiv:2509.12760).
 */
export class SdmEstimator {
  /** Calibration rows. */
  readonly n: number;
  /** C. */
  readonly classes: number;
  readonly accuracy: number;
  readonly maxSimilarity: number;
  /** False where no region has the accuracy: no row is reliable. */
  readonly attained: boolean;
  /** Smallest rescaled similarity of the reliable region; 0 where none was attained. */
  readonly minimum: number;
  /** float32 [C], smallest probability of each class in the reliable region; 0 where none was attained. */
  readonly thresholds: Tensor<"float32">;
  readonly #bank: Tensor<"float32">;
  readonly #right: Tensor<"int32">;
  readonly #distances: Tensor<"float32">;
  readonly #counts: Tensor<"int32">;

  private constructor(known: Known, fields: Pick<SdmEstimator, "n" | "accuracy" | "attained" | "minimum" | "thresholds">) {
    this.n = fields.n;
    this.classes = known.counts.size;
    this.accuracy = fields.accuracy;
    this.maxSimilarity = known.maxSimilarity;
    this.attained = fields.attained;
    this.minimum = fields.minimum;
    this.thresholds = fields.thresholds;
    this.#bank = known.bank;
    this.#right = known.right;
    this.#distances = known.distances;
    this.#counts = known.counts;
    Object.freeze(this);
  }

  /**
   * Takes the known rows in and chooses the region on calibration rows, which no step before has seen.
   *
   * @param known - rows that the model was trained on: at least one. Kept (features, and which were right)
   * @param calibration - other rows, at least one, of the same width
   * @param options - `accuracy` (0.95), `maxSimilarity` (1000)
   * @throws RangeError for no rows, another shape, a feature that is not finite, a row of logits with NaN or +Infinity or of -Infinity only, a label outside [0, C), an accuracy outside [1 / C, 1)
   * @example
   *   const sdm = SdmEstimator.fit({ features, logits, labels }, calibrationRows); sdm.predict(newFeatures, newLogits).reliable;
   */
  static fit(known: SdmRows, calibration: SdmRows, options: SdmEstimatorOptions = {}): SdmEstimator {
    return runSteps(SdmEstimator.fitSteps("SdmEstimator.fit", known, calibration, options));
  }

  /** `fit` with pauses between searches of 64 rows: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(known: SdmRows, calibration: SdmRows, options: SdmEstimatorOptions & LongWorkOptions = {}): Promise<SdmEstimator> {
    return runStepsAsync(SdmEstimator.fitSteps("SdmEstimator.fitAsync", known, calibration, options), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, known: SdmRows, calibration: SdmRows, options: SdmEstimatorOptions = {}): Steps<SdmEstimator> {
    const { accuracy = 0.95, maxSimilarity = 1000 } = options;
    const bank = checked(where, "known", known), rows = checked(where, "calibration", calibration), classes = bank.logits.shape[1], width = bank.features.shape[1];
    if (rows.logits.shape[1] !== classes) throw rangeError(where, "calibration.logits", `of ${classes} classes as \`known\` has them`, `${rows.logits.shape[1]}`);
    if (rows.features.shape[1] !== width) throw rangeError(where, "calibration.features", `of ${width} features as \`known\` has them`, `${rows.features.shape[1]}`);
    if (!(accuracy >= 1 / classes && accuracy < 1)) throw rangeError(where, "accuracy", `in [1 / ${classes}, 1)`, `${accuracy}`);
    checkInteger(where, "maxSimilarity", maxSimilarity, 1, 2147483647);
    const predicted = argmax(bank.logits).data, right = new Tensor("int32", [predicted.length], predicted.map((label, i) => (label === bank.labels.data[i] ? label : -1)));
    const kept = { bank: new Tensor("float32", bank.features.shape, bank.features.data.slice()), right, maxSimilarity };
    const { q, nearest, labels } = yield* similarityOf(kept, rows.features, rows.logits), y = lastingData(rows.labels), n = y.length;

    const byClass = Array.from({ length: classes }, (_, c) => nearest.filter((_, i) => y[i] === c && q[i] > 0).sort());
    const counts = new Tensor("int32", [classes], Int32Array.from(byClass, (list) => list.length));
    const distances = new Tensor("float32", [byClass.reduce((sum, list) => sum + list.length, 0)], Float32Array.from(byClass.flatMap((list) => [...list])));
    const all: Known = { ...kept, distances, counts };
    const d = distanceOf(all, nearest), p = sdmActivation(rows.logits, q, d).data, rescaled = rescaledOf(q, p, labels, classes);

    const region = regionOf(rescaled, Float32Array.from(y, (label, i) => p[i * classes + label]), y, classes, accuracy);
    return new SdmEstimator(all, { n, accuracy, attained: region !== undefined, minimum: region?.minimum ?? 0, thresholds: new Tensor("float32", [classes], region?.thresholds ?? new Float32Array(classes)) });
  }

  /**
   * Probabilities, and which rows are reliable.
   *
   * @param features - float32 [B, F], finite
   * @param logits - float32 [B, C], with a finite largest score in each row
   * @throws RangeError for another shape, a feature that is not finite, a row of logits with NaN or +Infinity or of -Infinity only (the row is named)
   */
  predict(features: TensorLike, logits: TensorLike): SdmPrediction {
    const where = "SdmEstimator.predict", { classes } = this, known: Known = { bank: this.#bank, right: this.#right, distances: this.#distances, counts: this.#counts, maxSimilarity: this.maxSimilarity };
    const rows = checkedInputs(where, "", features, logits), b = rows.logits.shape[0], width = this.#bank.shape[1];
    if (rows.logits.shape[1] !== classes) throw rangeError(where, "logits", `of ${classes} classes`, `${rows.logits.shape[1]}`);
    if (rows.features.shape[1] !== width) throw rangeError(where, "features", `of ${width} features`, `${rows.features.shape[1]}`);
    const { q, nearest, labels } = runSteps(similarityOf(known, rows.features, rows.logits)), d = distanceOf(known, nearest), probabilities = sdmActivation(rows.logits, q, d);
    const rescaled = rescaledOf(q, probabilities.data, labels, classes), reliable = new Uint8Array(b);
    for (let i = 0; i < b; i++) {
      let above = 0;
      for (let c = 0; c < classes; c++) above += Number(probabilities.data[i * classes + c] >= this.thresholds.data[c]);
      const chosen = probabilities.data[i * classes + labels[i]] >= this.thresholds.data[labels[i]];
      reliable[i] = Number(this.attained && rescaled[i] >= 1 && rescaled[i] >= this.minimum && above === 1 && chosen);
    }
    const vector = (data: Float32Array): Tensor<"float32"> => new Tensor("float32", [b], data);
    return { probabilities, labels: new Tensor("int32", [b], labels), similarity: vector(q), distance: vector(d), rescaledSimilarity: vector(rescaled), reliable: new Tensor("uint8", [b], reliable) };
  }

  toJSON(): SdmEstimatorJSON {
    const { n, accuracy, maxSimilarity, attained, minimum } = this;
    return {
      format: FORMAT, version: 1, n, accuracy, maxSimilarity, attained, minimum,
      bank: tensorToJSON(this.#bank), right: tensorToJSON(this.#right), distances: tensorToJSON(this.#distances), counts: tensorToJSON(this.#counts), thresholds: tensorToJSON(this.thresholds),
    };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): SdmEstimator {
    const fields = readJson("SdmEstimator.fromJSON", json, FORMAT, 1, "@logits/calibration");
    const n = fields.integer("n", 1, 2147483647), thresholds = fields.tensor("thresholds", "float32", 1), counts = fields.tensor("counts", "int32", 1), distances = fields.tensor("distances", "float32", 1);
    const bank = fields.tensor("bank", "float32", 2), right = fields.tensor("right", "int32", 1), classes = counts.size;
    if (classes === 0) fields.fail("counts", "one number for each class", "none");
    if (thresholds.size !== classes) fields.fail("thresholds", `${classes} numbers, one for each class`, `${thresholds.size}`);
    thresholds.data.forEach((x, c) => x >= 0 && x <= 1 ? 0 : fields.fail("thresholds", "in [0, 1]", `${x} at index ${c}`));
    if (bank.size === 0) fields.fail("bank", "at least one row and one feature", `shape [${bank.shape.join(", ")}]`);
    if (right.size !== bank.shape[0]) fields.fail("right", `${bank.shape[0]} numbers, one for each row of \`bank\``, `${right.size}`);
    right.data.forEach((label, i) => label >= -1 && label < classes ? 0 : fields.fail("right", `in [-1, ${classes})`, `${label} at index ${i}`));
    let total = 0;
    for (let c = 0; c < classes; c++) {
      if (counts.data[c] < 0) fields.fail("counts", "not negative", `${counts.data[c]} at index ${c}`);
      const end = Math.min(distances.size, total + counts.data[c]);
      for (let i = total; i < end; i++) if (!(distances.data[i] >= (i > total ? distances.data[i - 1] : 0))) fields.fail("distances", "non-negative, ascending for each class", `${distances.data[i]} at index ${i}`);
      total += counts.data[c];
    }
    if (total !== distances.size || total > n) fields.fail("counts", `numbers with the sum ${Math.min(distances.size, n)}`, `${total}`);
    const attained = fields.boolean("attained"), minimum = fields.number("minimum", 0);
    if (attained !== (minimum >= 1)) fields.fail("attained", `${minimum >= 1} at minimum ${minimum}`, `${attained}`);
    const known: Known = { bank, right, distances, counts, maxSimilarity: fields.integer("maxSimilarity", 1, 2147483647) };
    return new SdmEstimator(known, { n, accuracy: fields.number("accuracy", 1 / classes, 1), attained, minimum, thresholds });
  }
}

/** The known rows with their right labels (-1: the prediction was wrong), and for each class the ascending squared distances of its calibration rows. */
interface Known {
  readonly bank: Tensor<"float32">;
  readonly right: Tensor<"int32">;
  readonly distances: Tensor<"float32">;
  readonly counts: Tensor<"int32">;
  readonly maxSimilarity: number;
}

/** q and the squared distance of the nearest known row. Few neighbours first, more for the rows where all of them match: a search for many costs far more, and most runs are short. */
function* similarityOf({ bank, right, maxSimilarity }: Pick<Known, "bank" | "right" | "maxSimilarity">, features: Tensor<"float32">, logits: Tensor<"float32">): Steps<{ q: Float32Array; nearest: Float32Array; labels: Int32Array }> {
  const most = Math.min(maxSimilarity, bank.shape[0]), labels = argmax(logits).data, b = labels.length, width = bank.shape[1], q = new Float32Array(b), nearest = new Float32Array(b);
  for (let first = 0; first < b; first += PIECE) {
    let open = Array.from({ length: Math.min(PIECE, b - first) }, (_, i) => first + i);
    for (let k = Math.min(most, NEIGHBORS); open.length > 0; k = Math.min(most, 8 * k)) {
      const queries = new Float32Array(open.length * width);
      open.forEach((row, i) => queries.set(features.data.subarray(row * width, (row + 1) * width), i * width));
      const { distances, indices } = nearestNeighbors(new Tensor("float32", [open.length, width], queries), bank, k);
      open = open.filter((row, i) => {
        let run = 0;
        while (run < k && right.data[indices.data[i * k + run]] === labels[row]) run++;
        nearest[row] = distances.data[i * k];
        q[row] = run;
        return run === k && k < most;
      });
      yield first / b;
    }
  }
  return { q, nearest, labels };
}

/** 1 - share of strictly smaller distances, of the class where that is least; a class without distances gives 0. */
function distanceOf({ distances, counts }: Pick<Known, "distances" | "counts">, nearest: Float32Array): Float32Array {
  return nearest.map((distance) => {
    let least = 1;
    for (let c = 0, start = 0; c < counts.size; start += counts.data[c++]) {
      const count = counts.data[c];
      least = Math.min(least, count === 0 ? 0 : 1 - firstAtLeast(distances.data.subarray(start, start + count), distance) / count);
    }
    return least;
  });
}

function rescaledOf(q: Float32Array, p: Float32Array, labels: Int32Array, classes: number): Float32Array {
  return q.map((similarity, i) => Math.min(similarity, exp(p[i * classes + labels[i]] * log(2 + similarity))));
}

/**
 * The smallest rescaled similarity at which the (1 - accuracy)-quantile of p is at least `accuracy` in every class, and those quantiles. Rows leave in the order of their similarity; a Fenwick tree
 * over the ranks of p in each class finds the quantile of those that are left.
 */
function regionOf(rescaled: Float32Array, p: Float32Array, y: Int32Array, classes: number, accuracy: number): { minimum: number; thresholds: Float32Array } | undefined {
  const rows = sortOrder(rescaled).filter((i) => rescaled[i] >= 1), rank = new Int32Array(y.length), thresholds = new Float32Array(classes);
  const values: Float32Array[] = [], trees: Int32Array[] = [], left = new Int32Array(classes);
  for (let c = 0; c < classes; c++) {
    const own = rows.filter((i) => y[i] === c), order = sortOrder(Float32Array.from(own, (i) => p[i]));
    values.push(Float32Array.from(order, (k) => p[own[k]]));
    trees.push(new Int32Array(own.length + 1));
    order.forEach((k, r) => (rank[own[k]] = r));
    left[c] = own.length;
  }
  const add = (c: number, r: number, by: number): void => {
    for (let at = r + 1; at < trees[c].length; at += at & -at) trees[c][at] += by;
  };
  for (const i of rows) add(y[i], rank[i], 1);
  const update = (c: number): void => {
    let k = Math.min(left[c] - 1, Math.floor((1 - accuracy) * left[c])), at = 0;
    for (let step = 2 ** 30; step > 0; step >>= 1) {
      if (at + step < trees[c].length && trees[c][at + step] <= k) {
        at += step;
        k -= trees[c][at];
      }
    }
    thresholds[c] = left[c] === 0 ? 0 : values[c][at];
  };
  for (let c = 0; c < classes; c++) update(c);
  for (let first = 0; first < rows.length; ) {
    const minimum = rescaled[rows[first]];
    if (thresholds.every((threshold) => threshold >= accuracy)) return { minimum, thresholds };
    const touched = new Set<number>();
    for (; first < rows.length && rescaled[rows[first]] === minimum; first++) {
      const i = rows[first];
      add(y[i], rank[i], -1);
      left[y[i]]--;
      touched.add(y[i]);
    }
    touched.forEach(update);
  }
  return undefined;
}

function checkedInputs(where: string, prefix: string, features: TensorLike, logits: TensorLike): { features: Tensor<"float32">; logits: Tensor<"float32"> } {
  const x = asFloat32(where, `${prefix}features`, features), z = asFloat32(where, `${prefix}logits`, logits);
  checkShape(where, `${prefix}features`, x, ["N", "F"]);
  checkShape(where, `${prefix}logits`, z, ["N", "C"]);
  if (z.shape[0] !== x.shape[0]) throw rangeError(where, `${prefix}logits`, `of shape [${x.shape[0]}, C]`, `[${z.shape.join(", ")}]`);
  const bad = x.data.findIndex((value) => value - value !== 0);
  if (bad >= 0) throw rangeError(where, `${prefix}features`, "of finite numbers", `${x.data[bad]} in row ${Math.floor(bad / x.shape[1])}`);
  const cols = z.shape[1];
  checkNoNaN(where, `${prefix}logits`, z, cols);
  const count = cols > 0 ? z.shape[0] : 0;
  for (let i = 0; i < count; i++) {
    let top = -Infinity;
    for (let c = i * cols; c < (i + 1) * cols; c++) top = Math.max(top, z.data[c]);
    if (top - top !== 0) throw rangeError(where, `${prefix}logits`, "with a finite largest score in each row", `${top} in row ${i}`);
  }
  return { features: x, logits: z };
}

function checked(where: string, argument: string, rows: SdmRows): { features: Tensor<"float32">; logits: Tensor<"float32">; labels: Tensor<"int32"> } {
  const inputs = checkedInputs(where, `${argument}.`, rows.features, rows.logits), labels = asInt32(where, `${argument}.labels`, rows.labels), [n, classes] = inputs.logits.shape;
  if (inputs.features.size === 0 || classes === 0) throw rangeError(where, argument, "with at least one row, one feature and one class", `features [${inputs.features.shape.join(", ")}], logits [${n}, ${classes}]`);
  checkShape(where, `${argument}.labels`, labels, [n]);
  checkLabels(where, `${argument}.labels`, labels, classes);
  return { ...inputs, labels };
}

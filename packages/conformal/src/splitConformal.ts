import { betaQuantile, conformalRank } from "@logits/statistics";
import { Tensor, asInt32, checkLabels, rangeError, readJson, runSteps, runStepsAsync, tensorToJSON, type LongWorkOptions, type Steps, type TensorJSON, type TensorLike } from "@logits/tensor";
import { PredictionSets } from "./predictionSets.ts";
import { apsScore, batchOf, descending, lacScore, probabilitiesOf, uniformOf } from "./scores.ts";

const FORMAT = "logits/split-conformal";
const METHODS = ["lac", "aps"] as const;

/** "lac": least ambiguous sets, the smallest on average. "aps": adaptive sets, larger where the model is unsure. */
export type ConformalMethod = (typeof METHODS)[number];

/** Options of `SplitConformal.fit`. */
export interface SplitConformalOptions {
  /** Default "lac". */
  readonly method?: ConformalMethod;
  /** APS only: one uniform number per row breaks the steps of the score, so that coverage is 1 - alpha and not more. Default true. */
  readonly randomize?: boolean;
  /** APS only: seed of those numbers, an integer in [0, 2^53). Default 0. */
  readonly seed?: number;
}

/** Options of `SplitConformal.predictionSet`. */
export interface PredictionSetOptions {
  /** Promised miscoverage, in (0, 1). Default 0.1. */
  readonly alpha?: number;
  /** Default false: an empty set gets the most probable class. It only adds classes, so the promise holds either way. */
  readonly allowEmpty?: boolean;
  /** Randomised APS only: int32 [N], >= 0, an id of each row that no other row has; default 0, 1, ... A row and its id always give the same set. */
  readonly ids?: TensorLike;
}

/** What is promised about the coverage of new rows. */
export interface ExpectedCoverage {
  /** k / (n + 1), k = ceil((n + 1)(1 - alpha)): over new calibration rows and new rows. At least 1 - alpha. */
  readonly mean: number;
  /** For the calibration rows at hand the coverage is a Beta(k, n + 1 - k) number; this interval holds it with probability `level`. */
  readonly interval: readonly [low: number, high: number];
}

/** What `SplitConformal` writes as JSON. */
export interface SplitConformalJSON {
  readonly format: "logits/split-conformal";
  readonly version: 1;
  readonly method: ConformalMethod;
  readonly classes: number;
  readonly n: number;
  readonly randomize: boolean;
  readonly seed: number;
  /** float32 [n], ascending. */
  readonly scores: TensorJSON;
}

interface Fields {
  readonly method: ConformalMethod;
  readonly classes: number;
  readonly randomize: boolean;
  readonly seed: number;
}

/**
 * Sets of classes that hold the true one with probability at least 1 - alpha, for rows exchangeable with the calibration rows.
 *
 *   set(x) = { c : score(x, c) <= q },   q = the k-th smallest score(x_i, y_i) of n calibration rows, k = ceil((n + 1)(1 - alpha))
 *   lac: score(x, c) = 1 - p_c
 *   aps: score(x, c) = sum of the p_j ranked before c + (1 - u) p_c,   u uniform on (0, 1) per row, or 0 when not randomised
 *
 * p = softmax(logits). Ranks: p descending, equal ones by class index. Scores are rounded to float32 at the fit and at prediction alike. The scores are kept, so
 * `alpha` is chosen at prediction. The promise is about all rows together, not about each class or each set size: look at `coverageReport`. It rests on the calibration
 * rows alone: they must not have trained the model, chosen a temperature, or served any other choice.
 *
 * LAC first: its sets are the smallest on average. APS when rows differ much in difficulty; not randomised it covers more than asked, with sets that are large
 * where there are many classes.
 *
 * Sources: Vovk, Gammerman, Shafer, 2005; Sadinle, Lei, Wasserman, "Least ambiguous set-valued classifiers", 2019; Romano, Sesia, Candes, "Classification with
 * valid and adaptive coverage", NeurIPS 2020.
 */
export class SplitConformal {
  readonly method: ConformalMethod;
  /** C, the width of the logits. */
  readonly classes: number;
  /** Calibration rows. */
  readonly n: number;
  readonly randomize: boolean;
  readonly seed: number;
  readonly #scores: Float32Array;

  private constructor(fields: Fields, scores: Float32Array) {
    this.method = fields.method;
    this.classes = fields.classes;
    this.n = scores.length;
    this.randomize = fields.randomize;
    this.seed = fields.seed;
    this.#scores = scores;
    Object.freeze(this);
  }

  /**
   * Scores labelled rows that no other step has used.
   *
   * @param logits - float32 [n, C], calibrated or not; -Infinity = impossible class. From probabilities: their logarithms
   * @param labels - int32 [n], in [0, C)
   * @param options - `method` ("lac"), for APS `randomize` (true) and `seed` (0)
   * @throws RangeError for no rows, another shape, a label outside [0, C), a row without a distribution (named)
   * @example
   *   SplitConformal.fit(calibrationLogits, calibrationLabels).predictionSet(logits, { alpha: 0.1 }).labels(0);
   */
  static fit(logits: TensorLike, labels: TensorLike, options: SplitConformalOptions = {}): SplitConformal {
    return runSteps(SplitConformal.fitSteps("SplitConformal.fit", logits, labels, options));
  }

  /** `fit` with pauses at least every 16 ms: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(logits: TensorLike, labels: TensorLike, options: SplitConformalOptions & LongWorkOptions = {}): Promise<SplitConformal> {
    return runStepsAsync(SplitConformal.fitSteps("SplitConformal.fitAsync", logits, labels, options), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, logits: TensorLike, labels: TensorLike, options: SplitConformalOptions): Steps<SplitConformal> {
    const { method = "lac", randomize = true, seed = 0 } = options;
    if (!METHODS.includes(method)) throw rangeError(where, "method", '"lac" or "aps"', `${method}`);
    if (!(Number.isSafeInteger(seed) && seed >= 0)) throw rangeError(where, "seed", "an integer in [0, 2^53)", `${seed}`);
    const batch = batchOf(where, logits);
    const { rows, classes } = batch;
    if (rows === 0) throw rangeError(where, "logits", "with at least one row", `shape [0, ${classes}]`);
    const y = asInt32(where, "labels", labels);
    if (y.shape.length !== 1 || y.size !== rows) throw rangeError(where, "labels", `of shape [${rows}]`, `[${y.shape.join(", ")}]`);
    checkLabels(where, "labels", y, classes);
    const random = method === "aps" && randomize;
    const scores = new Float32Array(rows), keys = new Float64Array(classes), order = new Int32Array(classes);
    const piece = Math.max(4, Math.floor((method === "lac" ? 2 ** 19 : 2 ** 16) / classes) & ~3);
    for (let from = 0; from < rows; from += piece) {
      const to = Math.min(from + piece, rows);
      const p = probabilitiesOf(where, batch, from, to);
      for (let n = from, at = 0; n < to; n++, at += classes) {
        const own = p[at + y.data[n]];
        if (method === "lac") {
          scores[n] = lacScore(own);
          continue;
        }
        descending(p, at, keys, order);
        let before = 0;
        for (let r = 0; order[r] !== y.data[n]; r++) before += p[at + order[r]];
        scores[n] = apsScore(before, own, random ? uniformOf(seed, 0, n) : 0);
      }
      yield to / rows;
    }
    return new SplitConformal({ method, classes, randomize: random, seed: random ? seed : 0 }, scores.sort());
  }

  /** The k-th smallest calibration score, k = ceil((n + 1)(1 - alpha)); Infinity where k > n: then every set holds all classes. */
  quantile(alpha: number): number {
    const k = this.#rank("SplitConformal.quantile", alpha);
    return k > this.n ? Infinity : this.#scores[k - 1];
  }

  /** What to expect of new rows at `alpha`. Where n < 1 / alpha - 1 all classes are in the set and the coverage is 1. */
  expectedCoverage(alpha: number, level = 0.95): ExpectedCoverage {
    const k = this.#rank("SplitConformal.expectedCoverage", alpha), { n } = this;
    if (!(level > 0 && level < 1)) throw rangeError("SplitConformal.expectedCoverage", "level", "in (0, 1)", `${level}`);
    if (k > n) return { mean: 1, interval: [1, 1] };
    return { mean: k / (n + 1), interval: [betaQuantile((1 - level) / 2, k, n + 1 - k), betaQuantile((1 + level) / 2, k, n + 1 - k)] };
  }

  /**
   * Sets for a batch.
   *
   * @param logits - float32 [N, C]. Treated (calibrated) as the calibration rows were
   * @param options - `alpha` (0.1), `allowEmpty` (false), `ids`
   * @returns `mask` uint8 [N, C], `sizes` int32 [N], `probabilities` float32 [N, C], `labels(i)`
   * @throws RangeError for another width, an alpha outside (0, 1), a row without a distribution (named)
   */
  predictionSet(logits: TensorLike, options: PredictionSetOptions = {}): PredictionSets {
    const where = "SplitConformal.predictionSet";
    const { alpha = 0.1, allowEmpty = false, ids } = options;
    const k = this.#rank(where, alpha);
    const quantile = k > this.n ? Infinity : this.#scores[k - 1];
    const batch = batchOf(where, logits);
    const { rows, classes } = batch;
    if (classes !== this.classes) throw rangeError(where, "logits", `of ${this.classes} classes on the last axis`, `shape [${rows}, ${classes}]`);
    const id = ids === undefined ? undefined : asInt32(where, "ids", ids);
    if (id && (id.shape.length !== 1 || id.size !== rows)) throw rangeError(where, "ids", `of shape [${rows}]`, `[${id.shape.join(", ")}]`);
    if (id) checkLabels(where, "ids", id, 2147483648);
    const p = probabilitiesOf(where, batch, 0, rows);
    const mask = new Uint8Array(rows * classes), sizes = new Int32Array(rows);
    const keys = new Float64Array(classes), order = new Int32Array(classes);
    for (let n = 0, at = 0; n < rows; n++, at += classes) {
      let size = 0;
      if (this.method === "lac") {
        for (let c = 0; c < classes; c++) if (lacScore(p[at + c]) <= quantile) size += mask[at + c] = 1;
      } else {
        const u = this.randomize ? uniformOf(this.seed, 1, id ? id.data[n] : n) : 0;
        descending(p, at, keys, order);
        for (let before = 0; size < classes; size++) {
          const q = p[at + order[size]];
          if (!(apsScore(before, q, u) <= quantile)) break;
          mask[at + order[size]] = 1;
          before += q;
        }
      }
      if (size === 0 && !allowEmpty) {
        let best = 0;
        for (let c = 1; c < classes; c++) if (p[at + c] > p[at + best]) best = c;
        mask[at + best] = size = 1;
      }
      sizes[n] = size;
    }
    return new PredictionSets(new Tensor("uint8", [rows, classes], mask), new Tensor("int32", [rows], sizes), new Tensor("float32", [rows, classes], p), alpha, quantile);
  }

  toJSON(): SplitConformalJSON {
    const { method, classes, n, randomize, seed } = this;
    return { format: FORMAT, version: 1, method, classes, n, randomize, seed, scores: tensorToJSON(new Tensor("float32", [n], this.#scores)) };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): SplitConformal {
    const fields = readJson("SplitConformal.fromJSON", json, FORMAT, 1, "@logits/conformal");
    const n = fields.integer("n", 1, 2147483647);
    const scores = fields.tensor("scores", "float32", 1).data;
    if (scores.length !== n) fields.fail("scores", `${n} numbers`, `${scores.length}`);
    for (let i = 0; i < n; i++) {
      if (!(scores[i] >= 0 && scores[i] <= 1.001)) fields.fail("scores", "in [0, 1]", `${scores[i]} at index ${i}`);
      if (i > 0 && scores[i] < scores[i - 1]) fields.fail("scores", "ascending", `${scores[i]} after ${scores[i - 1]} at index ${i}`);
    }
    return new SplitConformal(
      { method: fields.oneOf("method", METHODS), classes: fields.integer("classes", 1, 4194304), randomize: fields.boolean("randomize"), seed: fields.integer("seed", 0, Number.MAX_SAFE_INTEGER) },
      scores,
    );
  }

  #rank(where: string, alpha: number): number {
    if (!(alpha > 0 && alpha < 1)) throw rangeError(where, "alpha", "in (0, 1)", `${alpha}`);
    return conformalRank(this.n, alpha);
  }
}

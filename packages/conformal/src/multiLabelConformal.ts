import { sigmoid } from "@logits/statistics";
import { Tensor, asMask, checkShape, partOf, rangeError, readJson, runSteps, runStepsAsync, tensorToJSON, type LongWorkOptions, type Steps, type TensorJSON, type TensorLike } from "@logits/tensor";
import { PredictionSets } from "./predictionSets.ts";
import { batchOf, type Batch } from "./scores.ts";
import { indices, picked, sortIndices } from "./sortSteps.ts";

const FORMAT = "logits/multi-label-conformal";
const PROMISES = ["recall", "all"] as const;

/** "recall": the mean share of a row's labels that the set misses is at most alpha. "all": the set holds all labels of the row with probability at least 1 - alpha. */
export type MultiLabelPromise = (typeof PROMISES)[number];

/** Options of `MultiLabelConformal.fit`. */
export interface MultiLabelConformalOptions {
  /** Default "recall". */
  readonly promise?: MultiLabelPromise;
}

/** What `MultiLabelConformal` writes as JSON. */
export interface MultiLabelConformalJSON {
  readonly format: "logits/multi-label-conformal";
  readonly version: 1;
  readonly promise: MultiLabelPromise;
  readonly classes: number;
  readonly n: number;
  /** float32, ascending: one number per label of a row ("recall") or per row with labels ("all"). */
  readonly scores: TensorJSON;
  /** int32, beside the scores: how many labels share the loss of 1 of their row. */
  readonly shares: TensorJSON;
}

/**
 * Sets of labels for rows that may have none, one or several, with a promise on what the sets miss.
 *
 *   set(x) = { c : 1 - sigmoid(z_c) <= q },   q = the smallest score with  (sum over n rows of the loss at q + 1) / (n + 1) <= alpha,   Infinity where there is none
 *   recall: loss of a row = the share of its labels that are not in the set;   all: 1 where one of them is not
 *
 * A row without labels loses nothing, and a set may be empty. The promise is about the mean over calibration rows and new rows that are exchangeable ("all" is split conformal prediction with the
 * largest score of a row's labels); it says nothing of labels that are in the set and wrong. The scores are kept, so `alpha` is chosen at prediction.
 *
 * Sources: Angelopoulos, Bates, Fisch, Lei, Schuster, "Conformal risk control", ICLR 2024 (recall); Vovk, Gammerman, Shafer, 2005 (all).
 */
export class MultiLabelConformal {
  readonly promise: MultiLabelPromise;
  /** C, the width of the logits. */
  readonly classes: number;
  /** Calibration rows. */
  readonly n: number;
  readonly #scores: Float32Array;
  readonly #shares: Int32Array;

  private constructor(promise: MultiLabelPromise, classes: number, n: number, scores: Float32Array, shares: Int32Array) {
    this.promise = promise;
    this.classes = classes;
    this.n = n;
    this.#scores = scores;
    this.#shares = shares;
    Object.freeze(this);
  }

  /**
   * Scores labelled rows that no other step has used.
   *
   * @param logits - float32 [n, C], one binary logit per label; -Infinity = impossible, Infinity = certain
   * @param targets - uint8 [n, C], 1 = the row has the label
   * @param options - `promise` ("recall")
   * @throws RangeError for no rows, another shape, NaN (row and column are named), a target that is neither 0 nor 1
   * @example
   *   MultiLabelConformal.fit(calibrationLogits, calibrationTargets).predictionSet(logits, { alpha: 0.1 }).labels(0);
   */
  static fit(logits: TensorLike, targets: TensorLike, options: MultiLabelConformalOptions = {}): MultiLabelConformal {
    return runSteps(MultiLabelConformal.#steps("MultiLabelConformal.fit", logits, targets, options));
  }

  /** `fit` with pauses at least every 16 ms: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(logits: TensorLike, targets: TensorLike, options: MultiLabelConformalOptions & LongWorkOptions = {}): Promise<MultiLabelConformal> {
    return runStepsAsync(MultiLabelConformal.#steps("MultiLabelConformal.fitAsync", logits, targets, options), options);
  }

  static *#steps(where: string, logits: TensorLike, targets: TensorLike, options: MultiLabelConformalOptions): Steps<MultiLabelConformal> {
    const { promise = "recall" } = options;
    if (!PROMISES.includes(promise)) throw rangeError(where, "promise", '"recall" or "all"', `${promise}`);
    const batch = numbersOf(where, logits), { logits: z, rows, classes } = batch;
    if (rows === 0) throw rangeError(where, "logits", "with at least one row", `shape [0, ${classes}]`);
    const y = asMask(where, "targets", targets);
    checkShape(where, "targets", y, [rows, classes]);
    const scores: number[] = [], shares: number[] = [], piece = Math.max(1, Math.floor(65536 / classes));
    for (let n = 0, at = 0; n < rows; n++, at += classes) {
      let own = 0, worst = -Infinity;
      for (let c = 0; c < classes; c++) {
        if (!y.data[at + c]) continue;
        const score = scoreOf(z[at + c]);
        own++;
        worst = Math.max(worst, score);
        if (promise === "recall") scores.push(score);
      }
      if (promise === "recall") for (let i = 0; i < own; i++) shares.push(own);
      else if (own > 0) {
        scores.push(worst);
        shares.push(1);
      }
      if (n % piece === piece - 1) yield (0.5 * n) / rows;
    }
    const order = yield* partOf(sortIndices(indices(scores.length), (a, b) => scores[a] - scores[b] || shares[a] - shares[b]), 0.5, 0.5);
    return new MultiLabelConformal(promise, classes, rows, yield* picked(scores, order, new Float32Array(order.length)), yield* picked(shares, order, new Int32Array(order.length)));
  }

  /** The largest score that a label of a set may have; Infinity where n < 1 / alpha - 1: then every set holds all labels. */
  quantile(alpha: number): number {
    if (!(alpha > 0 && alpha < 1)) throw rangeError("MultiLabelConformal.quantile", "alpha", "in (0, 1)", `${alpha}`);
    // As conformalRank: what is an integer in exact arithmetic is not rounded up.
    const allowed = (this.n + 1) * alpha - 1 + 1e-9;
    if (allowed < 0) return Infinity;
    // From the largest score down, as long as what lies above the next one may be lost.
    let lost = 0;
    for (let i = this.#scores.length - 1; i >= 0; i--) {
      lost += 1 / this.#shares[i];
      if (lost > allowed) return this.#scores[i];
    }
    return -Infinity;
  }

  /**
   * Sets for a batch.
   *
   * @param logits - float32 [N, C]
   * @param options - `alpha` (0.1), in (0, 1)
   * @returns `mask` uint8 [N, C], `sizes` int32 [N], `probabilities` float32 [N, C] (sigmoid), `labels(i)`; -Infinity as `quantile`, and empty sets, where the loss of every label is allowed
   * @throws RangeError for another width, an alpha outside (0, 1), NaN (row and column are named)
   */
  predictionSet(logits: TensorLike, options: { readonly alpha?: number } = {}): PredictionSets {
    const where = "MultiLabelConformal.predictionSet", { alpha = 0.1 } = options;
    const quantile = this.quantile(alpha);
    const { logits: z, rows, classes } = numbersOf(where, logits);
    if (classes !== this.classes) throw rangeError(where, "logits", `of ${this.classes} classes on the last axis`, `shape [${rows}, ${classes}]`);
    const mask = new Uint8Array(rows * classes), sizes = new Int32Array(rows), p = new Float32Array(mask.length);
    for (let n = 0, i = 0; n < rows; n++) {
      for (let c = 0; c < classes; c++, i++) {
        p[i] = sigmoid(z[i]);
        if (scoreOf(z[i]) <= quantile) sizes[n] += mask[i] = 1;
      }
    }
    return new PredictionSets(new Tensor("uint8", [rows, classes], mask), new Tensor("int32", [rows], sizes), new Tensor("float32", [rows, classes], p), alpha, quantile);
  }

  toJSON(): MultiLabelConformalJSON {
    const { promise, classes, n } = this, length = this.#scores.length;
    return { format: FORMAT, version: 1, promise, classes, n, scores: tensorToJSON(new Tensor("float32", [length], this.#scores)), shares: tensorToJSON(new Tensor("int32", [length], this.#shares)) };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): MultiLabelConformal {
    const fields = readJson("MultiLabelConformal.fromJSON", json, FORMAT, 1, "@logits/conformal");
    const promise = fields.oneOf("promise", PROMISES), classes = fields.integer("classes", 1, 4194304), n = fields.integer("n", 1, 2147483647);
    const scores = fields.tensor("scores", "float32", 1).data, shares = fields.tensor("shares", "int32", 1).data;
    if (shares.length !== scores.length) fields.fail("shares", `${scores.length} numbers, one for each score`, `${shares.length}`);
    let rows = 0;
    for (let i = 0; i < scores.length; i++) {
      if (!(scores[i] >= 0 && scores[i] <= 1)) fields.fail("scores", "in [0, 1]", `${scores[i]} at index ${i}`);
      if (i > 0 && scores[i] < scores[i - 1]) fields.fail("scores", "ascending", `${scores[i]} after ${scores[i - 1]} at index ${i}`);
      if (!(shares[i] >= 1 && shares[i] <= (promise === "all" ? 1 : classes))) fields.fail("shares", promise === "all" ? "of 1" : `in [1, ${classes}]`, `${shares[i]} at index ${i}`);
      rows += 1 / shares[i];
    }
    if (rows > n + 1e-6) fields.fail("n", `at least ${Math.round(rows)}, the rows that \`shares\` tells of`, `${n}`);
    return new MultiLabelConformal(promise, classes, n, scores, shares);
  }
}

/** 1 - sigmoid(z), rounded to float32, at the fit and at prediction alike. */
function scoreOf(z: number): number {
  return Math.fround(sigmoid(-z));
}

function numbersOf(where: string, logits: TensorLike): Batch {
  const batch = batchOf(where, logits), { logits: z, classes } = batch;
  for (let i = 0; i < z.length; i++) if (z[i] !== z[i]) throw rangeError(where, "logits", "without NaN", `NaN in row ${Math.floor(i / classes)}, column ${i % classes}`);
  return batch;
}

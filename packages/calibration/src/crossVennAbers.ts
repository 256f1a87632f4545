import { exp, log } from "@logits/statistics";
import { Tensor, asFloat32, asInt32, checkInteger, partOf, rangeError, readJson, runSteps, runStepsAsync, type LongWorkOptions, type Steps, type TensorLike } from "@logits/tensor";
import { BinaryMap, checkedBinary, type BinaryPairs } from "./binaryCalibrator.ts";
import { dealtSteps } from "./groupedScores.ts";
import { VennAbers, type VennAbersJSON } from "./vennAbers.ts";

const FORMAT = "logits/cross-venn-abers";

/** Options of `CrossVennAbers`. */
export interface CrossVennAbersOptions {
  /** K, an integer in [1, N] (default 5, or N where there are fewer rows): the rows of one model, dealt out in the order of the scores, equal ones in an order that is drawn. Or int32 [N]: the fold of each row, whose score is that of a model that did not train on the fold; every fold of [0, K) has a row. */
  readonly folds?: number | TensorLike;
  /** For which loss the two probabilities of all folds become one; default "log". */
  readonly loss?: "log" | "brier";
}

/** What `CrossVennAbers` writes as JSON. */
export interface CrossVennAbersJSON {
  readonly format: "logits/cross-venn-abers";
  readonly version: 1;
  readonly n: number;
  readonly loss: "log" | "brier";
  readonly folds: readonly VennAbersJSON[];
}

/**
 * Venn-Abers predictors of K folds, merged into one probability: cross-conformal's idea for calibration, so that every row can train a model and calibrate another one.
 *
 *   log loss:   p = GM(p1) / (GM(1 - p0) + GM(p1)), GM the geometric mean over the folds        Brier loss:   p = mean(p1 + p0^2 / 2 - p1^2 / 2)
 *
 * [p0, p1] of a fold holds a calibrated probability; the merged number is the one with the smallest worst-case regret and has no such promise. Never 0 or 1.
 *
 * Source: Vovk, Petej, Fedorova, "Large-scale probabilistic predictors with and without guarantees of validity", NIPS 2015, section 4 and (11) to (13).
 */
export class CrossVennAbers extends BinaryMap {
  readonly loss: "log" | "brier";
  /** One for each fold. */
  readonly folds: readonly VennAbers[];

  private constructor(n: number, loss: "log" | "brier", folds: readonly VennAbers[]) {
    super(n);
    this.loss = loss;
    this.folds = Object.freeze([...folds]);
    Object.freeze(this);
  }

  protected get name(): string {
    return "CrossVennAbers";
  }

  /**
   * Prepares the predictors of all folds.
   *
   * @param scores - float32 [N], N at least 1, finite; any score where more means yes. With folds given: each row's score by the model of its fold, which did not see it
   * @param labels - mask [N]: 1 or true = yes
   * @param options - `folds` (default 5), `loss` (default "log")
   * @throws RangeError for no rows, another shape, a score that is not finite (the row is named), folds that are none, one without a row
   * @example
   *   CrossVennAbers.fit([1, 2, 3, 4], [0, 0, 1, 1], { folds: 2 }).at(2.5); // 0.5
   */
  static fit(scores: TensorLike, labels: TensorLike, options: CrossVennAbersOptions = {}): CrossVennAbers {
    return runSteps(CrossVennAbers.fitSteps("CrossVennAbers.fit", scores, labels, options));
  }

  /** `fit` with pauses at least every 16 ms: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(scores: TensorLike, labels: TensorLike, options: CrossVennAbersOptions & LongWorkOptions = {}): Promise<CrossVennAbers> {
    return runStepsAsync(CrossVennAbers.fitSteps("CrossVennAbers.fitAsync", scores, labels, options), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, scores: TensorLike, labels: TensorLike, options: CrossVennAbersOptions = {}): Steps<CrossVennAbers> {
    const pairs = checkedBinary(where, scores, labels), { n } = pairs, { folds = Math.min(5, n), loss = "log" } = options;
    if (loss !== "log" && loss !== "brier") throw rangeError(where, "loss", '"log" or "brier"', `${loss as string}`);
    if (typeof folds === "number") checkInteger(where, "folds", folds, 1, n);
    const parts = typeof folds === "number" ? yield* partOf(dealtSteps(pairs, folds), 0, 0.4) : givenParts(where, pairs, folds), fitted: VennAbers[] = [];
    for (const [k, { s, t }] of parts.entries()) fitted.push(yield* partOf(VennAbers.fitSteps(where, s, t), 0.4 + (0.6 * k) / parts.length, 0.6 / parts.length));
    return new CrossVennAbers(n, loss, fitted);
  }

  at(score: number): number {
    return this.#merged(() => score);
  }

  /**
   * Probabilities of yes where every fold has a model of its own.
   *
   * @param scores - float32 [..., K]: the score of the row by the model of each fold
   * @returns float32 [...]; NaN where a score is
   * @throws RangeError for another width
   */
  merged(scores: TensorLike): Tensor<"float32"> {
    const { data, shape } = asFloat32("CrossVennAbers.merged", "scores", scores), k = this.folds.length;
    if (shape[shape.length - 1] !== k) throw rangeError("CrossVennAbers.merged", "scores", `of ${k} folds on the last axis`, `shape [${shape.join(", ")}]`);
    return new Tensor("float32", shape.slice(0, -1), Float32Array.from({ length: data.length / k }, (_, row) => this.#merged((fold) => data[row * k + fold])));
  }

  #merged(score: (fold: number) => number): number {
    const { folds } = this;
    let yes = 0, no = 0, brier = 0;
    for (let k = 0; k < folds.length; k++) {
      const { lower, upper } = folds[k].intervalAt(score(k));
      yes += log(upper) / folds.length;
      no += log(1 - lower) / folds.length;
      brier += (upper + (lower * lower - upper * upper) / 2) / folds.length;
    }
    return this.loss === "brier" ? brier : 1 / (1 + exp(no - yes));
  }

  toJSON(): CrossVennAbersJSON {
    return { format: FORMAT, version: 1, n: this.n, loss: this.loss, folds: this.folds.map((fold) => fold.toJSON()) };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): CrossVennAbers {
    const fields = readJson("CrossVennAbers.fromJSON", json, FORMAT, 1, "@logits/calibration");
    const n = fields.integer("n", 1, Number.MAX_SAFE_INTEGER), loss = fields.oneOf("loss", ["log", "brier"]), list = fields.value("folds");
    if (!Array.isArray(list) || list.length === 0) return fields.fail("folds", "a list of at least one", Array.isArray(list) ? "none" : typeof list);
    const bad = list.findIndex((item) => typeof item !== "object" || item === null || Array.isArray(item));
    if (bad >= 0) fields.fail("folds", "a list of objects", `${list[bad] === null ? "null" : typeof list[bad]} at index ${bad}`);
    const folds = list.map((item) => VennAbers.fromJSON(item)), rows = folds.reduce((sum, fold) => sum + fold.n, 0);
    if (rows !== n) fields.fail("n", `${rows}, the rows of \`folds\``, `${n}`);
    return new CrossVennAbers(n, loss, folds);
  }
}

/** The rows of each given fold. */
function givenParts(where: string, { s, t, n }: BinaryPairs, given: TensorLike): BinaryPairs[] {
  const fold = asInt32(where, "folds", given);
  if (fold.shape.length !== 1 || fold.size !== n) throw rangeError(where, "folds", `of shape [${n}], or an integer`, `[${fold.shape.join(", ")}]`);
  const rows: number[][] = [];
  for (let row = 0; row < n; row++) {
    if (!(fold.data[row] >= 0 && fold.data[row] < n)) throw rangeError(where, "folds", `in [0, ${n})`, `${fold.data[row]} at index ${row}`);
    (rows[fold.data[row]] ??= []).push(row);
  }
  return Array.from(rows, (own, k) => {
    if (own === undefined) throw rangeError(where, "folds", "with a row in each fold", `none in fold ${k}`);
    const answers = Uint8Array.from(own, (row) => t[row]);
    return { s: Float32Array.from(own, (row) => s[row]), t: answers, n: own.length, positives: answers.reduce((sum, x) => sum + x, 0) };
  });
}

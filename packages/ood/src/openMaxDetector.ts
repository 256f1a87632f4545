import { exp, log } from "@logits/statistics";
import { Tensor, asInt32, checkInteger, checkLabels, checkShape, rangeError, readJson, runSteps, runStepsAsync, tensorToJSON, type LongWorkOptions, type Steps, type TensorJSON, type TensorLike } from "@logits/tensor";
import type { Detector, DetectorNeeds, DetectorRows } from "./detector.ts";
import { Fingerprints } from "./fingerprints.ts";
import { fitLogits, logitsOf, predicted, settleRow } from "./logitRows.ts";
import { fitWeibull, weibullCdf } from "./weibull.ts";

const FORMAT = "logits/openmax-detector";
/** Rows between two pauses. */
const ROWS = 1024;

/** Options of `OpenMaxDetector.fit`. */
export interface OpenMaxOptions {
  /** How many of the largest distances of a class its Weibull distribution is fitted to, an integer >= 2; all where there are fewer. Default 20. */
  readonly tail?: number;
  /** How many of the largest logits are revised, an integer >= 1; all where there are fewer. Default 3. */
  readonly revised?: number;
}

/** What `OpenMaxDetector` writes as JSON. */
export interface OpenMaxDetectorJSON {
  readonly format: "logits/openmax-detector";
  readonly version: 1;
  /** C. */
  readonly classes: number;
  readonly revised: number;
  /** int32 [K], ascending: the classes that had rows that are predicted rightly. */
  readonly supportedClasses: TensorJSON;
  /** float32 [K, C]: mean logits. */
  readonly means: TensorJSON;
  /** float32 [K, 3]: the smallest distance of the tail, shape and scale of the Weibull distribution. */
  readonly weibulls: TensorJSON;
}

/**
 * OpenMax: logits are revised by how far they are from the mean logits of their class, and what is taken away goes to an unknown class. Higher = more out-of-distribution.
 *
 *   w_i = P(D_i <= |z - mean_i|),  D_i the Weibull distribution of the largest distances of class i
 *   v_i = z_i (1 - a_i w_i),  a_i = (R + 1 - rank of z_i) / R for the R largest logits, 0 for the others;   v_unknown = sum_i z_i a_i w_i
 *   score = v_unknown - log sum_i exp(v_i) = log(P(unknown) / (1 - P(unknown)))
 *
 * The log-odds: P(unknown) itself is 0 or 1 in float32 for most rows. Means and distances are of the rows of the fit that are predicted as their label; a class without any (not in `supportedClasses`) is as far as can be, w = 1.
 *
 * The distribution is fitted by maximum likelihood to distances from the smallest one of the tail, plus 1: libMR's convention, which OpenMax's published numbers have. A fit to the distances themselves is another model.
 * A tail of equal distances is a step behind them.
 *
 * Source: Bendale, Boult, "Towards open set deep networks", CVPR 2016, algorithms 1 and 2. Defaults as OpenOOD: a tail of 20, three logits revised, Euclidean distances.
 */
export class OpenMaxDetector implements Detector {
  /** The format that `toJSON` writes: by it a reader finds the class. */
  static readonly format: string = FORMAT;
  readonly method = "openMax";
  readonly needs: readonly DetectorNeeds[] = ["logits"];
  /** C. */
  readonly classes: number;
  readonly revised: number;
  /** The classes that have a mean, ascending. */
  readonly supportedClasses: readonly number[];
  /** Recognises the rows of the fit, by their logits; undefined when read from JSON. */
  readonly fingerprints: Fingerprints | undefined;
  /** [K, C]. */
  readonly #means: Float32Array;
  /** [K, 3]. */
  readonly #weibulls: Float32Array;
  /** Row of each class, -1 for none. */
  readonly #places: Int32Array;

  private constructor(classes: number, revised: number, supported: readonly number[], means: Float32Array, weibulls: Float32Array, fingerprints: Fingerprints | undefined) {
    this.classes = classes;
    this.revised = revised;
    this.supportedClasses = Object.freeze(supported);
    this.fingerprints = fingerprints;
    this.#means = means;
    this.#weibulls = weibulls;
    this.#places = new Int32Array(classes).fill(-1);
    supported.forEach((c, i) => (this.#places[c] = i));
    Object.freeze(this);
  }

  /**
   * Means and tails of the classes.
   *
   * @param logits - float32 [N, C], finite
   * @param labels - int32 [N], in [0, C)
   * @param options - `tail` (20), `revised` (3)
   * @throws RangeError for other shapes, a logit that is not finite (named), a label outside [0, C), no row that is predicted rightly, a `tail` below 2, a `revised` below 1
   * @example
   *   const detector = OpenMaxDetector.fit([[4, 0], [5, 0], [0, 4], [0, 6]], [0, 0, 1, 1]);
   *   detector.score({ logits: [[4.5, 0], [9, 9]] }); // -4.5110, 8.9890: the second is far from both means
   */
  static fit(logits: TensorLike, labels: TensorLike, options: OpenMaxOptions = {}): OpenMaxDetector {
    return runSteps(OpenMaxDetector.fitSteps("OpenMaxDetector.fit", logits, labels, options));
  }

  /** `fit` with pauses: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(logits: TensorLike, labels: TensorLike, options: OpenMaxOptions & LongWorkOptions = {}): Promise<OpenMaxDetector> {
    return runStepsAsync(OpenMaxDetector.fitSteps("OpenMaxDetector.fitAsync", logits, labels, options), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, logits: TensorLike, labels: TensorLike, options: OpenMaxOptions): Steps<OpenMaxDetector> {
    const { tail = 20, revised = 3 } = options;
    checkInteger(where, "tail", tail, 2, 2 ** 31 - 1);
    checkInteger(where, "revised", revised, 1, 2 ** 31 - 1);
    const z = fitLogits(where, logits), y = asInt32(where, "labels", labels), [rows, classes] = z.shape;
    checkShape(where, "labels", y, [rows]);
    checkLabels(where, "labels", y, classes);
    const fingerprints = new Fingerprints(), sums = new Float64Array(classes * classes), members: number[][] = Array.from({ length: classes }, () => []);
    for (let from = 0; from < rows; from += ROWS) {
      const to = Math.min(rows, from + ROWS);
      fingerprints.add({ data: z.data.subarray(from * classes, to * classes), shape: [to - from, classes] });
      for (let n = from; n < to; n++) {
        const c = y.data[n];
        if (predicted(z.data, classes, n) !== c) continue;
        members[c].push(n);
        for (let j = 0; j < classes; j++) sums[c * classes + j] += z.data[n * classes + j];
      }
      yield (0.5 * to) / rows;
    }
    const supported = Array.from(members.keys()).filter((c) => members[c].length > 0);
    if (supported.length === 0) throw rangeError(where, "logits", "with rows whose largest is that of their label", "none");
    const means = new Float32Array(supported.length * classes), weibulls = new Float32Array(3 * supported.length);
    for (const [i, c] of supported.entries()) {
      for (let j = 0; j < classes; j++) means[i * classes + j] = sums[c * classes + j] / members[c].length;
      const largest = members[c].map((n) => distance(z.data, n * classes, means, i * classes, classes)).sort((a, b) => b - a).slice(0, tail), least = largest[largest.length - 1];
      const { shape, scale } = fitWeibull(largest.map((d) => d - least + 1));
      weibulls.set([least, shape, scale], 3 * i);
      yield 0.5 + (0.5 * (i + 1)) / supported.length;
    }
    return new OpenMaxDetector(classes, revised, supported, means, weibulls, fingerprints);
  }

  /**
   * One score per row; the same bits alone and in any batch.
   *
   * @param rows - `logits` float32 [..., C]
   * @returns float32 [...], log-odds of the unknown class. A row with NaN: NaN. With an infinity: Infinity
   * @throws RangeError without `logits`, or for another width
   */
  score(rows: DetectorRows): Tensor<"float32"> {
    const { classes } = this;
    const { z, count } = logitsOf("OpenMaxDetector.score", rows, classes);
    const scores = new Float32Array(count);
    for (let n = 0; n < count; n++) {
      const row = z.data.subarray(n * classes, (n + 1) * classes);
      scores[n] = settleRow(row) ?? this.#one(row);
    }
    return new Tensor("float32", z.shape.slice(0, -1), scores);
  }

  toJSON(): OpenMaxDetectorJSON {
    const { classes, revised, supportedClasses } = this, kinds = supportedClasses.length;
    return {
      format: FORMAT, version: 1, classes, revised,
      supportedClasses: tensorToJSON(new Tensor("int32", [kinds], Int32Array.from(supportedClasses))),
      means: tensorToJSON(new Tensor("float32", [kinds, classes], this.#means)), weibulls: tensorToJSON(new Tensor("float32", [kinds, 3], this.#weibulls)),
    };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): OpenMaxDetector {
    const fields = readJson("OpenMaxDetector.fromJSON", json, FORMAT, 1, "@logits/ood");
    const classes = fields.integer("classes", 1, 2 ** 31 - 1), supported = Array.from(fields.tensor("supportedClasses", "int32", 1).data);
    if (supported.length === 0 || supported.some((c, i) => c < 0 || c >= classes || (i > 0 && c <= supported[i - 1]))) fields.fail("supportedClasses", `ascending in [0, ${classes})`, `[${supported.join(", ")}]`);
    const means = fields.tensor("means", "float32", 2), weibulls = fields.tensor("weibulls", "float32", 2);
    for (const [name, { shape }, width] of [["means", means, classes], ["weibulls", weibulls, 3]] as const) {
      if (shape[0] !== supported.length || shape[1] !== width) fields.fail(name, `of shape [${supported.length}, ${width}]`, `[${shape.join(", ")}]`);
    }
    if (weibulls.data.some((value, i) => i % 3 > 0 && !(value > 0))) fields.fail("weibulls", "with shapes and scales > 0", "others");
    return new OpenMaxDetector(classes, fields.integer("revised", 1, 2 ** 31 - 1), supported, means.data.slice(), weibulls.data.slice(), undefined);
  }

  #one(row: Float32Array): number {
    const { classes, revised } = this, some = Math.min(revised, classes), v = Float64Array.from(row);
    // The largest, one by one: there are few.
    const order: number[] = [];
    for (let rank = 0; rank < some; rank++) {
      let best = -1;
      for (let c = 0; c < classes; c++) if (!order.includes(c) && (best < 0 || row[c] > row[best])) best = c;
      order.push(best);
    }
    let unknown = 0;
    for (let rank = 0; rank < some; rank++) {
      const c = order[rank], taken = row[c] * ((some - rank) / some) * this.#weight(row, this.#places[c]);
      unknown += taken;
      v[c] -= taken;
    }
    let top = -Infinity, sum = 0;
    for (let c = 0; c < classes; c++) top = Math.max(top, v[c]);
    for (let c = 0; c < classes; c++) sum += exp(v[c] - top);
    return unknown - top - log(sum);
  }

  #weight(row: Float32Array, place: number): number {
    if (place < 0) return 1;
    const [least, shape, scale] = this.#weibulls.subarray(3 * place, 3 * place + 3);
    return weibullCdf({ shape, scale }, distance(row, 0, this.#means, place * this.classes, this.classes) - least + 1);
  }
}

function distance(a: Float32Array, at: number, b: Float32Array, from: number, length: number): number {
  let sum = 0;
  for (let j = 0; j < length; j++) sum += (a[at + j] - b[from + j]) * (a[at + j] - b[from + j]);
  return Math.sqrt(sum);
}

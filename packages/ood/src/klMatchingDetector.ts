import { matmul } from "@logits/core-wasm";
import { exp, log } from "@logits/statistics";
import { Tensor, asInt32, checkLabels, checkShape, readJson, runSteps, runStepsAsync, tensorToJSON, type LongWorkOptions, type Steps, type TensorJSON, type TensorLike } from "@logits/tensor";
import type { Detector, DetectorNeeds, DetectorRows } from "./detector.ts";
import { Fingerprints } from "./fingerprints.ts";
import { KeptMatrix } from "./keptMatrix.ts";
import { fitLogits, logitsOf, predicted } from "./logitRows.ts";

const FORMAT = "logits/kl-matching-detector";
/** Rows that are taken together. */
const ROWS = 256;

/** Options of `KLMatchingDetector.fit`. */
export interface KLMatchingOptions {
  /** int32 [N], in [0, C): the classes of the rows. Default the predicted ones. */
  readonly labels?: TensorLike;
}

/** What `KLMatchingDetector` writes as JSON. */
export interface KLMatchingDetectorJSON {
  readonly format: "logits/kl-matching-detector";
  readonly version: 1;
  /** C. */
  readonly classes: number;
  /** int32 [K], ascending: the classes that had rows. */
  readonly supportedClasses: TensorJSON;
  /** float32 [K, C]: log of the templates. */
  readonly templates: TensorJSON;
}

/**
 * How far a row's probabilities are from the nearest of the shapes that the classes usually have. Higher = more out-of-distribution.
 *
 *   score(z) = min_k KL(p || d_k) = min_k sum_c p_c (log p_c - log d_kc),  p = softmax(z),  d_k = the mean of p over the rows of the fit that are predicted as k
 *
 * In nats. No labels needed: rows count for the class that they are predicted as, as in OpenOOD; with `labels` for that one. A class without rows has no template (`supportedClasses` says which remain).
 * For many classes (ImageNet), where the classes confused with each other tell more than the largest probability; fit it on rows that did not train the model.
 *
 * Templates are kept as logarithms that never underflow; the nearest is found in float32, its divergence computed in float64.
 *
 * Source: Hendrycks et al., "Scaling out-of-distribution detection for real-world settings", ICML 2022, section 4.1.
 */
export class KLMatchingDetector implements Detector {
  /** The format that `toJSON` writes: by it a reader finds the class. */
  static readonly format: string = FORMAT;
  readonly method = "klMatching";
  readonly needs: readonly DetectorNeeds[] = ["logits"];
  /** C. */
  readonly classes: number;
  /** The classes that have a template, ascending. */
  readonly supportedClasses: readonly number[];
  /** Recognises the rows of the fit, by their logits; undefined when read from JSON. */
  readonly fingerprints: Fingerprints | undefined;
  readonly #templates: KeptMatrix;

  private constructor(classes: number, supported: readonly number[], templates: KeptMatrix, fingerprints: Fingerprints | undefined) {
    this.classes = classes;
    this.supportedClasses = Object.freeze(supported);
    this.#templates = templates;
    this.fingerprints = fingerprints;
    Object.freeze(this);
  }

  /**
   * Templates of the classes.
   *
   * @param logits - float32 [N, C], finite, N >= 1, C >= 1
   * @param options - `labels` (the predicted classes)
   * @throws RangeError for other shapes, a logit that is not finite (named), a label outside [0, C)
   * @example
   *   KLMatchingDetector.fit([[2, 0], [0, 2]]).score({ logits: [[2, 0], [0, 0]] }); // 0, 0.4338
   */
  static fit(logits: TensorLike, options: KLMatchingOptions = {}): KLMatchingDetector {
    return runSteps(KLMatchingDetector.fitSteps("KLMatchingDetector.fit", logits, options));
  }

  /** `fit` with pauses: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(logits: TensorLike, options: KLMatchingOptions & LongWorkOptions = {}): Promise<KLMatchingDetector> {
    return runStepsAsync(KLMatchingDetector.fitSteps("KLMatchingDetector.fitAsync", logits, options), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, logits: TensorLike, options: KLMatchingOptions): Steps<KLMatchingDetector> {
    const z = fitLogits(where, logits), [rows, classes] = z.shape;
    const labels = options.labels === undefined ? undefined : asInt32(where, "labels", options.labels);
    if (labels !== undefined) {
      checkShape(where, "labels", labels, [rows]);
      checkLabels(where, "labels", labels, classes);
    }
    const fingerprints = new Fingerprints();
    const logP = new Float64Array(classes), p = new Float32Array(classes);
    // log sum_n p_nc for each class of rows: the largest log p so far and the sum of the others' ratios to it.
    const top = new Float64Array(classes * classes).fill(-Infinity), sums = new Float64Array(classes * classes), counts = new Int32Array(classes);
    for (let from = 0; from < rows; from += ROWS) {
      const to = Math.min(rows, from + ROWS), part = { data: z.data.subarray(from * classes, to * classes), shape: [to - from, classes] };
      fingerprints.add(part);
      for (let n = from; n < to; n++) {
        distribution(z.data, n * classes, logP, p, 0);
        const k = labels === undefined ? predicted(z.data, classes, n) : labels.data[n];
        counts[k]++;
        for (let c = 0, at = k * classes; c < classes; c++, at++) {
          const value = logP[c];
          if (value <= top[at]) sums[at] += exp(value - top[at]);
          else {
            sums[at] = sums[at] * exp(top[at] - value) + 1;
            top[at] = value;
          }
        }
      }
      yield to / rows;
    }
    const supported = Array.from(counts.keys()).filter((k) => counts[k] > 0), templates = new Float32Array(supported.length * classes);
    supported.forEach((k, i) => {
      for (let c = 0; c < classes; c++) templates[i * classes + c] = top[k * classes + c] + log(sums[k * classes + c] / counts[k]);
    });
    return new KLMatchingDetector(classes, supported, new KeptMatrix(templates, [supported.length, classes]), fingerprints);
  }

  /**
   * One score per row; the same bits alone and in any batch.
   *
   * @param rows - `logits` float32 [..., C]; -Infinity = impossible class
   * @returns float32 [...], >= 0. A row with NaN, with +Infinity or of -Infinity only: NaN
   * @throws RangeError without `logits`, or for another width
   */
  score(rows: DetectorRows): Tensor<"float32"> {
    const { classes } = this;
    const { z, count } = logitsOf("KLMatchingDetector.score", rows, classes);
    const scores = new Float32Array(count);
    for (let first = 0; first < count; first += ROWS) {
      const some = Math.min(ROWS, count - first), p = new Float32Array(some * classes), logP = new Float64Array(some * classes);
      for (let n = 0; n < some; n++) distribution(z.data, (first + n) * classes, logP.subarray(n * classes, (n + 1) * classes), p, n * classes);
      const near = matmul({ data: p, shape: [some, classes] }, this.#templates.tensor, { transposeB: true }).data;
      const templates = this.#templates.data, kinds = this.supportedClasses.length;
      for (let n = 0; n < some; n++) {
        const best = predicted(near, kinds, n) * classes;
        let sum = best < 0 ? NaN : 0;
        for (let c = 0, i = n * classes; c < classes; c++, i++) {
          // A NaN counts.
          if (p[i] !== 0) sum += p[i] * (logP[i] - templates[best + c]);
        }
        scores[first + n] = sum < 0 ? 0 : sum;
      }
    }
    return new Tensor("float32", z.shape.slice(0, -1), scores);
  }

  /** Gives the WebAssembly memory back at once; without it that happens when the object is collected. The detector is of no use afterwards. */
  dispose(): void {
    this.#templates.dispose();
  }

  toJSON(): KLMatchingDetectorJSON {
    const { classes, supportedClasses } = this;
    return {
      format: FORMAT, version: 1, classes,
      supportedClasses: tensorToJSON(new Tensor("int32", [supportedClasses.length], Int32Array.from(supportedClasses))),
      templates: tensorToJSON(new Tensor("float32", [...this.#templates.shape], this.#templates.data)),
    };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): KLMatchingDetector {
    const fields = readJson("KLMatchingDetector.fromJSON", json, FORMAT, 1, "@logits/ood");
    const classes = fields.integer("classes", 1, 2 ** 31 - 1), supported = Array.from(fields.tensor("supportedClasses", "int32", 1).data), templates = fields.tensor("templates", "float32", 2);
    if (supported.length === 0 || supported.some((k, i) => k < 0 || k >= classes || (i > 0 && k <= supported[i - 1]))) fields.fail("supportedClasses", `ascending in [0, ${classes})`, `[${supported.join(", ")}]`);
    if (templates.shape[0] !== supported.length || templates.shape[1] !== classes) fields.fail("templates", `of shape [${supported.length}, ${classes}]`, `[${templates.shape.join(", ")}]`);
    return new KLMatchingDetector(classes, supported, new KeptMatrix(templates.data.slice(), [supported.length, classes]), undefined);
  }
}

/** log softmax and softmax of the row of z from `from` on, in float64: the same bits wherever the row stands. */
function distribution(z: Float32Array, from: number, logP: Float64Array, p: Float32Array, to: number): void {
  let top = -Infinity, sum = 0;
  for (let c = 0; c < logP.length; c++) top = Math.max(top, z[from + c]);
  for (let c = 0; c < logP.length; c++) sum += p[to + c] = exp(z[from + c] - top);
  const rest = log(sum);
  for (let c = 0; c < logP.length; c++) {
    logP[c] = z[from + c] - top - rest;
    p[to + c] /= sum;
  }
}

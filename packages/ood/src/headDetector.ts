import { logitStatistics, nearestNeighbors } from "@logits/core-wasm";
import { Tensor, asFloat32, checkShape, rangeError, readJson, runSteps, runStepsAsync, tensorToJSON, type LongWorkOptions, type Steps, type TensorJSON, type TensorLike } from "@logits/tensor";
import type { Detector, DetectorNeeds, DetectorRows } from "./detector.ts";
import { checkFinite, featuresOf } from "./featureRows.ts";
import { Fingerprints } from "./fingerprints.ts";
import { HeadLayer, type LinearHead, type LinearHeadJSON } from "./linearHead.ts";
import { predicted, settleRow } from "./logitRows.ts";

const FORMAT = "logits/head-detector";
const METHODS = ["fdbd", "nci", "gradNorm"] as const;
/** Rows that go through the layer together. */
const ROWS = 512;

/** How a `HeadDetector` reads features beside the classifier's last layer. */
export type HeadDetectorMethod = (typeof METHODS)[number];

/** Options of `HeadDetector.fit`. */
export interface HeadDetectorOptions {
  /** float32 [N, F], finite: for "fdbd" and "nci", which fit their mean. */
  readonly features?: TensorLike;
  /** Of "nci": what the size of the features counts for, >= 0. Default 1e-4. */
  readonly alpha?: number;
}

/** What `HeadDetector` writes as JSON. */
export interface HeadDetectorJSON extends LinearHeadJSON {
  readonly format: "logits/head-detector";
  readonly version: 1;
  readonly method: HeadDetectorMethod;
  /** float32 [F]: the mean feature, of "fdbd" and "nci". */
  readonly mean?: TensorJSON;
  /** Of "nci". */
  readonly alpha?: number;
}

/**
 * Where a row's features stand among the weights of the classifier's last layer. Higher = more out-of-distribution. z = f . weights + bias, y its largest, w_c the weights of class c, m the mean feature of the fit.
 *
 *   fdbd      -(the mean of (z_y - z_c) / |w_y - w_c| over c other than y) / |f - m|
 *   nci       -(w_y . (f - m) / |f - m| + alpha |f|_1)
 *   gradNorm  -|f|_1 sum_c |C p_c - 1|, p = softmax(z)
 *
 * `fdbd` is the distance to the boundaries between classes, of which those near the mean have little; `nci` how far the features point the way of the class that they are given; `gradNorm` the length (L1) of the gradient of the
 * cross-entropy to the uniform distribution by the weights, in closed form: no backward pass.
 * `fdbd` first: it has no setting. `gradNorm` needs no fit, and fails where features may be negative (transformers).
 *
 * Two classes with the same weights have no boundary between them: they are left out of the mean of each other. At f = m: `fdbd` -Infinity, or 0 where all logits are equal too; the first term of `nci` is 0.
 *
 * Sources: Liu, Qin, "Fast decision boundary based out-of-distribution detector", ICML 2024 (fdbd); Liu, Qin, "Detecting out-of-distribution through the lens of neural collapse", CVPR 2025 (nci); Huang, Geng, Li,
 * "On the importance of gradients for detecting distributional shifts in the wild", NeurIPS 2021 (gradNorm).
 */
export class HeadDetector implements Detector {
  /** The format that `toJSON` writes: by it a reader finds the class. */
  static readonly format: string = FORMAT;
  readonly method: HeadDetectorMethod;
  readonly needs: readonly DetectorNeeds[] = ["features"];
  /** F. */
  readonly features: number;
  /** C. */
  readonly classes: number;
  /** Of "nci"; undefined for the others. */
  readonly alpha: number | undefined;
  /** Recognises the rows of the fit of "fdbd" and "nci"; undefined when nothing was fitted or it was read from JSON. */
  readonly fingerprints: Fingerprints | undefined;
  readonly #head: HeadLayer;
  readonly #mean: Float32Array;
  /** Of "fdbd": 1 / |w_c - w_k|, 0 for equal ones, and how many differ from c; of "nci": the weights of each class, one after the other. */
  readonly #between: Float64Array;
  readonly #others: Int32Array;

  private constructor(method: HeadDetectorMethod, head: HeadLayer, mean: Float32Array, alpha: number, fingerprints: Fingerprints | undefined) {
    const { features, classes } = head;
    this.method = method;
    this.features = features;
    this.classes = classes;
    this.alpha = method === "nci" ? alpha : undefined;
    this.fingerprints = fingerprints;
    this.#head = head;
    this.#mean = mean;
    this.#others = new Int32Array(classes);
    this.#between = method === "gradNorm" ? new Float64Array(0) : transposed(head);
    if (method === "fdbd") this.#between = inverseDistances(Float32Array.from(this.#between), classes, features, this.#others);
    Object.freeze(this);
  }

  /**
   * The detector of a method for a classifier's last layer.
   *
   * @param method - "fdbd", "nci" or "gradNorm"
   * @param head - `weights` float32 [F, C], `bias` float32 [C]
   * @param options - `features` float32 [N, F] for "fdbd" and "nci", `alpha` (1e-4) of "nci"
   * @throws RangeError for another method or shape, numbers that are not finite (named), "fdbd" and "nci" without `features`, "fdbd" with fewer than two classes, an `alpha` that is negative or of another method
   * @example
   *   const head = { weights: [[2, 0], [0, 2]] };
   *   HeadDetector.fit("fdbd", head, { features: [[1, 1], [1, 1]] }).score({ features: [[3, 1], [1.5, 1]] }); // -0.7071, -0.7071
   */
  static fit(method: HeadDetectorMethod, head: LinearHead, options: HeadDetectorOptions = {}): HeadDetector {
    return runSteps(HeadDetector.fitSteps("HeadDetector.fit", method, head, options));
  }

  /** `fit` with pauses: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(method: HeadDetectorMethod, head: LinearHead, options: HeadDetectorOptions & LongWorkOptions = {}): Promise<HeadDetector> {
    return runStepsAsync(HeadDetector.fitSteps("HeadDetector.fitAsync", method, head, options), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, method: HeadDetectorMethod, head: LinearHead, options: HeadDetectorOptions): Steps<HeadDetector> {
    if (!METHODS.includes(method)) throw rangeError(where, "method", METHODS.map((known) => `"${known}"`).join(", "), `${method}`);
    const layer = HeadLayer.of(where, head), { features, classes } = layer, { alpha = 1e-4 } = options;
    if (method !== "nci" && options.alpha !== undefined) throw rangeError(where, "alpha", `nothing for ${method}`, `${alpha}`);
    if (!(alpha >= 0 && alpha < Infinity)) throw rangeError(where, "alpha", "a finite number >= 0", `${alpha}`);
    if (method === "gradNorm") return new HeadDetector(method, layer, new Float32Array(0), alpha, undefined);
    if (method === "fdbd" && classes < 2) throw rangeError(where, "weights", "of at least two classes for the method fdbd", "1");
    if (options.features === undefined) throw rangeError(where, "features", `for the method ${method}`, "none");
    const x = asFloat32(where, "features", options.features);
    checkShape(where, "features", x, ["N", "F"]);
    const [rows, width] = x.shape;
    if (width !== features || rows === 0) throw rangeError(where, "features", `of shape [N, ${features}], N >= 1`, `[${rows}, ${width}]`);
    const fingerprints = new Fingerprints(), sum = new Float64Array(width);
    for (let from = 0; from < rows; from += ROWS) {
      const to = Math.min(rows, from + ROWS);
      checkFinite(where, x.data, width, from, to);
      fingerprints.add({ data: x.data.subarray(from * width, to * width), shape: [to - from, width] });
      for (let i = from * width, j = 0; i < to * width; i++) {
        sum[j] += x.data[i];
        if (++j === width) j = 0;
      }
      yield to / rows;
    }
    return new HeadDetector(method, layer, Float32Array.from(sum, (value) => value / rows), alpha, fingerprints);
  }

  /**
   * One score per row; the same bits alone and in any batch.
   *
   * @param rows - `features` float32 [..., F]
   * @returns float32 [...]. A row with NaN: NaN. With an infinity, or whose logits are beyond float32: Infinity
   * @throws RangeError without `features`, or for another width
   */
  score(rows: DetectorRows): Tensor<"float32"> {
    const { features, classes, method } = this;
    const { x, count } = featuresOf("HeadDetector.score", rows, features);
    const scores = new Float32Array(count), width = features + 1;
    for (let first = 0; first < count; first += ROWS) {
      const some = Math.min(ROWS, count - first), padded = new Float32Array(some * width).fill(1);
      for (let n = 0; n < some; n++) padded.set(x.data.subarray((first + n) * features, (first + n + 1) * features), n * width);
      const logits = this.#head.logits(padded), uniform = method === "gradNorm" ? logitStatistics(logits, { select: ["uniformDistance"] }).uniformDistance.data : undefined;
      for (let n = 0; n < some; n++) {
        const row = x.data.subarray((first + n) * features, (first + n + 1) * features), z = logits.data.subarray(n * classes, (n + 1) * classes);
        const beyond = settleRow(row) ?? (settleRow(z) === undefined ? undefined : Infinity);
        scores[first + n] = beyond ?? (uniform === undefined ? this.#one(row, z) : 0 - absoluteSum(row) * uniform[n]);
      }
    }
    return new Tensor("float32", x.shape.slice(0, -1), scores);
  }

  /** Gives the WebAssembly memory back at once; without it that happens when the object is collected. The detector is of no use afterwards. */
  dispose(): void {
    this.#head.dispose();
  }

  toJSON(): HeadDetectorJSON {
    const { method, alpha, features } = this;
    return {
      format: FORMAT, version: 1, method, ...this.#head.toJSON(),
      ...(method !== "gradNorm" && { mean: tensorToJSON(new Tensor("float32", [features], this.#mean)) }), ...(method === "nci" && { alpha }),
    };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): HeadDetector {
    const fields = readJson("HeadDetector.fromJSON", json, FORMAT, 1, "@logits/ood");
    const method = fields.oneOf("method", METHODS), head = HeadLayer.read(fields);
    const mean = method === "gradNorm" ? new Float32Array(0) : fields.tensor("mean", "float32", 1).data;
    if (method !== "gradNorm" && mean.length !== head.features) fields.fail("mean", `of shape [${head.features}]`, `[${mean.length}]`);
    if (method === "fdbd" && head.classes < 2) fields.fail("weights", "of at least two classes", `${head.classes}`);
    return new HeadDetector(method, head, mean.slice(), method === "nci" ? fields.number("alpha", 0) : 0, undefined);
  }

  #one(row: Float32Array, z: Float32Array): number {
    const { features, classes } = this, mean = this.#mean, between = this.#between, y = predicted(z, classes, 0);
    let square = 0;
    for (let j = 0; j < features; j++) square += (row[j] - mean[j]) * (row[j] - mean[j]);
    const distance = Math.sqrt(square);
    let sum = 0;
    if (this.method === "fdbd") {
      const others = this.#others[y];
      for (let c = 0, at = y * classes; c < classes; c++, at++) sum += (z[y] - z[c]) * between[at];
      return others === 0 || sum === 0 ? 0 : -(sum / others / distance);
    }
    for (let j = 0, at = y * features; j < features; j++, at++) sum += between[at] * (row[j] - mean[j]);
    return 0 - ((distance === 0 ? 0 : sum / distance) + this.alpha! * absoluteSum(row));
  }
}

function absoluteSum(row: Float32Array): number {
  let sum = 0;
  for (let j = 0; j < row.length; j++) sum += Math.abs(row[j]);
  return sum;
}

/** The weights [C, F]. */
function transposed({ data, features, classes }: HeadLayer): Float64Array {
  const out = new Float64Array(features * classes);
  for (let f = 0; f < features; f++) for (let c = 0; c < classes; c++) out[c * features + f] = data[f * classes + c];
  return out;
}

/** 1 / |w_c - w_k| for all pairs, 0 for equal ones; `others`: how many differ from c. */
function inverseDistances(weights: Float32Array, classes: number, features: number, others: Int32Array): Float64Array {
  const rows = { data: weights, shape: [classes, features] }, { distances, indices } = nearestNeighbors(rows, rows, classes), out = new Float64Array(classes * classes);
  for (let c = 0, at = 0; c < classes; c++) {
    for (let i = 0; i < classes; i++, at++) {
      const square = distances.data[at];
      if (!(square > 0 && indices.data[at] >= 0)) continue;
      out[c * classes + indices.data[at]] = 1 / Math.sqrt(square);
      others[c]++;
    }
  }
  return out;
}

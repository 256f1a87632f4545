import { logitStatistics } from "@logits/core-wasm";
import { exp } from "@logits/statistics";
import { Tensor, asFloat32, checkShape, lastingData, rangeError, readJson, runSteps, runStepsAsync, type LongWorkOptions, type Steps, type TensorLike } from "@logits/tensor";
import type { Detector, DetectorNeeds, DetectorRows } from "./detector.ts";
import { checkFinite, featuresOf, settle } from "./featureRows.ts";
import { Fingerprints } from "./fingerprints.ts";
import { floatQuantileSteps } from "./floatQuantile.ts";
import { kthLargest } from "./kthLargest.ts";
import { HeadLayer, type LinearHead, type LinearHeadJSON } from "./linearHead.ts";

const FORMAT = "logits/shaped-energy-detector";
const METHODS = ["react", "ashP", "ashB", "ashS", "scale", "dice"] as const;
/** Rows that are shaped together. */
const ROWS = 512;
/** exp of at most this stays in float32: the sum of all activations over that of those kept is at most F over their number. */
const STEEPEST = 80;

/** How a `ShapedEnergyDetector` shapes activations or weights. */
export type ShapedEnergyMethod = (typeof METHODS)[number];

/** Options of `ShapedEnergyDetector.fit`. */
export interface ShapedEnergyOptions {
  /** float32 [N, F], finite: for "react" and "dice"; the others fit nothing. */
  readonly features?: TensorLike;
  /** In [0, 1). "react": the quantile of all activations at which they are cut; "ashP", "ashB", "ashS", "scale": the share of activations that is not kept; "dice": the share of weights. Default 0.9, of "scale" 0.85. */
  readonly level?: number;
  /** T of the energy, in [2^-126, 2^126]. Default 1. */
  readonly temperature?: number;
}

/** What `ShapedEnergyDetector` writes as JSON. */
export interface ShapedEnergyDetectorJSON extends LinearHeadJSON {
  readonly format: "logits/shaped-energy-detector";
  readonly version: 1;
  readonly method: ShapedEnergyMethod;
  readonly level: number;
  readonly temperature: number;
  /** Of "react": where activations are cut. */
  readonly limit?: number;
}

/**
 * The energy of the logits that the classifier's last layer gives for shaped activations. Higher = more out-of-distribution.
 *
 *   score(f) = -T log sum_c exp((shape(f) . weights + bias)_c / T)
 *
 *   react   min(f, limit), limit the `level` quantile of all activations of the fit
 *   ashP    the largest K activations, the others 0; K = F - round(F level)
 *   ashB    the largest K become (sum of all) / K, the others 0
 *   ashS    ashP times exp((sum of all) / (sum of the K largest))
 *   scale   all activations times exp((sum of all) / (sum of the K largest))
 *   dice    f itself, with those weights w_fc only whose contribution mean(f) w_fc lies above the `level` quantile of all
 *
 * `react` and `scale` first, on features after a ReLU; `react` where activations may be negative. ASH and SCALE mean nothing for negative activations (transformers with GELU): they refuse them.
 * Of equal activations those with the smaller index are kept; a row of zeros stays one.
 *
 * The quantile is numpy's (linear between order statistics), the rounding to even. Which rows fit matters: OpenOOD takes validation rows for "react" and training rows for "dice".
 *
 * Sources: Sun, Guo, Li, "ReAct: Out-of-distribution detection with rectified activations", NeurIPS 2021; Djurisic, Bozanic, Ashok, Liu, "Extremely simple activation shaping for
 * out-of-distribution detection", ICLR 2023 (ASH); Xu, Chen, Franchi, Yao, "Scaling for training time and post-hoc out-of-distribution detection enhancement", ICLR 2024 (SCALE); Sun, Li, "DICE: Leveraging
 * sparsification for out-of-distribution detection", ECCV 2022. The energy: Liu et al., NeurIPS 2020.
 */
export class ShapedEnergyDetector implements Detector {
  /** The format that `toJSON` writes: by it a reader finds the class. */
  static readonly format: string = FORMAT;
  readonly method: ShapedEnergyMethod;
  readonly needs: readonly DetectorNeeds[] = ["features"];
  readonly level: number;
  /** T. */
  readonly temperature: number;
  /** Where "react" cuts; Infinity for the others. */
  readonly limit: number;
  /** F. */
  readonly features: number;
  /** C. */
  readonly classes: number;
  /** Recognises the rows of the fit of "react" and "dice"; undefined when nothing was fitted or it was read from JSON. */
  readonly fingerprints: Fingerprints | undefined;
  readonly #head: HeadLayer;

  private constructor(method: ShapedEnergyMethod, level: number, temperature: number, limit: number, head: HeadLayer, fingerprints: Fingerprints | undefined) {
    this.method = method;
    this.level = level;
    this.temperature = temperature;
    this.limit = limit;
    this.features = head.features;
    this.classes = head.classes;
    this.fingerprints = fingerprints;
    this.#head = head;
    Object.freeze(this);
  }

  /** Whether a feature below 0 is an error. */
  get nonNegative(): boolean {
    return this.method !== "react" && this.method !== "dice";
  }

  /**
   * The detector of a method for a classifier's last layer.
   *
   * @param method - "react", "ashP", "ashB", "ashS", "scale" or "dice"
   * @param head - `weights` float32 [F, C], `bias` float32 [C]
   * @param options - `features` float32 [N, F] for "react" and "dice", `level` (0.9, of "scale" 0.85), `temperature` (1)
   * @throws RangeError for another method or shape, numbers that are not finite (named), a `level` outside [0, 1) or that keeps none (less than F / 80 of "ashS" and "scale"), "react" and "dice" without `features`
   * @example
   *   const head = { weights: [[1, 0], [0, 1]], bias: [0, 0] };
   *   ShapedEnergyDetector.fit("react", head, { features: [[0, 1], [2, 3]], level: 0.5 }).limit; // 1.5
   */
  static fit(method: ShapedEnergyMethod, head: LinearHead, options: ShapedEnergyOptions = {}): ShapedEnergyDetector {
    return runSteps(ShapedEnergyDetector.fitSteps("ShapedEnergyDetector.fit", method, head, options));
  }

  /** `fit` with pauses: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(method: ShapedEnergyMethod, head: LinearHead, options: ShapedEnergyOptions & LongWorkOptions = {}): Promise<ShapedEnergyDetector> {
    return runStepsAsync(ShapedEnergyDetector.fitSteps("ShapedEnergyDetector.fitAsync", method, head, options), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, method: ShapedEnergyMethod, head: LinearHead, options: ShapedEnergyOptions): Steps<ShapedEnergyDetector> {
    if (!METHODS.includes(method)) throw rangeError(where, "method", METHODS.map((known) => `"${known}"`).join(", "), `${method}`);
    const { level = method === "scale" ? 0.85 : 0.9, temperature = 1 } = options;
    const layer = HeadLayer.of(where, head), { features, classes } = layer;
    if (!(level >= 0 && level < 1)) throw rangeError(where, "level", "in [0, 1)", `${level}`);
    if (!(temperature >= 2 ** -126 && temperature <= 2 ** 126)) throw rangeError(where, "temperature", "in [2^-126, 2^126]", `${temperature}`);
    const least = fewest(method, features);
    if (keptOf(features, level) < least) throw rangeError(where, "level", `at which ${method} keeps at least ${least} of ${features} activations`, `${level}, which keeps ${keptOf(features, level)}`);
    if (method !== "react" && method !== "dice") return new ShapedEnergyDetector(method, level, temperature, Infinity, layer, undefined);
    if (options.features === undefined) throw rangeError(where, "features", `for the method ${method}`, "none");
    const x = asFloat32(where, "features", options.features);
    checkShape(where, "features", x, ["N", "F"]);
    const [rows, width] = x.shape;
    if (width !== features || rows === 0) throw rangeError(where, "features", `of shape [N, ${features}], N >= 1`, `[${rows}, ${width}]`);
    const fingerprints = new Fingerprints(), mean = new Float64Array(width);
    for (let from = 0; from < rows; from += ROWS) {
      const to = Math.min(rows, from + ROWS);
      checkFinite(where, x.data, width, from, to);
      fingerprints.add({ data: x.data.subarray(from * width, to * width), shape: [to - from, width] });
      for (let i = from * width, j = 0; i < to * width; i++) {
        mean[j] += x.data[i];
        if (++j === width) j = 0;
      }
      yield (0.3 * to) / rows;
    }
    if (method === "react") return new ShapedEnergyDetector(method, level, temperature, yield* floatQuantileSteps(lastingData(x), level), layer, fingerprints);
    const { data } = layer, contributions = Float32Array.from({ length: width * classes }, (_, i) => (mean[Math.floor(i / classes)] / rows) * data[i]);
    const limit = yield* floatQuantileSteps(contributions, level);
    for (let i = 0; i < contributions.length; i++) if (!(contributions[i] > limit)) data[i] = 0;
    return new ShapedEnergyDetector(method, level, temperature, Infinity, layer, fingerprints);
  }

  /**
   * One score per row; the same bits alone and in any batch.
   *
   * @param rows - `features` float32 [..., F]
   * @returns float32 [...]. A row with NaN: NaN. With an infinity, or whose logits are beyond float32: Infinity
   * @throws RangeError without `features`, for another width, and, by ASH and SCALE, for a negative activation (named)
   */
  score(rows: DetectorRows): Tensor<"float32"> {
    const where = "ShapedEnergyDetector.score";
    const { features, temperature } = this;
    const { x, count } = featuresOf(where, rows, features);
    const scores = new Float32Array(count);
    for (let first = 0; first < count; first += ROWS) {
      const some = Math.min(ROWS, count - first);
      const logits = this.#head.logits(this.#shaped(where, x.data, first, some, features + 1));
      scores.set(logitStatistics(logits, { temperature, select: ["energy"] }).energy.data, first);
      settle(scores.subarray(first, first + some), x.data, features, first);
    }
    return new Tensor("float32", x.shape.slice(0, -1), scores);
  }

  /**
   * The shaped activations, for other detectors on top; "dice" shapes weights and leaves them as they are.
   *
   * @param rows - `features` float32 [..., F]
   * @returns float32 [..., F]; NaN for NaN and, by ReAct, an infinity; by ASH and SCALE NaN everywhere in such a row
   * @throws as `score`
   */
  shape(rows: DetectorRows): Tensor<"float32"> {
    const { x, count } = featuresOf("ShapedEnergyDetector.shape", rows, this.features);
    return new Tensor("float32", x.shape, this.#shaped("ShapedEnergyDetector.shape", x.data, 0, count, this.features));
  }

  /** Gives the WebAssembly memory back at once; without it that happens when the object is collected. The detector is of no use afterwards. */
  dispose(): void {
    this.#head.dispose();
  }

  toJSON(): ShapedEnergyDetectorJSON {
    const { method, level, temperature, limit } = this;
    return { format: FORMAT, version: 1, method, level, temperature, ...this.#head.toJSON(), ...(method === "react" && { limit }) };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): ShapedEnergyDetector {
    const fields = readJson("ShapedEnergyDetector.fromJSON", json, FORMAT, 1, "@logits/ood");
    const method = fields.oneOf("method", METHODS), level = fields.number("level", 0, 1), head = HeadLayer.read(fields);
    if (keptOf(head.features, level) < fewest(method, head.features)) fields.fail("level", `one that keeps activations of ${method}`, `${level}`);
    return new ShapedEnergyDetector(method, level, fields.number("temperature", 2 ** -126, 2 ** 126), method === "react" ? fields.number("limit") : Infinity, head, undefined);
  }

  /** Rows [first, first + some) shaped, `width` elements apart; a 1 follows each where there is room. */
  #shaped(where: string, x: Float32Array, first: number, some: number, width: number): Float32Array {
    const { method, features, limit } = this, out = new Float32Array(some * width), ash = method !== "react" && method !== "dice";
    const kept = keptOf(features, this.level), work = new Float32Array(ash ? features : 0);
    for (let n = 0; n < some; n++) {
      const from = (first + n) * features, to = n * width;
      if (width > features) out[to + features] = 1;
      if (method === "react") for (let j = 0; j < features; j++) out[to + j] = x[from + j] - x[from + j] === 0 ? Math.min(x[from + j], limit) : NaN;
      else out.set(x.subarray(from, from + features), to);
      if (ash) shapeRow(where, method, out.subarray(to, to + features), kept, work, first + n);
    }
    return out;
  }
}

/** K = F - round(F level), to even. */
function keptOf(features: number, level: number): number {
  const share = features * level, whole = Math.floor(share), rest = share - whole;
  return features - (rest > 0.5 || (rest === 0.5 && whole % 2 === 1) ? whole + 1 : whole);
}

function fewest(method: ShapedEnergyMethod, features: number): number {
  return method === "react" || method === "dice" ? 0 : method === "ashS" || method === "scale" ? Math.ceil(features / STEEPEST) : 1;
}

/** ASH and SCALE on one row, in place. */
function shapeRow(where: string, method: ShapedEnergyMethod, row: Float32Array, kept: number, work: Float32Array, index: number): void {
  let sum = 0;
  for (let j = 0; j < row.length; j++) {
    if (row[j] < 0) throw rangeError(where, "features", `>= 0 for the method ${method}, as after a ReLU`, `${row[j]} in row ${index}, column ${j}`, 'Use "react", or a detector of distances');
    sum += row[j];
  }
  // A NaN or an infinity: nothing can be said of the row here, `settle` does.
  if (!(sum < Infinity)) {
    row.fill(NaN);
    return;
  }
  if (sum === 0) return;
  work.set(row);
  const least = kthLargest(work, kept);
  let large = 0, above = 0;
  for (let j = 0; j < row.length; j++) {
    if (row[j] > least) {
      large += row[j];
      above++;
    }
  }
  let ties = kept - above;
  large += ties * least;
  const factor = method === "ashP" || method === "ashB" ? 1 : exp(sum / large), fill = sum / kept;
  for (let j = 0; j < row.length; j++) {
    const keep = row[j] > least || (row[j] === least && ties-- > 0);
    row[j] = method === "scale" || keep ? (method === "ashB" ? fill : row[j] * factor) : 0;
  }
}

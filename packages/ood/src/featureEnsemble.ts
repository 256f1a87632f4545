import { newton } from "@logits/optimize";
import { exp, log1p } from "@logits/statistics";
import { ConvergenceError, Tensor, asFloat32, checkInteger, checkShape, partOf, rangeError, readJson, runSteps, runStepsAsync, type LongWorkOptions, type Steps, type TensorLike } from "@logits/tensor";
import type { Detector, DetectorNeeds, DetectorRows } from "./detector.ts";
import { featuresOf } from "./featureRows.ts";
import { Fingerprints } from "./fingerprints.ts";
import { MahalanobisDetector, type MahalanobisDetectorJSON, type MahalanobisFitOptions } from "./mahalanobis.ts";
import { partFromJSON } from "./partFromJSON.ts";

const FORMAT = "logits/feature-ensemble";

/** Options of `FeatureEnsemble.fit`. */
export interface FeatureEnsembleOptions extends MahalanobisFitOptions {
  /** F_1, ..., F_L: how many of the columns belong to each layer, in their order. */
  readonly widths: readonly number[];
  /** Weight of each layer's standardised distance, instead of 1 / sqrt(L). */
  readonly weights?: readonly number[];
  /** float32 [M, F]: rows known to be outside. With `inliers` the weights are a logistic regression. */
  readonly outliers?: TensorLike;
  /** float32 [M, F]: rows like those of the fit, which were not in it. */
  readonly inliers?: TensorLike;
}

/** What `FeatureEnsemble` writes as JSON. */
export interface FeatureEnsembleJSON {
  readonly format: "logits/feature-ensemble";
  readonly version: 1;
  readonly weights: readonly number[];
  readonly bias: number;
  readonly layers: readonly MahalanobisDetectorJSON[];
}

/**
 * A weighted sum of the Mahalanobis distances in several layers of a network. Higher = more out-of-distribution.
 *
 *   score(f) = bias + sum_l weights[l] (M_l(f_l) - F_l) / sqrt(2 F_l)
 *
 * f is the concatenation of the layers' features (pooled to one number a channel), M_l the score of `MahalanobisDetector` in layer l. A Gaussian row has M_l of mean F_l and variance 2 F_l, so the terms are on one
 * scale. With rows known to be outside, weights and bias are those of a logistic regression of outside against inside (ridge 1/2 |weights|^2, bias free), and the score is its log-odds: a layer that knows nothing gets
 * a weight near 0, one that is misleading a negative one. Without, all layers count alike: weights 1 / sqrt(L), bias 0.
 *
 * Source: Lee, Lee, Lee, Shin, "A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks", NeurIPS 2018, section 2.2 (feature ensemble, algorithm 1); the ridge is scikit-learn's default.
 */
export class FeatureEnsemble implements Detector {
  /** The format that `toJSON` writes: by it a reader finds the class. */
  static readonly format: string = FORMAT;
  readonly method = "featureEnsemble";
  readonly needs: readonly DetectorNeeds[] = ["features"];
  /** F, of all layers together. */
  readonly features: number;
  readonly layers: readonly MahalanobisDetector[];
  /** [L]. */
  readonly weights: readonly number[];
  readonly bias: number;
  /** Recognises the rows of the fit and the inliers; undefined when read from JSON. */
  readonly fingerprints: Fingerprints | undefined;

  private constructor(layers: readonly MahalanobisDetector[], weights: readonly number[], bias: number, fingerprints: Fingerprints | undefined) {
    this.features = layers.reduce((sum, { features }) => sum + features, 0);
    this.layers = Object.freeze([...layers]);
    this.weights = Object.freeze([...weights]);
    this.bias = bias;
    this.fingerprints = fingerprints;
    Object.freeze(this);
  }

  /**
   * A Mahalanobis detector for each layer, and their weights.
   *
   * @param features - float32 [N, F], finite: the layers' features side by side
   * @param labels - int32 [N], in [0, C)
   * @param options - `widths` (their sum is F), `weights` or `outliers` and `inliers`, `classes`, `shrinkage` of each layer
   * @throws RangeError for widths that do not add up, weights of another number or that are not finite, outliers without inliers or beside weights, and as `MahalanobisDetector.fit`
   * @example
   *   const ensemble = FeatureEnsemble.fit([[0, 5], [2, 9], [4, 7]], [0, 0, 0], { widths: [1, 1] });
   *   ensemble.weights; // 0.7071, 0.7071
   */
  static fit(features: TensorLike, labels: TensorLike, options: FeatureEnsembleOptions): FeatureEnsemble {
    return runSteps(FeatureEnsemble.fitSteps("FeatureEnsemble.fit", features, labels, options));
  }

  /** `fit` with pauses: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(features: TensorLike, labels: TensorLike, options: FeatureEnsembleOptions & LongWorkOptions): Promise<FeatureEnsemble> {
    return runStepsAsync(FeatureEnsemble.fitSteps("FeatureEnsemble.fitAsync", features, labels, options), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, features: TensorLike, labels: TensorLike, options: FeatureEnsembleOptions): Steps<FeatureEnsemble> {
    const { widths, weights, outliers, inliers } = options;
    const x = asFloat32(where, "features", features);
    checkShape(where, "features", x, ["N", "F"]);
    const [rows, width] = x.shape;
    if (!Array.isArray(widths) || widths.length === 0) throw rangeError(where, "widths", "a list of at least one layer", `${widths as unknown}`);
    for (const w of widths) checkInteger(where, "widths", w, 1, 32768);
    const total = widths.reduce((sum, w) => sum + w, 0);
    if (total !== width) throw rangeError(where, "widths", `that add up to the ${width} columns of \`features\``, `${total}`);
    if (weights !== undefined) {
      if (weights.length !== widths.length || !weights.every((w) => w - w === 0)) throw rangeError(where, "weights", `of ${widths.length} finite numbers`, `${weights.join(", ")}`);
      if (outliers !== undefined || inliers !== undefined) throw rangeError(where, "weights", "nothing beside rows to learn them from", `${weights.join(", ")}`);
    }
    if ((outliers === undefined) !== (inliers === undefined)) throw rangeError(where, outliers === undefined ? "outliers" : "inliers", "beside the other one", "none");
    const layers: MahalanobisDetector[] = [];
    for (let l = 0, from = 0; l < widths.length; from += widths[l++]) {
      const part = { data: columns(x.data, rows, width, from, widths[l]), shape: [rows, widths[l]] };
      layers.push(yield* partOf(MahalanobisDetector.fitSteps(where, part, labels, options), (0.9 * l) / widths.length, 0.9 / widths.length));
    }
    const fingerprints = new Fingerprints().add(x);
    const equal = new Array<number>(widths.length).fill(1 / Math.sqrt(widths.length));
    if (outliers === undefined || inliers === undefined) return new FeatureEnsemble(layers, weights ?? equal, 0, fingerprints);
    const [outside, inside] = ([["outliers", outliers], ["inliers", inliers]] as const).map(([argument, given]) => {
      const some = asFloat32(where, argument, given);
      checkShape(where, argument, some, ["M", "F"]);
      if (some.shape[0] === 0 || some.shape[1] !== width) throw rangeError(where, argument, `of shape [M, ${width}], M >= 1`, `[${some.shape.join(", ")}]`);
      const table = standardised(layers, some);
      const bad = table.findIndex((value) => value - value !== 0);
      if (bad >= 0) throw rangeError(where, argument, "with finite distances", `${table[bad]} in row ${Math.floor(bad / widths.length)}`);
      return table;
    });
    const learned = regression(where, outside, inside, widths.length);
    return new FeatureEnsemble(layers, Array.from(learned.subarray(0, -1)), learned[widths.length], fingerprints.add(asFloat32(where, "inliers", inliers)));
  }

  /**
   * One score per row; the same bits alone and in any batch.
   *
   * @param rows - `features` float32 [..., F]
   * @returns float32 [...], of any sign. A row with NaN: NaN. With an infinity, or too far for float32: Infinity
   * @throws RangeError without `features`, or for another width
   */
  score(rows: DetectorRows): Tensor<"float32"> {
    const { x, count } = featuresOf("FeatureEnsemble.score", rows, this.features), table = standardised(this.layers, x), { weights, bias } = this;
    const scores = Float32Array.from({ length: count }, (_, n) => {
      let sum = bias, far = false;
      for (let l = 0; l < weights.length; l++) {
        const value = table[n * weights.length + l];
        if (value === Infinity) far = true;
        else sum += weights[l] * value;
      }
      return far && sum === sum ? Infinity : sum;
    });
    return new Tensor("float32", x.shape.slice(0, -1), scores);
  }

  /** Gives back the WebAssembly memory at once; without it that happens when the object is collected. The detector is of no use afterwards. */
  dispose(): void {
    for (const layer of this.layers) layer.dispose();
  }

  toJSON(): FeatureEnsembleJSON {
    return { format: FORMAT, version: 1, weights: [...this.weights], bias: this.bias, layers: this.layers.map((layer) => layer.toJSON()) };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): FeatureEnsemble {
    const fields = readJson("FeatureEnsemble.fromJSON", json, FORMAT, 1, "@logits/ood");
    const list = fields.value("layers"), weights = fields.value("weights");
    if (!Array.isArray(list) || list.length === 0) return fields.fail("layers", "a list of at least one detector", JSON.stringify(list));
    const layers = list.map((item) => partFromJSON(fields, "layers", item));
    if (!Array.isArray(weights) || weights.length !== layers.length || !weights.every((w) => Number.isFinite(w))) return fields.fail("weights", `${layers.length} finite numbers`, JSON.stringify(weights));
    return new FeatureEnsemble(layers, weights as number[], fields.number("bias"), undefined);
  }
}

/** Columns [from, from + some) of x. */
function columns(x: Float32Array, rows: number, width: number, from: number, some: number): Float32Array {
  const out = new Float32Array(rows * some);
  for (let n = 0; n < rows; n++) out.set(x.subarray(n * width + from, n * width + from + some), n * some);
  return out;
}

/** (M_l - F_l) / sqrt(2 F_l) of each row and layer, [N, L]. */
function standardised(layers: readonly MahalanobisDetector[], x: Tensor<"float32">): Float64Array {
  const width = x.shape[x.shape.length - 1], rows = x.size / width, out = new Float64Array(rows * layers.length);
  for (let l = 0, from = 0; l < layers.length; from += layers[l++].features) {
    const { features } = layers[l];
    const distances = layers[l].score({ features: { data: columns(x.data, rows, width, from, features), shape: [rows, features] } }).data;
    for (let n = 0; n < rows; n++) out[n * layers.length + l] = (distances[n] - features) / Math.sqrt(2 * features);
  }
  return out;
}

/** Weights and bias, [L + 1], of the logistic regression with ridge 1/2 |weights|^2. */
function regression(where: string, outside: Float64Array, inside: Float64Array, layers: number): Float64Array {
  const p = layers + 1, row = new Float64Array(p);
  const fitted = newton((w, gradient, hessian) => {
    gradient.fill(0);
    hessian.fill(0);
    let loss = 0;
    for (const [table, sign] of [[outside, 1], [inside, -1]] as const) {
      for (let from = 0; from < table.length; from += layers) {
        row.set(table.subarray(from, from + layers));
        row[layers] = 1;
        let t = 0;
        for (let j = 0; j < p; j++) t += w[j] * row[j];
        // -log sigmoid(sign t), its derivative and curvature in t.
        const small = exp(-Math.abs(t)), wrong = sign * t >= 0 ? small / (1 + small) : 1 / (1 + small);
        loss += Math.max(0, -sign * t) + log1p(small);
        for (let j = 0; j < p; j++) {
          gradient[j] -= sign * wrong * row[j];
          for (let k = 0; k < p; k++) hessian[j * p + k] += wrong * (1 - wrong) * row[j] * row[k];
        }
      }
    }
    for (let j = 0; j < layers; j++) {
      loss += 0.5 * w[j] ** 2;
      gradient[j] += w[j];
      hessian[j * p + j] += 1;
    }
    return loss;
  }, new Float64Array(p), { gradientTolerance: 1e-8 * (outside.length + inside.length) });
  if (!fitted.converged) throw new ConvergenceError(`${where}: expected weights within the tolerance, got a gradient of ${fitted.gradientNorm}`, fitted.iterations, fitted.gradientNorm);
  return fitted.x;
}

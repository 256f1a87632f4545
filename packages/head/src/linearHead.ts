import { matmul } from "@logits/core-wasm";
import { LinearCrossEntropy, LinearScaling } from "@logits/core-wasm/linear";
import {
  ConvergenceError, Tensor, checkCsr, checkInteger, checkLabels, checkPositive, checkShape, isCsr, rangeError, readJson, runSteps, runStepsAsync, tensorToJSON,
  type CsrMatrix, type LongWorkOptions, type Steps, type TensorJSON, type TensorLike,
} from "@logits/tensor";
import { float32Of, int32Of } from "./arguments.ts";
import { classWeightOf, featureMoments, packColumns } from "./linearData.ts";
import { minimise } from "./linearFit.ts";
import type { Scorer } from "./scorer.ts";

const FORMAT = "logits/linear-head";

/** Options of `LinearHead.fit`. */
export interface LinearHeadOptions {
  /** C; default the largest label plus 1. */
  readonly classes?: number;
  /** Weight of the penalty, a finite number > 0; default 1e-4. 1 / (C N) is scikit-learn's `C`. */
  readonly l2?: number;
  /** Weight of the rows of each class: `"balanced"` is N / (C rows of the class); or one number >= 0 per class. Default 1 for each. */
  readonly classWeight?: "balanced" | TensorLike;
  /** Stops when the norm of the gradient, in standardised variables, is at most this share of that at zero; in [1e-6, 1). Default 1e-3. */
  readonly tolerance?: number;
  /** Steps at most, integer >= 1; default 1000. */
  readonly maxIterations?: number;
}

/** How a fit went. */
export interface LinearHeadFit {
  /** Rows. */
  readonly n: number;
  readonly l2: number;
  /** Weighted mean cross-entropy of the rows plus the penalty, in nats. */
  readonly loss: number;
  /** Norm of the gradient over that at zero. */
  readonly gradientNorm: number;
  readonly iterations: number;
  /** Passes over the rows. */
  readonly evaluations: number;
}

/** What `LinearHead` writes as JSON. */
export interface LinearHeadJSON {
  readonly format: "logits/linear-head";
  readonly version: 1;
  readonly weights: TensorJSON;
  /** 0 for an unseen class. */
  readonly bias: TensorJSON;
  /** Classes whose bias is -Infinity. */
  readonly unseen: TensorJSON;
  readonly fit?: LinearHeadFit;
}

/**
 * A linear classifier on features, by multinomial logistic regression (softmax regression).
 *
 *   z[n] = W' x[n] + b,   minimise sum_n v_n (log sum_c exp(z[n, c]) - z[n, y_n]) / sum_n v_n + (l2 / 2) |W|^2
 *
 * Convex, with one optimum in W; b is not penalised.
 *
 * Source: Bishop, Pattern Recognition and Machine Learning (2006), 4.3.4.
 */
export class LinearHead implements Scorer {
  /** float32 [F, C]. */
  readonly weights: Tensor<"float32">;
  /** float32 [C]; -Infinity for a class without a row in the fit. */
  readonly bias: Tensor<"float32">;
  /** F. */
  readonly features: number;
  /** C. */
  readonly classes: number;
  /** How the fit went; undefined for a head from weights. */
  readonly fitted: LinearHeadFit | undefined;

  private constructor(weights: Tensor<"float32">, bias: Tensor<"float32">, fitted: LinearHeadFit | undefined) {
    this.weights = weights;
    this.bias = bias;
    [this.features, this.classes] = weights.shape;
    this.fitted = fitted && Object.freeze({ ...fitted });
    Object.freeze(this);
  }

  /**
   * Fits W and b on labelled rows.
   *
   * @param features - float32 [N, F] or CSR, N at least 1, finite
   * @param labels - int32 [N], in [0, C)
   * @param options - `classes`, `l2`, `classWeight`, `tolerance`, `maxIterations`
   * @returns the fitted head. A class without a row (or of weight 0) gets weights 0 and bias -Infinity: the limit that the loss tends to. One class: logits 0. A feature that is
   *   0 or constant in all rows: weights 0. F may exceed N and may be 0.
   * @throws RangeError for no rows, another shape, NaN or an infinity (the row is named), a label outside [0, C), an option out of range;
   *   ConvergenceError if the tolerance was not reached
   * @example
   *   LinearHead.fit([[0], [1], [2], [3]], [0, 0, 1, 1], { l2: 0.01 }).logits([[4]]); // [[-5.79, 5.79]]
   */
  static fit(features: TensorLike | CsrMatrix, labels: TensorLike, options: LinearHeadOptions = {}): LinearHead {
    return runSteps(LinearHead.fitSteps("LinearHead.fit", features, labels, options));
  }

  /** `fit` with pauses at least every 16 ms, but while room for a matrix [F, C] is made (25 MB: 10 to 40 ms): the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(features: TensorLike | CsrMatrix, labels: TensorLike, options: LinearHeadOptions & LongWorkOptions = {}): Promise<LinearHead> {
    return runStepsAsync(LinearHead.fitSteps("LinearHead.fitAsync", features, labels, options), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, features: TensorLike | CsrMatrix, labels: TensorLike, options: LinearHeadOptions = {}): Steps<LinearHead> {
    const { l2 = 1e-4, classWeight, tolerance = 1e-3, maxIterations = 1000 } = options;
    const x = isCsr(features) ? checkCsr(where, "features", features) : float32Of(where, "features", features);
    if (!isCsr(x)) checkShape(where, "features", x, ["N", "F"]);
    const y = int32Of(where, "labels", labels);
    const [n, width] = x.shape;
    if (n === 0) throw rangeError(where, "features", "with at least one row", `shape [0, ${width}]`);
    if (y.shape.length !== 1 || y.size !== n) throw rangeError(where, "labels", `of shape [${n}]`, `[${y.shape.join(", ")}]`);
    const { classes = Math.max(0, y.data.reduce((top, label) => Math.max(top, label), -1)) + 1 } = options;
    checkInteger(where, "classes", classes, 1, 16777216);
    checkLabels(where, "labels", y, classes);
    checkPositive(where, "l2", l2);
    if (!(tolerance >= 1e-6 && tolerance < 1)) throw rangeError(where, "tolerance", "in [1e-6, 1)", `${tolerance}`);
    checkInteger(where, "maxIterations", maxIterations, 1, Number.MAX_SAFE_INTEGER);
    const { seen, rowWeights } = classWeightOf(where, y.data, classes, classWeight);
    const place = new Int32Array(classes);
    seen.forEach((label, i) => (place[label] = i));
    const { packed, columns } = isCsr(x) ? yield* packColumns(x) : { packed: x, columns: undefined };
    const { mean, variance } = yield* featureMoments(where, packed, columns, rowWeights);

    // Rows of a class of weight 0 stay; which class they count for does not matter.
    const loss = new LinearCrossEntropy(packed, new Tensor("int32", [n], y.data.map((label) => place[label])), rowWeights, seen.length);
    // The diagonal of the Hessian by w at zero: then it is 1 by u.
    const share = (1 - 1 / seen.length) / seen.length;
    const scale = Float32Array.from(variance, (v) => 1 / Math.sqrt(share * v + l2));
    const optimum = yield* minimise(loss, new LinearScaling(scale, mean), l2, 1, tolerance, maxIterations);
    const { value, gradientNorm, iterations, evaluations, reason, parameters } = optimum;
    if (reason === "overflow") throw new ConvergenceError(`${where}: expected sums over the rows that float32 holds, got an infinite gradient. Scale the features down`, iterations, gradientNorm);
    if (reason !== "gradient") {
      const why = reason === "iterations" ? `${iterations} iterations` : "a line search without a lower point";
      throw new ConvergenceError(`${where}: expected a gradient of at most ${tolerance} of that at zero, got ${gradientNorm.toPrecision(3)} after ${why}. Raise \`l2\`, \`tolerance\` or \`maxIterations\``, iterations, gradientNorm);
    }
    const stride = loss.shape[1];
    const weights = new Float32Array(width * classes), bias = new Float32Array(classes).fill(-Infinity);
    for (let k = 0; k < loss.features; k++) {
      const f = columns ? columns[k] : k;
      for (let i = 0; i < seen.length; i++) weights[f * classes + seen[i]] = parameters[k * stride + i];
      if (k % 512 === 0) yield 0.99;
    }
    for (let i = 0; i < seen.length; i++) bias[seen[i]] = parameters[loss.features * stride + i];
    return new LinearHead(new Tensor("float32", [width, classes], weights), new Tensor("float32", [classes], bias), { n, l2, loss: value, gradientNorm, iterations, evaluations });
  }

  /**
   * A head of given weights, such as the last layer of a network.
   *
   * @param weights - float32 [F, C], finite
   * @param bias - float32 [C], finite or -Infinity (a class that is never predicted)
   * @throws RangeError for another shape, or a number that is not finite
   * @example
   *   LinearHead.fromWeights([[1, 0], [0, 1]], [0, 0]).logits([[2, 3]]); // [[2, 3]]
   */
  static fromWeights(weights: TensorLike, bias: TensorLike): LinearHead {
    const where = "LinearHead.fromWeights";
    const w = float32Of(where, "weights", weights), b = float32Of(where, "bias", bias);
    checkShape(where, "weights", w, ["F", "C"]);
    const [features, classes] = w.shape;
    if (classes === 0) throw rangeError(where, "weights", "with at least one class", `shape [${features}, 0]`);
    if (b.shape.length !== 1 || b.size !== classes) throw rangeError(where, "bias", `of shape [${classes}]`, `[${b.shape.join(", ")}]`);
    const bad = w.data.findIndex((v) => v - v !== 0);
    if (bad >= 0) throw rangeError(where, "weights", "of finite numbers", `${w.data[bad]} in row ${Math.floor(bad / classes)}, column ${bad % classes}`);
    const odd = b.data.findIndex((v) => v - v !== 0 && v !== -Infinity);
    if (odd >= 0) throw rangeError(where, "bias", "of numbers that are finite or -Infinity", `${b.data[odd]} at index ${odd}`);
    return new LinearHead(new Tensor("float32", w.shape, w.data.slice()), new Tensor("float32", b.shape, b.data.slice()), undefined);
  }

  /**
   * Unnormalised log-probabilities.
   *
   * @param features - float32 [N, F], one row [F], or CSR
   * @returns float32 [N, C] or [C]; a row with NaN: NaN (an unseen class, too). A row's result does not depend on the rows beside it.
   * @throws RangeError for another width
   */
  logits(features: TensorLike | CsrMatrix): Tensor<"float32"> {
    const where = "LinearHead.logits";
    const { classes, weights, bias } = this;
    if (isCsr(features)) {
      const x = checkCsr(where, "features", features);
      if (x.shape[1] !== this.features) throw rangeError(where, "features", `of ${this.features} columns`, `shape [${x.shape.join(", ")}]`);
      return new Tensor("float32", [x.shape[0], classes], sparseLogits(x, weights.data, bias.data));
    }
    const x = float32Of(where, "features", features);
    if (x.shape.length < 1 || x.shape.length > 2 || x.shape[x.shape.length - 1] !== this.features) throw rangeError(where, "features", `of shape [N, ${this.features}] or [${this.features}]`, `[${x.shape.join(", ")}]`);
    const rows = x.shape.length === 2 ? x.shape[0] : 1;
    const z = matmul(new Tensor("float32", [rows, this.features], x.data), weights);
    const { data } = z;
    for (let n = 0, i = 0; n < rows; n++) for (let c = 0; c < classes; c++, i++) data[i] += bias.data[c];
    return new Tensor("float32", [...x.shape.slice(0, -1), classes], data);
  }

  toJSON(): LinearHeadJSON {
    const { weights, bias, fitted } = this;
    const unseen = Int32Array.from([...bias.data.keys()].filter((c) => bias.data[c] === -Infinity));
    return {
      format: FORMAT,
      version: 1,
      weights: tensorToJSON(weights),
      bias: tensorToJSON(new Tensor("float32", bias.shape, bias.data.map((v) => (v === -Infinity ? 0 : v)))),
      unseen: tensorToJSON(new Tensor("int32", [unseen.length], unseen)),
      ...(fitted && { fit: fitted }),
    };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): LinearHead {
    const where = "LinearHead.fromJSON";
    const fields = readJson(where, json, FORMAT, 1, "@logits/head");
    const weights = fields.tensor("weights", "float32", 2), bias = fields.tensor("bias", "float32", 1), unseen = fields.tensor("unseen", "int32", 1);
    const classes = weights.shape[1];
    if (classes === 0) fields.fail("weights", "at least one class", `shape [${weights.shape.join(", ")}]`);
    if (bias.size !== classes) fields.fail("bias", `${classes} numbers, one per class`, `${bias.size}`);
    const values = bias.data.slice();
    for (const c of unseen.data) {
      if (!(c >= 0 && c < classes)) fields.fail("unseen", `classes in [0, ${classes})`, `${c}`);
      values[c] = -Infinity;
    }
    let fitted: LinearHeadFit | undefined;
    if ((json as { fit?: unknown }).fit !== undefined) {
      const given = fields.value("fit");
      if (typeof given !== "object" || Array.isArray(given)) fields.fail("fit", "an object", typeof given === "object" ? "a list" : `a ${typeof given}`);
      const nested = readJson(where, { ...(given as object), format: FORMAT, version: 1 }, FORMAT, 1, "@logits/head");
      fitted = {
        n: nested.integer("n", 1, 2147483647), l2: nested.number("l2", 0), loss: nested.number("loss", 0), gradientNorm: nested.number("gradientNorm", 0),
        iterations: nested.integer("iterations", 0, Number.MAX_SAFE_INTEGER), evaluations: nested.integer("evaluations", 1, Number.MAX_SAFE_INTEGER),
      };
    }
    return new LinearHead(new Tensor("float32", weights.shape, weights.data.slice()), new Tensor("float32", bias.shape, values), fitted);
  }
}

/** In float64, rounded once: for few elements the weights need not be copied into WebAssembly memory. */
function sparseLogits({ shape: [rows], indptr, indices, data }: CsrMatrix, weights: Float32Array, bias: Float32Array): Float32Array {
  const classes = bias.length;
  const out = new Float32Array(rows * classes);
  const sums = new Float64Array(classes);
  for (let n = 0; n < rows; n++) {
    sums.set(bias);
    for (let j = indptr[n]; j < indptr[n + 1]; j++) {
      const value = data[j];
      for (let c = 0, at = indices[j] * classes; c < classes; c++, at++) sums[c] += value * weights[at];
    }
    out.set(sums, n * classes);
  }
  return out;
}

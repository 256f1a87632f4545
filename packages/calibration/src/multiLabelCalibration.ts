import { sigmoid } from "@logits/statistics";
import { Tensor, asFloat32, asMask, checkShape, partOf, rangeError, readJson, runSteps, runStepsAsync, tensorToJSON, type LongWorkOptions, type Steps, type TensorJSON, type TensorLike } from "@logits/tensor";
import type { BinaryPairs } from "./binaryCalibrator.ts";
import { checkedLogits } from "./calibrator.ts";
import { fitLogistic, type LogisticPrior } from "./logisticFit.ts";
import { fitSlope } from "./slopeFit.ts";

const FORMAT = "logits/multi-label-calibration";

/** Options of `MultiLabelCalibration`. */
export interface MultiLabelCalibrationOptions {
  /** "platt" (default): slope and intercept for each label. "temperature": the slope alone. */
  readonly method?: "platt" | "temperature";
  /** kappa >= 0: the fit of all labels together counts in that of each label as much as so many rows. Default 10; 0: each label by itself. */
  readonly shrinkage?: number;
}

/** What `MultiLabelCalibration` writes as JSON. */
export interface MultiLabelCalibrationJSON extends Pick<MultiLabelCalibration, "classes" | "n" | "method" | "shrinkage" | "pooledSlope" | "pooledIntercept"> {
  readonly format: "logits/multi-label-calibration";
  readonly version: 1;
  readonly slopes: TensorJSON;
  readonly intercepts: TensorJSON;
}

type Fields = Omit<MultiLabelCalibrationJSON, "format" | "version" | "slopes" | "intercepts"> & { readonly slopes: Tensor<"float32">; readonly intercepts: Tensor<"float32"> };

/**
 * Labels that do not exclude each other: p_c = sigmoid(a_c z_c + b_c), a_c >= 0, each label shrunk to what all labels together say.
 *
 *   min_{a_c, b_c} sum_n CE(t_nc, a_c z_nc + b_c) + kappa / 2 (x_c - x)' H (x_c - x),   x_c = (a_c, b_c)
 *
 * t are Platt's targets (see `PlattScaling`), x the fit of all N C scores as if they were of one label, H its Hessian per score: the fit of all labels counts as much as kappa rows. A label with
 * thousands of rows of both kinds has its own fit, one with a handful that of its neighbours. The slope keeps the order of the rows by each label.
 *
 * Source: Platt, "Probabilistic outputs for support vector machines", 1999; for a prior that is worth kappa observations Bedrick, Christensen, Johnson, J. Amer. Statist. Assoc. 91 (1996).
 */
export class MultiLabelCalibration {
  /** C, the width of the logits. */
  readonly classes: number;
  /** Rows of the fit. */
  readonly n: number;
  readonly method: "platt" | "temperature";
  /** kappa. */
  readonly shrinkage: number;
  /** a of all labels together; below 0 where their scores speak against them. */
  readonly pooledSlope: number;
  readonly pooledIntercept: number;
  /** a_c, float32 [C], >= 0. */
  readonly slopes: Tensor<"float32">;
  /** b_c, float32 [C]; 0 for "temperature". */
  readonly intercepts: Tensor<"float32">;

  private constructor(fields: Fields) {
    this.classes = fields.classes;
    this.n = fields.n;
    this.method = fields.method;
    this.shrinkage = fields.shrinkage;
    this.pooledSlope = fields.pooledSlope;
    this.pooledIntercept = fields.pooledIntercept;
    this.slopes = fields.slopes;
    this.intercepts = fields.intercepts;
    Object.freeze(this);
  }

  /**
   * Fits every label on rows that no later step uses.
   *
   * @param logits - float32 [N, C], finite, N and C at least 1: one score for each label, before the sigmoid
   * @param targets - mask [N, C]: 1 or true = the row has the label
   * @param options - `method` (default "platt"), `shrinkage` (default 10)
   * @throws RangeError for no rows, another shape, a score that is not finite (the row is named), an option out of range; ConvergenceError if an optimum was not reached
   * @example
   *   MultiLabelCalibration.fit([[2, -1], [1, 1], [-2, 0]], [[1, 0], [1, 1], [0, 0]]).probabilities([2, 2]);
   */
  static fit(logits: TensorLike, targets: TensorLike, options: MultiLabelCalibrationOptions = {}): MultiLabelCalibration {
    return runSteps(MultiLabelCalibration.fitSteps("MultiLabelCalibration.fit", logits, targets, options));
  }

  /** `fit` with pauses at least every 16 ms: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(logits: TensorLike, targets: TensorLike, options: MultiLabelCalibrationOptions & LongWorkOptions = {}): Promise<MultiLabelCalibration> {
    return runStepsAsync(MultiLabelCalibration.fitSteps("MultiLabelCalibration.fitAsync", logits, targets, options), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, logits: TensorLike, targets: TensorLike, options: MultiLabelCalibrationOptions = {}): Steps<MultiLabelCalibration> {
    const { method = "platt", shrinkage = 10 } = options, intercept = method === "platt";
    if (!intercept && method !== "temperature") throw rangeError(where, "method", '"platt" or "temperature"', `${method as string}`);
    if (!(shrinkage >= 0 && shrinkage < Infinity)) throw rangeError(where, "shrinkage", "a finite number >= 0", `${shrinkage}`);
    const z = asFloat32(where, "logits", logits), t = asMask(where, "targets", targets);
    checkShape(where, "logits", z, ["N", "C"]);
    const [n, classes] = z.shape;
    if (n === 0 || classes === 0) throw rangeError(where, "logits", "with at least one row and one label", `shape [${n}, ${classes}]`);
    checkShape(where, "targets", t, [n, classes]);
    const bad = z.data.findIndex((score) => score - score !== 0);
    if (bad >= 0) throw rangeError(where, "logits", "of finite scores", `${z.data[bad]} in row ${Math.floor(bad / classes)}, column ${bad % classes}`);
    const share = shrinkage > 0 ? 1 / (classes + 1) : 0;
    const pooled = shrinkage > 0 ? yield* partOf(fitLogistic(where, pairsOf(z.data, t.data, 1, 0), [(score) => score], { intercept }), 0, share) : undefined;
    const prior: LogisticPrior | undefined = pooled && { at: pooled.coefficients, information: pooled.information.map((value) => (value * shrinkage) / z.size) };
    const slopes = new Float32Array(classes), intercepts = new Float32Array(classes);
    for (let c = 0; c < classes; c++) {
      const fitted = yield* partOf(fitSlope(`${where}: label ${c}`, pairsOf(z.data, t.data, classes, c), { intercept, prior }), share + ((1 - share) * c) / classes, (1 - share) / classes);
      slopes[c] = fitted.slope;
      intercepts[c] = fitted.intercept;
    }
    const vector = (data: Float32Array): Tensor<"float32"> => new Tensor("float32", [classes], data);
    return new MultiLabelCalibration({ classes, n, method, shrinkage, pooledSlope: pooled?.coefficients[0] ?? 0, pooledIntercept: pooled?.coefficients[1] ?? 0, slopes: vector(slopes), intercepts: vector(intercepts) });
  }

  /**
   * Calibrated log-odds.
   *
   * @param logits - float32 [..., C]
   * @returns float32, the same shape; NaN stays NaN
   * @throws RangeError for another width
   */
  transform(logits: TensorLike): Tensor<"float32"> {
    return this.#mapped("transform", logits, (odds) => odds);
  }

  /**
   * Calibrated probabilities, each label by itself.
   *
   * @param logits - float32 [..., C]; -Infinity and +Infinity are the ends
   * @returns float32, the same shape; NaN stays NaN
   * @throws RangeError for another width
   */
  probabilities(logits: TensorLike): Tensor<"float32"> {
    return this.#mapped("probabilities", logits, sigmoid);
  }

  #mapped(method: string, logits: TensorLike, map: (odds: number) => number): Tensor<"float32"> {
    const { classes } = this, slopes = this.slopes.data, intercepts = this.intercepts.data, z = checkedLogits(`MultiLabelCalibration.${method}`, logits, classes);
    return new Tensor("float32", z.shape, z.data.map((score, i) => {
      const slope = slopes[i % classes];
      return map((slope > 0 || score !== score ? slope * score : 0) + intercepts[i % classes]);
    }));
  }

  toJSON(): MultiLabelCalibrationJSON {
    const { classes, n, method, shrinkage, pooledSlope, pooledIntercept, slopes, intercepts } = this;
    return { format: FORMAT, version: 1, classes, n, method, shrinkage, pooledSlope, pooledIntercept, slopes: tensorToJSON(slopes), intercepts: tensorToJSON(intercepts) };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): MultiLabelCalibration {
    const fields = readJson("MultiLabelCalibration.fromJSON", json, FORMAT, 1, "@logits/calibration");
    const classes = fields.integer("classes", 1, 2147483647);
    const read = (field: string): Tensor<"float32"> => {
      const tensor = fields.tensor(field, "float32", 1);
      return tensor.size === classes ? tensor : fields.fail(field, `of shape [${classes}]`, `[${tensor.size}]`);
    };
    const slopes = read("slopes"), against = slopes.data.find((slope) => slope < 0);
    if (against !== undefined) fields.fail("slopes", "numbers >= 0", `${against}`);
    return new MultiLabelCalibration({
      classes, n: fields.integer("n", 1, Number.MAX_SAFE_INTEGER), method: fields.oneOf("method", ["platt", "temperature"]), shrinkage: fields.number("shrinkage", 0), pooledSlope: fields.number("pooledSlope"),
      pooledIntercept: fields.number("pooledIntercept"), slopes, intercepts: read("intercepts"),
    });
  }
}

/** Every `stride`-th score from `first` on, with its answer. */
function pairsOf(z: Float32Array, targets: Uint8Array, stride: number, first: number): BinaryPairs {
  const n = Math.ceil((z.length - first) / stride), s = new Float32Array(n), t = new Uint8Array(n);
  let positives = 0;
  for (let i = 0, at = first; i < n; i++, at += stride) {
    s[i] = z[at];
    positives += t[i] = targets[at];
  }
  return { s, t, n, positives };
}

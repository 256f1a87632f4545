import { softmax } from "@logits/core-wasm";
import { Tensor, checkInteger, lastingData, rangeError, readJson, tensorToJSON, type JsonFields, type Steps, type TensorJSON, type TensorLike } from "@logits/tensor";
import { applyAffine, fitAffine, type AffinePenalty, type AffineProblem } from "./affineFit.ts";
import { checkedLogits, checkUsable, checkedPairs, type Calibrator } from "./calibrator.ts";
import { fitBeta } from "./temperatureFit.ts";

/** What the affine calibrators write as JSON. */
export interface AffineScalingJSON extends Pick<AffineScaling, "classes" | "n" | "ridgeDiagonal" | "ridgeOffDiagonal" | "ridgeBias" | "loss" | "gradientNorm" | "iterations" | "converged" | "atBound"> {
  readonly format: string;
  readonly version: 1;
  readonly weights: TensorJSON;
  readonly bias: TensorJSON;
}

/** Options of `VectorScaling` and `MatrixScaling`. */
export interface AffineScalingOptions {
  /** lambda >= 0 of the ridge, or "structured" (the default): C / N, and C (C - 1) / N for weights between classes. 0: none. */
  readonly ridge?: number | "structured";
  /** Steps of L-BFGS at most; default 200. Where they do not suffice `converged` is false. */
  readonly maxIterations?: number;
}

/** Which map it is: its name in errors, its format as JSON, and what W is and is applied to. */
export interface AffineKind extends Pick<AffineProblem, "full" | "input"> {
  readonly name: string;
  readonly format: string;
}

/** What the fields of a fitted affine calibrator are made of. */
export interface AffineFields extends Omit<AffineScalingJSON, "format" | "version" | "weights" | "bias"> {
  readonly weights: Tensor<"float32">;
  readonly bias: Tensor<"float32">;
}

/** softmax(W x + b): what vector, matrix and Dirichlet scaling share. */
export abstract class AffineScaling implements Calibrator {
  /** float32 [C], the diagonal of W, or [C, C]: calibrated logit i from input j. */
  readonly weights: Tensor<"float32">;
  /** float32 [C]. */
  readonly bias: Tensor<"float32">;
  /** C, the width of the logits. */
  readonly classes: number;
  /** Rows of the fit. */
  readonly n: number;
  /** lambda on the diagonal of W, towards its start. */
  readonly ridgeDiagonal: number;
  /** lambda on the weights between classes, towards 0. */
  readonly ridgeOffDiagonal: number;
  /** lambda on b, towards 0. */
  readonly ridgeBias: number;
  /** Mean negative log-likelihood of the fit rows, without the penalty, in nats. */
  readonly loss: number;
  /** Largest component of the gradient of the penalised mean loss, by parameters scaled to curvature 1 at the start. */
  readonly gradientNorm: number;
  /** Steps of L-BFGS. */
  readonly iterations: number;
  /** Whether `gradientNorm` came down to 1e-6. */
  readonly converged: boolean;
  /** True where the loss has no minimum: without a ridge every label has the highest score, or a class has no row; the parameters are where the search ended. */
  readonly atBound: boolean;

  readonly #kind: AffineKind;

  protected constructor(kind: AffineKind, fields: AffineFields) {
    this.#kind = kind;
    this.weights = fields.weights;
    this.bias = fields.bias;
    this.classes = fields.classes;
    this.n = fields.n;
    this.ridgeDiagonal = fields.ridgeDiagonal;
    this.ridgeOffDiagonal = fields.ridgeOffDiagonal;
    this.ridgeBias = fields.ridgeBias;
    this.loss = fields.loss;
    this.gradientNorm = fields.gradientNorm;
    this.iterations = fields.iterations;
    this.converged = fields.converged;
    this.atBound = fields.atBound;
    Object.freeze(this);
  }

  /**
   * Calibrated logits: W x + b.
   *
   * @param logits - float32 [..., C]; -Infinity = impossible class: it stays -Infinity and counts nothing for the others
   * @returns float32, the same shape; a row with NaN or +Infinity: NaN
   * @throws RangeError for another width
   */
  transform(logits: TensorLike): Tensor<"float32"> {
    return this.#applied("transform", logits);
  }

  /**
   * Calibrated probabilities: softmax of the calibrated logits.
   *
   * @param logits - float32 [..., C]
   * @returns float32, the same shape; a row with NaN or +Infinity, or of -Infinity only: NaN
   * @throws RangeError for another width
   */
  probabilities(logits: TensorLike): Tensor<"float32"> {
    return softmax(this.#applied("probabilities", logits));
  }

  #applied(method: string, logits: TensorLike): Tensor<"float32"> {
    const { name, input } = this.#kind, z = checkedLogits(`${name}.${method}`, logits, this.classes);
    return new Tensor("float32", z.shape, applyAffine(lastingData(z), this.weights.data, this.bias.data, input));
  }

  toJSON(): AffineScalingJSON {
    const { classes, n, ridgeDiagonal, ridgeOffDiagonal, ridgeBias, loss, gradientNorm, iterations, converged, atBound } = this;
    return { format: this.#kind.format, version: 1, classes, n, ridgeDiagonal, ridgeOffDiagonal, ridgeBias, loss, gradientNorm, iterations, converged, atBound, weights: tensorToJSON(this.weights), bias: tensorToJSON(this.bias) };
  }
}

/** The fields of a fit: rows checked, temperature as the start, L-BFGS. */
export function* affineSteps(where: string, logits: TensorLike, labels: TensorLike, { full, input }: AffineKind, maxIterations: number, ridge: (n: number, classes: number) => AffinePenalty): Steps<AffineFields> {
  const { z, y, n, classes } = checkedPairs(where, logits, labels);
  checkInteger(where, "maxIterations", maxIterations, 0, Number.MAX_SAFE_INTEGER);
  const impossible = yield* checkUsable(where, z, y);
  const penalty = ridge(n, classes);
  const temperature = yield* fitBeta(z, y);
  if (temperature === undefined) throw rangeError(where, "logits", "with differences that float32 holds", "an infinite loss");
  // A bound of the temperature is no place to start from: there the loss is flat.
  const centre = input === "logProbabilities" || temperature.atBound ? 1 : temperature.beta;
  const { weights, bias, ...found } = yield* fitAffine({ z, y, impossible, full, input, centre, penalty, maxIterations });
  return {
    classes, n, ridgeDiagonal: penalty.diagonal, ridgeOffDiagonal: full ? penalty.offDiagonal : 0, ridgeBias: penalty.bias, ...found,
    weights: new Tensor("float32", full ? [classes, classes] : [classes], weights), bias: new Tensor("float32", [classes], bias),
  };
}

/** The lambdas of `AffineScalingOptions`. */
export function ridgeOf(where: string, ridge: number | "structured"): (n: number, classes: number) => AffinePenalty {
  if (ridge === "structured") return (n, classes) => ({ diagonal: classes / n, offDiagonal: (classes * (classes - 1)) / n, bias: classes / n });
  if (!(ridge >= 0 && ridge < Infinity)) throw rangeError(where, "ridge", 'a finite number >= 0 or "structured"', `${ridge}`);
  return () => ({ diagonal: ridge, offDiagonal: ridge, bias: ridge });
}

/** The fields of the JSON, checked. */
export function affineFields({ name, format, full }: AffineKind, json: unknown): AffineFields {
  const fields: JsonFields = readJson(`${name}.fromJSON`, json, format, 1, "@logits/calibration");
  const classes = fields.integer("classes", 1, 2147483647);
  const shaped = (field: string, shape: readonly number[]): Tensor<"float32"> => {
    const read = fields.tensor(field, "float32", shape.length);
    return read.shape.every((size, i) => size === shape[i]) ? read : fields.fail(field, `of shape [${shape.join(", ")}]`, `[${read.shape.join(", ")}]`);
  };
  return {
    classes,
    n: fields.integer("n", 1, Number.MAX_SAFE_INTEGER),
    ridgeDiagonal: fields.number("ridgeDiagonal", 0),
    ridgeOffDiagonal: fields.number("ridgeOffDiagonal", 0),
    ridgeBias: fields.number("ridgeBias", 0),
    loss: fields.number("loss"),
    gradientNorm: fields.number("gradientNorm", 0),
    iterations: fields.integer("iterations", 0, Number.MAX_SAFE_INTEGER),
    converged: fields.boolean("converged"),
    atBound: fields.boolean("atBound"),
    weights: shaped("weights", full ? [classes, classes] : [classes]),
    bias: shaped("bias", [classes]),
  };
}

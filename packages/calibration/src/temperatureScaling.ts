import { softmax } from "@logits/core-wasm";
import { Tensor, rangeError, readJson, runSteps, runStepsAsync, type LongWorkOptions, type Steps, type TensorLike } from "@logits/tensor";
import { checkedLogits, checkedPairs, unusableRow } from "./calibrator.ts";
import { fitBeta, type TemperatureOptimum } from "./temperatureFit.ts";

const FORMAT = "logits/temperature-scaling";

/** What `TemperatureScaling` writes as JSON. */
export interface TemperatureScalingJSON extends Pick<TemperatureScaling, "temperature" | "classes" | "n" | "information" | "loss" | "gradientNorm" | "passes" | "atBound"> {
  readonly format: "logits/temperature-scaling";
  readonly version: 1;
}

/**
 * p = softmax(logits / T), with the one T > 0 that minimises the mean negative log-likelihood of the labels. Keeps the order of the classes.
 *
 *   L(beta) = (1 / N) sum_n log sum_c exp(beta z[n, c]) - beta z[n, y_n],   beta = 1 / T
 *
 * L is convex in beta (not in T): Newton's method with a bracket reaches its only minimum from anywhere. T is sought in [2^-10, 2^10].
 *
 * Source: Guo, Pleiss, Sun, Weinberger, "On calibration of modern neural networks", ICML 2017, section 4.2.
 */
export class TemperatureScaling {
  /** T. Above 1: the model was overconfident. */
  readonly temperature: number;
  /** C, the width of the logits. */
  readonly classes: number;
  /** Rows of the fit. */
  readonly n: number;
  /** Observed Fisher information about beta: sum over the rows of Var_p[z]. 0 where the loss has become flat. */
  readonly information: number;
  /** Mean negative log-likelihood of the fit rows at T, in nats. */
  readonly loss: number;
  /** |L'(beta)| of the mean loss at the last evaluation; T lies one more step further. */
  readonly gradientNorm: number;
  /** Evaluations over all rows. */
  readonly passes: number;
  /** True where the optimum lies at a bound: T = 2^-10 when every label has the highest score (no errors to learn from), 2^10 when scores speak against the labels. */
  readonly atBound: boolean;

  private constructor(fields: Omit<TemperatureScalingJSON, "format" | "version">) {
    this.temperature = fields.temperature;
    this.classes = fields.classes;
    this.n = fields.n;
    this.information = fields.information;
    this.loss = fields.loss;
    this.gradientNorm = fields.gradientNorm;
    this.passes = fields.passes;
    this.atBound = fields.atBound;
    Object.freeze(this);
  }

  /**
   * Fits T on labelled rows that no later step uses.
   *
   * @param logits - float32 [N, C], N and C at least 1; -Infinity = impossible class. From probabilities: `probabilitiesToLogits`
   * @param labels - int32 [N], in [0, C)
   * @returns the fitted object, with T accurate to 1e-7 relative; `atBound` where the optimum is at a bound. Where no temperature matters
   *   (one class, rows of equal scores) T is 1 and `information` 0.
   * @throws RangeError for no rows, another shape, a label outside [0, C), a row with NaN, +Infinity or without a finite score, an impossible label (the row is named);
   *   ConvergenceError if neither an optimum nor a bound was reached
   * @example
   *   TemperatureScaling.fit([[4, 0], [4, 0], [4, 0], [4, 0]], [0, 0, 0, 1]).temperature; // 3.6410 = 4 / ln 3
   */
  static fit(logits: TensorLike, labels: TensorLike): TemperatureScaling {
    return runSteps(TemperatureScaling.fitSteps("TemperatureScaling.fit", logits, labels));
  }

  /** `fit` with pauses at least every 16 ms: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(logits: TensorLike, labels: TensorLike, options: LongWorkOptions = {}): Promise<TemperatureScaling> {
    return runStepsAsync(TemperatureScaling.fitSteps("TemperatureScaling.fitAsync", logits, labels), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, logits: TensorLike, labels: TensorLike): Steps<TemperatureScaling> {
    const { z, y, n, classes } = checkedPairs(where, logits, labels);
    const optimum = yield* fitBeta(z, y);
    if (optimum === undefined) throw unusableRow(where, z, y) ?? rangeError(where, "logits", "with differences that float32 holds", "an infinite loss");
    return TemperatureScaling.fromOptimum(n, classes, optimum);
  }

  /** The object of an optimum over n rows, for `TemperatureScalingAccumulator`. */
  static fromOptimum(n: number, classes: number, { beta, moments, passes, atBound }: Omit<TemperatureOptimum, "third">): TemperatureScaling {
    return new TemperatureScaling({ temperature: 1 / beta, classes, n, information: moments.curvature, loss: moments.loss / n, gradientNorm: Math.abs(moments.gradient) / n, passes, atBound });
  }

  /** Standard error of T by the delta method, T^2 / sqrt(information); Infinity where the information is 0. Means nothing at a bound. */
  get standardError(): number {
    return (this.temperature * this.temperature) / Math.sqrt(this.information);
  }

  /**
   * Calibrated logits: logits / T.
   *
   * @param logits - float32 [..., C]
   * @returns float32, the same shape; NaN stays NaN, infinities stay
   * @throws RangeError for another width
   */
  transform(logits: TensorLike): Tensor<"float32"> {
    const z = checkedLogits("TemperatureScaling.transform", logits, this.classes);
    const { data } = z;
    const out = new Float32Array(data.length);
    const { temperature } = this;
    for (let i = 0; i < out.length; i++) out[i] = data[i] / temperature;
    return new Tensor("float32", z.shape, out);
  }

  /**
   * Calibrated probabilities: softmax(logits / T).
   *
   * @param logits - float32 [..., C]
   * @returns float32, the same shape; a row with NaN or +Infinity, or of -Infinity only: NaN
   * @throws RangeError for another width
   */
  probabilities(logits: TensorLike): Tensor<"float32"> {
    return softmax(checkedLogits("TemperatureScaling.probabilities", logits, this.classes), { temperature: this.temperature });
  }

  toJSON(): TemperatureScalingJSON {
    const { temperature, classes, n, information, loss, gradientNorm, passes, atBound } = this;
    return { format: FORMAT, version: 1, temperature, classes, n, information, loss, gradientNorm, passes, atBound };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): TemperatureScaling {
    const fields = readJson("TemperatureScaling.fromJSON", json, FORMAT, 1, "@logits/calibration");
    return new TemperatureScaling({
      temperature: fields.number("temperature", 2 ** -11, 2 ** 11),
      classes: fields.integer("classes", 1, 2147483647),
      n: fields.integer("n", 1, Number.MAX_SAFE_INTEGER),
      information: fields.number("information", 0),
      loss: fields.number("loss"),
      gradientNorm: fields.number("gradientNorm", 0),
      passes: fields.integer("passes", 1, 1000),
      atBound: fields.boolean("atBound"),
    });
  }
}

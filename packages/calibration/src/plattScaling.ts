import { sigmoid } from "@logits/statistics";
import { Tensor, asFloat32, readJson, runSteps, runStepsAsync, type LongWorkOptions, type Steps, type TensorLike } from "@logits/tensor";
import { BinaryMap, checkedBinary } from "./binaryCalibrator.ts";
import { fitSlope } from "./slopeFit.ts";

const FORMAT = "logits/platt-scaling";

/** What `PlattScaling` writes as JSON. */
export interface PlattScalingJSON extends Pick<PlattScaling, "n" | "slope" | "intercept" | "slopeStandardError" | "interceptStandardError" | "loss" | "iterations" | "separated" | "atBound"> {
  readonly format: "logits/platt-scaling";
  readonly version: 1;
}

/**
 * p = sigmoid(slope s + intercept), slope >= 0, with the smallest cross-entropy to Platt's targets: (N1 + 1) / (N1 + 2) for the N1 rows with yes, 1 / (N0 + 2) for the N0 others.
 *
 * The targets shrink: scores that separate the answers have a finite optimum, answers of one kind give a constant. Keeps the order of the scores.
 *
 * Source: Platt, "Probabilistic outputs for support vector machines", 1999; Lin, Lin, Weng, Machine Learning 68 (2007), for Newton's method.
 */
export class PlattScaling extends BinaryMap {
  readonly slope: number;
  readonly intercept: number;
  /** Standard error of the slope, from the inverse of the Hessian; 0 at the bound. */
  readonly slopeStandardError: number;
  readonly interceptStandardError: number;
  /** Mean cross-entropy to the targets, in nats. */
  readonly loss: number;
  /** Newton steps over all rows. */
  readonly iterations: number;
  /** Whether a threshold on the scores tells all answers of the fit apart: then only the targets keep the slope finite. */
  readonly separated: boolean;
  /** True where the scores speak against the answers, or do not vary: slope 0, a constant. */
  readonly atBound: boolean;

  private constructor(fields: Omit<PlattScalingJSON, "format" | "version">) {
    super(fields.n);
    this.slope = fields.slope;
    this.intercept = fields.intercept;
    this.slopeStandardError = fields.slopeStandardError;
    this.interceptStandardError = fields.interceptStandardError;
    this.loss = fields.loss;
    this.iterations = fields.iterations;
    this.separated = fields.separated;
    this.atBound = fields.atBound;
    Object.freeze(this);
  }

  protected get name(): string {
    return "PlattScaling";
  }

  /**
   * Fits slope and intercept on rows that no later step uses.
   *
   * @param scores - float32 [N], N at least 1, finite: log-odds, margins, any score where more means yes
   * @param labels - mask [N]: 1 or true = yes
   * @throws RangeError for no rows, another shape, a score that is not finite (the row is named); ConvergenceError if the optimum was not reached
   * @example
   *   PlattScaling.fit([-2, -1, 1, 2], [0, 1, 0, 1]).probabilities([0]); // 0.5
   */
  static fit(scores: TensorLike, labels: TensorLike): PlattScaling {
    return runSteps(PlattScaling.fitSteps("PlattScaling.fit", scores, labels));
  }

  /** `fit` with pauses at least every 16 ms: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(scores: TensorLike, labels: TensorLike, options: LongWorkOptions = {}): Promise<PlattScaling> {
    return runStepsAsync(PlattScaling.fitSteps("PlattScaling.fitAsync", scores, labels), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, scores: TensorLike, labels: TensorLike): Steps<PlattScaling> {
    const pairs = checkedBinary(where, scores, labels), { s, t, n } = pairs;
    let lowYes = Infinity, highYes = -Infinity, lowNo = Infinity, highNo = -Infinity;
    // Until a yes is below a no, and a no below a yes.
    for (let i = 0; i < n && !(lowYes <= highNo && lowNo <= highYes); i++) {
      if (t[i]) {
        lowYes = Math.min(lowYes, s[i]);
        highYes = Math.max(highYes, s[i]);
      } else {
        lowNo = Math.min(lowNo, s[i]);
        highNo = Math.max(highNo, s[i]);
      }
    }
    const separated = highNo < lowYes || highYes < lowNo;
    const { slope, intercept, atBound, fit } = yield* fitSlope(where, pairs), { covariance, loss, iterations } = fit;
    return new PlattScaling({ n, slope, intercept, slopeStandardError: atBound ? 0 : Math.sqrt(covariance[0]), interceptStandardError: Math.sqrt(covariance[covariance.length - 1]), loss, iterations, separated, atBound });
  }

  /** Calibrated log-odds at one score. */
  #logit(score: number): number {
    return (this.slope > 0 || score !== score ? this.slope * score : 0) + this.intercept;
  }

  at(score: number): number {
    return sigmoid(this.#logit(score));
  }

  /**
   * Calibrated log-odds: slope s + intercept.
   *
   * @param scores - float32 of any shape
   * @returns float32, the same shape
   */
  transform(scores: TensorLike): Tensor<"float32"> {
    const s = asFloat32("PlattScaling.transform", "scores", scores);
    return new Tensor("float32", s.shape, s.data.map((score) => this.#logit(score)));
  }

  toJSON(): PlattScalingJSON {
    const { n, slope, intercept, slopeStandardError, interceptStandardError, loss, iterations, separated, atBound } = this;
    return { format: FORMAT, version: 1, n, slope, intercept, slopeStandardError, interceptStandardError, loss, iterations, separated, atBound };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): PlattScaling {
    const fields = readJson("PlattScaling.fromJSON", json, FORMAT, 1, "@logits/calibration");
    return new PlattScaling({
      n: fields.integer("n", 1, Number.MAX_SAFE_INTEGER), slope: fields.number("slope", 0), intercept: fields.number("intercept"), slopeStandardError: fields.number("slopeStandardError", 0),
      interceptStandardError: fields.number("interceptStandardError", 0), loss: fields.number("loss", 0), iterations: fields.integer("iterations", 0, 1000), separated: fields.boolean("separated"), atBound: fields.boolean("atBound"),
    });
  }
}

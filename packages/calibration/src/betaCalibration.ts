import { sigmoid, softplus } from "@logits/statistics";
import { Tensor, asFloat32, readJson, runSteps, runStepsAsync, type LongWorkOptions, type Steps, type TensorLike } from "@logits/tensor";
import { BinaryMap, checkedBinary } from "./binaryCalibrator.ts";
import { fitLogistic } from "./logisticFit.ts";

const FORMAT = "logits/beta-calibration";

/** What `BetaCalibration` writes as JSON. */
export interface BetaCalibrationJSON extends Pick<BetaCalibration, "n" | "a" | "b" | "c" | "loss" | "iterations" | "atBound"> {
  readonly format: "logits/beta-calibration";
  readonly version: 1;
}

/** ln p and -ln(1 - p) of log-odds: no probability is formed, so none is clipped. */
const logP = (score: number): number => -softplus(-score);
const minusLogQ = (score: number): number => softplus(score);

/**
 * log-odds of yes = a ln p - b ln(1 - p) + c with p = sigmoid(s), a and b at least 0: the map between beta densities of p, which can bend the two ends differently.
 *
 * a = b = 1, c = 0 is the identity; a = b is Platt scaling of the log-odds. Fitted to Platt's targets (see `PlattScaling`). Where a coefficient would be negative, the better of the fits
 * without it is taken. Keeps the order of the scores.
 *
 * Source: Kull, Silva Filho, Flach, "Beta calibration", AISTATS 2017.
 */
export class BetaCalibration extends BinaryMap {
  readonly a: number;
  readonly b: number;
  readonly c: number;
  /** Mean cross-entropy to the targets, in nats. */
  readonly loss: number;
  /** Newton steps of the fit that was taken. */
  readonly iterations: number;
  /** True where a or b is at its bound 0. */
  readonly atBound: boolean;

  private constructor(fields: Omit<BetaCalibrationJSON, "format" | "version">) {
    super(fields.n);
    this.a = fields.a;
    this.b = fields.b;
    this.c = fields.c;
    this.loss = fields.loss;
    this.iterations = fields.iterations;
    this.atBound = fields.atBound;
    Object.freeze(this);
  }

  protected get name(): string {
    return "BetaCalibration";
  }

  /**
   * Fits a, b, c on rows that no later step uses.
   *
   * @param scores - float32 [N], N at least 1, finite: the log-odds of yes, log(p / (1 - p))
   * @param labels - mask [N]: 1 or true = yes
   * @throws RangeError for no rows, another shape, a score that is not finite (the row is named); ConvergenceError if the optimum was not reached
   * @example
   *   BetaCalibration.fit([-2, -1, 1, 2], [0, 1, 0, 1]).probabilities([0]);
   */
  static fit(scores: TensorLike, labels: TensorLike): BetaCalibration {
    return runSteps(BetaCalibration.fitSteps("BetaCalibration.fit", scores, labels));
  }

  /** `fit` with pauses at least every 16 ms: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(scores: TensorLike, labels: TensorLike, options: LongWorkOptions = {}): Promise<BetaCalibration> {
    return runStepsAsync(BetaCalibration.fitSteps("BetaCalibration.fitAsync", scores, labels), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, scores: TensorLike, labels: TensorLike): Steps<BetaCalibration> {
    const pairs = checkedBinary(where, scores, labels), { n } = pairs;
    const both = yield* fitLogistic(where, pairs, [logP, minusLogQ]);
    const [a, b, c] = both.coefficients;
    if (a > 0 && b > 0) return new BetaCalibration({ n, a, b, c, loss: both.loss, iterations: both.iterations, atBound: false });
    const onlyA = yield* fitLogistic(where, pairs, [logP]), onlyB = yield* fitLogistic(where, pairs, [minusLogQ]);
    // The loss is convex: the best allowed point is the best of the faces whose own optimum is allowed.
    const [first, second] = [onlyA, onlyB].map((fit) => (fit.coefficients[0] > 0 ? fit.loss : Infinity));
    if (first === Infinity && second === Infinity) {
      const constant = yield* fitLogistic(where, pairs, []);
      return new BetaCalibration({ n, a: 0, b: 0, c: constant.coefficients[0], loss: constant.loss, iterations: constant.iterations, atBound: true });
    }
    const { coefficients, loss, iterations } = first <= second ? onlyA : onlyB;
    return new BetaCalibration({ n, a: first <= second ? coefficients[0] : 0, b: first <= second ? 0 : coefficients[0], c: coefficients[1], loss, iterations, atBound: true });
  }

  /** Calibrated log-odds at one score. */
  #logit(score: number): number {
    if (score !== score) return NaN;
    return (this.a > 0 ? this.a * logP(score) : 0) + (this.b > 0 ? this.b * minusLogQ(score) : 0) + this.c;
  }

  at(score: number): number {
    return sigmoid(this.#logit(score));
  }

  /**
   * Calibrated log-odds.
   *
   * @param scores - float32 of any shape
   * @returns float32, the same shape
   */
  transform(scores: TensorLike): Tensor<"float32"> {
    const s = asFloat32("BetaCalibration.transform", "scores", scores);
    return new Tensor("float32", s.shape, s.data.map((score) => this.#logit(score)));
  }

  toJSON(): BetaCalibrationJSON {
    const { n, a, b, c, loss, iterations, atBound } = this;
    return { format: FORMAT, version: 1, n, a, b, c, loss, iterations, atBound };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): BetaCalibration {
    const fields = readJson("BetaCalibration.fromJSON", json, FORMAT, 1, "@logits/calibration");
    return new BetaCalibration({
      n: fields.integer("n", 1, Number.MAX_SAFE_INTEGER), a: fields.number("a", 0), b: fields.number("b", 0), c: fields.number("c"), loss: fields.number("loss", 0), iterations: fields.integer("iterations", 0, 1000),
      atBound: fields.boolean("atBound"),
    });
  }
}

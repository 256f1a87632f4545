import { softmax } from "@logits/core-wasm";
import { log } from "@logits/statistics";
import { Tensor, rangeError, readJson, runSteps, runStepsAsync, type LongWorkOptions, type Steps, type TensorLike } from "@logits/tensor";
import { checkedLogits, checkedPairs, type Calibrator } from "./calibrator.ts";
import { fitMixture } from "./mixtureFit.ts";
import { TemperatureScaling } from "./temperatureScaling.ts";

const FORMAT = "logits/ensemble-temperature-scaling";

/** Options of `EnsembleTemperatureScaling`. */
export interface EnsembleTemperatureScalingOptions {
  /** "fitted" (default): the weights with the smallest negative log-likelihood. "laplace": 1 / (N + 1) on the uniform distribution, the rest on the scaled one. */
  readonly weights?: "fitted" | "laplace";
}

/** What `EnsembleTemperatureScaling` writes as JSON. */
export interface EnsembleTemperatureScalingJSON extends Pick<EnsembleTemperatureScaling, "classes" | "n" | "temperature" | "scaledWeight" | "plainWeight" | "uniformWeight" | "loss" | "gap" | "iterations" | "atBound"> {
  readonly format: "logits/ensemble-temperature-scaling";
  readonly version: 1;
}

/**
 * p = w1 softmax(logits / T) + w2 softmax(logits) + w3 / C: temperature scaling that is never certain. Keeps the order of the classes.
 *
 * T is that of `TemperatureScaling`; then the weights minimise the negative log-likelihood. With `weights: "laplace"` w = (N / (N + 1), 0, 1 / (N + 1)), Laplace's rule of succession: the loss of
 * a row is bounded even where every label of the fit had the highest score. Impossible classes get nothing of the uniform part.
 *
 * Source: Zhang, Kailkhura, Han, "Mix-n-Match", ICML 2020 (ensemble temperature scaling); Berta, Holzmueller, Jordan, Bach, "Rethinking early stopping: refine, then calibrate", 2025, for the Laplace mixture.
 */
export class EnsembleTemperatureScaling implements Calibrator {
  readonly classes: number;
  readonly n: number;
  /** T of the first part. */
  readonly temperature: number;
  /** w1, of softmax(logits / T). */
  readonly scaledWeight: number;
  /** w2, of softmax(logits). */
  readonly plainWeight: number;
  /** w3, of the uniform distribution. */
  readonly uniformWeight: number;
  /** Mean negative log-likelihood of the fit rows, in nats. */
  readonly loss: number;
  /** How far that can be above the best for this T, in nats; 0 for "laplace". */
  readonly gap: number;
  /** Steps of expectation-maximisation. */
  readonly iterations: number;
  /** Whether T is at its bound (see `TemperatureScaling`). */
  readonly atBound: boolean;

  private constructor(fields: Omit<EnsembleTemperatureScalingJSON, "format" | "version">) {
    this.classes = fields.classes;
    this.n = fields.n;
    this.temperature = fields.temperature;
    this.scaledWeight = fields.scaledWeight;
    this.plainWeight = fields.plainWeight;
    this.uniformWeight = fields.uniformWeight;
    this.loss = fields.loss;
    this.gap = fields.gap;
    this.iterations = fields.iterations;
    this.atBound = fields.atBound;
    Object.freeze(this);
  }

  /**
   * Fits T and the weights on labelled rows that no later step uses.
   *
   * @param logits - float32 [N, C], N and C at least 1; -Infinity = impossible class
   * @param labels - int32 [N], in [0, C)
   * @param options - `weights` (default "fitted")
   * @throws RangeError and ConvergenceError as `TemperatureScaling.fit`
   * @example
   *   EnsembleTemperatureScaling.fit([[4, 0], [0, 2]], [0, 1], { weights: "laplace" }).probabilities([9, 0]); // 0.8333, 0.1667
   */
  static fit(logits: TensorLike, labels: TensorLike, options: EnsembleTemperatureScalingOptions = {}): EnsembleTemperatureScaling {
    return runSteps(EnsembleTemperatureScaling.fitSteps("EnsembleTemperatureScaling.fit", logits, labels, options));
  }

  /** `fit` with pauses at least every 16 ms: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(logits: TensorLike, labels: TensorLike, options: EnsembleTemperatureScalingOptions & LongWorkOptions = {}): Promise<EnsembleTemperatureScaling> {
    return runStepsAsync(EnsembleTemperatureScaling.fitSteps("EnsembleTemperatureScaling.fitAsync", logits, labels, options), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, logits: TensorLike, labels: TensorLike, options: EnsembleTemperatureScalingOptions = {}): Steps<EnsembleTemperatureScaling> {
    const { weights = "fitted" } = options;
    if (weights !== "fitted" && weights !== "laplace") throw rangeError(where, "weights", '"fitted" or "laplace"', `${weights as string}`);
    const { z, y, n, classes } = checkedPairs(where, logits, labels);
    const { temperature, atBound } = yield* TemperatureScaling.fitSteps(where, z, y);
    const components = new Float64Array(3 * n), piece = Math.max(1, Math.floor(131072 / classes));
    for (let first = 0; first < n; first += piece) {
      const rows = Math.min(piece, n - first), part = { data: z.data.slice(first * classes, (first + rows) * classes), shape: [rows, classes] };
      const scaled = softmax(part, { temperature }).data, plain = softmax(part).data;
      for (let r = 0; r < rows; r++) {
        let possible = 0;
        for (let c = 0; c < classes; c++) if (part.data[r * classes + c] !== -Infinity) possible++;
        const label = r * classes + y.data[first + r];
        components.set([scaled[label], plain[label], 1 / possible], 3 * (first + r));
      }
      yield 0.5;
    }
    const start = weights === "laplace" ? [n / (n + 1), 0, 1 / (n + 1)] : [0.98, 0.01, 0.01];
    const { weights: w, gap, iterations } = weights === "laplace" ? { weights: start, gap: 0, iterations: 0 } : yield* fitMixture(components, [1, 1, 1], start, 1e-9, 20000);
    let loss = 0;
    for (let i = 0; i < n; i++) loss -= log(w[0] * components[3 * i] + w[1] * components[3 * i + 1] + w[2] * components[3 * i + 2]) / n;
    return new EnsembleTemperatureScaling({ classes, n, temperature, scaledWeight: w[0], plainWeight: w[1], uniformWeight: w[2], loss, gap, iterations, atBound });
  }

  /**
   * Calibrated probabilities.
   *
   * @param logits - float32 [..., C]
   * @returns float32, the same shape; a row with NaN or +Infinity, or of -Infinity only: NaN
   * @throws RangeError for another width
   */
  probabilities(logits: TensorLike): Tensor<"float32"> {
    return this.#mixed(checkedLogits("EnsembleTemperatureScaling.probabilities", logits, this.classes));
  }

  /**
   * Calibrated logits: the logarithms of the probabilities.
   *
   * @param logits - float32 [..., C]
   * @returns float32, the same shape; impossible classes -Infinity
   * @throws RangeError for another width
   */
  transform(logits: TensorLike): Tensor<"float32"> {
    const p = this.#mixed(checkedLogits("EnsembleTemperatureScaling.transform", logits, this.classes));
    return new Tensor("float32", p.shape, p.data.map(log));
  }

  #mixed(z: Tensor<"float32">): Tensor<"float32"> {
    const { classes, scaledWeight, plainWeight, uniformWeight } = this, { data } = z;
    const p = softmax(z, { temperature: this.temperature }), plain = softmax(z).data, out = p.data;
    for (let at = 0; at < out.length; at += classes) {
      let possible = 0;
      for (let c = 0; c < classes; c++) if (data[at + c] !== -Infinity) possible++;
      for (let c = 0; c < classes; c++) out[at + c] = scaledWeight * out[at + c] + plainWeight * plain[at + c] + (data[at + c] === -Infinity ? 0 : uniformWeight / possible);
    }
    return p;
  }

  toJSON(): EnsembleTemperatureScalingJSON {
    const { classes, n, temperature, scaledWeight, plainWeight, uniformWeight, loss, gap, iterations, atBound } = this;
    return { format: FORMAT, version: 1, classes, n, temperature, scaledWeight, plainWeight, uniformWeight, loss, gap, iterations, atBound };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): EnsembleTemperatureScaling {
    const fields = readJson("EnsembleTemperatureScaling.fromJSON", json, FORMAT, 1, "@logits/calibration");
    const read = {
      classes: fields.integer("classes", 1, 2147483647), n: fields.integer("n", 1, Number.MAX_SAFE_INTEGER), temperature: fields.number("temperature", 2 ** -11, 2 ** 11), scaledWeight: fields.number("scaledWeight", 0, 1),
      plainWeight: fields.number("plainWeight", 0, 1), uniformWeight: fields.number("uniformWeight", 0, 1), loss: fields.number("loss"), gap: fields.number("gap", 0), iterations: fields.integer("iterations", 0, 1000000), atBound: fields.boolean("atBound"),
    };
    const sum = read.scaledWeight + read.plainWeight + read.uniformWeight;
    if (!(Math.abs(sum - 1) <= 1e-9)) fields.fail("uniformWeight", "weights that sum to 1", `a sum of ${sum}`);
    return new EnsembleTemperatureScaling(read);
  }
}

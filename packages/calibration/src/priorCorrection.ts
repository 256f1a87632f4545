import { softmax } from "@logits/core-wasm";
import { log } from "@logits/statistics";
import { Tensor, asFloat32, checkInteger, checkShape, rangeError, readJson, runSteps, runStepsAsync, tensorToJSON, type LongWorkOptions, type Steps, type TensorJSON, type TensorLike } from "@logits/tensor";
import { checkedLogits, checkUsable, checkedRows, unusableRow, type Calibrator } from "./calibrator.ts";
import { fitMixture } from "./mixtureFit.ts";

const FORMAT = "logits/prior-correction";
/** Least share of a class: ln stays finite. */
const LEAST = 2 ** -126;

/** Options of `PriorCorrection.fit`. */
export interface PriorCorrectionOptions {
  /** Ends when the mean log-likelihood is at most this below the best, in nats; default 1e-8. */
  readonly tolerance?: number;
  /** Steps at most; default 5000. Where they do not suffice `converged` is false. */
  readonly maxIterations?: number;
}

/** What `PriorCorrection` writes as JSON. */
export interface PriorCorrectionJSON extends Pick<PriorCorrection, "classes" | "n" | "gap" | "iterations" | "converged" | "atBound"> {
  readonly format: "logits/prior-correction";
  readonly version: 1;
  readonly prior: TensorJSON;
  readonly offset: TensorJSON;
}

/**
 * Logits for another share of the classes than the model learned: logits + ln(target / source).
 *
 * Known shares: `fromPriors`. Unknown ones: `fit` estimates them from unlabelled rows by expectation-maximisation; the logits must be calibrated first. The prior of a prompt: `fitPrompt`.
 *
 * Source: Saerens, Latinne, Decaestecker, "Adjusting the outputs of a classifier to new a priori probabilities", Neural Computation 14 (2002); Alexandari, Kundaje, Shrikumar, "Maximum likelihood
 * with bias-corrected calibration is hard-to-beat at label shift adaptation", ICML 2020.
 */
export class PriorCorrection implements Calibrator {
  readonly classes: number;
  /** Rows of the fit; 0 for known priors. */
  readonly n: number;
  /** The target shares, float32 [C]. */
  readonly prior: Tensor<"float32">;
  /** What is added to the logits, float32 [C]. */
  readonly offset: Tensor<"float32">;
  /** How far the mean log-likelihood of the rows can be below the best, in nats; 0 where nothing was searched. */
  readonly gap: number;
  readonly iterations: number;
  readonly converged: boolean;
  /** True where the best share of a class is 0: then it is 2^-126. */
  readonly atBound: boolean;

  private constructor(fields: Omit<PriorCorrectionJSON, "format" | "version" | "prior" | "offset"> & { readonly prior: Tensor<"float32">; readonly offset: Tensor<"float32"> }) {
    this.classes = fields.classes;
    this.n = fields.n;
    this.prior = fields.prior;
    this.offset = fields.offset;
    this.gap = fields.gap;
    this.iterations = fields.iterations;
    this.converged = fields.converged;
    this.atBound = fields.atBound;
    Object.freeze(this);
  }

  /**
   * The correction between two known priors.
   *
   * @param source - shares [C] in the rows that the model learned from, each > 0, sum 1
   * @param target - shares [C] in the rows to come, each >= 0, sum 1
   * @throws RangeError for shares that are none
   * @example
   *   PriorCorrection.fromPriors([0.5, 0.5], [0.9, 0.1]).probabilities([0, 0]); // 0.9, 0.1
   */
  static fromPriors(source: TensorLike, target: TensorLike): PriorCorrection {
    const where = "PriorCorrection.fromPriors", from = shares(where, "source", source, true), to = shares(where, "target", target, false);
    if (from.length !== to.length) throw rangeError(where, "target", `of shape [${from.length}]`, `[${to.length}]`);
    return PriorCorrection.#made(0, from, Float64Array.from(to), { gap: 0, iterations: 0, converged: true });
  }

  /**
   * Estimates the target prior from unlabelled rows: w_k <- mean_n p[n, k] w_k / source_k / sum_j p[n, j] w_j / source_j, the maximum of their likelihood.
   *
   * @param logits - float32 [N, C] of rows to come, calibrated (another calibrator's `transform`); -Infinity = impossible class
   * @param source - shares [C] in the rows of the calibration, each > 0, sum 1
   * @param options - `tolerance`, `maxIterations`
   * @throws RangeError for no rows, another shape, a row with NaN, +Infinity or without a finite score, shares that are none, an option out of range
   * @example
   *   PriorCorrection.fit([[2, 0], [2, 0], [2, 0], [0, 2]], [0.5, 0.5]).prior; // 0.8283, 0.1717
   */
  static fit(logits: TensorLike, source: TensorLike, options: PriorCorrectionOptions = {}): PriorCorrection {
    return runSteps(PriorCorrection.fitSteps("PriorCorrection.fit", logits, source, options));
  }

  /** `fit` with pauses at least every 16 ms: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(logits: TensorLike, source: TensorLike, options: PriorCorrectionOptions & LongWorkOptions = {}): Promise<PriorCorrection> {
    return runStepsAsync(PriorCorrection.fitSteps("PriorCorrection.fitAsync", logits, source, options), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, logits: TensorLike, source: TensorLike, options: PriorCorrectionOptions = {}): Steps<PriorCorrection> {
    const { tolerance = 1e-8, maxIterations = 5000 } = options;
    if (!(tolerance >= 0 && tolerance < Infinity)) throw rangeError(where, "tolerance", "a finite number >= 0", `${tolerance}`);
    checkInteger(where, "maxIterations", maxIterations, 0, Number.MAX_SAFE_INTEGER);
    const z = checkedRows(where, logits), from = shares(where, "source", source, true), [n, classes] = z.shape;
    if (from.length !== classes) throw rangeError(where, "source", `of shape [${classes}]`, `[${from.length}]`);
    yield* checkUsable(where, z);
    const { weights, gap, iterations } = yield* fitMixture(softmax(z).data, from, from, tolerance, maxIterations);
    return PriorCorrection.#made(n, from, weights, { gap, iterations, converged: gap <= tolerance });
  }

  /**
   * Takes away the preference that rows without content show: offset = -ln mean_n softmax(logits[n]) - ln C.
   *
   * Contextual calibration: logits of the answers to a few empty questions ("N/A", "[MASK]", ""). Batch calibration: logits of the answers to the questions themselves, where no answer should be
   * more frequent than another.
   *
   * @param logits - float32 [N, C], N and C at least 1; -Infinity = impossible class
   * @throws RangeError for no rows, another shape, a row with NaN, +Infinity or without a finite score
   * @example
   *   PriorCorrection.fitPrompt([[1, 0]]).probabilities([1, 0]); // 0.5, 0.5
   * Source: Zhao, Wallace, Feng, Klein, Singh, "Calibrate before use", ICML 2021; Zhou et al., "Batch calibration", ICLR 2024.
   */
  static fitPrompt(logits: TensorLike): PriorCorrection {
    const where = "PriorCorrection.fitPrompt", z = checkedRows(where, logits), [n, classes] = z.shape;
    const unusable = unusableRow(where, z);
    if (unusable) throw unusable;
    const p = softmax(z).data, sums = new Float64Array(classes);
    for (let i = 0; i < p.length; i++) sums[i % classes] += p[i];
    return PriorCorrection.fromSums(n, sums);
  }

  /** What `fitPrompt` makes of n rows whose probabilities sum to `sums` [C], for `PriorCorrectionAccumulator`. */
  static fromSums(n: number, sums: Float64Array): PriorCorrection {
    return PriorCorrection.#made(n, sums.map((sum) => Math.max(sum / n, LEAST)), new Float64Array(sums.length).fill(1 / sums.length), { gap: 0, iterations: 0, converged: true });
  }

  static #made(n: number, from: ArrayLike<number>, to: Float64Array, search: { gap: number; iterations: number; converged: boolean }): PriorCorrection {
    const classes = to.length, shape = [classes];
    return new PriorCorrection({
      classes, n, ...search, atBound: to.some((share) => share < LEAST), prior: new Tensor("float32", shape, Float32Array.from(to)),
      offset: new Tensor("float32", shape, Float32Array.from(to, (share, c) => log(Math.max(share, LEAST)) - log(from[c]))),
    });
  }

  /**
   * Corrected logits: logits + offset.
   *
   * @param logits - float32 [..., C]
   * @returns float32, the same shape; NaN and infinities stay
   * @throws RangeError for another width
   */
  transform(logits: TensorLike): Tensor<"float32"> {
    return this.#moved("PriorCorrection.transform", logits);
  }

  /**
   * Corrected probabilities: softmax of the corrected logits.
   *
   * @param logits - float32 [..., C]
   * @returns float32, the same shape; a row with NaN or +Infinity, or of -Infinity only: NaN
   * @throws RangeError for another width
   */
  probabilities(logits: TensorLike): Tensor<"float32"> {
    return softmax(this.#moved("PriorCorrection.probabilities", logits));
  }

  #moved(where: string, logits: TensorLike): Tensor<"float32"> {
    const z = checkedLogits(where, logits, this.classes), { data } = this.offset;
    return new Tensor("float32", z.shape, z.data.map((score, i) => score + data[i % this.classes]));
  }

  toJSON(): PriorCorrectionJSON {
    const { classes, n, gap, iterations, converged, atBound, prior, offset } = this;
    return { format: FORMAT, version: 1, classes, n, gap, iterations, converged, atBound, prior: tensorToJSON(prior), offset: tensorToJSON(offset) };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): PriorCorrection {
    const fields = readJson("PriorCorrection.fromJSON", json, FORMAT, 1, "@logits/calibration");
    const classes = fields.integer("classes", 1, 2147483647);
    const read = (field: string): Tensor<"float32"> => {
      const tensor = fields.tensor(field, "float32", 1);
      return tensor.size === classes ? tensor : fields.fail(field, `of shape [${classes}]`, `[${tensor.size}]`);
    };
    return new PriorCorrection({
      classes, n: fields.integer("n", 0, Number.MAX_SAFE_INTEGER), gap: fields.number("gap", 0), iterations: fields.integer("iterations", 0, Number.MAX_SAFE_INTEGER), converged: fields.boolean("converged"),
      atBound: fields.boolean("atBound"), prior: read("prior"), offset: read("offset"),
    });
  }
}

/** Shares of classes: each >= 0 (or > 0), sum 1 within 1e-5, which float32 shares keep; divided by their sum. */
function shares(where: string, argument: string, x: TensorLike, positive: boolean): Float64Array {
  const p = asFloat32(where, argument, x);
  checkShape(where, argument, p, ["C"]);
  let sum = 0;
  for (let c = 0; c < p.size; c++) {
    if (!(positive ? p.data[c] > 0 : p.data[c] >= 0)) throw rangeError(where, argument, `of shares ${positive ? "> 0" : ">= 0"}`, `${p.data[c]} at index ${c}`);
    sum += p.data[c];
  }
  if (!(Math.abs(sum - 1) <= 1e-5)) throw rangeError(where, argument, "with a sum of 1", `${sum}`);
  return Float64Array.from(p.data, (share) => share / sum);
}

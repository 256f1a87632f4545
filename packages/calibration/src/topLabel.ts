import { softmax } from "@logits/core-wasm";
import { log } from "@logits/statistics";
import { Tensor, rangeError, readJson, runSteps, runStepsAsync, type LongWorkOptions, type Steps, type TensorLike } from "@logits/tensor";
import type { BinaryCalibrator } from "./binaryCalibrator.ts";
import { binaryFit, logOddsOf, type BinaryMethod } from "./binaryMethod.ts";
import { checkedLogits, checkUsable, checkedPairs, type Calibrator, type CalibratorJSON } from "./calibrator.ts";
import { IDENTITY, nestedBinary } from "./oneVsRest.ts";

const FORMAT = "logits/top-label";

/** Options of `TopLabel`. */
export interface TopLabelOptions {
  /** The binary calibrator of the confidence; default "platt". */
  readonly method?: BinaryMethod;
  /** One calibrator for "all" rows (default), or one for each predicted "class" besides: a class that was never predicted takes that of all rows. */
  readonly per?: "all" | "class";
}

/** What `TopLabel` writes as JSON. */
export interface TopLabelJSON {
  readonly format: "logits/top-label";
  readonly version: 1;
  readonly classes: number;
  readonly n: number;
  readonly all: CalibratorJSON | "none";
  readonly calibrators: readonly (CalibratorJSON | "none")[];
}

/**
 * Calibrates how often the answer is right: a binary calibrator on the log-odds of the highest class, whether it is the label; what is left goes to the others in proportion.
 *
 *   q = calibrator(s_top),   p_top = q,   p_c = (1 - q) softmax_c / (1 - softmax_top)
 *
 * The probability of the answer is calibrated, given the answer with `per: "class"`; the others only share the rest. Where q is small another class can come out higher.
 *
 * Source: Gupta and Ramdas, "Top-label calibration and multiclass-to-binary reductions", ICLR 2022.
 */
export class TopLabel implements Calibrator {
  readonly classes: number;
  readonly n: number;
  /** The calibrator of all rows; undefined where no row of the fit had two possible classes. */
  readonly all: BinaryCalibrator | undefined;
  /** One for each predicted class with `per: "class"`, undefined for those that take `all`; else empty. */
  readonly calibrators: readonly (BinaryCalibrator | undefined)[];

  private constructor(classes: number, n: number, all: BinaryCalibrator | undefined, calibrators: readonly (BinaryCalibrator | undefined)[]) {
    this.classes = classes;
    this.n = n;
    this.all = all;
    this.calibrators = Object.freeze([...calibrators]);
    Object.freeze(this);
  }

  /**
   * Fits the calibrator of the confidence on labelled rows that no later step uses.
   *
   * @param logits - float32 [N, C], N and C at least 1; -Infinity = impossible class. Of equal scores the smaller index is the answer
   * @param labels - int32 [N], in [0, C)
   * @param options - `method` (default "platt"), `per` (default "all")
   * @throws RangeError for no rows, another shape, a label outside [0, C), a row with NaN, +Infinity or without a finite score, an impossible label (the row is named); what the binary fit throws
   * @example
   *   TopLabel.fit([[2, 0], [2, 0], [0, 2], [2, 0]], [0, 0, 1, 1]).probabilities([2, 0]);
   */
  static fit(logits: TensorLike, labels: TensorLike, options: TopLabelOptions = {}): TopLabel {
    return runSteps(TopLabel.fitSteps("TopLabel.fit", logits, labels, options));
  }

  /** `fit` with pauses at least every 16 ms: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(logits: TensorLike, labels: TensorLike, options: TopLabelOptions & LongWorkOptions = {}): Promise<TopLabel> {
    return runStepsAsync(TopLabel.fitSteps("TopLabel.fitAsync", logits, labels, options), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, logits: TensorLike, labels: TensorLike, options: TopLabelOptions = {}): Steps<TopLabel> {
    const { method = "platt", per = "all" } = options, fit = binaryFit(where, method), least = method === "scaling-binning" ? 3 : 1;
    if (per !== "all" && per !== "class") throw rangeError(where, "per", '"all" or "class"', `${per as string}`);
    const { z, y, n, classes } = checkedPairs(where, logits, labels);
    yield* checkUsable(where, z, y);
    const odds = new Float64Array(classes), scores: number[][] = [], answers: number[][] = [];
    for (let c = 0; c <= (per === "class" ? classes : 0); c++) {
      scores.push([]);
      answers.push([]);
    }
    for (let row = 0; row < n; row++) {
      const top = logOddsOf(z, row, odds);
      // Where only one class is possible nothing is left to calibrate.
      if (odds[top] < Infinity) {
        for (const group of per === "class" ? [0, top + 1] : [0]) {
          scores[group].push(odds[top]);
          answers[group].push(y.data[row] === top ? 1 : 0);
        }
      }
      if ((row * classes) % 32768 < classes) yield (0.5 * row) / n;
    }
    const fitted: (BinaryCalibrator | undefined)[] = [];
    for (let group = 0; group < scores.length; group++) {
      if (scores[group].length < least) fitted.push(undefined);
      else fitted.push(yield* fit(where, Float32Array.from(scores[group]), Uint8Array.from(answers[group])));
    }
    return new TopLabel(classes, n, fitted[0], fitted.slice(1));
  }

  /**
   * Calibrated probabilities.
   *
   * @param logits - float32 [..., C]
   * @returns float32, the same shape; a row with NaN or +Infinity, or of -Infinity only: NaN
   * @throws RangeError for another width
   */
  probabilities(logits: TensorLike): Tensor<"float32"> {
    return this.#shared(checkedLogits("TopLabel.probabilities", logits, this.classes));
  }

  /**
   * Calibrated logits: the logarithms of the probabilities.
   *
   * @param logits - float32 [..., C]
   * @returns float32, the same shape; -Infinity where a probability is 0
   * @throws RangeError for another width
   */
  transform(logits: TensorLike): Tensor<"float32"> {
    const p = this.#shared(checkedLogits("TopLabel.transform", logits, this.classes));
    return new Tensor("float32", p.shape, p.data.map(log));
  }

  #shared(z: Tensor<"float32">): Tensor<"float32"> {
    const { classes, calibrators, all } = this, p = softmax(z), out = p.data, odds = new Float64Array(classes);
    const others = z.data.slice();
    for (let row = 0, at = 0; at < out.length; row++, at += classes) {
      const top = logOddsOf(z, row, odds);
      if (top >= 0 && odds[top] < Infinity) others[at + top] = -Infinity;
    }
    // The distribution of the others by itself: dividing by 1 - p_top would lose its digits where p_top is near 1.
    const rest = classes > 0 && z.size > 0 ? softmax({ data: others, shape: z.shape }).data : others;
    for (let row = 0, at = 0; at < out.length; row++, at += classes) {
      const top = logOddsOf(z, row, odds);
      if (top < 0 || odds[top] === Infinity) continue;
      const q = (calibrators[top] ?? all ?? IDENTITY).at(odds[top]);
      for (let c = 0; c < classes; c++) out[at + c] = c === top ? q : (1 - q) * rest[at + c];
    }
    return p;
  }

  toJSON(): TopLabelJSON {
    const { classes, n, all, calibrators } = this;
    return { format: FORMAT, version: 1, classes, n, all: all?.toJSON() ?? "none", calibrators: calibrators.map((calibrator) => calibrator?.toJSON() ?? "none") };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): TopLabel {
    const fields = readJson("TopLabel.fromJSON", json, FORMAT, 1, "@logits/calibration");
    const classes = fields.integer("classes", 1, 2147483647), list = fields.value("calibrators");
    if (!Array.isArray(list) || (list.length !== classes && list.length !== 0)) return fields.fail("calibrators", `a list of ${classes} calibrators, or of none`, Array.isArray(list) ? `${list.length}` : typeof list);
    return new TopLabel(classes, fields.integer("n", 1, Number.MAX_SAFE_INTEGER), nestedBinary(fields.fail, "all", fields.value("all"), 0), list.map((item, c) => nestedBinary(fields.fail, "calibrators", item, c)));
  }
}

import { log, sigmoid } from "@logits/statistics";
import { Tensor, readJson, runSteps, runStepsAsync, type LongWorkOptions, type Steps, type TensorLike } from "@logits/tensor";
import type { BinaryCalibrator } from "./binaryCalibrator.ts";
import { binaryCalibratorFromJSON } from "./binaryCalibratorFromJSON.ts";
import { binaryFit, logOddsOf, type BinaryMethod } from "./binaryMethod.ts";
import { checkedLogits, checkUsable, checkedPairs, type Calibrator, type CalibratorJSON } from "./calibrator.ts";

const FORMAT = "logits/one-vs-rest";

/** Options of `OneVsRest`. */
export interface OneVsRestOptions {
  /** The binary calibrator of each class; default "platt". */
  readonly method?: BinaryMethod;
}

/** What `OneVsRest` writes as JSON. */
export interface OneVsRestJSON {
  readonly format: "logits/one-vs-rest";
  readonly version: 1;
  readonly classes: number;
  readonly n: number;
  readonly calibrators: readonly (CalibratorJSON | "none")[];
}

/**
 * A binary calibrator for each class on its log-odds against the others, then divided by the sum.
 *
 *   p_c = q_c(s_c) / sum_j q_j(s_j),   s_c = logits_c - log sum_{j != c} e^logits_j
 *
 * Dividing by the sum undoes some of the calibration, and the highest class can change. A row whose q are all 0 gets the uniform distribution over its possible classes.
 *
 * Source: Zadrozny and Elkan, "Transforming classifier scores into accurate multiclass probability estimates", KDD 2002.
 */
export class OneVsRest implements Calibrator {
  readonly classes: number;
  readonly n: number;
  /** One for each class; undefined where the class was never possible in the fit: its probability stays. */
  readonly calibrators: readonly (BinaryCalibrator | undefined)[];

  private constructor(n: number, calibrators: readonly (BinaryCalibrator | undefined)[]) {
    this.classes = calibrators.length;
    this.n = n;
    this.calibrators = Object.freeze([...calibrators]);
    Object.freeze(this);
  }

  /**
   * Fits a calibrator for each class on labelled rows that no later step uses.
   *
   * @param logits - float32 [N, C], N and C at least 1; a class of score -Infinity takes no part in its calibrator's fit there
   * @param labels - int32 [N], in [0, C)
   * @param options - `method` (default "platt")
   * @throws RangeError for no rows, another shape, a label outside [0, C), a row with NaN, +Infinity or without a finite score, an impossible label (the row is named); what the binary fit throws
   * @example
   *   OneVsRest.fit([[2, 0], [2, 0], [0, 2], [2, 0]], [0, 0, 1, 1]).probabilities([2, 0]);
   */
  static fit(logits: TensorLike, labels: TensorLike, options: OneVsRestOptions = {}): OneVsRest {
    return runSteps(OneVsRest.fitSteps("OneVsRest.fit", logits, labels, options));
  }

  /** `fit` with pauses at least every 16 ms: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(logits: TensorLike, labels: TensorLike, options: OneVsRestOptions & LongWorkOptions = {}): Promise<OneVsRest> {
    return runStepsAsync(OneVsRest.fitSteps("OneVsRest.fitAsync", logits, labels, options), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, logits: TensorLike, labels: TensorLike, options: OneVsRestOptions = {}): Steps<OneVsRest> {
    const { method = "platt" } = options, fit = binaryFit(where, method);
    const { z, y, n, classes } = checkedPairs(where, logits, labels);
    yield* checkUsable(where, z, y);
    // Class by class, so that a column is one array; the rows are walked once.
    const columns = Array.from({ length: classes }, () => new Float32Array(n)), odds = new Float64Array(classes);
    for (let row = 0; row < n; row++) {
      logOddsOf(z, row, odds);
      for (let c = 0; c < classes; c++) columns[c][row] = odds[c];
      if ((row * classes) % 32768 < classes) yield (0.3 * row) / n;
    }
    const calibrators: (BinaryCalibrator | undefined)[] = [];
    for (let c = 0; c < classes; c++) {
      const rows: number[] = [], answers: number[] = [], column = columns[c];
      for (let row = 0; row < n; row++) {
        if (column[row] - column[row] !== 0) continue;
        rows.push(column[row]);
        answers.push(y.data[row] === c ? 1 : 0);
      }
      const steps = fit(where, Float32Array.from(rows), Uint8Array.from(answers));
      if (rows.length < (method === "scaling-binning" ? 3 : 1)) calibrators.push(undefined);
      else {
        for (let next = steps.next(); ; next = steps.next()) {
          if (next.done) {
            calibrators.push(next.value);
            break;
          }
          yield 0.3 + (0.7 * (c + next.value)) / classes;
        }
      }
    }
    return new OneVsRest(n, calibrators);
  }

  /**
   * Calibrated probabilities.
   *
   * @param logits - float32 [..., C]
   * @returns float32, the same shape; a row with NaN or +Infinity, or of -Infinity only: NaN
   * @throws RangeError for another width
   */
  probabilities(logits: TensorLike): Tensor<"float32"> {
    return this.#divided(checkedLogits("OneVsRest.probabilities", logits, this.classes));
  }

  /**
   * Calibrated logits: the logarithms of the probabilities.
   *
   * @param logits - float32 [..., C]
   * @returns float32, the same shape; -Infinity where a probability is 0 (never with "platt" and "venn-abers" on possible classes)
   * @throws RangeError for another width
   */
  transform(logits: TensorLike): Tensor<"float32"> {
    const p = this.#divided(checkedLogits("OneVsRest.transform", logits, this.classes));
    return new Tensor("float32", p.shape, p.data.map(log));
  }

  #divided(z: Tensor<"float32">): Tensor<"float32"> {
    const { classes, calibrators } = this, out = new Float32Array(z.size), odds = new Float64Array(classes);
    for (let row = 0, at = 0; at < out.length; row++, at += classes) {
      if (logOddsOf(z, row, odds) < 0) {
        out.fill(NaN, at, at + classes);
        continue;
      }
      let sum = 0, possible = 0;
      for (let c = 0; c < classes; c++) {
        if (odds[c] === -Infinity) continue;
        possible++;
        odds[c] = odds[c] === Infinity ? 1 : (calibrators[c] ?? IDENTITY).at(odds[c]);
        sum += odds[c];
      }
      for (let c = 0; c < classes; c++) out[at + c] = odds[c] === -Infinity ? 0 : sum > 0 ? odds[c] / sum : 1 / possible;
    }
    return new Tensor("float32", z.shape, out);
  }

  toJSON(): OneVsRestJSON {
    const { classes, n, calibrators } = this;
    return { format: FORMAT, version: 1, classes, n, calibrators: calibrators.map((calibrator) => calibrator?.toJSON() ?? "none") };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): OneVsRest {
    const fields = readJson("OneVsRest.fromJSON", json, FORMAT, 1, "@logits/calibration");
    const classes = fields.integer("classes", 1, 2147483647), list = fields.value("calibrators");
    if (!Array.isArray(list) || list.length !== classes) return fields.fail("calibrators", `a list of ${classes} calibrators`, Array.isArray(list) ? `${list.length}` : typeof list);
    return new OneVsRest(fields.integer("n", 1, Number.MAX_SAFE_INTEGER), list.map((item, c) => nestedBinary(fields.fail, "calibrators", item, c)));
  }
}

/** A nested binary calibrator, or "none". */
export function nestedBinary(fail: (field: string, expected: string, got: string) => never, field: string, item: unknown, index: number): BinaryCalibrator | undefined {
  if (item === "none") return undefined;
  if (typeof item !== "object" || item === null || Array.isArray(item)) return fail(field, 'binary calibrators or "none"', `${item === null ? "null" : typeof item} at index ${index}`);
  return binaryCalibratorFromJSON(item);
}

/** Log-odds as they are. */
export const IDENTITY: { at(score: number): number } = { at: sigmoid };

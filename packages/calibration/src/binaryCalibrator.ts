import { firstOutside, onesOf } from "@logits/core-wasm/order";
import { Tensor, asFloat32, asMask, checkShape, lastingData, rangeError, type JsonFields, type TensorLike } from "@logits/tensor";
import type { CalibratorJSON } from "./calibrator.ts";

/** A fitted map from the score of a yes-or-no question to the probability of yes. */
export interface BinaryCalibrator {
  /** Rows of the fit. */
  readonly n: number;
  /** Probability at one score, float64; NaN for NaN. */
  at(score: number): number;
  /** float32 of any shape to probabilities of the same shape. */
  probabilities(scores: TensorLike): Tensor<"float32">;
  toJSON(): CalibratorJSON;
}

/** Scores and answers of a fit. */
export interface BinaryPairs {
  readonly s: Float32Array;
  readonly t: Uint8Array;
  readonly n: number;
  /** Rows whose answer is yes. */
  readonly positives: number;
}

/** The largest float32. */
const LARGEST = 3.4028234663852886e38;

/** Elements between two pauses: about 1 ms. */
export const PIECE = 32768;

/** Checks scores [N] and labels [N] of a fit. */
export function checkedBinary(where: string, scores: TensorLike, labels: TensorLike): BinaryPairs {
  const s = asFloat32(where, "scores", scores), t = asMask(where, "labels", labels);
  checkShape(where, "scores", s, ["N"]);
  const n = s.size;
  if (n === 0) throw rangeError(where, "scores", "with at least one row", "none");
  checkShape(where, "labels", t, [n]);
  const values = lastingData(s), marks = lastingData(t), bad = firstOutside(values, -LARGEST, LARGEST);
  if (bad < n) throw rangeError(where, "scores", "of finite numbers", `${values[bad]} in row ${bad}`);
  return { s: values, t: marks, n, positives: onesOf(marks) };
}

/** What the binary calibrators share. */
export abstract class BinaryMap implements BinaryCalibrator {
  /** Rows of the fit. */
  readonly n: number;

  protected constructor(n: number) {
    this.n = n;
  }

  /** The name in errors. */
  protected abstract get name(): string;

  /** Probability at one score, float64; NaN for NaN. */
  abstract at(score: number): number;

  abstract toJSON(): CalibratorJSON;

  /**
   * Probabilities of yes.
   *
   * @param scores - float32 of any shape; -Infinity and +Infinity are the ends, NaN stays NaN
   * @returns float32, the same shape
   */
  probabilities(scores: TensorLike): Tensor<"float32"> {
    const s = asFloat32(`${this.name}.probabilities`, "scores", scores), out = new Float32Array(s.size);
    for (let i = 0; i < out.length; i++) out[i] = this.at(s.data[i]);
    return new Tensor("float32", s.shape, out);
  }
}

/**
 * Platt's targets: (N1 + 1) / (N1 + 2) for the N1 rows with yes, 1 / (N0 + 2) for the N0 others. They are the shrinkage: scores that separate the answers have a finite
 * optimum, and answers of one kind only give a constant.
 */
export function plattTargets({ n, positives }: Pick<BinaryPairs, "n" | "positives">): { high: number; low: number } {
  return { high: (positives + 1) / (positives + 2), low: 1 / (n - positives + 2) };
}

/** First index with knots[index] >= x; the length where there is none. */
export function firstAtLeast(knots: ArrayLike<number>, x: number): number {
  let low = 0, high = knots.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (knots[middle] >= x) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Knots, strictly increasing, and one probability for each (`extra` more of them), non-decreasing, from JSON. */
export function knotsOf(fields: JsonFields, knotField: string, valueField: string, extra: number = 0, monotone: boolean = true): [knots: Tensor<"float32">, values: Tensor<"float32">] {
  const knots = fields.tensor(knotField, "float32", 1), values = fields.tensor(valueField, "float32", 1);
  if (knots.size + extra < 1) fields.fail(knotField, "at least one number", "none");
  for (let i = 1; i < knots.size; i++) if (!(knots.data[i] > knots.data[i - 1])) fields.fail(knotField, "strictly increasing numbers", `${knots.data[i]} after ${knots.data[i - 1]}`);
  if (values.size !== knots.size + extra) fields.fail(valueField, `${knots.size + extra} numbers, for the ${knots.size} of \`${knotField}\``, `${values.size}`);
  for (let i = 0; i < values.size; i++) {
    const value = values.data[i];
    if (!(value >= 0 && value <= 1)) fields.fail(valueField, "probabilities in [0, 1]", `${value} at index ${i}`);
    if (monotone && i > 0 && value < values.data[i - 1]) fields.fail(valueField, "non-decreasing numbers", `${value} after ${values.data[i - 1]}`);
  }
  return [knots, values];
}

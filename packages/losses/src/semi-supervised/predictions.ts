import { softmax } from "@logits/core-wasm";
import { Tensor, asFloat32, checkProbabilities, checkShape, rangeError, type TensorLike } from "@logits/tensor";
import { checkChoice } from "../range.ts";

/** What a rule reads: rows of logits, or of probabilities that were aligned before. */
export type Scores = "logits" | "probabilities";

/** The answers of a model on a batch. */
export interface Answers {
  /** float32 [B, C]. */
  readonly p: Tensor<"float32">;
  readonly rows: number;
  readonly classes: number;
  /** int32 [B]; the smallest class at equal probabilities. */
  readonly labels: Int32Array;
  /** float32 [B], the largest probability. */
  readonly confidence: Float32Array;
}

/** Probabilities, answers and confidence of rows of scores. A row with NaN, or without a possible class, is an error that names it. */
export function answersOf(where: string, argument: string, scores: TensorLike, input: Scores = "logits", classes?: number): Answers {
  const x = asFloat32(where, argument, scores);
  checkShape(where, argument, x, ["B", "C"]);
  const [rows, width] = x.shape;
  if (width === 0 || (classes !== undefined && width !== classes)) throw rangeError(where, argument, classes === undefined ? "with at least one class" : `of shape [B, ${classes}]`, `[${x.shape.join(", ")}]`);
  checkChoice(where, "input", input, ["logits", "probabilities"]);
  if (input === "probabilities") checkProbabilities(where, argument, x, width);
  const p = input === "logits" ? softmax(x) : x, labels = new Int32Array(rows), confidence = new Float32Array(rows);
  for (let i = 0; i < rows; i++) {
    const row = p.data.subarray(i * width, (i + 1) * width);
    let best = 0;
    for (let c = 1; c < width; c++) if (row[c] > row[best]) best = c;
    if (!(row[best] >= 0)) throw rangeError(where, argument, "finite logits, or -Infinity for impossible classes", `a row without probabilities: row ${i}`);
    labels[i] = best;
    confidence[i] = row[best];
  }
  return { p, rows, classes: width, labels, confidence };
}

/** The weighted mean of the rows of [B, C], in float64; 0 where there is no row. */
export function meanRow(p: Float32Array, classes: number, weights?: ArrayLike<number>): Float64Array {
  const mean = new Float64Array(classes);
  let mass = 0;
  for (let i = 0; i < p.length / classes; i++) {
    const w = weights === undefined ? 1 : weights[i];
    if (w === 0) continue;
    mass += w;
    for (let c = 0; c < classes; c++) mean[c] += w * p[i * classes + c];
  }
  return mass === 0 ? mean : mean.map((m) => m / mass);
}

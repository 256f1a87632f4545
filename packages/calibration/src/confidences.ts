import { firstOutside } from "@logits/core-wasm/order";
import { asFloat32, asInt32, asMask, checkLabels, checkProbabilities, checkShape, rangeError, type TensorLike } from "@logits/tensor";

/** How sure a model was and whether it was right, one element per row. */
export interface Confidences {
  /** float32 or float64 [N], in [0, 1]. */
  readonly confidence: TensorLike;
  /** mask [N]: 1 or true = right. */
  readonly correct: TensorLike;
}

/** The largest float32 that is at most 1.00001: sums of rounded probabilities may be above 1. */
const MOST = 1 + 83 * 2 ** -23;

/** Checked confidences; float64 stays float64. */
export interface CheckedConfidences {
  readonly confidence: ArrayLike<number>;
  readonly correct: Uint8Array;
}

/** Whether the first argument is `{ confidence, correct }` and not probabilities. */
export function areConfidences(x: TensorLike | Confidences): x is Confidences {
  return typeof x === "object" && x !== null && "confidence" in x;
}

/** Top-label confidences of probabilities [N, C] (max over classes, equal ones: the smaller index), or given ones. */
export function checkedConfidences(where: string, predictions: TensorLike | Confidences, labels: TensorLike | undefined): CheckedConfidences {
  return areConfidences(predictions) ? given(where, predictions) : ofProbabilities(where, predictions, labels);
}

function given(where: string, predictions: Confidences): CheckedConfidences {
  const { confidence } = predictions;
  const wide = confidence instanceof Float64Array || (Array.isArray(confidence) && confidence.every((value) => typeof value === "number"));
  const values = wide ? (confidence as ArrayLike<number>) : asFloat32(where, "confidence", confidence).data;
  const correct = asMask(where, "correct", predictions.correct);
  if (values.length === 0) throw rangeError(where, "confidence", "with at least one row", "none");
  checkShape(where, "correct", correct, ["N"]);
  if (correct.size !== values.length) throw rangeError(where, "correct", `of shape [${values.length}]`, `[${correct.size}]`);
  const bad = values instanceof Float32Array ? firstOutside(values, 0, MOST) : firstOutsideOf(values);
  if (bad < values.length) throw rangeError(where, "confidence", "in [0, 1]", `${values[bad]} in row ${bad}`);
  return { confidence: values, correct: correct.data };
}

function firstOutsideOf(values: ArrayLike<number>): number {
  let i = 0;
  while (i < values.length && values[i] >= 0 && values[i] <= 1.00001) i++;
  return i;
}

function ofProbabilities(where: string, probabilities: TensorLike, labels: TensorLike | undefined): CheckedConfidences {
  const { confidence, correct } = topLabels(labelledProbabilities(where, probabilities, labels));
  return { confidence, correct };
}

/** Checked probabilities [N, C] with a label for each row. */
export interface LabelledProbabilities {
  readonly data: Float32Array;
  readonly labels: Int32Array;
  readonly rows: number;
  readonly classes: number;
}

/** Checks probabilities [N, C], N and C at least 1, and labels [N] in [0, C). */
export function labelledProbabilities(where: string, probabilities: TensorLike, labels: TensorLike | undefined): LabelledProbabilities {
  const p = asFloat32(where, "probabilities", probabilities);
  checkShape(where, "probabilities", p, ["N", "C"]);
  const [rows, classes] = p.shape;
  if (rows === 0 || classes === 0) throw rangeError(where, "probabilities", "with at least one row and one class", `shape [${rows}, ${classes}]`);
  if (labels === undefined) throw rangeError(where, "labels", `of shape [${rows}]`, "none");
  const y = asInt32(where, "labels", labels);
  checkShape(where, "labels", y, [rows]);
  checkLabels(where, "labels", y, classes);
  checkProbabilities(where, "probabilities", p, classes);
  return { data: p.data, labels: y.data, rows, classes };
}

/** The largest probability of each row, the class that has it (equal ones: the smaller index), and whether that is the label. */
export function topLabels({ data, labels, rows, classes }: LabelledProbabilities): { readonly confidence: Float32Array; readonly correct: Uint8Array; readonly predicted: Int32Array } {
  const confidence = new Float32Array(rows), correct = new Uint8Array(rows), predicted = new Int32Array(rows);
  for (let n = 0, at = 0; n < rows; n++) {
    let best = 0, top = data[at];
    for (let c = 1; c < classes; c++) {
      if (data[at + c] > top) {
        best = c;
        top = data[at + c];
      }
    }
    at += classes;
    confidence[n] = top;
    predicted[n] = best;
    correct[n] = best === labels[n] ? 1 : 0;
  }
  return { confidence, correct, predicted };
}

/** Rows of one class: its probability and whether it is the label; or its confidence and whether it is right. */
export interface ClassRows {
  readonly label: number;
  readonly part: { readonly confidence: Float32Array; readonly correct: Uint8Array };
}

/** Every class against all others, all rows each time. */
export function* eachClass({ data, labels, rows, classes }: LabelledProbabilities): Generator<ClassRows> {
  for (let label = 0; label < classes; label++) {
    const confidence = new Float32Array(rows), correct = new Uint8Array(rows);
    for (let n = 0, at = label; n < rows; n++, at += classes) {
      confidence[n] = data[at];
      correct[n] = labels[n] === label ? 1 : 0;
    }
    yield { label, part: { confidence, correct } };
  }
}

/** The rows of each class that is predicted at all. */
export function* eachPrediction(labelled: LabelledProbabilities): Generator<ClassRows> {
  const { confidence, correct, predicted } = topLabels(labelled);
  const counts = new Int32Array(labelled.classes);
  for (const label of predicted) counts[label]++;
  const parts = Array.from(counts, (count) => ({ confidence: new Float32Array(count), correct: new Uint8Array(count) }));
  counts.fill(0);
  for (let n = 0; n < predicted.length; n++) {
    const part = parts[predicted[n]], at = counts[predicted[n]]++;
    part.confidence[at] = confidence[n];
    part.correct[at] = correct[n];
  }
  for (const [label, part] of parts.entries()) if (part.confidence.length > 0) yield { label, part };
}

/** The confidence of an interval, in (0, 1); default 0.95. */
export function checkLevel(where: string, level: number | undefined): number {
  const given = level ?? 0.95;
  if (!(given > 0 && given < 1)) throw rangeError(where, "level", "in (0, 1)", `${given}`);
  return given;
}

import { Tensor, asFloat32, asInt32, checkLabels, checkShape, rangeError, type Steps, type TensorLike } from "@logits/tensor";

/** What every calibrator writes as JSON begins so. */
export interface CalibratorJSON {
  readonly format: string;
  readonly version: number;
}

/** A fitted map from rows of logits to calibrated ones. */
export interface Calibrator {
  /** C, the width of the logits. */
  readonly classes: number;
  /** Rows of the fit. */
  readonly n: number;
  /** float32 [..., C] to calibrated logits of the same shape: their softmax is `probabilities`. */
  transform(logits: TensorLike): Tensor<"float32">;
  /** float32 [..., C] to calibrated probabilities of the same shape. */
  probabilities(logits: TensorLike): Tensor<"float32">;
  toJSON(): CalibratorJSON;
}

/** Logits of the width of the fit. */
export function checkedLogits(where: string, logits: TensorLike, classes: number): Tensor<"float32"> {
  const z = asFloat32(where, "logits", logits);
  if (z.shape[z.shape.length - 1] !== classes) throw rangeError(where, "logits", `of ${classes} classes on the last axis`, `shape [${z.shape.join(", ")}]`);
  return z;
}

/** Logits [N, C] of a fit without labels: at least one row and one class. */
export function checkedRows(where: string, logits: TensorLike): Tensor<"float32"> {
  const z = asFloat32(where, "logits", logits);
  checkShape(where, "logits", z, ["N", "C"]);
  if (z.size === 0) throw rangeError(where, "logits", "with at least one row and one class", `shape [${z.shape.join(", ")}]`);
  return z;
}

/** Logits [N, C] and labels [N] of a fit. Rows of them are checked by `unusableRow`. */
export function checkedPairs(where: string, logits: TensorLike, labels: TensorLike): { z: Tensor<"float32">; y: Tensor<"int32">; n: number; classes: number } {
  const z = asFloat32(where, "logits", logits);
  const y = asInt32(where, "labels", labels);
  checkShape(where, "logits", z, ["N", "C"]);
  const [n, classes] = z.shape;
  if (n === 0 || classes === 0) throw rangeError(where, "logits", "with at least one row and one class", `shape [${n}, ${classes}]`);
  checkShape(where, "labels", y, [n]);
  checkLabels(where, "labels", y, classes);
  return { z, y, n, classes };
}

/** The error of the first row that cannot take part in a fit; undefined where every row can. */
export function unusableRow(where: string, z: Tensor<"float32">, y?: Tensor<"int32">, first: number = 0, end: number = z.shape[0]): RangeError | undefined {
  const classes = z.shape[1];
  const { data } = z;
  for (let row = first; row < end; row++) {
    let top = -Infinity;
    for (let c = 0; c < classes; c++) {
      const score = data[row * classes + c];
      if (score !== score || score === Infinity) return rangeError(where, "logits", "finite or -Infinity", `${score} in row ${row}, column ${c}`);
      if (score > top) top = score;
    }
    if (top === -Infinity) return rangeError(where, "logits", "with a finite score in each row", `only -Infinity in row ${row}`);
    if (y && data[row * classes + y.data[row]] === -Infinity) return rangeError(where, "labels", "possible under the logits", `label ${y.data[row]} of row ${row}, whose score is -Infinity`, "No temperature makes it possible; raise the score or drop the row");
  }
  return undefined;
}

/** Throws the error of the first row that cannot take part in a fit, in pieces; returns whether some class is impossible in some row. */
export function* checkUsable(where: string, z: Tensor<"float32">, y?: Tensor<"int32">): Steps<boolean> {
  const [n, classes] = z.shape, piece = Math.max(1, Math.floor(1048576 / classes));
  let impossible = false;
  for (let first = 0; first < n; first += piece) {
    const end = Math.min(n, first + piece), unusable = unusableRow(where, z, y, first, end);
    if (unusable) throw unusable;
    impossible ||= z.data.subarray(first * classes, end * classes).includes(-Infinity);
    yield 0;
  }
  return impossible;
}

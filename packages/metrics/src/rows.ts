import { asFloat32, asInt32, checkLabels, checkNoNaN, checkShape, lastingData, rangeError, type TensorLike } from "@logits/tensor";

/** Rows of scores with a label each. */
export interface LabelledRows {
  /** float32, [N, C] row-major. */
  readonly data: Float32Array;
  readonly labels: Int32Array;
  readonly rows: number;
  readonly classes: number;
}

/** Checks scores [N, C] without NaN and labels [N] in [0, C); N and C at least 1. */
export function labelledRows(where: string, argument: string, scores: TensorLike, labels: TensorLike): LabelledRows {
  const x = asFloat32(where, argument, scores);
  const y = asInt32(where, "labels", labels);
  checkShape(where, argument, x, ["N", "C"]);
  const [rows, classes] = x.shape;
  if (rows === 0 || classes === 0) throw rangeError(where, argument, "with at least one row and one class", `shape [${rows}, ${classes}]`);
  checkShape(where, "labels", y, [rows]);
  checkLabels(where, "labels", y, classes);
  checkNoNaN(where, argument, x, classes);
  return { data: lastingData(x), labels: lastingData(y), rows, classes };
}

/** One number per row, without NaN: float64 stays float64 (as do plain numbers), everything else is read as float32. */
export function numbers(where: string, argument: string, x: TensorLike): ArrayLike<number> {
  const plain = Array.isArray(x) && x.every((value) => typeof value === "number");
  const values = x instanceof Float64Array || plain ? (x as ArrayLike<number>) : oneAxis(where, argument, x);
  if (values.length === 0) throw rangeError(where, argument, "with at least one row", "none");
  // A loop of its own: the kernel of `order` would come into every bundle that has one of these measures.
  for (let i = 0; i < values.length; i++) if (values[i] !== values[i]) throw rangeError(where, argument, "without NaN", `NaN in row ${i}`);
  return values;
}

function oneAxis(where: string, argument: string, x: TensorLike): Float32Array {
  const t = asFloat32(where, argument, x);
  checkShape(where, argument, t, ["N"]);
  return lastingData(t);
}

import { isCsr, rangeError, type CsrMatrix, type Steps, type Tensor, type TensorLike } from "@logits/tensor";
import { float32Of } from "./arguments.ts";

/** Elements between two pauses. */
const PIECE = 131072;

/** Classes that take part, and the weight of each row; the weights sum to 1. */
export function classWeightOf(where: string, labels: Int32Array, classes: number, classWeight: "balanced" | TensorLike | undefined): { seen: Int32Array; rowWeights: Float32Array } {
  const n = labels.length;
  const counts = new Float64Array(classes);
  for (const label of labels) counts[label]++;
  const each = new Float64Array(classes).fill(1);
  if (classWeight === "balanced") for (let c = 0; c < classes; c++) each[c] = counts[c] > 0 ? n / (classes * counts[c]) : 0;
  else if (classWeight !== undefined) {
    if (typeof classWeight === "string") throw rangeError(where, "classWeight", `"balanced" or float32 of shape [${classes}]`, `"${classWeight}"`);
    const given = float32Of(where, "classWeight", classWeight);
    if (given.shape.length !== 1 || given.size !== classes) throw rangeError(where, "classWeight", `of shape [${classes}]`, `[${given.shape.join(", ")}]`);
    const bad = given.data.findIndex((v) => !(v >= 0 && v < Infinity));
    if (bad >= 0) throw rangeError(where, "classWeight", "of finite numbers >= 0", `${given.data[bad]} at index ${bad}`);
    each.set(given.data);
  }
  let total = 0;
  for (let c = 0; c < classes; c++) total += each[c] * counts[c];
  if (!(total > 0)) throw rangeError(where, "classWeight", "above 0 for a class of the rows", "0 for all of them");
  const seen = Int32Array.from([...counts.keys()].filter((c) => counts[c] * each[c] > 0));
  return { seen, rowWeights: Float32Array.from(labels, (label) => each[label] / total) };
}

/** Weighted mean and variance of each feature, and the check that every number is finite; `columns` are the names of packed columns. */
export function* featureMoments(where: string, x: Tensor<"float32"> | CsrMatrix, columns: Int32Array | undefined, rowWeights: Float32Array): Steps<{ mean: Float32Array; variance: Float64Array }> {
  const [rows, features] = x.shape;
  const { data } = x;
  const mean = new Float64Array(features), square = new Float64Array(features);
  const refuse = (value: number, row: number, column: number): RangeError => rangeError(where, "features", "of finite numbers", `${value} in row ${row}, column ${columns ? columns[column] : column}`);
  let since = 0;
  if (isCsr(x)) {
    const { indptr, indices } = x;
    for (let n = 0; n < rows; n++) {
      for (let j = indptr[n]; j < indptr[n + 1]; j++) {
        const value = data[j], f = indices[j];
        if (value - value !== 0) throw refuse(value, n, f);
        mean[f] += rowWeights[n] * value;
        square[f] += rowWeights[n] * value * value;
      }
      since += indptr[n + 1] - indptr[n];
      if (since >= PIECE) {
        since = 0;
        yield 0;
      }
    }
  } else {
    for (let n = 0, i = 0; n < rows; n++) {
      for (let f = 0; f < features; f++, i++) {
        const value = data[i];
        if (value - value !== 0) throw refuse(value, n, f);
        mean[f] += rowWeights[n] * value;
        square[f] += rowWeights[n] * value * value;
      }
      since += features;
      if (since >= PIECE) {
        since = 0;
        yield 0;
      }
    }
  }
  // Only the conditioning of the fit depends on the variance: what cancels in it does no harm.
  for (let f = 0; f < features; f++) square[f] = Math.max(0, square[f] - mean[f] * mean[f]);
  return { mean: Float32Array.from(mean), variance: square };
}

/**
 * The same rows with the columns that have elements, those of most elements first: vectors of the fit become shorter, and what is read most lies together.
 *
 * @returns the matrix, and the column of `x` behind each of its columns
 */
export function* packColumns(x: CsrMatrix): Steps<{ packed: CsrMatrix; columns: Int32Array }> {
  const { shape: [rows, features], indptr, indices, data } = x;
  const counts = new Int32Array(features);
  for (let j = 0; j < indices.length; j++) {
    counts[indices[j]]++;
    if (j % PIECE === 0) yield 0;
  }
  yield 0;
  // Sorted by counting: by elements, falling, then by column.
  const most = counts.reduce((a, b) => Math.max(a, b), 0);
  const starts = new Int32Array(most + 2);
  for (let f = 0; f < features; f++) starts[most - counts[f] + 1]++;
  for (let i = 0; i <= most; i++) starts[i + 1] += starts[i];
  const columns = new Int32Array(starts[most]), place = new Int32Array(features);
  for (let f = 0; f < features; f++) {
    if (counts[f] === 0) continue;
    place[f] = starts[most - counts[f]]++;
    columns[place[f]] = f;
  }
  yield 0;
  const placed = new Int32Array(indices.length);
  for (let j = 0; j < indices.length; j++) {
    placed[j] = place[indices[j]];
    if (j % PIECE === 0) yield 0;
  }
  return { packed: { shape: [rows, columns.length], indptr, indices: placed, data }, columns };
}

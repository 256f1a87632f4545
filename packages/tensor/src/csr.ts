import { rangeError, typeError } from "./errors.ts";
import { describe } from "./tensor.ts";

/**
 * A sparse matrix by rows, as SciPy's `csr_matrix`: row n holds the elements j in [indptr[n], indptr[n + 1]), element j being `data[j]` in column `indices[j]`.
 *
 * The columns of a row may stand in any order; a column that stands twice in a row counts as the sum of its elements. Sums are made in the stored order,
 * so that another order may change the last bit of a result.
 *
 * Source: SciPy, scipy.sparse.csr_matrix.
 */
export interface CsrMatrix {
  /** [N, F]. */
  readonly shape: readonly [rows: number, columns: number];
  /** Shape [N + 1], from 0 to the number of elements, never falling. */
  readonly indptr: Int32Array;
  /** Columns, in [0, F). */
  readonly indices: Int32Array;
  /** Values, as many as `indices`. */
  readonly data: Float32Array;
}

/**
 * Whether an argument is meant as a CSR matrix: an object with `indptr`. `checkCsr` says whether it is one.
 *
 * @param x - any value
 * @example
 *   isCsr([[1, 2]]); // false
 */
export function isCsr(x: unknown): x is CsrMatrix {
  return typeof x === "object" && x !== null && "indptr" in x;
}

/**
 * Checks every field of a CSR matrix. The values may be anything, NaN included; columns in any order, a column twice in a row is allowed.
 *
 * @param where - the caller, for the message
 * @param argument - its argument
 * @param x - the matrix [N, F]; N, F or the number of elements may be 0
 * @returns `x`
 * @throws TypeError for a field of another kind, RangeError for one whose numbers do not fit; the message names the field and the place
 * @example
 *   checkCsr("f", "x", { shape: [2, 3], indptr: Int32Array.of(0, 1, 3), indices: Int32Array.of(2, 0, 1), data: Float32Array.of(5, 6, 7) }); // [[0, 0, 5], [6, 7, 0]]
 */
export function checkCsr(where: string, argument: string, x: CsrMatrix): CsrMatrix {
  if (!isCsr(x)) throw typeError(where, argument, "a CSR matrix { shape, indptr, indices, data }", describe(x));
  const { shape, indptr, indices, data } = x;
  if (!(Array.isArray(shape) && shape.length === 2)) throw typeError(where, `${argument}.shape`, "[N, F]", Array.isArray(shape) ? `[${shape.join(", ")}]` : describe(shape));
  for (let i = 0; i < 2; i++) if (!(Number.isInteger(shape[i]) && shape[i] >= 0 && shape[i] <= 2147483647)) throw rangeError(where, `${argument}.shape`, "of integers in [0, 2147483647]", `${shape[i]} at index ${i}`);
  if (!(indptr instanceof Int32Array)) throw typeError(where, `${argument}.indptr`, "an Int32Array", describe(indptr));
  if (!(indices instanceof Int32Array)) throw typeError(where, `${argument}.indices`, "an Int32Array", describe(indices));
  if (!(data instanceof Float32Array)) throw typeError(where, `${argument}.data`, "a Float32Array", describe(data));
  const [rows, columns] = shape;
  if (indptr.length !== rows + 1) throw rangeError(where, `${argument}.indptr`, `of length ${rows + 1} for shape [${rows}, ${columns}]`, `${indptr.length}`);
  if (indptr[0] !== 0) throw rangeError(where, `${argument}.indptr`, "that begins with 0", `${indptr[0]}`);
  for (let n = 0; n < rows; n++) if (indptr[n + 1] < indptr[n]) throw rangeError(where, `${argument}.indptr`, "that never falls", `${indptr[n + 1]} after ${indptr[n]} at index ${n + 1}`);
  if (indices.length !== indptr[rows]) throw rangeError(where, `${argument}.indices`, `of length ${indptr[rows]}, the last of indptr`, `${indices.length}`);
  if (data.length !== indptr[rows]) throw rangeError(where, `${argument}.data`, `of length ${indptr[rows]}, the last of indptr`, `${data.length}`);
  for (let j = 0; j < indices.length; j++) if (!(indices[j] >= 0 && indices[j] < columns)) throw rangeError(where, `${argument}.indices`, `in [0, ${columns})`, `${indices[j]} at index ${j}`);
  return x;
}

import { rangeError, runSteps, type Steps } from "@logits/tensor";
import { checkSquare, doubleView } from "./doubles.ts";
import { PANEL, copyIn, kernels } from "./linalg.ts";
import { scratch } from "./memory.ts";

/** Options of cholesky. */
export interface CholeskyOptions {
  /** A pivot (the square of a diagonal element of the factor) that is not above this stops the factorisation. Default 0. */
  readonly leastPivot?: number;
}

/**
 * Cholesky factor of a symmetric positive definite matrix, in place and in float64.
 *
 *   A = L L',   L lower triangular with a positive diagonal
 *
 * Only the lower triangle is read and written; what stands above the diagonal stays as it is. The factor satisfies |L L' - A| <= (F + 2) 2^-53 |L| |L'| element by element.
 *
 * @param a - Float64Array [F * F], row-major; becomes L. F = 0 is factored
 * @param options - `leastPivot` (0)
 * @returns -1, or the index of the first pivot that is not above `leastPivot` (NaN is not): then A is not positive definite, and `a` is left half done
 * @throws RangeError for a number of elements that is no square, or a `leastPivot` that is negative or NaN
 * @example
 *   const a = Float64Array.of(4, 0, 2, 5);
 *   cholesky(a); // -1; a is 2, 0, 1, 2
 * Source: Golub and Van Loan, Matrix Computations, 4th edition, 4.2; the bound: Higham, Accuracy and Stability, theorem 10.3.
 */
export function cholesky(a: Float64Array, options: CholeskyOptions = {}): number {
  return runSteps(choleskySteps(a, options));
}

/** `cholesky` in pieces of 32 columns: the same bits. Yields the share that is done; the matrix must be left alone meanwhile. */
export function* choleskySteps(a: Float64Array, options: CholeskyOptions = {}): Steps<number> {
  const { leastPivot = 0 } = options;
  const n = checkSquare("cholesky", "a", a);
  if (!(leastPivot >= 0)) throw rangeError("cholesky", "leastPivot", "a number >= 0", `${leastPivot}`);
  for (let from = 0; from < n; from += PANEL) {
    const width = Math.min(PANEL, n - from), cols = from + width;
    const at = scratch(8 * (n - from) * cols);
    copyIn(a, n, from, n, cols, at);
    const failed = kernels().f64_cholesky_panel(at, cols, n - from, from, width, leastPivot);
    if (failed >= 0) return from + failed;
    const view = doubleView();
    for (let i = from, row = at >>> 3; i < n; i++, row += cols) a.set(view.subarray(row + from, row + Math.min(i + 1, cols)), i * n + from);
    // Work grows with the square of the columns that are left.
    yield 1 - (1 - cols / n) ** 2;
  }
  return -1;
}

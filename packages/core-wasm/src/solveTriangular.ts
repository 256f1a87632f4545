import { describe, rangeError, runSteps, typeError, type Steps } from "@logits/tensor";
import { checkSquare, doubleView } from "./doubles.ts";
import { PANEL, copyIn, kernels } from "./linalg.ts";
import { scratch } from "./memory.ts";

/** Right-hand sides that are solved together. Few, so that those of a triangular matrix begin with zeros together. */
const ROWS = 128;

/**
 * Solves L x = b for many right-hand sides, in place and in float64.
 *
 * Each row of `b` is one right-hand side and becomes its solution: B becomes B inv(L'). With the rows of the identity the result is inv(L'), upper triangular.
 *
 * @param factor - Float64Array [F * F], row-major, as from `cholesky`; only its lower triangle is read
 * @param b - Float64Array [N * F], row-major; overwritten. N = 0 is fine
 * @throws RangeError for numbers of elements that do not fit, or a zero or NaN on the diagonal (its index is named)
 * @example
 *   const b = Float64Array.of(2, 5);
 *   solveTriangular(Float64Array.of(2, 0, 1, 2), b); // b is 1, 2
 * Source: Golub and Van Loan, Matrix Computations, 4th edition, 3.1.
 */
export function solveTriangular(factor: Float64Array, b: Float64Array): void {
  runSteps(solveTriangularSteps(factor, b));
}

/** `solveTriangular` in pieces of 32 columns and 128 rows: the same bits. Yields the share that is done; both arrays must be left alone meanwhile. */
export function* solveTriangularSteps(factor: Float64Array, b: Float64Array): Steps<void> {
  const n = checkSquare("solveTriangular", "factor", factor);
  if (!(b instanceof Float64Array)) throw typeError("solveTriangular", "b", "a Float64Array", describe(b));
  if (n === 0 ? b.length > 0 : b.length % n !== 0) throw rangeError("solveTriangular", "b", `of a multiple of ${n} numbers`, `${b.length}`);
  for (let i = 0; i < n; i++) {
    const pivot = factor[i * n + i];
    if (pivot === 0 || pivot !== pivot) throw rangeError("solveTriangular", "factor", "without a zero on the diagonal", `${pivot} at index ${i}`);
  }
  const rows = n === 0 ? 0 : b.length / n;
  for (let first = 0; first < rows; first += ROWS) {
    const count = Math.min(ROWS, rows - first);
    // Where all of them begin with zeros, so do the solutions.
    for (let from = leadingZeros(b, n, first, count); from < n; from += PANEL) {
      const width = Math.min(PANEL, n - from), cols = from + width;
      const at = scratch(8 * (count + width) * cols), right = at + 8 * width * cols;
      copyIn(factor, n, from, cols, cols, at);
      copyIn(b, n, first, first + count, cols, right);
      kernels().f64_solve_panel(right, cols, at, cols, count, from, width);
      const view = doubleView();
      for (let i = 0, row = right >>> 3; i < count; i++, row += cols) b.set(view.subarray(row + from, row + cols), (first + i) * n + from);
      yield (first + count * (cols / n) ** 2) / rows;
    }
  }
}

/** How many panels' worth of columns are zero in front of all of the rows. */
function leadingZeros(b: Float64Array, n: number, first: number, count: number): number {
  let zeros = n;
  for (let i = first; i < first + count; i++) for (let j = 0; j < zeros; j++) if (b[i * n + j] !== 0) zeros = j;
  return zeros - (zeros % PANEL);
}

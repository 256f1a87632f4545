import { asFloat32, checkAttached, checkShape, describe, rangeError, runSteps, typeError, type Steps, type TensorLike } from "@logits/tensor";
import { checkSquare, doubleView } from "./doubles.ts";
import { kernels } from "./linalg.ts";
import { gemm, gemmScratch } from "./matmul.ts";
import { floatView, scratch, scratchUses } from "./memory.ts";

/** Rows whose products are summed in float32 before they are added in float64. */
const BLOCK = 256;
/** Rows of an outer product that are made at a time: the part above the diagonal that they waste is small, and so is their number. */
const STRIP = 96;
/** Twice this many sums are made at a time: with the rows that they come from they stay in the second-level cache. */
const SUMS = 32768;
/** Blocks that are added to one piece of sums, and products between two pauses. */
const BLOCKS = 8, PIECE = 2 ** 27;

/**
 * Adds the products of the columns of a matrix to a Gram (scatter) matrix in float64.
 *
 *   gram[i, j] += sum_n x[n, i] x[n, j]      for j <= i
 *
 * Blocks of 256 rows are multiplied in float32 and added in float64: the error is at most 257 2^-24 sum_n |x[n, i] x[n, j]|, however many rows there are. Only the lower
 * triangle is written; what stands above the diagonal stays as it is. Centre the rows first: a common offset costs the digits of what varies.
 *
 * @param gram - Float64Array [F * F], row-major
 * @param x - float32 [N, F]; N = 0 adds nothing. NaN and infinities go where IEEE sums take them
 * @throws RangeError for a shape that does not fit
 * @example
 *   const gram = new Float64Array(4);
 *   addGram(gram, [[1, 2], [3, 4]]); // gram is 10, 0, 14, 20
 * Source: folklore; blocks in float32, sums in float64.
 */
export function addGram(gram: Float64Array, x: TensorLike): void {
  runSteps(addGramSteps(gram, x));
}

/** `addGram` in pieces of a few 2^27 products: the same bits. Yields the share that is done; both arrays must be left alone meanwhile. */
export function* addGramSteps(gram: Float64Array, x: TensorLike): Steps<void> {
  const rows = asFloat32("addGram", "x", x);
  checkShape("addGram", "x", rows, ["N", "F"]);
  const [n, features] = rows.shape;
  checkSquare("addGram", "gram", gram, features);
  if (features === 0) return;
  const most = Math.min(n, BLOCK * Math.max(1, Math.min(BLOCKS, Math.floor((2 * PIECE) / (BLOCK * features * features)))));
  const work = (gemmScratch(features, BLOCK) + 63) & ~63;
  for (let from = 0; from < n; from += most) {
    const count = Math.min(most, n - from);
    let base = 0, data = 0, left = 0, uses = 0;
    for (let i = 0; i < features; ) {
      const height = Math.min(features - i, Math.max(STRIP, 2 * Math.floor(SUMS / features))), width = i + height;
      if (left <= 0) {
        if (i > 0) yield (from + (count * i * i) / (features * features)) / n;
        // The first piece, or what ran meanwhile has used the scratch.
        if (i === 0 || scratchUses() !== uses) {
          base = scratch(work + 4 * count * features + 12 * height * features + 64);
          uses = scratchUses();
          checkAttached("addGram", "x", rows);
          data = base + work;
          floatView().set(rows.data.subarray(from * features, (from + count) * features), data >>> 2);
        }
        left = PIECE;
      }
      const sums = (data + 4 * count * features + 63) & ~63, product = sums + 8 * height * features;
      const view = doubleView(), strip = [i * features, width * features] as const;
      // Whole rows: what stands above the diagonal comes back as it went.
      view.set(gram.subarray(...strip), sums >>> 3);
      for (let first = 0; first < count; first += BLOCK) {
        const depth = Math.min(BLOCK, count - first), at = data + 4 * first * features;
        gemm({ at: at + 4 * i, row: 1, col: features }, { at, row: features, col: 1 }, { at: product, row: width, col: 1 }, height, width, depth, false, base, i + 1);
        for (let r = 0; r < height; r++) kernels().f64_add_floats(sums + 8 * r * features, product + 4 * r * width, i + r + 1);
      }
      gram.set(view.subarray(sums >>> 3, (sums >>> 3) + height * features), strip[0]);
      left -= (height * (i + width) * count) / 2;
      i += height;
    }
    yield (from + count) / n;
  }
}

/**
 * Adds weighted outer products of float64 vectors to a symmetric matrix.
 *
 *   matrix[i, j] += sum_k weights[k] vectors[k, i] vectors[k, j]      for j <= i
 *
 * All in float64: for the corrections of a scatter matrix by class means. Only the lower triangle is written.
 *
 * @param matrix - Float64Array [F * F], row-major
 * @param vectors - Float64Array [K * F], row-major
 * @param weights - Float64Array [K], of any sign. K = 0 adds nothing
 * @throws RangeError for numbers of elements that do not fit
 * @example
 *   const matrix = new Float64Array(4);
 *   addOuterProducts(matrix, Float64Array.of(1, 2), Float64Array.of(10)); // matrix is 10, 0, 20, 40
 * Source: folklore.
 */
export function addOuterProducts(matrix: Float64Array, vectors: Float64Array, weights: Float64Array): void {
  const n = checkSquare("addOuterProducts", "matrix", matrix);
  for (const [argument, value] of [["vectors", vectors], ["weights", weights]] as const) {
    if (!(value instanceof Float64Array)) throw typeError("addOuterProducts", argument, "a Float64Array", describe(value));
  }
  const count = weights.length;
  if (vectors.length !== count * n) throw rangeError("addOuterProducts", "vectors", `of ${count} * ${n} numbers`, `${vectors.length}`);
  if (n === 0 || count === 0) return;
  // Vectors become columns, so that products run along contiguous memory; one side carries the weights.
  const base = scratch(8 * (2 * count * n + STRIP * n));
  const left = base + 8 * count * n, product = left + 8 * count * n;
  const view = doubleView();
  for (let k = 0; k < count; k++) {
    for (let i = 0, to = (base >>> 3) + k, scaled = (left >>> 3) + k; i < n; i++, to += count, scaled += count) {
      view[to] = vectors[k * n + i];
      view[scaled] = weights[k] * vectors[k * n + i];
    }
  }
  for (let i = 0; i < n; i += STRIP) {
    const height = Math.min(STRIP, n - i), width = i + height;
    view.fill(0, product >>> 3, (product >>> 3) + height * width);
    kernels().f64_dots(left + 8 * i * count, count, base, count, product, width, height, width, count, 1, 0);
    for (let r = 0, p = product >>> 3; r < height; r++, p += width) {
      const to = (i + r) * n;
      for (let j = 0; j <= i + r; j++) matrix[to + j] += view[p + j];
    }
  }
}

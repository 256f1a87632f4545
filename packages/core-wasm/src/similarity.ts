import { asFloat32, rangeError, type Tensor, type TensorLike } from "@logits/tensor";
import * as binary from "#wasm/similarity";
import { family } from "./family.ts";
import { gemm, gemmScratch } from "./matmul.ts";
import { floatView, scratch, wasmMemory } from "./memory.ts";
import { core, type ResidentTensor } from "./resident.ts";

const kernels = /* @__PURE__ */ family<{
  f32_exp_row(x: number, length: number, scale: number, top: number): number;
  f32_sigmoid_row(x: number, length: number, scale: number, bias: number): number;
  f32_distances(s: number, n: number, z: number, r: number, d: number, own: number, squares: number, root: number): void;
}>("similarity", binary);

/** Elements of a tile: half a megabyte, which stays in the second-level cache. Never fewer rows than LEAST, so that a product pays for packing its other side. */
const TILE = 131072, LEAST = 48;

/**
 * How two vectors are compared. `dot`: z . r. `cosine`: the same of the vectors at length 1; a vector of zeros has the cosine 0 with everything. `squaredEuclidean`: |z - r|^2. `euclidean`: its root.
 */
export type Similarity = "dot" | "cosine" | "squaredEuclidean" | "euclidean";

/** Rows of a matrix that are compared. */
export interface ComparedRows {
  /** float32 [rows, F]. */
  readonly data: Float32Array;
  /** Those that take part, in the order in which the pass numbers them; the others are not read. Default all. */
  readonly rows?: ArrayLike<number> | undefined;
}

/** Gradients of the two sides, float32, as long as their `data`; 0 for rows that take no part. */
export interface SimilarityGradients {
  readonly left: Float32Array;
  /** Absent where a matrix was compared with itself: `left` holds both parts. */
  readonly right: Float32Array | undefined;
}

/**
 * One pass over the similarity matrix of two sets of vectors without holding it: rows come a tile at a time, whole, and with `gradients` the visit turns each row of S into that of G = dL/dS, from which the gradients
 * of the vectors are accumulated.
 *
 *   S[i, j] = similarity(left[i], right[j]);   dL/dleft[i] = sum_j G[i, j] dS[i, j]/dleft[i],   dL/dright[j] = sum_i G[i, j] dS[i, j]/dright[j]
 *
 * Memory beyond the arguments: both sides once and their gradients once more (without a right side: the left), a tile of 131,072 elements (48 rows where these are more), and what a matrix product packs.
 * Products are sums in float32 in a fixed order: the same arguments give the same bits. Vectors are centred before distances are taken; those
 * of vectors that nearly agree are sums of squared differences and keep the digits that the centred coordinates have in float32. At a distance of 0 the gradient of `euclidean` is taken as 0; so is that of a cosine with a vector of zeros.
 *
 * @param left - the rows of S
 * @param right - the columns of S; `undefined`: those of `left`, and its gradient has both parts, (G + G') left
 * @param features - F, at least 1
 * @param similarity - how vectors are compared
 * @param visit - gets i, counted among the rows that take part, and S[i, :] in WebAssembly memory, valid during the call. With `gradients` it writes G[i, :] there
 * @param gradients - whether G is wanted
 * @returns the gradients, `undefined` without `gradients`
 * @example
 *   similarityPass({ data: z }, undefined, 2, "cosine", (i, row) => console.log(i, row[0]), false);
 * Source: folklore; blocks of a product that are used while they stand in the cache.
 */
export function similarityPass(left: ComparedRows, right: ComparedRows | undefined, features: number, similarity: Similarity, visit: (i: number, row: Float32Array) => void, gradients: boolean): SimilarityGradients | undefined {
  return compared(lasting(left), right && lasting(right), features, similarity, visit, gradients);
}

/** The same rows, copied where they lie in WebAssembly memory: what is allocated here may grow it, and a view of it would be empty then. */
function lasting({ data, rows }: ComparedRows): ComparedRows {
  return { data: data.buffer === wasmMemory().buffer ? data.slice() : data, rows };
}

function compared(left: ComparedRows, right: ComparedRows | undefined, features: number, similarity: Similarity, visit: (i: number, row: Float32Array) => void, gradients: boolean): SimilarityGradients | undefined {
  const held: ResidentTensor<"float32">[] = [];
  const hold = (rows: number, cols: number): ResidentTensor<"float32"> => {
    const made = core.alloc([rows, cols]);
    held.push(made);
    return made;
  };
  const sizeOf = ({ data, rows }: ComparedRows): number => rows?.length ?? data.length / features;
  const n = sizeOf(left), m = right ? sizeOf(right) : n, distance = similarity === "squaredEuclidean" || similarity === "euclidean";
  const height = Math.min(n, Math.max(LEAST, 6 * Math.floor(TILE / 6 / Math.max(1, m))));
  try {
    const z = hold(n, features), r = right ? hold(m, features) : z, tile = hold(height, m), squares = hold(1, distance ? m : 0);
    const dz = hold(gradients ? n : 0, features), dr = right ? hold(gradients ? m : 0, features) : dz;
    const mean = distance ? meanOf(left, n, features) : undefined;
    const leftScale = place(left, z, similarity === "cosine", mean), rightScale = right ? place(right, r, similarity === "cosine", mean) : leftScale;
    if (distance) squares.data.set(squaresOf(r.data, m, features));
    const own = !distance ? undefined : right ? squaresOf(z.data, n, features) : squares.data.slice();
    // Sums of H = G / dS over its rows and columns; without a right side both in one.
    const leftSums = new Float64Array(distance ? n : 0), rightSums = right ? new Float64Array(distance ? m : 0) : leftSums, kept = new Float32Array(similarity === "euclidean" ? m : 0);
    const bytes = gemmScratch(Math.max(m, features), Math.max(m, features, height)), { f32_distances } = kernels();
    for (let first = m > 0 ? 0 : n; first < n; first += height) {
      const count = Math.min(height, n - first), at = tile.pointer, from = z.pointer + 4 * first * features, rows = { at: from, row: features, col: 1 };
      gemm(rows, { at: r.pointer, row: 1, col: features }, { at, row: m, col: 1 }, count, m, features, false, scratch(bytes));
      for (let i = 0; i < count; i++) {
        const start = at + 4 * i * m;
        if (own) f32_distances(start, m, from + 4 * i * features, r.pointer, features, own[first + i], squares.pointer, similarity === "euclidean" ? 1 : 0);
        kept.set(floatView().subarray(start >>> 2, (start >>> 2) + kept.length));
        visit(first + i, floatView().subarray(start >>> 2, (start >>> 2) + m));
        if (gradients && distance) slopes(floatView().subarray(start >>> 2, (start >>> 2) + m), kept, first + i, leftSums, rightSums);
      }
      if (!gradients) continue;
      // The visit may have used the scratch.
      const work = scratch(bytes);
      gemm({ at, row: m, col: 1 }, { at: r.pointer, row: features, col: 1 }, { at: dz.pointer + 4 * first * features, row: features, col: 1 }, count, features, m, right === undefined, work);
      gemm({ at, row: 1, col: m }, { ...rows }, { at: dr.pointer, row: features, col: 1 }, m, features, count, true, work);
    }
    if (!gradients) return undefined;
    return {
      left: gradientOf(left, features, z.data, dz.data, leftScale, leftSums),
      right: right && gradientOf(right, features, r.data, dr.data, rightScale, rightSums),
    };
  } finally {
    for (const x of held) x.dispose();
  }
}

/**
 * Exponentials of a row in place, and their sum.
 *
 *   row[j] = exp(scale (row[j] - top))
 *
 * @param row - a row that `similarityPass` handed out, or a part of it; -Infinity becomes 0 whatever the scale, NaN stays NaN
 * @param scale - at least 0
 * @param top - what the largest exponent is measured from
 * @returns the sum, float32 over 256 elements, float64 across these
 * @throws RangeError if the row does not lie in WebAssembly memory
 * @example
 *   similarityPass(vectors, undefined, 2, "dot", (i, row) => expRow(row, 10, Math.max(...row)), false);
 * Source: folklore.
 */
export function expRow(row: Float32Array, scale: number, top: number): number {
  return kernels().f32_exp_row(pointerOfRow("expRow", row), row.length, scale, top);
}

/**
 * Sigmoids of a row in place, and the sum of the softplus of the same.
 *
 *   row[j] = 1 / (1 + exp(-(scale row[j] + bias)));   returns sum_j log(1 + exp(scale row[j] + bias))
 *
 * @param row - a row that `similarityPass` handed out, or a part of it; -Infinity becomes 0 and adds nothing, NaN stays NaN
 * @param scale - above 0
 * @param bias - finite
 * @returns the sum, float32 over 256 elements, float64 across these
 * @throws RangeError if the row does not lie in WebAssembly memory
 * @example
 *   similarityPass(vectors, undefined, 2, "dot", (i, row) => sigmoidRow(row, 10, -10), false);
 * Source: folklore.
 */
export function sigmoidRow(row: Float32Array, scale: number, bias: number): number {
  return kernels().f32_sigmoid_row(pointerOfRow("sigmoidRow", row), row.length, scale, bias);
}

/**
 * Vectors as rows of a matrix, checked: what a caller of `similarityPass` begins with.
 *
 * @param where - for messages
 * @param argument - its name
 * @param x - float32 [N, F], F at least 1
 * @param features - F, where another argument has said it
 * @returns the matrix
 * @throws RangeError for another shape
 * @example
 *   checkVectors("myLoss", "embeddings", [[1, 2], [3, 4]]).shape; // [2, 2]
 * Source: this library.
 */
export function checkVectors(where: string, argument: string, x: TensorLike, features?: number): Tensor<"float32"> {
  const z = asFloat32(where, argument, x), { shape } = z;
  if (shape.length !== 2 || shape[1] === 0 || shape[1] !== (features ?? shape[1])) throw rangeError(where, argument, features === undefined ? "of shape [N, F], F >= 1" : `of shape [N, ${features}]`, `[${shape.join(", ")}]`);
  return z;
}

function pointerOfRow(where: string, row: Float32Array): number {
  if (row.buffer !== wasmMemory().buffer) throw rangeError(where, "row", "of similarityPass", "an array outside of WebAssembly memory");
  return row.byteOffset;
}

function meanOf({ data, rows }: ComparedRows, count: number, features: number): Float64Array {
  const mean = new Float64Array(features);
  for (let k = 0; k < count; k++) for (let f = 0, at = (rows ? rows[k] : k) * features; f < features; f++) mean[f] += data[at + f] / count;
  return mean;
}

/** The rows that take part, side by side: at length 1, or less the mean. Returns 1 / length. */
function place({ data, rows }: ComparedRows, to: ResidentTensor<"float32">, normalize: boolean, mean: Float64Array | undefined): Float64Array {
  const [count, features] = to.shape, out = to.data, scale = new Float64Array(normalize ? count : 0);
  for (let k = 0; k < count; k++) {
    const at = (rows ? rows[k] : k) * features, base = k * features;
    if (!normalize && !mean) {
      out.set(data.subarray(at, at + features), base);
      continue;
    }
    let factor = 1;
    if (normalize) {
      let square = 0;
      for (let f = 0; f < features; f++) square += data[at + f] * data[at + f];
      scale[k] = factor = square === 0 ? 0 : 1 / Math.sqrt(square);
    }
    for (let f = 0; f < features; f++) out[base + f] = mean ? data[at + f] - mean[f] : data[at + f] * factor;
  }
  return scale;
}

function squaresOf(x: Float32Array, count: number, features: number): Float32Array {
  const squares = new Float32Array(count);
  for (let k = 0; k < count; k++) {
    let square = 0;
    for (let at = k * features; at < (k + 1) * features; at++) square += x[at] * x[at];
    squares[k] = square;
  }
  return squares;
}

/** G to H in place: what the difference z - r is multiplied with; 2 G for squares, G over the distance for distances. */
function slopes(row: Float32Array, distances: Float32Array, i: number, leftSums: Float64Array, rightSums: Float64Array): void {
  let sum = 0;
  for (let j = 0; j < row.length; j++) {
    row[j] = distances.length === 0 ? 2 * row[j] : distances[j] === 0 ? 0 : row[j] / distances[j];
    sum += row[j];
    rightSums[j] += row[j];
  }
  leftSums[i] += sum;
}

/** From the gradient of the placed rows to that of the given ones. */
function gradientOf({ data, rows }: ComparedRows, features: number, x: Float32Array, d: Float32Array, scale: Float64Array, sums: Float64Array): Float32Array {
  const out = new Float32Array(data.length);
  for (let k = 0, base = 0; base < x.length; k++, base += features) {
    const to = (rows ? rows[k] : k) * features;
    // out = c x + s d: the part along x that a vector of fixed length does not have; or sum_j H (z - r_j).
    let c = 0, s = 1;
    if (sums.length > 0) [c, s] = [sums[k], -1];
    else if (scale.length > 0) {
      for (let f = 0; f < features; f++) c += x[base + f] * d[base + f];
      s = scale[k];
      c *= -s;
    }
    for (let f = 0; f < features; f++) out[to + f] = (c === 0 ? 0 : c * x[base + f]) + s * d[base + f];
  }
  return out;
}

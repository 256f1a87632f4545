import { Tensor, asFloat32, checkAttached, checkInteger, checkShape, rangeError, type TensorLike } from "@logits/tensor";
import { relaxed, simd } from "#wasm/neighbors";
import { family } from "./family.ts";
import { gemm, gemmScratch } from "./matmul.ts";
import { floatView, intView, scratch } from "./memory.ts";
import { pointerOf } from "./owner.ts";

/** The kernels of the family `neighbors`. */
export interface NeighborKernels {
  f32_neighbors_start(distances: number, indices: number, count: number): void;
  f32_neighbors_direct(queries: number, count: number, bank: number, rows: number, cols: number, first: number, k: number, distances: number, indices: number): void;
  f32_scaled_squares(x: number, rows: number, cols: number, scale: number, y: number): number;
  f32_neighbors_scan(
    dots: number, dotsRow: number, querySquares: number, bankSquares: number,
    queries: number, count: number, bank: number, rows: number, cols: number, first: number, k: number, distances: number, indices: number,
  ): void;
  f32_neighbors_sort(distances: number, indices: number, count: number, k: number): void;
}

export const kernels: () => NeighborKernels = family("neighbors", { simd, relaxed });

/** Up to this many queries are compared with every row of the bank directly; more go through a matrix product first. */
const DIRECT = 6;
/** Queries that go over the bank together, and those of one matrix product. */
const TOGETHER = 1024, QUERIES = 192;
/** Rows of the bank in one matrix product. */
const ROWS = 512;
/** Elements of heaps at a time. */
const HEAPS = 1048576;

/** The k nearest rows of a bank, for each query. */
export interface NearestNeighbors {
  /** Squared Euclidean distances, ascending, float32 [N, k]. */
  readonly distances: Tensor<"float32">;
  /** Rows of the bank, int32 [N, k]; at equal distances the smaller index first. */
  readonly indices: Tensor<"int32">;
}

/** What is left of |q|^2 + |b|^2 without the error of |q|^2 + |b|^2 - 2 q . b: the product's bound, three sums of squares, the steps in between (assembly/neighbors.ts). */
export function kept(cols: number): number {
  return 1 - (Math.min(cols, 256) + cols / 256 + 3 * (cols / 16) + 32) * 2 ** -24;
}

/**
 * The k nearest rows of a bank by Euclidean distance, exactly: no index, no approximation.
 *
 *   distances[n, j] = the j-th smallest of sum_f (queries[n, f] - bank[m, f])^2 over m
 *
 * Every reported distance is the sum of squared differences, so it keeps its digits where query and row nearly agree: relative error at most (F / 16 + 8) 2^-24, as long as nothing underflows. Many queries
 * first go through a matrix product that leaves out rows which are certainly too far, with a bound on its error; the result is that of comparing with every row, to the bit.
 * With a resident bank (`core.alloc`) nothing is copied.
 *
 * @param queries - float32 [N, F], N may be 0. A row with NaN gets distances NaN and indices -1
 * @param bank - float32 [M, F]. A row at distance NaN or Infinity is nobody's neighbour; where fewer than k are left the places hold Infinity and -1
 * @param k - how many, an integer in [1, M]
 * @returns `distances` float32 [N, k] and `indices` int32 [N, k]
 * @throws RangeError for shapes that do not fit, F = 0, a `k` outside [1, M]
 * @example
 *   nearestNeighbors([[1, 1]], [[0, 0], [1, 2], [5, 5]], 2); // distances 1, 2; indices 1, 0
 * Source: folklore.
 */
export function nearestNeighbors(queries: TensorLike, bank: TensorLike, k: number): NearestNeighbors {
  const where = "nearestNeighbors";
  const q = asFloat32(where, "queries", queries), b = asFloat32(where, "bank", bank);
  checkShape(where, "queries", q, ["N", "F"]);
  checkShape(where, "bank", b, ["M", "F"]);
  const [n, cols] = q.shape, [rows, width] = b.shape;
  if (cols !== width || cols === 0) throw rangeError(where, "bank", `of shape [M, ${cols || "F"}]${cols ? " as the queries have it" : ", F >= 1"}`, `[${rows}, ${width}]`);
  checkInteger(where, "k", k, 1, rows);
  const distances = new Float32Array(n * k), indices = new Int32Array(n * k);
  const { f32_neighbors_start, f32_neighbors_direct, f32_scaled_squares, f32_neighbors_scan, f32_neighbors_sort } = kernels();
  const resident = pointerOf(where, "bank", b), from = pointerOf(where, "queries", q);
  const together = Math.min(n, TOGETHER, Math.max(1, Math.floor(HEAPS / k)));
  const direct = together <= DIRECT;
  const block = Math.min(rows, ROWS), batch = Math.min(together, QUERIES);
  const keep = kept(cols);
  const work = direct ? 0 : (gemmScratch(block, cols) + 63) & ~63;
  const sizes = [work, direct ? 0 : 4 * batch * block, direct ? 0 : 4 * together, direct ? 0 : 4 * block, 4 * together * k, 4 * together * k, from ? 0 : 4 * together * cols, resident ? 0 : 4 * block * cols];
  const total = sizes.reduce((sum, size) => sum + ((size + 63) & ~63), 0);
  for (let first = 0; first < n; first += together) {
    const count = Math.min(together, n - first);
    let end = scratch(total);
    checkAttached(where, "queries", q);
    checkAttached(where, "bank", b);
    const [product, dots, querySquares, bankSquares, near, who, copied, piece] = sizes.map((size) => {
      const at = end;
      end += (size + 63) & ~63;
      return at;
    });
    const own = from ? from + 4 * first * cols : copied;
    if (!from) floatView().set(q.data.subarray(first * cols, (first + count) * cols), copied >>> 2);
    f32_neighbors_start(near, who, count * k);
    if (!direct) f32_scaled_squares(own, count, cols, keep, querySquares);
    for (let row = 0; row < rows; row += direct && resident && count === 1 ? rows : block) {
      const height = direct && resident && count === 1 ? rows : Math.min(block, rows - row);
      const at = resident ? resident + 4 * row * cols : piece;
      if (!resident) floatView().set(b.data.subarray(row * cols, (row + height) * cols), piece >>> 2);
      if (direct || f32_scaled_squares(at, height, cols, keep, bankSquares) > 0) {
        f32_neighbors_direct(own, count, at, height, cols, row, k, near, who);
        continue;
      }
      for (let i = 0; i < count; i += batch) {
        const some = Math.min(batch, count - i);
        gemm({ at: own + 4 * i * cols, row: cols, col: 1 }, { at, row: 1, col: cols }, { at: dots, row: height, col: 1 }, some, height, cols, false, product);
        f32_neighbors_scan(dots, height, querySquares + 4 * i, bankSquares, own + 4 * i * cols, some, at, height, cols, row, k, near + 4 * i * k, who + 4 * i * k);
      }
    }
    f32_neighbors_sort(near, who, count, k);
    distances.set(floatView().subarray(near >>> 2, (near >>> 2) + count * k), first * k);
    indices.set(intView().subarray(who >>> 2, (who >>> 2) + count * k), first * k);
  }
  const { data } = q;
  for (let i = 0; i < n; i++) {
    // No row at all within reach: either the query holds NaN, or everything is infinitely far.
    if (indices[i * k] < 0 && data.subarray(i * cols, (i + 1) * cols).some((x) => x !== x)) distances.fill(NaN, i * k, (i + 1) * k);
  }
  return { distances: new Tensor("float32", [n, k], distances), indices: new Tensor("int32", [n, k], indices) };
}

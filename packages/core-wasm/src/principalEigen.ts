import { ConvergenceError, checkInteger, partOf, randomSource, rangeError, runSteps, type Steps } from "@logits/tensor";
import { cholesky } from "./cholesky.ts";
import { checkSquare, doubleView } from "./doubles.ts";
import { kernels } from "./linalg.ts";
import { matmul } from "./matmul.ts";
import { scratch } from "./memory.ts";
import { core } from "./resident.ts";
import { solveTriangular } from "./solveTriangular.ts";
import { symmetricEigenSteps, type SymmetricEigen } from "./symmetricEigen.ts";

/** Products with the matrix in one round of the filter, at most. */
const DEGREE = 8;
/** Vectors beyond those that are wanted: at least this many, and this share. */
const MORE = 16, SHARE = 0.25;

/** Options of principalEigen. */
export interface PrincipalEigenOptions {
  /** The largest |A v - value v| over the largest eigenvalue that is accepted, >= 2^-40. Default 1e-6. */
  readonly tolerance?: number;
  /** Rounds at most. Default 30. */
  readonly maxRounds?: number;
  /** Of the vectors that the iteration starts with. Default 1. */
  readonly seed?: number;
}

/** The largest eigenvalues of a matrix. */
export interface PrincipalEigen extends SymmetricEigen {
  /** The largest |A v - value v| over the largest eigenvalue. */
  readonly residual: number;
  readonly rounds: number;
}

/**
 * The largest eigenvalues and their eigenvectors of a symmetric matrix without negative eigenvalues, by block subspace iteration with a Chebyshev filter.
 *
 * A block of k + max(16, k / 4) vectors is multiplied by a polynomial of A that is small below the block's smallest Ritz value (at most 8 products, in float32), made orthonormal (Cholesky, twice), and turned to the
 * eigenvectors of its small projected matrix (float64). Less work than `symmetricEigen` where F is in the thousands and k a small share of it; how many rounds it takes depends on how the eigenvalues fall. What is bounded is the residual: each value is
 * within residual times the largest of an eigenvalue; vectors of eigenvalues that lie closer than that may mix.
 *
 * @param a - Float64Array [F * F], row-major; only the lower triangle is read, nothing is changed
 * @param k - how many, an integer in [1, F]
 * @param options - `tolerance` (1e-6), `maxRounds` (30), `seed` (1)
 * @returns `values` [k] descending, `vectors` [k * F] as `symmetricEigen`, `residual`, `rounds`
 * @throws RangeError for a number of elements that is no square, a `k` or option out of range, NaN or an infinity; ConvergenceError where `maxRounds` do not reach the tolerance
 * @example
 *   principalEigen(Float64Array.of(2, 1, 1, 2), 1).values; // 3
 * Source: Zhou, Saad, Tiago, Chelikowsky, "Self-consistent-field calculations using Chebyshev-filtered subspace iteration", Journal of Computational Physics 219 (2006), algorithm 4.2; Halko, Martinsson, Tropp, SIAM Review 53 (2011), for
 * the extra vectors.
 */
export function principalEigen(a: Float64Array, k: number, options: PrincipalEigenOptions = {}): PrincipalEigen {
  return runSteps(principalEigenSteps(a, k, options));
}

/** `principalEigen` in pieces of one product with the matrix: the same bits. Yields the share of the rounds that are done; the matrix must be left alone meanwhile. */
export function* principalEigenSteps(a: Float64Array, k: number, options: PrincipalEigenOptions = {}): Steps<PrincipalEigen> {
  const where = "principalEigen", { tolerance = 1e-6, maxRounds = 30, seed = 1 } = options;
  const n = checkSquare(where, "a", a);
  checkInteger(where, "k", k, 1, n);
  checkInteger(where, "maxRounds", maxRounds, 1, 10000);
  if (!(tolerance >= 2 ** -40)) throw rangeError(where, "tolerance", "a number >= 2^-40", `${tolerance}`);
  const block = k + Math.max(MORE, Math.ceil(SHARE * k));
  if (2 * block >= n || a.every((value) => value === 0)) {
    // The whole matrix costs no more.
    const { values, vectors } = yield* symmetricEigenSteps(a);
    return { values: values.slice(0, k), vectors: vectors.slice(0, k * n), residual: 0, rounds: 0 };
  }
  const whole = new Float64Array(n * n);
  let most = 0;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      const value = a[i * n + j];
      if (value - value !== 0) throw rangeError(where, "a", "of finite numbers", `${value} in row ${i}, column ${j}`);
      whole[i * n + j] = whole[j * n + i] = value;
      if (i === j) most = Math.max(most, value);
    }
  }
  if (most === 0) throw rangeError(where, "a", "without negative eigenvalues", "a diagonal of zeros beside other numbers");
  const random = randomSource(seed), matrix = core.alloc([n, n]);
  try {
    // In units of the largest variance, so that float32 holds the powers.
    matrix.data.set(whole.map((value) => value / most));
    let x: Float64Array = Float64Array.from({ length: block * n }, () => random.uniform() - 0.5);
    let low = 0, degree = DEGREE, residual = Infinity;
    for (let round = 1; round <= maxRounds; round++) {
      if (round > 1) x = yield* filtered(x, matrix, block, n, low / most, degree, (round - 1) / maxRounds);
      orthonormal(where, x, n);
      orthonormal(where, x, n);
      yield (round - 0.4) / maxRounds;
      const image = products(whole, x, n, block);
      yield (round - 0.2) / maxRounds;
      const small = products(x, image, n, block, block);
      const { values, vectors } = yield* partOf(symmetricEigenSteps(small), (round - 0.2) / maxRounds, 0.1 / maxRounds);
      x = combined(vectors, x, n, block);
      const turned = combined(vectors, image, n, block);
      const largest = Math.max(Math.abs(values[0]), Number.MIN_VALUE);
      residual = 0;
      for (let i = 0; i < k; i++) {
        let sum = 0;
        for (let j = i * n; j < (i + 1) * n; j++) sum += (turned[j] - values[i] * x[j]) ** 2;
        residual = Math.max(residual, Math.sqrt(sum) / largest);
      }
      if (residual <= tolerance) return { values: values.slice(0, k), vectors: signed(x.slice(0, k * n), n), residual, rounds: round };
      low = Math.max(0, values[block - 1]);
      degree = degreeFor(largest / low);
    }
    throw new ConvergenceError(`${where}: expected a residual of at most ${tolerance} within ${maxRounds} rounds, got ${residual}`, maxRounds, residual);
  } finally {
    matrix.dispose();
  }
}

/** The Chebyshev polynomial T((2 A - cut) / cut) of each row of x, scaled: large for eigenvalues above the cut, at most 1 in size below. */
function* filtered(x: Float64Array, matrix: ReturnType<typeof core.alloc<"float32">>, block: number, n: number, cut: number, degree: number, share: number): Steps<Float64Array> {
  let before: Float32Array = Float32Array.from(x), now: Float32Array = before;
  for (let step = 0; step < degree; step++) {
    const { data } = matmul({ data: now, shape: [block, n] }, matrix);
    if (cut > 0) {
      const two = step === 0 ? 1 : 2;
      for (let i = 0; i < data.length; i++) data[i] = two * ((2 / cut) * data[i] - now[i]) - (step === 0 ? 0 : before[i]);
    }
    // Each row to the size 1: its predecessor in the recurrence is scaled with it.
    for (let i = 0; i < block; i++) {
      let largest = 0;
      for (let j = i * n; j < (i + 1) * n; j++) largest = Math.max(largest, Math.abs(data[j]));
      const scale = largest > 0 ? 1 / largest : 1;
      for (let j = i * n; j < (i + 1) * n; j++) {
        data[j] *= scale;
        if (now !== data) now[j] *= scale;
      }
    }
    [before, now] = [now, data];
    yield share;
  }
  return Float64Array.from(now);
}

/** Rows of x made orthonormal by the Cholesky factor of their Gram matrix. A ridge keeps rows that have nearly become one apart; the second call removes what it leaves. */
function orthonormal(where: string, x: Float64Array, n: number): void {
  const block = x.length / n;
  for (let i = 0; i < block; i++) {
    let sum = 0;
    for (let j = i * n; j < (i + 1) * n; j++) sum += x[j] * x[j];
    const scale = sum > 0 ? 1 / Math.sqrt(sum) : 0;
    for (let j = i * n; j < (i + 1) * n; j++) x[j] *= scale;
  }
  const gram = products(x, x, n, block, block);
  for (let i = 0; i < block; i++) gram[i * (block + 1)] += 2 ** -40;
  const failed = cholesky(gram);
  if (failed >= 0) throw new ConvergenceError(`${where}: expected independent vectors, got a combination at index ${failed}`, 0, NaN);
  // Columns of x are right-hand sides.
  const columns = transposed(x, block, n);
  solveTriangular(gram, columns);
  x.set(transposed(columns, n, block));
}

/** left right' of float64 rows: [rows, n] and [block, n] give [block, rows], where rows is n unless it is said. */
function products(left: Float64Array, right: Float64Array, n: number, block: number, rows: number = n): Float64Array {
  const out = new Float64Array(block * rows), step = 128;
  for (let from = 0; from < rows; from += step) {
    const some = Math.min(step, rows - from), base = scratch(8 * (some * n + block * n + block * some));
    const other = base + 8 * some * n, target = other + 8 * block * n, view = doubleView();
    view.set(left.subarray(from * n, (from + some) * n), base >>> 3);
    view.set(right, other >>> 3);
    view.fill(0, target >>> 3, (target >>> 3) + block * some);
    kernels().f64_dots(other, n, base, n, target, some, block, some, n, 1, 0);
    for (let i = 0; i < block; i++) out.set(view.subarray((target >>> 3) + i * some, (target >>> 3) + (i + 1) * some), i * rows + from);
  }
  return out;
}

/** vectors x: the rows of x combined. */
function combined(vectors: Float64Array, x: Float64Array, n: number, block: number): Float64Array {
  return products(transposed(x, block, n), vectors, block, block, n);
}

function transposed(x: Float64Array, rows: number, cols: number): Float64Array {
  const out = new Float64Array(x.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < cols; j++) out[j * rows + i] = x[i * cols + j];
  return out;
}

/** Each row with its largest element positive. */
function signed(x: Float64Array, n: number): Float64Array {
  for (let from = 0; from < x.length; from += n) {
    let most = 0;
    for (let j = from; j < from + n; j++) if (Math.abs(x[j]) > Math.abs(most)) most = x[j];
    if (most < 0) for (let j = from; j < from + n; j++) x[j] = -x[j];
  }
  return x;
}

/** The largest degree whose polynomial stays below 2^13 at the largest eigenvalue: beyond, float32 would lose the vectors of the smaller ones. */
function degreeFor(ratio: number): number {
  const t = 2 * ratio - 1;
  let degree = 1;
  for (let before = 1, now = t; degree < DEGREE; degree++) {
    [before, now] = [now, 2 * t * now - before];
    if (!(now < 8192)) break;
  }
  return degree;
}

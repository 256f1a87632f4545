import { ConvergenceError, rangeError, runSteps, type Steps } from "@logits/tensor";
import { relaxed, simd } from "#wasm/eigen";
import { checkSquare, doubleView } from "./doubles.ts";
import { family } from "./family.ts";
import { intView } from "./memory.ts";
import { core, type ResidentTensor } from "./resident.ts";

const kernels = family<{
  f64_tridiagonal(a: number, n: number, d: number, e: number, tau: number, work: number, from: number, to: number): void;
  f64_reflect(a: number, n: number, tau: number, first: number, z: number, work: number): void;
  f64_rotate(z: number, n: number, strips: number, sweeps: number, count: number, turns: number): void;
}>("eigen", { simd, relaxed });

/** Columns of a strip of eigenvectors that are rotated together. */
const STRIP = 16;
/** Elements between two pauses, and those that are rotated between two. */
const PIECE = 2 ** 22, TURNED = 2 ** 24;
/** Sweeps for one eigenvalue; two or three are usual. */
const SWEEPS = 60;
/** Below this an off-diagonal element of a matrix of size 1 is 0, whatever stands beside it. */
const NOTHING = 2 ** -200;

/** Options of symmetricEigen. */
export interface SymmetricEigenOptions {
  /** Whether eigenvectors are wanted. Default true. */
  readonly vectors?: boolean;
}

/** Eigenvalues and eigenvectors of a symmetric matrix. */
export interface SymmetricEigen {
  /** Descending, [F]. */
  readonly values: Float64Array;
  /** [F * F]: row i belongs to values[i], has length 1, and its element of largest size (the first of equals) is positive. Empty where none were wanted. */
  readonly vectors: Float64Array;
}

/**
 * Eigenvalues and eigenvectors of a symmetric matrix, in float64.
 *
 *   A = sum_i values[i] vectors[i]' vectors[i]
 *
 * Householder reflections to tridiagonal form, then implicit QL with Wilkinson's shift: a fixed number of operations for the first part and about 1.7 sweeps for each eigenvalue, so an
 * order of magnitude less work than Jacobi's rotations, whose better relative accuracy of small eigenvalues a covariance from float32 features cannot use. Backward stable: the values are within a small
 * multiple of F 2^-53 |A| of the true ones, the vectors as orthogonal. Vectors of equal eigenvalues are some orthonormal basis of their space, so compare projections, not vectors.
 *
 * @param a - Float64Array [F * F], row-major; only the lower triangle is read, nothing is changed. F = 0 gives nothing
 * @param options - `vectors` (true)
 * @throws RangeError for a number of elements that is no square, or NaN or an infinity in the lower triangle (named); ConvergenceError where 60 sweeps do not find an eigenvalue
 * @example
 *   symmetricEigen(Float64Array.of(2, 1, 1, 2)).values; // 3, 1
 * Source: Golub and Van Loan, Matrix Computations, 4th edition, 8.3; Wilkinson and Reinsch, Handbook for Automatic Computation II (1971), tred2 and tql2.
 */
export function symmetricEigen(a: Float64Array, options: SymmetricEigenOptions = {}): SymmetricEigen {
  return runSteps(symmetricEigenSteps(a, options));
}

/** `symmetricEigen` in pieces of a few milliseconds: the same bits. Yields the share that is done; the matrix may be changed after the first. */
export function* symmetricEigenSteps(a: Float64Array, options: SymmetricEigenOptions = {}): Steps<SymmetricEigen> {
  const where = "symmetricEigen", { vectors: wanted = true } = options;
  const n = checkSquare(where, "a", a);
  const scale = scaleOf(where, a, n);
  if (n === 0 || scale === 0) return { values: new Float64Array(n), vectors: wanted ? identity(n) : new Float64Array(0) };
  const strips = Math.ceil(n / STRIP), reach = Math.max(4 * n, Math.floor(TURNED / n));
  // float32 numbers where float64 stand: twice as many.
  const held: ResidentTensor<"float32">[] = [];
  const room = (doubles: number): number => {
    const tensor = core.alloc([2 * doubles]);
    held.push(tensor);
    return tensor.pointer;
  };
  try {
    const at = room(n * n), small = room(5 * n), d = small, e = small + 8 * n, tau = e + 8 * n, work = tau + 8 * n;
    let view = doubleView();
    for (let i = 0; i < n; i++) for (let j = 0, to = (at >>> 3) + i * n; j <= i; j++, to++) view[to] = a[i * n + j] * scale;
    for (let from = n - 1; from >= 1; ) {
      let to = from, size = from * from;
      while (to > 1 && size < PIECE) size += --to * to;
      kernels().f64_tridiagonal(at, n, d, e, tau, work, from, to);
      yield 0.3 * (1 - (to / n) ** 3);
      from = to - 1;
    }
    view = doubleView();
    const values = n === 1 ? Float64Array.of(view[at >>> 3]) : view.slice(d >>> 3, (d >>> 3) + n);
    const sides = n === 1 ? new Float64Array(1) : view.slice(e >>> 3, (e >>> 3) + n);
    let z = 0, turns = 0, sweeps = 0;
    if (wanted) {
      z = room(strips * STRIP * n);
      turns = room(2 * (reach + n));
      sweeps = room(reach + n);
      const rows = room(4 * strips * STRIP);
      if (n === 1) doubleView()[z >>> 3] = 1;
      else {
        for (let first = 0, done = 0; first < n; first += 4) {
          kernels().f64_reflect(at, n, tau, first, z, rows);
          if ((done += n * n) < PIECE) continue;
          done = 0;
          yield 0.3 + (0.2 * first) / n;
        }
      }
    }
    // Rotations wait until there are enough of them to go over all strips.
    let count = 0, waiting = 0;
    for (let low = 0; low < n; low++) {
      for (let tries = 0; ; tries++) {
        const high = unreduced(values, sides, low);
        if (high === low) break;
        if (tries === SWEEPS) throw new ConvergenceError(`${where}: expected an eigenvalue within ${SWEEPS} sweeps, got none for index ${low} of ${n}`, SWEEPS, Math.abs(sides[low + 1]));
        if (!wanted) {
          sweep(values, sides, low, high, undefined, 0);
          continue;
        }
        const length = sweep(values, sides, low, high, doubleView(), (turns >>> 3) + 2 * waiting);
        const ints = intView();
        ints[(sweeps >>> 2) + 2 * count] = high;
        ints[(sweeps >>> 2) + 2 * count + 1] = length;
        count++;
        waiting += length;
        if (waiting < reach) continue;
        kernels().f64_rotate(z, n, strips, sweeps, count, turns);
        count = waiting = 0;
        yield 0.5 + (0.45 * low) / n;
      }
    }
    if (count > 0) kernels().f64_rotate(z, n, strips, sweeps, count, turns);
    const order = Array.from(values, (_, i) => i).sort((i, j) => values[j] - values[i] || i - j);
    const vectors = new Float64Array(wanted ? n * n : 0);
    if (wanted) order.forEach((from, i) => take(doubleView(), (z >>> 3) + from * STRIP, n, vectors, i * n));
    return { values: Float64Array.from(order, (i) => values[i] / scale), vectors };
  } finally {
    for (const tensor of held) tensor.dispose();
  }
}

/** The power of two that brings the largest element to [1, 2); 0 for a matrix of zeros. */
function scaleOf(where: string, a: Float64Array, n: number): number {
  let most = 0;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      const value = a[i * n + j];
      if (value - value !== 0) throw rangeError(where, "a", "of finite numbers", `${value} in row ${i}, column ${j}`);
      most = Math.max(most, Math.abs(value));
    }
  }
  if (most === 0) return 0;
  let scale = 1;
  // Not beyond 2^1000, so that the inverse is a normal number.
  while (most * scale < 1 && scale < 2 ** 1000) scale *= 2;
  while (most * scale >= 2) scale /= 2;
  return scale;
}

function identity(n: number): Float64Array {
  const out = new Float64Array(n * n);
  for (let i = 0; i < n; i++) out[i * n + i] = 1;
  return out;
}

/** The end of the block from `low` on whose off-diagonal elements are not negligible. */
function unreduced(d: Float64Array, e: Float64Array, low: number): number {
  let m = low;
  for (; m + 1 < d.length; m++) {
    const side = Math.abs(e[m + 1]);
    if (side <= 2 ** -53 * (Math.abs(d[m]) + Math.abs(d[m + 1])) || side < NOTHING) {
      e[m + 1] = 0;
      break;
    }
  }
  return m;
}

/** One implicit QL sweep over d[low..high] and e[low + 1..high]; writes cosine and sine of each rotation and returns how many there were. */
function sweep(d: Float64Array, e: Float64Array, low: number, high: number, turns: Float64Array | undefined, at: number): number {
  let g = (d[low + 1] - d[low]) / (2 * e[low + 1]);
  const root = length2(g, 1);
  g = d[high] - d[low] + e[low + 1] / (g + (g < 0 ? -root : root));
  let s = 1, c = 1, p = 0;
  for (let i = high - 1; i >= low; i--) {
    const f = s * e[i + 1], b = c * e[i + 1], r = length2(f, g);
    if (i + 2 <= high) e[i + 2] = r;
    if (r === 0) {
      // The block falls apart here; the sweep stops, and what it has done stands.
      d[i + 1] -= p;
      return high - 1 - i;
    }
    s = f / r;
    c = g / r;
    g = d[i + 1] - p;
    const t = (d[i] - g) * s + 2 * c * b;
    p = s * t;
    d[i + 1] = g + p;
    g = c * t - b;
    if (turns !== undefined) {
      turns[at++] = c;
      turns[at++] = s;
    }
  }
  d[low] -= p;
  e[low + 1] = g;
  return high - low;
}

/** sqrt(a^2 + b^2) without overflow or underflow. */
function length2(a: number, b: number): number {
  const x = Math.abs(a), y = Math.abs(b), most = Math.max(x, y);
  if (most === 0) return 0;
  const ratio = Math.min(x, y) / most;
  return most * Math.sqrt(1 + ratio * ratio);
}

/** One row of the strips, with the sign that makes its largest element positive. */
function take(view: Float64Array, at: number, n: number, to: Float64Array, row: number): void {
  let most = 0, sign = 1;
  for (let j = 0; j < n; j++) {
    const value = view[at + Math.floor(j / STRIP) * n * STRIP + (j % STRIP)];
    to[row + j] = value;
    if (Math.abs(value) > most) {
      most = Math.abs(value);
      sign = value < 0 ? -1 : 1;
    }
  }
  if (sign < 0) for (let j = row; j < row + n; j++) to[j] = -to[j];
}

import { Tensor, asFloat32, rangeError, sizeOf, type TensorLike } from "@logits/tensor";
import * as binary from "#wasm/gemm";
import { family } from "./family.ts";
import { floatView, scratch } from "./memory.ts";
import { pointerOf } from "./owner.ts";
import { checkOut } from "./rows.ts";

const kernels = family<{
  f32_gemm(a: number, aRow: number, aCol: number, b: number, bRow: number, bCol: number, c: number, cRow: number, m: number, n: number, k: number, add: number, reach: number, work: number): void;
}>("gemm", binary);

/** Products are summed in blocks of this many (assembly/gemm.ts): a cut along K stands at a multiple of it, so that it does not change the result. */
const DEPTH = 256;
/** Columns of B that the kernel packs at a time. */
const WIDTH = 512;
/** Elements of one operand that are copied into WebAssembly memory at a time: 4 MiB. */
const PIECE = 1048576;
/** The side of a square piece. */
const SIDE = 1024;

/** A matrix in WebAssembly memory: byte address, and elements from row to row and from column to column; one of the two is 1. */
export interface Placed {
  readonly at: number;
  readonly row: number;
  readonly col: number;
}

/** Bytes of scratch that `gemm` takes for `n` columns and `k` products: at most 527 KiB. */
export function gemmScratch(n: number, k: number): number {
  return Math.max(4096, 4 * (6 * DEPTH + 48) + (4 * Math.min(k, DEPTH) + 16) * ((Math.min(n, WIDTH) + 7) & ~7));
}

/**
 * c[i, j] = sum_p a[i, p] b[p, j] on addresses, for kernels that go on with the block; `add` adds to what stands in c.
 * m, n, k >= 1; c has its columns next to each other and overlaps neither a nor b. Row i is made at least for columns j < i + reach.
 */
export function gemm(a: Placed, b: Placed, c: Placed, m: number, n: number, k: number, add: boolean, work: number, reach: number = n): void {
  kernels().f32_gemm(a.at, a.row, a.col, b.at, b.row, b.col, c.at, c.row, m, n, k, add ? 1 : 0, reach, work);
}

/** Options of matmul. */
export interface MatmulOptions {
  /** `a` is given as [..., K, M]. Default false. */
  readonly transposeA?: boolean;
  /** `b` is given as [..., N, K]. Default false. */
  readonly transposeB?: boolean;
  /** Receives the result (an ordinary or a resident tensor of shape [..., M, N], apart from `a` and `b`) and is returned. */
  readonly out?: Tensor<"float32">;
}

/**
 * Matrix product, one for each index of the batch axes.
 *
 *   y[..., i, j] = sum_k a[..., i, k] b[..., k, j]
 *
 * Summed in the order of k, in blocks of 256 whose sums are added in order, whatever the sizes, the transposes and the place of the data: the
 * same products give the same bits. Within (min(K, 256) + K / 256 + 1) 2^-24 sum_k |a b| of the exact sum, as long as nothing underflows.
 *
 * @param a - float32 [..., M, K], or [..., K, M] with `transposeA`
 * @param b - float32 [..., K, N], or [..., N, K] with `transposeB`; the batch axes of both are equal, or one has none and serves for all
 * @param options - `transposeA`, `transposeB`, `out`
 * @returns float32 [..., M, N]. K = 0: zeros. NaN and infinities go where IEEE sums take them (0 times Infinity is NaN).
 * @throws RangeError for shapes that do not fit, or an `out` that shares memory with `a` or `b`
 * @example
 *   matmul([[1, 2], [3, 4]], [[5], [6]]); // [[17], [39]]
 * Source: Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34 (2008), for blocks and packing.
 */
export function matmul(a: TensorLike, b: TensorLike, options: MatmulOptions = {}): Tensor<"float32"> {
  const { transposeA = false, transposeB = false, out } = options;
  const x = asFloat32("matmul", "a", a), y = asFloat32("matmul", "b", b);
  const [batchA, p, q] = split("a", x, transposeA ? "[..., K, M]" : "[..., M, K]");
  const [batchB, r, s] = split("b", y, transposeB ? "[..., N, K]" : "[..., K, N]");
  const [m, k] = transposeA ? [q, p] : [p, q];
  const [n, depth] = transposeB ? [r, s] : [s, r];
  if (k !== depth) throw rangeError("matmul", "b", `with K = ${k} as in a of shape [${x.shape.join(", ")}]`, `K = ${depth} in shape [${y.shape.join(", ")}]`);
  if (batchA.length > 0 && batchB.length > 0 && (batchA.length !== batchB.length || batchA.some((size, i) => size !== batchB[i]))) {
    throw rangeError("matmul", "b", `with batch axes [${batchA.join(", ")}] as in a, or none`, `[${batchB.join(", ")}]`);
  }
  const batch = batchA.length > 0 ? batchA : batchB;
  const shape = [...batch, m, n];
  if (out !== undefined) {
    checkOut("matmul", out, shape);
    apart("a", x, out);
    apart("b", y, out);
  }
  const result = out ?? new Tensor("float32", shape, new Float32Array(sizeOf(shape)));
  if (k === 0) result.data.fill(0);
  if (k === 0 || result.size === 0) return result;
  // One b for all rows of all a: the batch axes are rows.
  const together = batchB.length === 0 && !transposeA;
  const items = together ? 1 : sizeOf(batch);
  multiply(operand("a", x, transposeA, batchA.length > 0 && !together), operand("b", y, transposeB, batchB.length > 0), result, items, together ? m * sizeOf(batch) : m, n, k);
  return result;
}

function split(argument: string, x: Tensor, letters: string): [batch: readonly number[], rows: number, cols: number] {
  const { shape } = x;
  const axes = shape.length;
  if (axes < 2) throw rangeError("matmul", argument, `of shape ${letters}`, `[${shape.join(", ")}]`, "A row is [1, C], a column [C, 1]");
  return [shape.slice(0, -2), shape[axes - 2], shape[axes - 1]];
}

function apart(argument: string, x: Tensor<"float32">, out: Tensor<"float32">): void {
  const from = x.data, to = out.data;
  if (from.buffer === to.buffer && from.byteOffset < to.byteOffset + to.byteLength && to.byteOffset < from.byteOffset + from.byteLength) {
    throw rangeError("matmul", "out", `that shares no memory with ${argument}`, "one that does");
  }
}

/** A stored matrix [rows, width], or one for each item of the batch, `item` elements apart (0: one for all). */
interface Operand {
  readonly data: Float32Array;
  /** Byte address of a resident one, else 0. */
  readonly pointer: number;
  readonly transposed: boolean;
  readonly width: number;
  readonly item: number;
  /** The piece that was copied last. */
  held: string;
}

function operand(argument: string, x: Tensor<"float32">, transposed: boolean, batched: boolean): Operand {
  const rows = x.shape[x.shape.length - 2], width = x.shape[x.shape.length - 1];
  return { data: x.data, pointer: pointerOf("matmul", argument, x), transposed, width, item: batched ? rows * width : 0, held: "" };
}

/** The block [i, i + rows) x [j, j + cols) of `count` items from `first`, copied to `base` unless it is resident; and the elements from item to item. */
function place(x: Operand, first: number, count: number, i: number, rows: number, j: number, cols: number, base: number): Placed & { item: number } {
  if (x.transposed) [i, rows, j, cols] = [j, cols, i, rows];
  let at = base, { width } = x;
  const from = first * x.item + i * width + j;
  if (x.pointer) {
    at = x.pointer + 4 * from;
  } else {
    const key = `${from},${rows},${cols}`;
    const whole = cols === width;
    width = cols;
    if (x.held !== key) {
      x.held = key;
      const view = floatView();
      if (whole) view.set(x.data.subarray(from, from + (x.item ? (count - 1) * x.item : 0) + rows * cols), at >>> 2);
      else for (let r = 0; r < rows; r++) view.set(x.data.subarray(from + r * x.width, from + r * x.width + cols), (at >>> 2) + r * cols);
    }
  }
  return { at, row: x.transposed ? 1 : width, col: x.transposed ? width : 1, item: x.item };
}

/** Cuts the work so that at most 4 MiB of each ordinary tensor lie in WebAssembly memory at a time. */
function multiply(a: Operand, b: Operand, out: Tensor<"float32">, items: number, m: number, n: number, k: number): void {
  const to = pointerOf("matmul", "out", out);
  let mb = m, nb = n, kb = k, group = items;
  if (!(a.pointer && b.pointer && to)) {
    mb = Math.min(m, SIDE);
    kb = Math.min(k, SIDE);
    nb = Math.min(n, Math.floor(PIECE / Math.max(mb, kb)));
    // What one short side leaves free goes to the others; cuts along K stay at multiples of DEPTH.
    kb = Math.min(k, Math.max(kb, Math.floor(PIECE / Math.max(mb, nb) / DEPTH) * DEPTH));
    mb = Math.min(m, Math.max(mb, Math.floor(PIECE / Math.max(kb, nb))));
    group = mb === m && nb === n && kb === k ? Math.min(items, Math.max(1, Math.floor(PIECE / Math.max(m * k, k * n, m * n)))) : 1;
  }
  const work = (gemmScratch(nb, kb) + 63) & ~63;
  const bytesA = a.pointer ? 0 : 4 * mb * kb * (a.item ? group : 1), bytesB = b.pointer ? 0 : 4 * kb * nb * (b.item ? group : 1);
  const base = scratch(work + bytesA + bytesB + (to ? 0 : 4 * mb * nb * group));
  const baseB = base + work + bytesA, baseC = baseB + bytesB;
  const target = to ? undefined : out.data;
  for (let first = 0; first < items; first += group) {
    const count = Math.min(group, items - first);
    for (let i = 0; i < m; i += mb) {
      const rows = Math.min(mb, m - i);
      for (let j = 0; j < n; j += nb) {
        const cols = Math.min(nb, n - j);
        const width = to ? n : cols;
        const start = first * m * n + i * n + j;
        const at = to ? to + 4 * start : baseC;
        for (let p = 0; p < k; p += kb) {
          const depth = Math.min(kb, k - p);
          const left = place(a, first, count, i, rows, p, depth, base + work), right = place(b, first, count, p, depth, j, cols, baseB);
          for (let item = 0; item < count; item++) {
            gemm({ ...left, at: left.at + 4 * item * left.item }, { ...right, at: right.at + 4 * item * right.item }, { at: at + 4 * item * m * n, row: width, col: 1 }, rows, cols, depth, p > 0, base);
          }
        }
        if (target === undefined) continue;
        const view = floatView();
        const done = at >>> 2;
        if (cols === n) target.set(view.subarray(done, done + (count - 1) * m * n + rows * n), start);
        else for (let r = 0; r < rows; r++) target.set(view.subarray(done + r * cols, done + (r + 1) * cols), start + r * n);
      }
    }
  }
}

import { DisposedError, Tensor, asFloat32, checkInteger, checkShape, rangeError, type TensorLike } from "@logits/tensor";
import { relaxed, simd } from "#wasm/int8";
import { family } from "./family.ts";
import { floatView, intView, scratch } from "./memory.ts";
import { kept, kernels as neighborKernels, nearestNeighbors, type NearestNeighbors } from "./nearestNeighbors.ts";
import { pointerOf } from "./owner.ts";
import { core, type ResidentTensor } from "./resident.ts";

const kernels = family<{
  i8_products(
    a: number, codes: number, rows: number, width: number, scale: number, length: number, error: number, scales: number, errors: number, norms: number, y: number,
  ): void;
}>("int8", { simd, relaxed });

/** Queries up to this many are compared one by one; more go through a matrix product. */
const FEW = 6;
/** Rows of the bank whose products are kept at a time. */
const ROWS = 8192;
/** Largest elements of rows and queries in between are served: no product of scales underflows, no square overflows. */
const LEAST = 2 ** -40, MOST = 2 ** 40;
/** Bounds that were computed in float64 and are rounded to float32 are made larger by this share. */
const UP = 1 + 2 ** -20;

/**
 * Rows that are kept as bytes beside float32: the k nearest rows of one query, exactly, at a quarter of the memory traffic.
 *
 *   row = scale codes + error, codes in [-127, 127], scale = max |row| / 127;    q . row <= scale q' . codes + |q'| |error| + |q - q'| |row|
 *
 * The bytes give a lower bound on each distance; a row whose bound lies above the k-th distance so far is certainly not among the k nearest, the others are measured in float32. So distances and
 * indices are those of `nearestNeighbors`, to the bit. More than 6 queries at a time go through its matrix product.
 *
 * Where rows lie far from the origin compared with their distances the bounds are loose and most rows are measured: centre them, or use `nearestNeighbors`.
 *
 * @example
 *   const bank = Int8Bank.of([[0, 0], [1, 2], [5, 5]]);
 *   bank.nearest([[1, 1]], 2).indices; // 1, 0
 *   bank.dispose();
 * Source: Cauchy-Schwarz; the filter and refine of Seidl and Kriegel, "Optimal multi-step k-nearest neighbor search", SIGMOD 1998.
 */
export class Int8Bank {
  /** M. */
  readonly rows: number;
  /** F. */
  readonly cols: number;
  readonly #bank: Tensor<"float32">;
  readonly #own: ResidentTensor<"float32"> | undefined;
  readonly #codes: ResidentTensor<"uint8"> | undefined;
  /** Four numbers of each row: scale, length of the error, length, scaled square. */
  readonly #terms: ResidentTensor<"float32"> | undefined;
  readonly #width: number;
  #disposed = false;

  private constructor(bank: Tensor<"float32">, own: ResidentTensor<"float32"> | undefined) {
    [this.rows, this.cols] = bank.shape;
    this.#bank = bank;
    this.#own = own;
    this.#width = (this.cols + 15) & ~15;
    if (!servable(bank.data, this.cols)) return;
    this.#codes = core.alloc([this.rows, this.#width], "uint8");
    this.#terms = core.alloc([4, this.rows]);
    this.#quantize();
  }

  /**
   * Makes the bytes of a bank.
   *
   * @param bank - float32 [M, F], M >= 1 and F >= 1. A resident one is used where it is, must stay, and is not disposed of here; another is copied
   * @throws RangeError for another shape
   */
  static of(bank: TensorLike): Int8Bank {
    const where = "Int8Bank.of";
    const x = asFloat32(where, "bank", bank);
    checkShape(where, "bank", x, ["M", "F"]);
    const [rows, cols] = x.shape;
    if (rows === 0 || cols === 0) throw rangeError(where, "bank", "of shape [M, F], M >= 1 and F >= 1", `[${rows}, ${cols}]`);
    if (pointerOf(where, "bank", x)) return new Int8Bank(x, undefined);
    const own = core.alloc(x.shape);
    own.data.set(x.data);
    return new Int8Bank(own, own);
  }

  /**
   * The k nearest rows of the bank, exactly those of `nearestNeighbors`.
   *
   * @param queries - float32 [N, F]
   * @param k - how many, an integer in [1, M]
   * @returns `distances` float32 [N, k], squared and ascending, and `indices` int32 [N, k]
   * @throws RangeError for shapes that do not fit, a `k` outside [1, M]; DisposedError after `dispose`
   */
  nearest(queries: TensorLike, k: number): NearestNeighbors {
    const where = "Int8Bank.nearest";
    if (this.#disposed) throw new DisposedError(`${where}: expected a bank that is in use, got one after dispose()`);
    const q = asFloat32(where, "queries", queries);
    checkShape(where, "queries", q, ["N", "F"]);
    const [n, cols] = q.shape;
    if (cols !== this.cols) throw rangeError(where, "queries", `of shape [N, ${this.cols}]`, `[${n}, ${cols}]`);
    checkInteger(where, "k", k, 1, this.rows);
    if (n > FEW || this.#codes === undefined || !servable(q.data, cols)) return nearestNeighbors(q, this.#bank, k);
    const distances = new Float32Array(n * k), indices = new Int32Array(n * k);
    for (let i = 0; i < n; i++) this.#one(q.data.subarray(i * cols, (i + 1) * cols), k, distances, indices, i * k);
    return { distances: new Tensor("float32", [n, k], distances), indices: new Tensor("int32", [n, k], indices) };
  }

  /** Gives the memory back. A second call does nothing. */
  dispose(): void {
    this.#disposed = true;
    this.#codes?.dispose();
    this.#terms?.dispose();
    this.#own?.dispose();
  }

  #one(query: Float32Array, k: number, distances: Float32Array, indices: Int32Array, to: number): void {
    const { rows, cols } = this, width = this.#width;
    const step = Math.min(ROWS, rows);
    const a = scratch(64 + 2 * width + 4 * (cols + step + 2 * k));
    const square = a + 2 * width, own = square + 64, dots = own + 4 * cols, near = dots + 4 * step, who = near + 4 * k;
    const { buffer } = core.memory, parts = new Int16Array(buffer, a, width);
    const most = Math.min(32767, Math.floor((2 ** 31 - 1) / (127 * width)));
    let size = 0, errors = 0, squares = 0;
    for (let i = 0; i < cols; i++) size = Math.max(size, Math.abs(query[i]));
    const scale = Math.fround(size / most);
    parts.fill(0);
    for (let i = 0; i < cols; i++) {
      const part = scale === 0 ? 0 : Math.max(-most, Math.min(most, Math.round(query[i] / scale))), kept = scale * part;
      parts[i] = part;
      squares += kept * kept;
      errors += (query[i] - kept) * (query[i] - kept);
    }
    floatView().set(query, own >>> 2);
    const length = Math.sqrt(squares) * UP, error = Math.sqrt(errors) * UP;
    const { f32_neighbors_start, f32_neighbors_scan, f32_neighbors_sort, f32_scaled_squares } = neighborKernels();
    const { i8_products } = kernels();
    const bank = pointerOf("Int8Bank.nearest", "bank", this.#bank), codes = this.#codes!.pointer, terms = this.#terms!.pointer;
    f32_scaled_squares(own, 1, cols, kept(cols), square);
    f32_neighbors_start(near, who, k);
    for (let row = 0; row < rows; row += step) {
      const some = Math.min(step, rows - row), at = terms + 4 * row;
      i8_products(a, codes + row * width, some, width, scale, length, error, at, at + 4 * rows, at + 8 * rows, dots);
      f32_neighbors_scan(dots, some, square, at + 12 * rows, own, 1, bank + 4 * row * cols, some, cols, row, k, near, who);
    }
    f32_neighbors_sort(near, who, 1, k);
    distances.set(floatView().subarray(near >>> 2, (near >>> 2) + k), to);
    indices.set(intView().subarray(who >>> 2, (who >>> 2) + k), to);
  }

  #quantize(): void {
    const { rows, cols } = this, { data } = this.#bank, codes = this.#codes!.data, terms = this.#terms!.data, width = this.#width;
    for (let r = 0, at = 0; r < rows; r++) {
      let size = 0, errors = 0, squares = 0;
      const end = at + cols;
      for (let i = at; i < end; i++) size = Math.max(size, Math.abs(data[i]));
      // The codes need not be the nearest, only in [-127, 127]: what they leave is measured.
      const scale = Math.fround(size / 127), inverse = scale === 0 ? 0 : 1 / scale, first = r * width - at;
      for (; at < end; at++) {
        const x = data[at], code = Math.floor(x * inverse + 0.5), error = x - scale * code;
        codes[first + at] = code;
        squares += x * x;
        errors += error * error;
      }
      terms[r] = scale;
      terms[rows + r] = Math.sqrt(errors) * UP;
      terms[2 * rows + r] = Math.sqrt(squares) * UP;
    }
    const { pointer } = this.#terms!;
    neighborKernels().f32_scaled_squares(pointerOf("Int8Bank.of", "bank", this.#bank), rows, cols, kept(cols), pointer + 12 * rows);
  }
}

/** Whether each row is of zeros or its largest element is neither tiny nor huge, nor NaN. */
function servable(data: Float32Array, cols: number): boolean {
  for (let at = 0; at < data.length; ) {
    let size = 0;
    for (const end = at + cols; at < end; at++) {
      const x = Math.abs(data[at]);
      if (!(x <= MOST)) return false;
      if (x > size) size = x;
    }
    if (size !== 0 && size < LEAST) return false;
  }
  return true;
}

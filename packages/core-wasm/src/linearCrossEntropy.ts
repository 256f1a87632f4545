import { checkCsr, checkLabels, checkShape, isCsr, rangeError, type CsrMatrix, type Tensor } from "@logits/tensor";
import * as binary from "#wasm/linear";
import { family } from "./family.ts";
import { gemm, gemmScratch } from "./matmul.ts";
import { floatView, intView, scratch } from "./memory.ts";
import { ResidentTensor } from "./resident.ts";

export const kernels: () => {
  f32_csr_logits(indptr: number, indices: number, data: number, w: number, bias: number, z: number, rows: number, stride: number): void;
  f32_csr_gradient(indptr: number, indices: number, data: number, d: number, g: number, rows: number, stride: number): void;
  f32_cross_entropy(z: number, labels: number, weights: number, column: number, rows: number, cols: number, stride: number): number;
  f32_dots(vectors: number, count: number, a: number, b: number, n: number, out: number): void;
  f32_combine(vectors: number, coefficients: number, count: number, y: number, n: number): void;
  f32_weights(u: number, scale: number, mean: number, w: number, shift: number, rows: number, stride: number): void;
  f32_weights_gradient(g: number, w: number, scale: number, mean: number, bias: number, l2: number, rows: number, stride: number): void;
} = /* @__PURE__ */ family("linear", binary);

/** Rows of a piece at most: the products of the dense gradient are summed in float32 over so many. */
const ROWS = 256;
/** Multiplications of a piece at most, forwards or backwards: a few milliseconds. */
const DENSE = 16777216;
const SPARSE = 2097152;

/** Cross-entropy of a linear model on the rows of a fit, as a function of its parameters. */
export class LinearCrossEntropy {
  /** N. */
  readonly rows: number;
  /** F. */
  readonly features: number;
  /** C. */
  readonly classes: number;
  /** Shape of parameters and gradient: [F + 1, C rounded up to a multiple of 4]; row F is the bias, columns from C on are 0. */
  readonly shape: readonly [number, number];
  readonly #x: Tensor<"float32"> | CsrMatrix;
  readonly #labels: Int32Array;
  readonly #weights: Float32Array;

  /**
   * @param x - float32 [N, F], or CSR
   * @param labels - int32 [N], in [0, C)
   * @param weights - float32 [N], the weight of each row
   * @param classes - C, at least 1
   */
  constructor(x: Tensor<"float32"> | CsrMatrix, labels: Tensor<"int32">, weights: Float32Array, classes: number) {
    const where = "LinearCrossEntropy";
    if (isCsr(x)) checkCsr(where, "x", x);
    else checkShape(where, "x", x, ["N", "F"]);
    const [rows, features] = x.shape;
    checkShape(where, "labels", labels, [rows]);
    checkLabels(where, "labels", labels, classes);
    if (weights.length !== rows) throw rangeError(where, "weights", `of length ${rows}`, `${weights.length}`);
    this.rows = rows;
    this.features = features;
    this.classes = classes;
    this.shape = [features + 1, (classes + 3) & ~3];
    this.#x = x;
    this.#labels = labels.data;
    this.#weights = weights;
  }

  /** The end of the piece of rows that begins at `first`: a few milliseconds of work, always the same cuts. */
  pieceEnd(first: number): number {
    const stride = this.shape[1];
    if (!isCsr(this.#x)) return Math.min(this.rows, first + Math.min(ROWS, Math.max(1, Math.floor(DENSE / (stride * Math.max(1, this.features))))));
    const { indptr } = this.#x;
    const limit = indptr[first] + Math.floor(SPARSE / stride);
    let end = first + 1;
    while (end < this.rows && end - first < ROWS && indptr[end + 1] <= limit) end++;
    return end;
  }

  /**
   * One piece of rows, first to `pieceEnd(first)`: logits, softmax and gradient without the logits of other rows in memory.
   *
   *   loss = sum_n weights[n] (log sum_c exp(z[n, c]) - z[n, y_n]),   z[n] = W' x[n] + b
   *
   * @param parameters - resident float32 of `shape`
   * @param gradient - the same; the gradient of the rows' loss is added to it. An element is a float32 sum: within m 2^-24 sum |terms| of the exact one, m the number of terms
   *   for CSR (rows that have the feature), 256 + m / 256 for dense rows
   * @returns the loss, in float64 across rows; NaN where a logit is NaN or +Infinity
   */
  pass(parameters: ResidentTensor<"float32">, gradient: ResidentTensor<"float32">, first: number): number {
    const { features, classes } = this;
    const stride = this.shape[1];
    for (const [name, x] of [["parameters", parameters], ["gradient", gradient]] as const) {
      if (!(x instanceof ResidentTensor) || x.shape.length !== 2 || x.shape[0] !== features + 1 || x.shape[1] !== stride) throw rangeError("LinearCrossEntropy.pass", name, `resident of shape [${this.shape.join(", ")}]`, `[${x.shape.join(", ")}]`);
    }
    const end = this.pieceEnd(first);
    const rows = end - first;
    const x = this.#x;
    const from = isCsr(x) ? x.indptr[first] : first * features, to = isCsr(x) ? x.indptr[end] : end * features;
    const length = (to - from + 3) & ~3, padded = (rows + 4) & ~3;
    const work = isCsr(x) ? 0 : (Math.max(gemmScratch(stride, features), gemmScratch(stride, rows)) + 63) & ~63;
    const base = scratch(work + 4 * (rows * stride + stride + 3 * padded + 2 * length));
    const z = base + work, column = z + 4 * rows * stride, labels = column + 4 * stride, weights = labels + 4 * padded, indptr = weights + 4 * padded, data = indptr + 4 * padded, indices = data + 4 * length;
    const floats = floatView(), ints = intView();
    floats.fill(0, column >>> 2, (column >>> 2) + stride);
    ints.set(this.#labels.subarray(first, end), labels >>> 2);
    floats.set(this.#weights.subarray(first, end), weights >>> 2);
    floats.set(x.data.subarray(from, to), data >>> 2);
    const { f32_csr_logits, f32_csr_gradient, f32_cross_entropy } = kernels();
    const w = parameters.pointer, g = gradient.pointer;
    const bias = 4 * features * stride;
    let loss: number;
    if (isCsr(x)) {
      ints.set(x.indices.subarray(from, to), indices >>> 2);
      ints.set(x.indptr.subarray(first, end + 1), indptr >>> 2);
      f32_csr_logits(indptr, indices, data, w, w + bias, z, rows, stride);
      loss = f32_cross_entropy(z, labels, weights, column, rows, classes, stride);
      f32_csr_gradient(indptr, indices, data, z, g, rows, stride);
    } else {
      for (let r = 0; r < rows; r++) floats.copyWithin((z >>> 2) + r * stride, (w + bias) >>> 2, ((w + bias) >>> 2) + stride);
      const logits = { at: z, row: stride, col: 1 };
      if (features > 0) gemm({ at: data, row: features, col: 1 }, { at: w, row: stride, col: 1 }, logits, rows, stride, features, true, base);
      loss = f32_cross_entropy(z, labels, weights, column, rows, classes, stride);
      if (features > 0) gemm({ at: data, row: 1, col: features }, logits, { at: g, row: stride, col: 1 }, features, stride, rows, true, base);
    }
    for (let c = 0, at = (g + bias) >>> 2; c < stride; c++) floats[at + c] += floats[(column >>> 2) + c];
    return loss;
  }
}

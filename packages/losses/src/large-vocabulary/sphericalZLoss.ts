import { addGram } from "@logits/core-wasm/linalg";
import { sigmoid, softplus } from "@logits/statistics";
import { asFloat32, asInt32, checkLabels, checkPositive, checkShape, defineLoss, lossRows, rangeError, Tensor, type Loss, type RowLossOptions, type TensorLike } from "@logits/tensor";

/** The two numbers of the spherical Z-loss. */
export interface SphericalShape {
  /** a > 0. Default 1. */
  readonly sharpness?: number;
  /** b: the label's standard score above which the loss falls off. Default 10; at most sqrt(C - 1) can be reached. */
  readonly threshold?: number;
}

/** Options of `sphericalZLoss`. */
export interface SphericalZOptions extends RowLossOptions, SphericalShape {}

/** Value from the label's output, the sum and the sum of squares about the mean of all; and its derivative by each output j: base + tilt (o_j - mean) + own [j = label]. */
function spherical({ sharpness: a = 1, threshold: b = 10 }: SphericalShape, own: number, mean: number, squares: number, count: number): { value: number; base: number; tilt: number; own: number } {
  const deviation = Math.sqrt(squares / count), z = (own - mean) / deviation, slope = -sigmoid(a * (b - z)) / deviation;
  return { value: softplus(a * (b - z)) / a, own: slope, base: -slope / count, tilt: (-slope * z) / (count * deviation) };
}

function checkShapeOf(where: string, { sharpness = 1, threshold = 10 }: SphericalShape): void {
  checkPositive(where, "sharpness", sharpness);
  if (!Number.isFinite(threshold)) throw rangeError(where, "threshold", "a finite number", `${threshold}`);
}

/**
 * The spherical Z-loss: softplus of how far the label's standard score among all outputs lies below a threshold. It does not change when all outputs are shifted or scaled together. (Not PaLM's z-loss, the square of
 * log Z: that is the option `zLoss` of cross-entropy.)
 *
 *   loss[b] = softplus(a (b - z)) / a,   z = (logits[b, y] - mean) / deviation, both over the classes
 *
 * @param logits - float32 [B, C] or [B, ..., C]
 * @param labels - int32 [B] or [B, ...], in [0, C)
 * @param options - `sharpness` a (1), `threshold` b (10): the paper tunes both; those of every loss, `axis`
 * @returns float32 of the labels' shape ("none") or []. Equal outputs (one class, too) have no standard score: NaN, as with NaN or an infinity in the row. `withGrad`: `grad`
 * @throws RangeError for another shape, a label outside [0, C) (with its index), a sharpness that is not above 0
 * @example
 *   sphericalZLoss([[1, 0, 0, 0, 0]], [0], { sharpness: 1, threshold: 2 }); // log 2: the score is sqrt(4)
 * Source: de Brébisson and Vincent, "The Z-loss: a shift and scale invariant classification loss belonging to the Spherical Family", 2016, section 3.
 */
export const sphericalZLoss: Loss<[logits: TensorLike, labels: TensorLike], SphericalZOptions> = /* @__PURE__ */ defineLoss("sphericalZLoss", 2, (where, [logits, labels]: [TensorLike, TensorLike], options: SphericalZOptions) => {
  checkShapeOf(where, options);
  const { z, y, rows, classes, shape, weights, gradient } = lossRows(where, logits, labels, options);
  return {
    shape,
    weights,
    pass(coefficients) {
      const values = new Float64Array(rows), grad = new Float32Array(coefficients ? z.size : 0);
      for (let i = 0; i < rows; i++) {
        if (weights?.[i] === 0) continue;
        const o = z.data.subarray(i * classes, (i + 1) * classes);
        let mean = 0, squares = 0;
        for (let c = 0; c < classes; c++) mean += o[c] / classes;
        for (let c = 0; c < classes; c++) squares += (o[c] - mean) * (o[c] - mean);
        const { value, base, tilt, own } = spherical(options, o[y[i]], mean, squares, classes);
        values[i] = value;
        if (coefficients) for (let c = 0; c < classes; c++) grad[i * classes + c] = coefficients[i] * (base + tilt * (o[c] - mean) + (c === y[i] ? own : 0));
      }
      return { values, gradients: () => ({ grad: gradient(grad) }) };
    },
  };
});

/** What one batch is worth to a `SphericalHead`. */
export interface SphericalResult {
  /** float32 []: the mean over the batch. */
  readonly loss: Tensor<"float32">;
  /** float32 [B, D]: its gradient by the hidden states. */
  readonly grad: Tensor<"float32">;
}

/**
 * A linear layer under the spherical Z-loss whose exact loss, gradient and gradient step cost the same whatever the number of classes: O(B D^2 + B^2 D), after O(C D^2) once.
 *
 *   sum_c o_c = s . h,   sum_c o_c^2 = h' Q h,   s = sum_c w_c, Q = W' W;   W = A U + 1 omega'
 *
 * The loss needs the label's row, s and Q alone. A step of gradient descent on all of W multiplies it by a D x D matrix, adds one vector to every row and another one to the labels' rows: it goes to U, omega and
 * the labels' rows of A. All but A is float64.
 */
export class SphericalHead {
  /** C and D. */
  readonly shape: readonly [number, number];
  readonly #options: SphericalShape;
  /** A, of which a step touches the rows of its labels only. */
  readonly #rows: Float32Array;
  readonly #u: Float64Array;
  readonly #inverse: Float64Array;
  readonly #omega: Float64Array;
  readonly #sum: Float64Array;
  readonly #gram: Float64Array;

  private constructor(weights: Tensor<"float32">, options: SphericalShape) {
    const [count, width] = weights.shape;
    this.shape = [count, width];
    this.#options = options;
    this.#rows = weights.data.slice();
    this.#u = new Float64Array(width * width);
    for (let d = 0; d < width; d++) this.#u[d * width + d] = 1;
    this.#inverse = this.#u.slice();
    this.#omega = new Float64Array(width);
    this.#sum = new Float64Array(width);
    for (let i = 0; i < this.#rows.length; i++) this.#sum[i % width] += this.#rows[i];
    this.#gram = new Float64Array(width * width);
    addGram(this.#gram, weights);
    for (let i = 0; i < width; i++) for (let j = 0; j < i; j++) this.#gram[j * width + i] = this.#gram[i * width + j];
  }

  /**
   * A head with these weights, which are copied.
   *
   * @param weights - float32 [C, D], C and D >= 1
   * @param options - `sharpness`, `threshold` of the loss
   * @returns the head
   * @throws RangeError for another shape or a sharpness that is not above 0
   * @example
   *   SphericalHead.from([[1, 0], [0, 1], [1, 1]]).shape; // [3, 2]
   * Source: Vincent, de Brébisson, Bouthillier, "Efficient Exact Gradient Update for training Deep Networks with Very Large Sparse Targets", NeurIPS 2015, here with a vector for all rows and for batches.
   */
  static from(weights: TensorLike, options: SphericalShape = {}): SphericalHead {
    const where = "SphericalHead.from", w = asFloat32(where, "weights", weights);
    checkShape(where, "weights", w, ["C", "D"]);
    if (w.size === 0) throw rangeError(where, "weights", "with at least one class and feature", `shape [${w.shape.join(", ")}]`);
    checkShapeOf(where, options);
    return new SphericalHead(w, { ...options });
  }

  /**
   * The mean loss of a batch and its gradient by the hidden states.
   *
   * @param hidden - float32 [B, D]
   * @param labels - int32 [B], in [0, C)
   * @returns `loss` and `grad`, those of `sphericalZLoss` on the logits; an empty batch: 0
   * @throws RangeError for shapes that do not fit, a label outside [0, C) (with its index)
   * @example
   *   SphericalHead.from([[1, 0], [0, 1]]).withGrad([[1, 0]], [0]).grad.shape; // [1, 2]
   */
  withGrad(hidden: TensorLike, labels: TensorLike): SphericalResult {
    const { loss, grad } = this.#pass("SphericalHead.withGrad", hidden, labels);
    return { loss, grad };
  }

  /**
   * A step of gradient descent on the weights: W becomes W - rate d loss / d W, exactly, without touching most of it.
   *
   * @param hidden - float32 [B, D]
   * @param labels - int32 [B], in [0, C)
   * @param rate - the learning rate, > 0
   * @returns `loss` and `grad`, before the step
   * @throws as `withGrad`; RangeError for a rate so large that the weights would become degenerate
   * @example
   *   const head = SphericalHead.from([[1, 0], [0, 1]]);
   *   head.step([[1, 0.5]], [0], 0.1);
   *   head.withGrad([[1, 0.5]], [0]).loss; // less than before
   */
  step(hidden: TensorLike, labels: TensorLike, rate: number): SphericalResult {
    const where = "SphericalHead.step";
    checkPositive(where, "rate", rate);
    const { loss, grad, x, y, base, tilt, own, owners } = this.#pass(where, hidden, labels), [count, width] = this.shape, rows = y.length, u = this.#u, q = this.#gram, inverse = this.#inverse;
    // M = I - X' S X with S = rate diag(tilt); its inverse is I + X' K X, K = S (I - X X' S)^-1.
    const scale = tilt.map((t) => rate * t), products = (a: Float64Array): Float64Array => multiply(x, a, rows, width, width);
    const system = multiply(x, transpose(x, rows, width), rows, width, rows).map((v, i) => Number(i % (rows + 1) === 0) - v * scale[i % rows]), k = invert(system, rows);
    if (k === undefined) throw rangeError(where, "rate", "that leaves the weights independent", `${rate}`, "Take a smaller step");
    for (let i = 0; i < k.length; i++) k[i] *= scale[Math.floor(i / rows)];
    const p = combine(x, base.map((b) => rate * b), rows, width), away = own.map((o) => rate * o);
    // The labels' rows and the sum after the part that all rows share: y = M w - p.
    const through = (w: Float64Array): Float64Array => {
      const dots = multiply(x, w, rows, width, 1), moved = combine(x, dots.map((v, b) => v * scale[b]), rows, width);
      return w.map((v, d) => v - moved[d]);
    };
    const kept = owners.map((w) => through(w).map((v, d) => v - p[d])), shared = through(this.#sum);
    // Q: M Q M - M s p' - p s' M + C p p', then the labels' part.
    const qx = products(q), inner = multiply(qx, transpose(x, rows, width), rows, width, rows), middle = new Float64Array(rows * width);
    for (let a = 0; a < rows; a++) for (let d = 0; d < width; d++) {
      let sum = 0;
      for (let b = 0; b < rows; b++) sum += scale[a] * inner[a * rows + b] * scale[b] * x[b * width + d];
      middle[a * width + d] = sum - scale[a] * qx[a * width + d];
    }
    for (let i = 0; i < width; i++) {
      for (let j = 0; j < width; j++) {
        let sum = q[i * width + j] - shared[i] * p[j] - p[i] * shared[j] + count * p[i] * p[j];
        for (let b = 0; b < rows; b++) sum += x[b * width + i] * middle[b * width + j] - scale[b] * qx[b * width + i] * x[b * width + j] - away[b] * (kept[b][i] * x[b * width + j] + x[b * width + i] * kept[b][j]);
        q[i * width + j] = sum;
      }
    }
    for (let a = 0; a < rows; a++) for (let b = 0; b < rows; b++) if (y[a] === y[b]) for (let i = 0; i < width; i++) for (let j = 0; j < width; j++) q[i * width + j] += away[a] * away[b] * x[a * width + i] * x[b * width + j];
    const direct = combine(x, away, rows, width);
    for (let d = 0; d < width; d++) this.#sum[d] = shared[d] - count * p[d] - direct[d];
    // U M, M^-1 U^-1, M omega - p, and the labels' rows of A, in which h stands as h U^-1.
    const ux = multiply(u, transpose(x, rows, width), width, width, rows), xi = products(inverse);
    for (let i = 0; i < width; i++) for (let b = 0; b < rows; b++) for (let d = 0, f = ux[i * rows + b] * scale[b]; d < width; d++) u[i * width + d] -= f * x[b * width + d];
    const solved = multiply(k, xi, rows, rows, width);
    for (let i = 0; i < width; i++) for (let b = 0; b < rows; b++) for (let d = 0; d < width; d++) inverse[i * width + d] += x[b * width + i] * solved[b * width + d];
    this.#omega.set(through(this.#omega).map((v, d) => v - p[d]));
    const back = products(inverse);
    y.forEach((label, b) => {
      for (let d = 0; d < width; d++) this.#rows[label * width + d] -= away[b] * back[b * width + d];
    });
    return { loss, grad };
  }

  /**
   * The weights as they are now, O(C D^2).
   *
   * @returns float32 [C, D]
   * @example
   *   SphericalHead.from([[1, 0], [0, 1]]).weights().shape; // [2, 2]
   */
  weights(): Tensor<"float32"> {
    const [count, width] = this.shape, out = new Float32Array(count * width);
    for (let c = 0; c < count; c++) out.set(this.#row(c), c * width);
    return new Tensor("float32", this.shape, out);
  }

  /** w_c = A_c U + omega. */
  #row(c: number): Float64Array {
    const [, width] = this.shape, row = multiply(Float64Array.from(this.#rows.subarray(c * width, (c + 1) * width)), this.#u, 1, width, width);
    return row.map((v, d) => v + this.#omega[d]);
  }

  #pass(where: string, hidden: TensorLike, labels: TensorLike): SphericalResult & { x: Float64Array; y: Int32Array; base: Float64Array; tilt: Float64Array; own: Float64Array; owners: Float64Array[] } {
    const h = asFloat32(where, "hidden", hidden), targets = asInt32(where, "labels", labels), [count, width] = this.shape, y = targets.data;
    checkShape(where, "hidden", h, ["B", "D"]);
    const [rows] = h.shape;
    if (h.shape[1] !== width) throw rangeError(where, "hidden", `of shape [B, ${width}]`, `[${h.shape.join(", ")}]`);
    if (targets.shape.length !== 1 || y.length !== rows) throw rangeError(where, "labels", `of shape [${rows}]`, `[${targets.shape.join(", ")}]`);
    checkLabels(where, "labels", targets, count);
    const x = Float64Array.from(h.data), qx = multiply(x, this.#gram, rows, width, width), grad = new Float32Array(rows * width), owners = Array.from(y, (c) => this.#row(c));
    const base = new Float64Array(rows), tilt = new Float64Array(rows), own = new Float64Array(rows);
    let total = 0;
    for (let b = 0; b < rows; b++) {
      let label = 0, sum = 0, squares = 0;
      for (let d = 0, i = b * width; d < width; d++, i++) {
        label += x[i] * owners[b][d];
        sum += x[i] * this.#sum[d];
        squares += x[i] * qx[i];
      }
      const mean = sum / count, part = spherical(this.#options, label, mean, squares - mean * sum, count);
      total += part.value / rows;
      tilt[b] = part.tilt / rows;
      base[b] = part.base / rows - tilt[b] * mean;
      own[b] = part.own / rows;
      for (let d = 0, i = b * width; d < width; d++, i++) grad[i] = base[b] * this.#sum[d] + tilt[b] * qx[i] + own[b] * owners[b][d];
    }
    return { loss: new Tensor("float32", [], Float32Array.of(total)), grad: new Tensor("float32", [rows, width], grad), x, y, base, tilt, own, owners };
  }
}

/** [n, k] times [k, m]. */
function multiply(a: Float64Array, b: Float64Array, n: number, k: number, m: number): Float64Array {
  const out = new Float64Array(n * m);
  for (let i = 0; i < n; i++) for (let p = 0; p < k; p++) for (let j = 0, f = a[i * k + p]; j < m; j++) out[i * m + j] += f * b[p * m + j];
  return out;
}

function transpose(a: Float64Array, n: number, m: number): Float64Array {
  return a.map((_, i) => a[(i % n) * m + Math.floor(i / n)]);
}

/** sum_b factors[b] x[b]. */
function combine(x: Float64Array, factors: Float64Array, rows: number, width: number): Float64Array {
  return multiply(factors, x, 1, rows, width);
}

/** The inverse of an [n, n] matrix by elimination with row pivots; undefined where it has none. */
function invert(a: Float64Array, n: number): Float64Array | undefined {
  const out = new Float64Array(n * n);
  for (let i = 0; i < n; i++) out[i * n + i] = 1;
  for (let c = 0; c < n; c++) {
    let best = c;
    for (let r = c + 1; r < n; r++) if (Math.abs(a[r * n + c]) > Math.abs(a[best * n + c])) best = r;
    const pivot = a[best * n + c];
    if (!(Math.abs(pivot) > 1e-12)) return undefined;
    for (const m of [a, out]) {
      const row = m.slice(best * n, (best + 1) * n);
      m.copyWithin(best * n, c * n, (c + 1) * n);
      m.set(row.map((v) => v / pivot), c * n);
    }
    for (let r = 0; r < n; r++) {
      const f = a[r * n + c];
      if (r !== c && f !== 0) for (const m of [a, out]) for (let j = 0; j < n; j++) m[r * n + j] -= f * m[c * n + j];
    }
  }
  return out;
}

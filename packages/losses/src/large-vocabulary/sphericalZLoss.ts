import { addGram } from "@logits/core-wasm/linalg";
import { sigmoid, softplus } from "@logits/statistics";
import { asFloat32, checkPositive, checkShape, defineLoss, lossRows, rangeError, Tensor, type Loss, type RowLossOptions, type TensorLike } from "@logits/tensor";
import { labelled } from "../labelled.ts";
import { floats } from "../shaped.ts";

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
function spherical({ sharpness: a, threshold: b }: Required<SphericalShape>, own: number, mean: number, squares: number, count: number): { value: number; base: number; tilt: number; own: number } {
  const deviation = Math.sqrt(squares / count), z = (own - mean) / deviation, slope = -sigmoid(a * (b - z)) / deviation;
  return { value: softplus(a * (b - z)) / a, own: slope, base: -slope / count, tilt: (-slope * z) / (count * deviation) };
}

function formOf(where: string, { sharpness = 1, threshold = 10 }: SphericalShape): Required<SphericalShape> {
  checkPositive(where, "sharpness", sharpness);
  if (!Number.isFinite(threshold)) throw rangeError(where, "threshold", "a finite number", `${threshold}`);
  return { sharpness, threshold };
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
  const form = formOf(where, options), { z, y, rows, classes, shape, weights, gradient } = lossRows(where, logits, labels, options);
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
        const { value, base, tilt, own } = spherical(form, o[y[i]], mean, squares, classes);
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
 * A linear layer under the spherical Z-loss whose exact loss, gradient and gradient step cost the same whatever the number of classes: O(B D^2 + B^2 D) after O(C D^2) once.
 *
 *   sum_c o_c = s . h,   sum_c o_c^2 = h' Q h,   s = sum_c w_c, Q = W' W;   W = A U + 1 omega'
 *
 * The loss needs the label's row, s and Q alone. A step of gradient descent on all of W multiplies it by a D x D matrix, adds one vector to every row and another one to the labels' rows: it goes to U, omega and
 * the labels' rows of A; s never changes. All but A is float64.
 */
export class SphericalHead {
  /** C and D. */
  readonly shape: readonly [number, number];
  readonly #form: Required<SphericalShape>;
  /** A, of which a step touches the rows of its labels only. */
  readonly #rows: Float32Array;
  readonly #u: Float64Array;
  #inverse: Float64Array;
  readonly #omega: Float64Array;
  readonly #sum: Float64Array;
  readonly #gram: Float64Array;

  private constructor(weights: Tensor<"float32">, form: Required<SphericalShape>) {
    const [count, width] = weights.shape;
    this.shape = [count, width];
    this.#form = form;
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
    return new SphericalHead(w, formOf(where, options));
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
    const { loss, grad, x, y, qx, base, tilt, own, owners, slopes } = this.#pass(where, hidden, labels), [count, width] = this.shape, rows = y.length, u = this.#u, q = this.#gram, inverse = this.#inverse.slice();
    const at = (a: ArrayLike<number>, i: number, b: ArrayLike<number>, j: number): number => {
      let sum = 0;
      for (let d = 0; d < width; d++) sum += a[i * width + d] * b[j * width + d];
      return sum;
    };
    // All of U moves by -rate U h tilt h'; its inverse by as many rank-one updates. Until they are known to exist nothing is written.
    const ux = Array.from({ length: rows }, (_, b) => Float64Array.from({ length: width }, (_, i) => at(u, i, x, b)));
    for (let b = 0; b < rows; b++) {
      const column = Float64Array.from({ length: width }, (_, i) => at(inverse, i, ux[b], 0)), row = multiply(x.subarray(b * width, (b + 1) * width), inverse, width), factor = rate * tilt[b], rest = 1 - factor * at(x, b, column, 0);
      if (!(Math.abs(rest) > 1e-9)) throw rangeError(where, "rate", "that leaves the weights independent", `${rate}`, "Take a smaller step");
      for (let i = 0; i < width; i++) for (let d = 0, f = (factor * column[i]) / rest; d < width; d++) inverse[i * width + d] += f * row[d];
    }
    this.#inverse = inverse;
    // W' = W - rate sum_b g_b h_b' with g_b = base 1 + tilt o_b + own e_y, whose sum is 0: s stays. Q' = W'' W'.
    const omega = this.#omega.slice();
    for (let b = 0; b < rows; b++) {
      const along = rate * (base[b] + tilt[b] * at(omega, 0, x, b)), pull = slopes.slice(b * width, (b + 1) * width);
      for (let a = 0; a < rows; a++) {
        const shared = base[a] * (count * base[b] + own[b]) + base[b] * own[a] + base[a] * tilt[b] * at(this.#sum, 0, x, b) + base[b] * tilt[a] * at(this.#sum, 0, x, a), owned = own[b] * tilt[a] * at(owners[b], 0, x, a) + own[a] * tilt[b] * at(owners[a], 0, x, b) + (y[a] === y[b] ? own[a] * own[b] : 0);
        for (let d = 0, f = (rate / 2) * (shared + owned + tilt[a] * tilt[b] * at(qx, a, x, b)); d < width; d++) pull[d] -= f * x[a * width + d];
      }
      for (let i = 0; i < width; i++) {
        const h = x[b * width + i];
        this.#omega[i] -= along * h;
        for (let d = 0; d < width; d++) {
          u[i * width + d] -= rate * tilt[b] * ux[b][i] * x[b * width + d];
          q[i * width + d] -= rate * (pull[i] * x[b * width + d] + h * pull[d]);
        }
      }
      // The label's row of A: h stands there as h U^-1.
      const back = multiply(x.subarray(b * width, (b + 1) * width), inverse, width);
      for (let d = 0; d < width; d++) this.#rows[y[b] * width + d] -= rate * own[b] * back[d];
    }
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
    const [, width] = this.shape;
    return multiply(this.#rows.subarray(c * width, (c + 1) * width), this.#u, width).map((v, d) => v + this.#omega[d]);
  }

  #pass(where: string, hidden: TensorLike, labels: TensorLike): SphericalResult & { readonly x: Float64Array; readonly y: Int32Array; readonly qx: Float64Array; readonly base: Float64Array; readonly tilt: Float64Array; readonly own: Float64Array; readonly owners: Float64Array[]; readonly slopes: Float64Array } {
    const [count, width] = this.shape, h = floats(where, "hidden", hidden, ["B", width]), rows = h.shape[0], { y } = labelled(where, labels, [rows], count, {}), x = Float64Array.from(h.data), qx = new Float64Array(rows * width), slopes = new Float64Array(rows * width), owners = Array.from(y, (c) => this.#row(c));
    for (let b = 0; b < rows; b++) qx.set(multiply(x.subarray(b * width, (b + 1) * width), this.#gram, width), b * width);
    const base = new Float64Array(rows), tilt = new Float64Array(rows), own = new Float64Array(rows);
    let total = 0;
    for (let b = 0; b < rows; b++) {
      let label = 0, sum = 0, squares = 0;
      for (let d = 0, i = b * width; d < width; d++, i++) {
        label += x[i] * owners[b][d];
        sum += x[i] * this.#sum[d];
        squares += x[i] * qx[i];
      }
      const mean = sum / count, part = spherical(this.#form, label, mean, squares - mean * sum, count);
      total += part.value / rows;
      tilt[b] = part.tilt / rows;
      base[b] = part.base / rows - tilt[b] * mean;
      own[b] = part.own / rows;
      for (let d = 0, i = b * width; d < width; d++, i++) slopes[i] = base[b] * this.#sum[d] + tilt[b] * qx[i] + own[b] * owners[b][d];
    }
    return { loss: new Tensor("float32", [], Float32Array.of(total)), grad: new Tensor("float32", [rows, width], Float32Array.from(slopes)), x, y, qx, base, tilt, own, owners, slopes };
  }
}

/** row [n] times [n, n]. */
function multiply(row: ArrayLike<number>, a: Float64Array, n: number): Float64Array {
  const out = new Float64Array(n);
  for (let p = 0; p < n; p++) for (let j = 0, f = row[p]; j < n; j++) out[j] += f * a[p * n + j];
  return out;
}

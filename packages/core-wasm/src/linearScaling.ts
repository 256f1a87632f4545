import { kernels } from "./linearCrossEntropy.ts";
import { floatView, scratch } from "./memory.ts";
import type { ResidentTensor } from "./resident.ts";

type Matrix = ResidentTensor<"float32">;

/** Rows of a piece: the sums over features are float32 over so many. */
const ROWS = 256;

/**
 * A change of variables for parameters [F + 1, S] whose row F is the bias: the rows of u weigh (x_f - mean_f) scale_f, so that the fit is conditioned as on
 * standardised features while these, sparse ones too, stay as they are.
 *
 *   w[f] = scale[f] u[f],   w[F] = u[F] - sum_f mean[f] w[f]
 */
export class LinearScaling {
  readonly #scale: Float32Array;
  readonly #mean: Float32Array;

  /** Both float32 [F]. */
  constructor(scale: Float32Array, mean: Float32Array) {
    this.#scale = scale;
    this.#mean = mean;
  }

  /** The end of the piece of features that begins at `first`. */
  pieceEnd(first: number): number {
    return Math.min(this.#scale.length, first + ROWS);
  }

  /** One piece of w from u; the bias is complete after the last piece. */
  toWeights(u: Matrix, w: Matrix, first: number): void {
    const { rows, base, stride, bias } = this.#place(u, first);
    const shift = base + 8 * ROWS;
    floatView().fill(0, shift >>> 2, (shift >>> 2) + stride);
    kernels().f32_weights(u.pointer + 4 * first * stride, base, base + 4 * ROWS, w.pointer + 4 * first * stride, shift, rows, stride);
    const floats = floatView();
    const at = (w.pointer >>> 2) + bias, from = (first === 0 ? u.pointer >>> 2 : w.pointer >>> 2) + bias;
    for (let c = 0; c < stride; c++) floats[at + c] = floats[from + c] - floats[(shift >>> 2) + c];
  }

  /** One piece of the gradient by u of loss + l2 / 2 sum_f |w[f]|^2, in place of the gradient of the loss by w. The bias row is the same for both. */
  toGradient(g: Matrix, w: Matrix, l2: number, first: number): void {
    const { rows, base, stride, bias } = this.#place(g, first);
    kernels().f32_weights_gradient(g.pointer + 4 * first * stride, w.pointer + 4 * first * stride, base, base + 4 * ROWS, g.pointer + 4 * bias, l2, rows, stride);
  }

  #place(x: Matrix, first: number): { rows: number; base: number; stride: number; bias: number } {
    const end = this.pieceEnd(first);
    const stride = x.shape[1];
    const base = scratch(8 * ROWS + 4 * stride);
    const floats = floatView();
    floats.set(this.#scale.subarray(first, end), base >>> 2);
    floats.set(this.#mean.subarray(first, end), (base >>> 2) + ROWS);
    return { rows: end - first, base, stride, bias: (x.shape[0] - 1) * stride };
  }
}

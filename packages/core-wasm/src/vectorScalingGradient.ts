import { rangeError } from "@logits/tensor";
import * as binary from "#wasm/affine";
import { family } from "./family.ts";
import { floatView, intView, scratch, wasmMemory } from "./memory.ts";

/** The kernels of the `affine` family. */
export const kernels: () => {
  f32_vector_scaling(x: number, labels: number, rows: number, cols: number, weights: number, bias: number, sums: number, gradient: number, curvature: number, work: number): void;
  f64_logistic_one(x: number, mask: number, rows: number, a: number, c: number, targets: number, sums: number): void;
  f64_logistic_two(x: number, y: number, mask: number, rows: number, a: number, b: number, c: number, targets: number, sums: number): void;
} = family("affine", binary);

/** Elements of logits in memory at a time: they stay in the second-level cache between copy and kernel. */
const CHUNK = 65536;

/** Sums that `vectorScalingGradient` adds to. */
export interface VectorScalingSums {
  /** float64 [2 C]: the gradient of the summed loss by the C weights, then by the C biases. */
  readonly gradient: Float64Array;
  /** float64 [2 C]: the diagonal of its Hessian, in the same order. */
  readonly curvature?: Float64Array;
}

/** What `vectorScalingGradient` returns. */
export interface VectorScalingLoss {
  /** sum_n log sum_c exp(z[n, c]) - z[n, y_n], in nats. */
  readonly loss: number;
  /** Whether every label has the only largest score of its row: then no finite weights are best. */
  readonly separated: boolean;
}

/**
 * Negative log-likelihood of labels under softmax(weights x + bias), with its gradient and, where asked for, the diagonal of its Hessian, in one pass and without the matrix of
 * probabilities.
 *
 *   z[n, c] = weights[c] x[n, c] + bias[c],   p = softmax(z[n]),   d = p - [c = y_n]
 *   gradient += (sum_n d_c x[n, c], sum_n d_c)      curvature += (sum_n p_c (1 - p_c) x[n, c]^2, sum_n p_c (1 - p_c))
 *
 * Rows in float32 relative to their maximum, sums of 64 rows in float32, beyond them float64: an element of a sum is within 1e-5 of the sum of the absolute values of its terms.
 *
 * @param x - logits, float32 [N, C] row-major, C >= 1; -Infinity = impossible, whatever its weight
 * @param labels - int32 [N], in [0, C), of possible classes
 * @param weights - float32 [C]
 * @param bias - float32 [C]
 * @param sums - `gradient`, and `curvature` unless it is not wanted: added to
 * @returns `loss` (NaN where a row has NaN, +Infinity or no possible class; Infinity for an impossible label) and `separated`; N = 0: 0 and true
 * @throws RangeError for lengths that do not fit, a label outside [0, C)
 * @example
 *   const gradient = new Float64Array(4);
 *   vectorScalingGradient(Float32Array.of(2, 0), Int32Array.of(0), Float32Array.of(1, 1), Float32Array.of(0, 0), { gradient }).loss; // 0.1269
 * Source: Guo, Pleiss, Sun, Weinberger, "On calibration of modern neural networks", ICML 2017, vector scaling.
 */
export function vectorScalingGradient(x: Float32Array, labels: Int32Array, weights: Float32Array, bias: Float32Array, sums: VectorScalingSums): VectorScalingLoss {
  const where = "vectorScalingGradient", cols = weights.length, rows = labels.length, { gradient, curvature } = sums;
  if (cols === 0) throw rangeError(where, "weights", "with at least one class", "none");
  for (const [name, list, length] of [["bias", bias, cols], ["x", x, rows * cols], ["sums.gradient", gradient, 2 * cols], ["sums.curvature", curvature, 2 * cols]] as const) {
    if (list !== undefined && list.length !== length) throw rangeError(where, name, `of length ${length}`, `${list.length}`);
  }
  for (let n = 0; n < rows; n++) if (!(labels[n] >= 0 && labels[n] < cols)) throw rangeError(where, "labels", `in [0, ${cols})`, `${labels[n]} at index ${n}`);
  const stride = (cols + 3) & ~3, step = Math.min(rows, Math.max(4, Math.floor(CHUNK / cols) & ~3));
  const base = scratch(64 + 16 * stride * 2 + 8 * stride + 32 * stride + 64 + 4 * step * (cols + 1));
  const at = base + 16, second = at + 16 * stride, pw = second + 16 * stride, pb = pw + 4 * stride, work = pb + 4 * stride, py = work + 32 * stride + 16, px = py + 4 * step;
  const floats = floatView(), doubles = new Float64Array(wasmMemory().buffer, at, 4 * stride);
  floats.fill(0, pw >>> 2, (pb >>> 2) + stride);
  floats.set(weights, pw >>> 2);
  floats.set(bias, pb >>> 2);
  doubles.fill(0);
  const loss = new Float64Array(wasmMemory().buffer, base, 1);
  loss[0] = 0;
  intView()[(base >>> 2) + 2] = 1;
  for (let row = 0; row < rows; row += step) {
    const count = Math.min(step, rows - row);
    floats.set(x.subarray(row * cols, (row + count) * cols), px >>> 2);
    intView().set(labels.subarray(row, row + count), py >>> 2);
    kernels().f32_vector_scaling(px, py, count, cols, pw, pb, base, at, curvature ? second : 0, work);
  }
  for (let part = 0; part < 2; part++) {
    for (let c = 0; c < cols; c++) {
      gradient[part * cols + c] += doubles[part * stride + c];
      if (curvature) curvature[part * cols + c] += doubles[(2 + part) * stride + c];
    }
  }
  return { loss: loss[0], separated: intView()[(base >>> 2) + 2] === 1 };
}

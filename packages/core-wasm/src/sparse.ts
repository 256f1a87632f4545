import type { Tensor, TensorLike } from "@logits/tensor";
import { relaxed, simd } from "#wasm/sparse";
import { family } from "./family.ts";
import { mapPairs } from "./pairs.ts";
import { mapRows, type AxisOptions } from "./rows.ts";
import { inverseTemperature } from "./temperature.ts";

const kernels = family<{
  f32_sparse(x: number, y: number, rows: number, cols: number, scale: number, mode: number, scratch: number): void;
  f32_sparse_grad(y: number, upstream: number, out: number, rows: number, cols: number, scale: number, mode: number): void;
}>("sparse", { simd, relaxed });

/** Options of sparsemax and entmax15. */
export interface SparseOptions extends AxisOptions {
  /** Divides the scores; in [2^-126, 2^126]. Default 1. */
  readonly temperature?: number;
}

/** Options of the gradients of sparsemax and entmax15. */
export interface SparseGradOptions {
  /** Which axis; negative counts from the end. Default -1, the last. */
  readonly axis?: number;
  /** The temperature of the forward pass. Default 1. */
  readonly temperature?: number;
}

/** The kernel's modes; entmax15 works on half the scores. */
export const SPARSEMAX = 0;
export const ENTMAX15 = 1;

/** Runs the forward kernel over rows. */
export function forward(where: string, x: TensorLike, options: SparseOptions, mode: 0 | 1): Tensor<"float32"> {
  const scale = (mode === ENTMAX15 ? 0.5 : 1) * inverseTemperature(where, options.temperature ?? 1);
  const { f32_sparse } = kernels();
  return mapRows(where, x, options, "row", (cols) => (px, py, rows, lanes) => f32_sparse(px, py, rows, cols, scale, mode, lanes));
}

/** Runs the vector-Jacobian product over rows. */
export function backward(where: string, y: TensorLike, upstream: TensorLike, options: SparseGradOptions, mode: 0 | 1): Tensor<"float32"> {
  const { axis = -1, temperature = 1 } = options;
  const scale = inverseTemperature(where, temperature);
  const { f32_sparse_grad } = kernels();
  return mapPairs(where, "y", y, upstream, axis, (py, pu, out, rows, cols) => f32_sparse_grad(py, pu, out, rows, cols, scale, mode));
}

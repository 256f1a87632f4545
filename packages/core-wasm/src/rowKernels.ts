import { asFloat32, checkAxis, checkShape, type Tensor, type TensorLike } from "@logits/tensor";
import * as binary from "#wasm/rows";
import { family } from "./family.ts";
import { floatView } from "./memory.ts";
import { mapRows, type AxisOptions } from "./rows.ts";
import { inverseTemperature } from "./temperature.ts";

type Reduction = (x: number, y: number, rows: number, cols: number) => void;

/** The kernels of the family `rows`. */
export const kernels: () => {
  f32_sum: Reduction;
  f32_max: Reduction;
  f32_argmax: Reduction;
  f32_entropy(x: number, y: number, upstream: number, rows: number, cols: number, scale: number, mode: number): void;
  f32_softmax_grad(p: number, upstream: number, y: number, rows: number, cols: number, scale: number, logarithm: number): void;
} = family("rows", binary);

/** Options of operations on scores over one axis. */
export interface ScoreOptions extends AxisOptions {
  /** Divides the scores; in [2^-126, 2^126]. Default 1. */
  readonly temperature?: number;
}

/** Options of gradients of operations over one axis: those of the forward pass. */
export interface GradOptions {
  /** Which axis; negative counts from the end. Default -1, the last. */
  readonly axis?: number;
  /** The temperature of the forward pass. Default 1. */
  readonly temperature?: number;
}

/** Rows whose upstream fits into the lane scratch. */
const UPSTREAM_ROWS = 4096;

/** The modes of f32_entropy that make gradients. */
export const ENTROPY_GRAD = 1;
export const LOG_SUM_EXP_GRAD = 2;

/** A vector-Jacobian product with one upstream number per row. */
export function rowGradient(where: string, input: TensorLike, upstream: TensorLike, options: GradOptions, mode: 1 | 2): Tensor<"float32"> {
  const x = asFloat32(where, "x", input);
  const u = asFloat32(where, "upstream", upstream);
  const { axis = -1, temperature = 1 } = options;
  const index = checkAxis(where, axis, x.shape.length);
  const wanted = x.shape.filter((_, i) => i !== index);
  checkShape(where, "upstream", u, wanted);
  const scale = inverseTemperature(where, temperature);
  const { f32_entropy } = kernels();
  const above = u.data.slice();
  let done = 0;
  return mapRows(where, x, { axis }, "row", (cols) => (px, py, rows, lanes) => {
    for (const end = done + rows; done < end; ) {
      const count = Math.min(UPSTREAM_ROWS, end - done);
      floatView().set(above.subarray(done, done + count), lanes >>> 2);
      f32_entropy(px, py, lanes, count, cols, scale, mode);
      done += count;
      px += 4 * count * cols;
      py += 4 * count * cols;
    }
  });
}

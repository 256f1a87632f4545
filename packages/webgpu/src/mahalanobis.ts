import { sizeOf } from "@logits/tensor";
import { gemm, matrixOf } from "./gemm.ts";
import { checkGpuTensor, type GpuTensor } from "./gpuTensor.ts";
import { neighborsOf } from "./nearestNeighbors.ts";
import { shapeError } from "./rows.ts";

/** The state of a fitted detector on the GPU. */
export interface MahalanobisState {
  /** float32 [F], m: subtracted from a row. */
  readonly mean: GpuTensor;
  /** float32 [F, F], W with W' W = inv(S), S the covariance. */
  readonly whitening: GpuTensor;
  /** float32 [K, F]: W (mean_c - m) of each class, K >= 1. */
  readonly means: GpuTensor;
}

/**
 * Squared Mahalanobis distance to the nearest class mean: `score` of `MahalanobisDetector`, on features that are on the GPU. Higher = more out-of-distribution.
 *
 *   score(f) = min_c |W (f - m) - means[c]|^2
 *
 * @param features - on the GPU, float32 [..., F]
 * @param state - `mean`, `whitening` and `means` of a fitted detector
 * @returns float32 [...], squared distances >= 0. A row with NaN: NaN. With an infinity, or too far for float32: Infinity
 * @throws RangeError for shapes that do not fit, tensors of two devices; TypeError for a tensor outside the GPU
 * @example
 *   const one = gpu.tensor([[1, 0], [0, 1]]), zero = gpu.tensor([0, 0]);
 *   await mahalanobis(gpu.tensor([[3, 4]]), { mean: zero, whitening: one, means: zero.reshape([1, 2]) }).read(); // 25
 * Source: Lee, Lee, Lee, Shin, "A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks", NeurIPS 2018, equation 2 (the score is the negative of theirs).
 */
export function mahalanobis(features: GpuTensor, { mean, whitening, means }: MahalanobisState): GpuTensor<"float32"> {
  const where = "mahalanobis";
  checkGpuTensor(where, "features", features);
  const { shape } = features, width = shape[shape.length - 1];
  if (!width) throw shapeError(where, "features", "[..., F], F >= 1", features);
  for (const [name, x, wanted] of [["mean", mean, `${width}`], ["whitening", whitening, `${width},${width}`]] as const) {
    checkGpuTensor(where, name, x, features);
    if (`${x.shape}` !== wanted) throw shapeError(where, name, `[${wanted.replace(",", ", ")}]`, x);
  }
  checkGpuTensor(where, "means", means, features);
  if (means.shape.length !== 2 || means.shape[1] !== width || means.shape[0] === 0) throw shapeError(where, "means", `[K, ${width}], K >= 1`, means);
  const { gpu } = features, rows = sizeOf(shape.slice(0, -1)), inputs = [features, mean, whitening];
  const signs = gpu.tensor([1, -1]), centred = gpu.result(where, "float32", [rows, width], [...inputs, signs]), whitened = gpu.result(where, "float32", [rows, width], [...inputs, centred]);
  const sign = (at: number): { slot: typeof signs.slot; at: number; row: number; col: number } => ({ slot: signs.slot, at, row: 0, col: 0 });
  // 1 x and then - 1 m, each number rounded once.
  gemm(gpu, where, sign(0), matrixOf(features, rows * width), { slot: centred.slot, at: 0, row: 0 }, [1, 1, rows * width, 1]);
  gemm(gpu, where, sign(1), matrixOf(mean, width), { slot: centred.slot, at: 0, row: width }, [1, rows, width, 1], { add: true });
  gemm(gpu, where, matrixOf(centred, width), matrixOf(whitening, width, true), { slot: whitened.slot, at: 0, row: width }, [1, rows, width, width]);
  const given = features.reshape([rows, width]), { distances, indices } = neighborsOf(where, whitened, given, means, 1), scores = distances.reshape(shape.slice(0, -1));
  for (const x of [given, signs, centred, whitened, distances, indices]) x.dispose();
  return scores;
}

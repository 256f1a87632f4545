import { rangeError, sizeOf } from "@logits/tensor";
import { gemm, zeros } from "./gemm.ts";
import { checkGpuTensor, type GpuTensor } from "./gpuTensor.ts";
import { shapeError } from "./rows.ts";

/** Options of matmul. */
export interface MatmulOptions {
  /** `a` is given as [..., K, M]. Default false. */
  readonly transposeA?: boolean;
  /** `b` is given as [..., N, K]. Default false. */
  readonly transposeB?: boolean;
}

/**
 * Matrix product, one for each index of the batch axes.
 *
 *   y[..., i, j] = sum_k a[..., i, k] b[..., k, j]
 *
 * Summed in the order of k, in blocks of 256 whose sums are added in order. Within (min(K, 256) + K / 256 + 1) 2^-24 sum_k |a b| of the exact sum, as long as nothing underflows.
 *
 * @param a - on the GPU, float32 [..., M, K], or [..., K, M] with `transposeA`
 * @param b - on the GPU, float32 [..., K, N], or [..., N, K] with `transposeB`; the batch axes of both are equal, or one has none and serves for all
 * @param options - `transposeA`, `transposeB`
 * @returns float32 [..., M, N]. K = 0: zeros. NaN and infinities go where IEEE sums take them (0 times Infinity is NaN).
 * @throws RangeError for shapes that do not fit, or tensors of two devices; TypeError for a tensor outside the GPU
 * @example
 *   await matmul(gpu.tensor([[1, 2], [3, 4]]), gpu.tensor([[5], [6]])).read(); // [[17], [39]]
 * Source: Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34 (2008), for blocks.
 */
export function matmul(a: GpuTensor, b: GpuTensor, options: MatmulOptions = {}): GpuTensor<"float32"> {
  const where = "matmul";
  const { transposeA = false, transposeB = false } = options;
  checkGpuTensor(where, "a", a);
  checkGpuTensor(where, "b", b, a);
  const [batchA, p, q] = split("a", a, transposeA ? "[..., K, M]" : "[..., M, K]");
  const [batchB, r, s] = split("b", b, transposeB ? "[..., N, K]" : "[..., K, N]");
  const [m, k] = transposeA ? [q, p] : [p, q];
  const [n, depth] = transposeB ? [r, s] : [s, r];
  if (k !== depth) throw rangeError(where, "b", `with K = ${k} as in a of shape [${a.shape.join(", ")}]`, `K = ${depth} in shape [${b.shape.join(", ")}]`);
  if (batchA.length > 0 && batchB.length > 0 && `${batchA}` !== `${batchB}`) throw rangeError(where, "b", `with batch axes [${batchA.join(", ")}] as in a, or none`, `[${batchB.join(", ")}]`);
  const batch = batchA.length > 0 ? batchA : batchB;
  const shape = [...batch, m, n];
  const { gpu } = a;
  if (k === 0) return zeros(gpu, where, shape, [a, b]);
  const y = gpu.result(where, "float32", shape, [a, b]);
  const all = sizeOf(batch), itemA = batchA.length > 0 ? m * k : 0, itemB = batchB.length > 0 ? k * n : 0;
  // One b for all rows of all a: the batch axes are rows.
  const together = itemB === 0 && !transposeA;
  const left = { slot: a.slot, at: a.offset, item: together ? 0 : itemA, row: transposeA ? 1 : k, col: transposeA ? m : 1 };
  const right = { slot: b.slot, at: b.offset, item: itemB, row: transposeB ? 1 : n, col: transposeB ? k : 1 };
  gemm(gpu, where, left, right, { slot: y.slot, at: 0, item: m * n, row: n }, together ? [1, m * all, n, k] : [all, m, n, k]);
  return y;
}

function split(argument: string, x: GpuTensor, letters: string): [batch: readonly number[], rows: number, cols: number] {
  const { shape } = x;
  const axes = shape.length;
  if (axes < 2) throw shapeError("matmul", argument, letters, x, "A row is [1, C], a column [C, 1]");
  return [shape.slice(0, -2), shape[axes - 2], shape[axes - 1]];
}

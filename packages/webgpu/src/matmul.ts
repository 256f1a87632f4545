import { rangeError, sizeOf } from "@logits/tensor";
import { code } from "#wgsl/matmul";
import type { Family } from "./gpu.ts";
import { checkGpuTensor, type GpuTensor } from "./gpuTensor.ts";

const FAMILY: Family = { name: "matmul", code, reads: 2, writes: 1 };

/** Results along each side of a workgroup. */
const TILE = 64;

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
 * @throws RangeError for shapes that do not fit, tensors of two devices, or one matrix that no binding holds; TypeError for a tensor outside the GPU
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
  if (k === 0) return gpu.tensor({ data: new Float32Array(sizeOf(shape)), shape });
  const y = gpu.result(where, "float32", shape, [a, b]);
  if (y.size === 0) return y;
  const all = sizeOf(batch);
  const itemA = batchA.length > 0 ? m * k : 0, itemB = batchB.length > 0 ? k * n : 0;
  // One b for all rows of all a: the batch axes are rows.
  const together = itemB === 0 && !transposeA;
  const items = together ? 1 : all, height = together ? m * all : m;
  const { reach } = gpu, groups = gpu.device.limits.maxComputeWorkgroupsPerDimension;
  // As many whole items at a time as bindings hold; where they do not hold one, its rows are split.
  const many = Math.max(1, Math.min(items, groups, Math.floor(reach / Math.max(itemA && !together ? itemA : 1, itemB || 1, height * n))));
  const rowsAtATime = transposeA ? height : Math.min(height, TILE * groups, Math.floor(reach / Math.max(k, n)));
  const largest = Math.max(k * n, transposeA ? m * k : k, transposeA ? m * n : n);
  if (largest > reach || rowsAtATime === 0) throw rangeError(where, k * n > reach ? "b" : "a", `of at most ${reach} elements in a matrix that is not split (bindingBytes of this backend)`, `${largest}`);
  for (let item = 0; item < items; item += many) {
    const count = Math.min(many, items - item);
    const step = count > 1 ? height : rowsAtATime;
    for (let row = 0; row < height; row += step) {
      const rows = Math.min(step, height - row);
      const partA = { slot: a.slot, at: a.offset + (together ? row * k : item * itemA + (transposeA ? 0 : row * k)), count: (itemA && !together ? (count - 1) * itemA : 0) + rows * k };
      const partB = { slot: b.slot, at: b.offset + item * itemB, count: (itemB ? (count - 1) * itemB : 0) + k * n };
      const partY = { slot: y.slot, at: item * m * n + row * n, count: (count - 1) * m * n + rows * n };
      const strides = [rows, n, k, together ? 0 : itemA, transposeA ? 1 : k, transposeA ? m : 1, itemB, transposeB ? k : 1, transposeB ? 1 : n];
      gpu.dispatch(where, FAMILY, {}, [partA, partB, partY], strides, [], [Math.ceil(n / TILE), Math.ceil(rows / TILE), count]);
    }
  }
  return y;
}

function split(argument: string, x: GpuTensor, letters: string): [batch: readonly number[], rows: number, cols: number] {
  const { shape } = x;
  const axes = shape.length;
  if (axes < 2) throw rangeError("matmul", argument, `of shape ${letters}`, `[${shape.join(", ")}]`, "A row is [1, C], a column [C, 1]");
  return [shape.slice(0, -2), shape[axes - 2], shape[axes - 1]];
}

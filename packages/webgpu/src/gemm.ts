import { matmul as code } from "#wgsl";
import type { Encoder } from "./device.ts";
import type { Family, Gpu } from "./gpu.ts";
import type { GpuTensor } from "./gpuTensor.ts";
import type { Slot } from "./pool.ts";

const FAMILY: Family = { name: "matmul", code, reads: 2, writes: 1 };

/** Results along each side of a workgroup. */
const TILE = 64;

/** Matrices within a buffer: where they begin and how far it is, in elements, from item to item, row to row and column to column. */
export interface Matrices {
  readonly slot: Slot;
  readonly at: number;
  /** 0 or absent: one for all items. */
  readonly item?: number;
  readonly row: number;
  readonly col: number;
}

/** What `gemm` makes. */
export interface GemmOptions {
  /** The sums begin with what y holds. */
  readonly add?: boolean;
  /** Minus the squared distances of the rows of a and the columns of b instead of their products. */
  readonly distance?: boolean;
}

/** The most elements of a block that is made and used before the next one: 16 MiB. */
export const BLOCK = 4194304;

/** The matrix [rows, cols] that a tensor holds, or its transpose. */
export function matrixOf(x: GpuTensor, cols: number, transposed = false, from = 0): Matrices {
  return { slot: x.slot, at: x.offset + from * cols, row: transposed ? 1 : cols, col: transposed ? cols : 1 };
}

/** A tensor of zeros, for sums. */
export function zeros(gpu: Gpu, where: string, shape: readonly number[], inputs: readonly GpuTensor[]): GpuTensor<"float32"> {
  const y = gpu.result(where, "float32", shape, inputs);
  if (y.size > 0) {
    const encoder = gpu.device.createCommandEncoder() as Encoder;
    encoder.clearBuffer(y.slot.buffer, 0, 4 * y.size);
    gpu.device.queue.submit([encoder.finish()] as never[]);
  }
  return y;
}

/**
 * y = a b for each item, in as many dispatches as the bindings need: whatever spans more than one binding holds is cut in halves along its longest way.
 *
 * @param y - elements of a row side by side; not in a buffer of a or b
 * @param sizes - items, M, N, K; K >= 1
 */
export function gemm(gpu: Gpu, where: string, a: Matrices, b: Matrices, y: Omit<Matrices, "col">, sizes: readonly [items: number, m: number, n: number, k: number], { add = false, distance = false }: GemmOptions = {}): void {
  const [items, m, n, k] = sizes;
  if (items * m * n === 0) return;
  // How far each of the sizes steps in a, b and y.
  const steps = [[a.item ?? 0, a.row, 0, a.col], [b.item ?? 0, 0, b.col, b.row], [y.item ?? 0, y.row, 1, 0]];
  const ways = steps.map((step) => sizes.map((size, i) => (size - 1) * step[i])), spans = ways.map((way) => way.reduce((sum, length) => sum + length, 1));
  const groups = gpu.device.limits.maxComputeWorkgroupsPerDimension, most = [groups, TILE * groups, TILE * groups, Infinity];
  const wide = spans.findIndex((span) => span > gpu.reach);
  const cut = wide >= 0 ? ways[wide].indexOf(Math.max(...ways[wide])) : sizes.findIndex((size, i) => size > most[i]);
  if (cut >= 0) {
    // Sums are made in blocks of 256: cut between them, they are the same.
    const size = sizes[cut], half = cut === 3 && size > 256 ? 256 * Math.ceil(size / 512) : Math.ceil(size / 2);
    for (const [from, length] of [[0, half], [half, size - half]]) {
      const [p, q, r] = [a, b, y].map((x, i) => ({ ...x, at: x.at + from * steps[i][cut] }));
      gemm(gpu, where, p as Matrices, q as Matrices, r, sizes.map((other, i) => (i === cut ? length : other)) as never, { add: add || (cut === 3 && from > 0), distance });
    }
    return;
  }
  const integers = [m, n, k, ...[0, 1, 3].map((i) => steps[0][i]), ...[0, 2, 3].map((i) => steps[1][i]), y.item ?? 0, y.row, add ? 1 : 0];
  const parts = [a, b, y].map(({ slot, at }, i) => ({ slot, at, count: spans[i] }));
  gpu.dispatch(where, FAMILY, distance ? { DISTANCE: 1 } : {}, parts, integers, [], [Math.ceil(n / TILE), Math.ceil(m / TILE), items]);
}

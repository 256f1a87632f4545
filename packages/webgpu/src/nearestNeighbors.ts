import { UnsupportedKernelError, checkInteger } from "@logits/tensor";
import { nearestNeighbors as code } from "#wgsl";
import { BLOCK, gemm, matrixOf } from "./gemm.ts";
import type { Family } from "./gpu.ts";
import { checkGpuTensor, type GpuTensor } from "./gpuTensor.ts";
import { checkFits, grid, operand, runRows, shapeError } from "./rows.ts";
import { MOST, TOP_K_FAMILY } from "./topK.ts";

const FAMILY: Family = { name: "nearestNeighbors", code, reads: 4, writes: 2 };

/** Queries that go over the bank together. */
const TOGETHER = 1024;

/** The k nearest rows of a bank, for each query. */
export type NearestNeighbors = {
  /** Squared Euclidean distances, ascending, float32 [N, k]. */
  readonly distances: GpuTensor<"float32">;
  /** Rows of the bank, int32 [N, k]; at equal distances the smaller index first. */
  readonly indices: GpuTensor<"int32">;
};

/**
 * The k nearest rows of a bank by Euclidean distance, exactly: no index, no approximation. A block of the bank at a time: the matrix of distances is never held.
 *
 *   distances[n, j] = the j-th smallest of sum_f (queries[n, f] - bank[m, f])^2 over m
 *
 * Every distance is the sum of squared differences, within (min(F, 256) + F / 256 + 3) 2^-24 relative, as long as nothing underflows.
 *
 * @param queries - on the GPU, float32 [N, F], N may be 0. A row with NaN gets distances NaN and indices -1
 * @param bank - on the GPU, float32 [M, F]. A row at distance NaN or Infinity is nobody's neighbour; where fewer than k are left the places hold Infinity and -1
 * @param k - how many, an integer in [1, M], at most 4,096
 * @returns `distances` float32 [N, k] and `indices` int32 [N, k]
 * @throws RangeError for shapes that do not fit, F = 0, a `k` outside [1, M], tensors of two devices; UnsupportedKernelError for more than 4,096; TypeError for a tensor outside the GPU
 * @example
 *   await nearestNeighbors(gpu.tensor([[1, 1]]), gpu.tensor([[0, 0], [1, 2], [5, 5]]), 2).indices.read(); // 1, 0
 * Source: folklore.
 */
export function nearestNeighbors(queries: GpuTensor, bank: GpuTensor, k: number): NearestNeighbors {
  const where = "nearestNeighbors";
  checkGpuTensor(where, "queries", queries);
  checkGpuTensor(where, "bank", bank, queries);
  if (queries.shape.length !== 2) throw shapeError(where, "queries", "[N, F]", queries);
  const [, cols] = queries.shape, [rows, width] = bank.shape;
  if (bank.shape.length !== 2 || cols !== width || cols === 0) throw shapeError(where, "bank", `[M, ${cols || "F"}]${cols ? " as the queries have it" : ", F >= 1"}`, bank);
  checkInteger(where, "k", k, 1, rows);
  if (k > MOST) throw new UnsupportedKernelError(`nearestNeighbors: expected \`k\` of at most ${MOST} on the GPU, got ${k}. Use nearestNeighbors of @logits/core-wasm on what read() gives`);
  return neighborsOf(where, queries, queries, bank, k);
}

/** The same, checked; a query without neighbours is NaN where its row of `scan` holds NaN. */
export function neighborsOf(where: string, queries: GpuTensor, scan: GpuTensor, bank: GpuTensor, k: number): NearestNeighbors {
  const { gpu } = queries, [n, cols] = queries.shape, [rows] = bank.shape, { reach } = gpu, limit = Math.min(BLOCK, reach);
  checkFits(where, "queries", cols, reach, "elements in a row");
  const together = Math.min(n, TOGETHER, Math.floor(limit / (2 * k)), Math.floor(reach / cols)) || 1, width = Math.min(rows, Math.floor(limit / together) - k);
  const temporary = (dtype: "float32" | "int32", elements: number): GpuTensor => gpu.result(where, dtype, [elements], []);
  // Those chosen before stand in the two lists of places in turn.
  const [tile, values, columns, chosen, ...lists] = [temporary("float32", together * (width + k)), ...[0, 1, 2, 3, 4].map(() => temporary("int32", together * k))];
  const inputs = [queries, bank, scan, tile, values, columns, chosen, ...lists];
  const distances = gpu.result(where, "float32", [n, k], inputs), indices = gpu.result(where, "int32", [n, k], inputs);
  for (let query = 0; query < n; query += together) {
    const count = Math.min(together, n - query);
    for (let first = 0; first < rows; first += width) {
      const some = Math.min(width, rows - first), prefix = first > 0 ? k : 0, stride = prefix + some, last = first + some === rows;
      gemm(gpu, where, matrixOf(queries, cols, false, query), matrixOf(bank, cols, true, first), { slot: tile.slot, at: prefix, row: stride }, [1, count, some, cols], { distance: true });
      runRows(gpu, where, TOP_K_FAMILY, {}, [operand(tile, stride), operand(values, k), operand(columns, k), operand(chosen, k)], { outer: count, cols: stride, inner: 1 }, (blocks) => [blocks, stride, k, 0], []);
      const part = (x: GpuTensor, from = 0, size = k): { slot: typeof x.slot; at: number; count: number } => ({ slot: x.slot, at: x.offset + from * size, count: count * size });
      const out = last ? part(distances, query) : { slot: tile.slot, at: 0, count: count * (k + width) }, to = last ? part(indices, query) : part(lists[0]);
      const next = last ? k : k + Math.min(width, rows - first - some);
      gpu.dispatch(where, FAMILY, {}, [part(values), part(columns), part(lists[1]), part(scan, query, cols), out, to], [count, k, cols, prefix, first, next, last ? 1 : 0], [], grid(gpu, Math.ceil((count * k) / 256)));
      lists.reverse();
    }
  }
  for (const x of inputs.slice(3)) x.dispose();
  return { distances, indices };
}

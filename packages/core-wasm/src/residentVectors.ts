import { kernels } from "./linearCrossEntropy.ts";
import { floatView, intView, scratch } from "./memory.ts";
import type { ResidentTensor } from "./resident.ts";

type Vector = ResidentTensor<"float32">;

/**
 * Adds to `sums` the dot products of each of the vectors with a and with b over the elements [first, first + count): sums[2 k] += v_k . a, sums[2 k + 1] += v_k . b.
 * Products are summed in float32 over 1,024 elements, these sums in float64. All have the same length; first and count are multiples of 4.
 */
export function addDots(vectors: readonly Vector[], a: Vector, b: Vector, sums: Float64Array, first: number, count: number): void {
  const base = scratch(24 * vectors.length + 64);
  const table = base + 16 * vectors.length;
  const out = new Float64Array(floatView().buffer, base, 2 * vectors.length);
  out.set(sums);
  for (let k = 0; k < vectors.length; k++) intView()[(table >>> 2) + k] = vectors[k].pointer + 4 * first;
  kernels().f32_dots(table, vectors.length, a.pointer + 4 * first, b.pointer + 4 * first, count, base);
  sums.set(out);
}

/** y = sum_k coefficients[k] v_k over the elements [first, first + count), in float32 and in the order of k. y may be the first vector, no other; at least one vector. */
export function combine(vectors: readonly Vector[], coefficients: ArrayLike<number>, y: Vector, first: number, count: number): void {
  const table = scratch(8 * vectors.length + 64);
  const numbers = table + 4 * vectors.length;
  for (let k = 0; k < vectors.length; k++) {
    intView()[(table >>> 2) + k] = vectors[k].pointer + 4 * first;
    floatView()[(numbers >>> 2) + k] = coefficients[k];
  }
  kernels().f32_combine(table, numbers, vectors.length, y.pointer + 4 * first, count);
}

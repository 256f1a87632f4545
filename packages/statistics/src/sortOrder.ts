import { type TensorLike } from "@logits/tensor";
import { asOrderable } from "./values.ts";

/**
 * The stable ascending order of float64 values: indices i such that x[i] rises, equal values in the order they came.
 *
 * Radix sort on the bits (11 at a time, digits that all values share are skipped); insertion for up to 32 values.
 *
 * @param x - shape [N], any TensorLike, float64 kept; -0 equals 0, infinities are ordinary values
 * @returns indices, length N; empty for an empty x
 * @throws RangeError if an element is NaN, with its index
 * @example sortOrder([3, 1, 2]) // Int32Array [1, 2, 0]
 * Source: Knuth, The Art of Computer Programming 3, 5.2.5.
 */
export function sortOrder(x: TensorLike): Int32Array {
  return orderOf(asOrderable("sortOrder", "x", x));
}

/** As `sortOrder` for values that have been checked. */
export function orderOf(x: Float64Array): Int32Array {
  const n = x.length;
  let order = new Int32Array(n);
  for (let i = 0; i < n; i++) order[i] = i;
  if (n <= 32) return insertion(x, order);
  // Unsigned integers in the order of the values: the sign bit flipped, all bits for negative values. Adding 0 turns -0 into 0.
  const keys = new Float64Array(n);
  for (let i = 0; i < n; i++) keys[i] = x[i] + 0;
  const words = new Uint32Array(keys.buffer);
  const littleEndian = new Uint8Array(new Uint32Array([1]).buffer)[0];
  for (let i = 0; i < n; i++) {
    const high = words[2 * i + littleEndian], mask = high >>> 31 ? 0xffffffff : 0;
    words[2 * i + littleEndian] = high ^ (mask | 0x80000000);
    words[2 * i + 1 - littleEndian] ^= mask;
  }
  let spare = new Int32Array(n);
  const counts = new Int32Array(2048);
  for (const [word, shift] of [[0, 0], [0, 11], [0, 22], [1, 0], [1, 11], [1, 22]] as const) {
    const offset = word === 1 ? littleEndian : 1 - littleEndian;
    counts.fill(0);
    for (let i = 0; i < n; i++) counts[(words[2 * i + offset] >>> shift) & 2047]++;
    if (counts[(words[offset] >>> shift) & 2047] === n) continue;
    for (let d = 0, start = 0; d < 2048; d++) {
      const count = counts[d];
      counts[d] = start;
      start += count;
    }
    for (let i = 0; i < n; i++) spare[counts[(words[2 * order[i] + offset] >>> shift) & 2047]++] = order[i];
    [order, spare] = [spare, order];
  }
  return order;
}

function insertion(x: Float64Array, order: Int32Array): Int32Array {
  for (let i = 1; i < order.length; i++) {
    const index = order[i], value = x[index];
    let j = i;
    for (; j > 0 && x[order[j - 1]] > value; j--) order[j] = order[j - 1];
    order[j] = index;
  }
  return order;
}

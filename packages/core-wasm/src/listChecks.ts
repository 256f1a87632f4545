import { byteView, floatView, scratch } from "./memory.ts";
import { kernels } from "./tally.ts";

/** Bytes in memory at a time. */
const CHUNK = 262144;

/**
 * The index of the first element that is not in [low, high], NaN included; the length where all are.
 *
 * @param x - float32 [N]
 * @param low - float32, or -Infinity
 * @param high - float32, or Infinity
 * @example
 *   firstOutside(Float32Array.of(0, 2, NaN), 0, 1); // 1
 * Source: folklore.
 */
export function firstOutside(x: Float32Array, low: number, high: number): number {
  const step = CHUNK / 4, at = scratch(4 * Math.min(step, x.length));
  for (let first = 0; first < x.length; first += step) {
    const part = x.subarray(first, first + step);
    floatView().set(part, at >>> 2);
    if (kernels().f32_outside(at, part.length, low, high) === 1) return first + part.findIndex((value) => !(value >= low && value <= high));
  }
  return x.length;
}

/**
 * How many elements of a mask of 0 and 1 are 1.
 *
 * @param mask - uint8 [N] of 0 and 1
 * @example
 *   onesOf(Uint8Array.of(1, 0, 1)); // 2
 * Source: folklore.
 */
export function onesOf(mask: Uint8Array): number {
  const at = scratch(Math.min(CHUNK, mask.length));
  let count = 0;
  for (let first = 0; first < mask.length; first += CHUNK) {
    const part = mask.subarray(first, first + CHUNK);
    byteView().set(part, at);
    count += kernels().u8_ones(at, part.length);
  }
  return count;
}

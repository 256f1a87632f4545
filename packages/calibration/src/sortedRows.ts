import { sortOrder } from "@logits/statistics";
import type { CheckedConfidences } from "./confidences.ts";

/** Rows in ascending order of confidence, right ones after wrong ones where confidences are equal: the same rows in any order give the same arrays. */
export interface SortedRows {
  readonly confidence: Float64Array;
  readonly correct: Uint8Array;
}

/** Sorts by confidence. */
export function sortedRows({ confidence, correct }: CheckedConfidences): SortedRows {
  return confidence instanceof Float32Array ? byBits(confidence, correct) : byValue(confidence, correct);
}

function byValue(values: ArrayLike<number>, correct: Uint8Array): SortedRows {
  const order = sortOrder(Float64Array.from(values)), n = order.length;
  const sorted = { confidence: new Float64Array(n), correct: new Uint8Array(n) };
  for (let i = 0; i < n; i++) {
    sorted.confidence[i] = values[order[i]];
    sorted.correct[i] = correct[order[i]];
  }
  for (let start = 0, end = 0; start < n; start = end) {
    while (end < n && sorted.confidence[end] === sorted.confidence[start]) end++;
    if (end - start > 1) sorted.correct.subarray(start, end).sort();
  }
  return sorted;
}

/** The bits of a float32 in [0, 2) rise with it and end below 2^30, so that the answer fits beside them: one radix sort of 31-bit keys, nothing to carry along. */
function byBits(values: Float32Array, correct: Uint8Array): SortedRows {
  const n = values.length, bits = new Uint32Array(values.buffer, values.byteOffset, n);
  let keys = new Uint32Array(n), spare = new Uint32Array(n);
  const counts = new Int32Array(3 * 2048);
  for (let i = 0; i < n; i++) {
    // The shift drops the sign of -0.
    const key = ((bits[i] << 1) | correct[i]) >>> 0;
    keys[i] = key;
    counts[key & 2047]++;
    counts[2048 + ((key >>> 11) & 2047)]++;
    counts[4096 + (key >>> 22)]++;
  }
  for (let pass = 0; pass < 3; pass++) {
    const shift = 11 * pass, at = counts.subarray(2048 * pass, 2048 * (pass + 1));
    if (at[(keys[0] >>> shift) & 2047] === n) continue;
    for (let digit = 0, start = 0; digit < 2048; digit++) {
      const count = at[digit];
      at[digit] = start;
      start += count;
    }
    for (let i = 0; i < n; i++) {
      const key = keys[i];
      spare[at[(key >>> shift) & 2047]++] = key;
    }
    [keys, spare] = [spare, keys];
  }
  const sorted = { confidence: new Float64Array(n), correct: new Uint8Array(n) }, single = new Float32Array(spare.buffer);
  for (let i = 0; i < n; i++) {
    sorted.correct[i] = keys[i] & 1;
    spare[i] = keys[i] >>> 1;
    sorted.confidence[i] = single[i];
  }
  return sorted;
}

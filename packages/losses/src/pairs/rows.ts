import { expRow, sigmoidRow } from "@logits/core-wasm/similarity";
import { log } from "@logits/statistics";

/**
 * Cross-entropy of a row of similarities with weights q over its columns, and the row turned into coefficient d value / d s.
 *
 *   value = mass log sum_{j in D} exp(scale s[j]) - scale sum_j q[j] s[j],   mass = sum_j q[j]
 *
 * @param s - the row, in WebAssembly memory
 * @param q - weights of the columns
 * @param d - 1 = stands in the denominator, 0 = does not
 */
export function crossEntropyRow(s: Float32Array, scale: number, q: ArrayLike<number>, d: ArrayLike<number>, coefficient: number | undefined): number {
  const m = s.length;
  let target = 0, mass = 0, top = -Infinity;
  for (let j = 0; j < m; j++) {
    if (q[j] !== 0) {
      target += q[j] * s[j];
      mass += q[j];
    }
    if (d[j] === 0) s[j] = -Infinity;
    else if (!(s[j] <= top)) top = s[j];
  }
  const sum = expRow(s, scale, top);
  if (coefficient !== undefined) {
    const a = coefficient * scale, k = (a * mass) / sum;
    for (let j = 0; j < m; j++) s[j] = k * s[j] - a * q[j];
  }
  return mass * log(sum) + scale * (mass * top - target);
}

/**
 * The mean over positives of the cross-entropy of each against the negatives, other positives apart; and the row turned into coefficient d value / d s.
 *
 *   value = 1/P sum_{p positive} log(1 + exp(log sum_{n negative} exp(scale s[n]) - scale s[p]))
 *
 * @param s - the row, in WebAssembly memory
 * @param kind - 1 = positive, -1 = negative, 0 = neither; at least one positive
 */
export function decoupledRow(s: Float32Array, scale: number, kind: ArrayLike<number>, coefficient: number | undefined): number {
  const m = s.length, places: number[] = [], kept: number[] = [];
  let top = -Infinity, value = 0, slope = 0;
  for (let j = 0; j < m; j++) {
    if (kind[j] > 0) {
      places.push(j);
      kept.push(s[j]);
    }
    if (kind[j] >= 0) s[j] = -Infinity;
    else if (!(s[j] <= top)) top = s[j];
  }
  // Without a negative every exponential is 0, whatever they are measured from.
  const sum = expRow(s, scale, top === -Infinity ? 0 : top), all = sum === 0 ? -Infinity : log(sum) + scale * top, count = places.length;
  // The place of a positive becomes the sigmoid of what the negatives are above it.
  places.forEach((j, p) => {
    s[j] = all - scale * kept[p];
    value += sigmoidRow(s.subarray(j, j + 1), 1, 0);
    slope += s[j];
  });
  if (coefficient !== undefined) {
    const a = (coefficient * scale) / count, k = sum === 0 ? 0 : (a * slope) / sum;
    for (let j = 0; j < m; j++) s[j] *= kind[j] > 0 ? -a : k;
  }
  return value / count;
}

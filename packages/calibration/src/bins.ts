import { massBins } from "@logits/core-wasm/order";
import { checkInteger } from "@logits/tensor";
import type { CheckedConfidences } from "./confidences.ts";
import { sortedRows, type SortedRows } from "./sortedRows.ts";

/** The rule of bins unless another is asked for. */
export const CONVENTION = "top label, equal width, bins (low, high], 0 in the first";

/** Sums per bin in float64. */
export interface BinSums {
  readonly count: Int32Array;
  readonly confidence: Float64Array;
  readonly correct: Int32Array;
  /** Sums of (correct - confidence)^2. */
  readonly squares: Float64Array;
  /** The rows as they were counted: sorted, or as given. */
  readonly rows: CheckedConfidences;
  /** Bin of each of them. */
  readonly index: Int32Array;
}

function empty(bins: number, rows: CheckedConfidences): BinSums {
  return { count: new Int32Array(bins), confidence: new Float64Array(bins), correct: new Int32Array(bins), squares: new Float64Array(bins), rows, index: new Int32Array(rows.confidence.length) };
}

/** The bin b with b / B < c <= (b + 1) / B of a number in [0, 1]. */
export function binOf(c: number, bins: number): number {
  const b = Math.min(bins - 1, Math.max(0, Math.ceil(c * bins) - 1));
  // The product is rounded: 0.07 * 100 is above 7, though 0.07 is the edge 7 / 100.
  if (b > 0 && c <= b / bins) return b - 1;
  return b < bins - 1 && c > (b + 1) / bins ? b + 1 : b;
}

/** The bin b with b / B < c <= (b + 1) / B, edges in float64; c = 0 in the first, c above 1 by rounding in the last. */
export function binSums(where: string, rows: CheckedConfidences, bins: number): BinSums {
  checkInteger(where, "bins", bins, 1, 1000000);
  const sums = empty(bins, rows), { confidence, correct } = rows;
  // As `binOf`, with every edge divided once.
  const edges = Float64Array.from({ length: bins + 1 }, (_, b) => b / bins);
  edges[bins] = Infinity;
  if (confidence instanceof Float32Array) addSingle(sums, confidence, correct, edges, bins);
  else addAll(sums, confidence, correct, edges, bins);
  return sums;
}

// Two loops: one over one kind of array is several times faster than one over any.

function addSingle({ index, count, confidence: total, correct: right, squares }: BinSums, confidence: Float32Array, correct: Uint8Array, edges: Float64Array, bins: number): void {
  for (let i = 0; i < confidence.length; i++) {
    const c = confidence[i], yes = correct[i], gap = yes - c, b = between(c, edges, bins);
    index[i] = b;
    count[b]++;
    total[b] += c;
    right[b] += yes;
    squares[b] += gap * gap;
  }
}

function addAll({ index, count, confidence: total, correct: right, squares }: BinSums, confidence: ArrayLike<number>, correct: Uint8Array, edges: Float64Array, bins: number): void {
  for (let i = 0; i < confidence.length; i++) {
    const c = confidence[i], yes = correct[i], gap = yes - c, b = between(c, edges, bins);
    index[i] = b;
    count[b]++;
    total[b] += c;
    right[b] += yes;
    squares[b] += gap * gap;
  }
}

/** The bin by its edges: the product is the bin or the next one. */
function between(c: number, edges: Float64Array, bins: number): number {
  const guess = Math.min(bins - 1, (c * bins) | 0);
  if (c > edges[guess]) return c > edges[guess + 1] ? guess + 1 : guess;
  return guess > 0 ? guess - 1 : 0;
}

/**
 * Bins of about equal count: the values in order, the first N mod B bins with one row more, bins (low, high]. Equal values stay together in the lower bin, so that
 * some may be empty and the order of the rows does not matter.
 */
export function massSums(where: string, rows: CheckedConfidences, bins: number): BinSums {
  checkInteger(where, "bins", bins, 1, 1000000);
  return massGroups(rows, bins);
}

/** The most bins of equal count, tried from one upwards, whose shares of right answers do not fall from bin to bin. */
export function sweepSums(where: string, rows: CheckedConfidences, most: number): BinSums {
  checkInteger(where, "bins", most, 1, 1000000);
  const sorted = sortedRows(rows), { confidence, correct } = sorted, n = confidence.length;
  const before = new Float64Array(n + 1), blockEnd = new Int32Array(n + 1);
  for (let i = 0; i < n; i++) before[i + 1] = before[i] + correct[i];
  blockEnd[n] = n;
  for (let i = n - 1; i > 0; i--) blockEnd[i] = confidence[i] === confidence[i - 1] ? blockEnd[i + 1] : i;
  let bins = 1;
  while (bins < Math.min(most, n) && rises(before, blockEnd, bins + 1)) bins++;
  return sumsBetween(sorted, bins);
}

/** How many rows are in the first b of B bins of equal count. */
function edge(b: number, n: number, bins: number): number {
  return b * Math.floor(n / bins) + Math.min(b, n % bins);
}

/** Whether no non-empty bin has a smaller share of right answers than the one before it. */
function rises(before: Float64Array, blockEnd: Int32Array, bins: number): boolean {
  const n = before.length - 1;
  let start = 0, lastRight = 0, lastCount = 1;
  for (let b = 1; b <= bins; b++) {
    const end = blockEnd[edge(b, n, bins)];
    if (end <= start) continue;
    const right = before[end] - before[start], count = end - start;
    // Counts are below 2^31: the products are exact to float64 for up to 9e15, beyond any data set.
    if (right * lastCount < lastRight * count) return false;
    start = end;
    lastRight = right;
    lastCount = count;
  }
  return true;
}

/** As `sumsBetween`, from groups of equal rows: the rows in order are made where they are asked for. */
function massGroups(rows: CheckedConfidences, bins: number): BinSums {
  const { confidence, correct } = rows;
  if (!(confidence instanceof Float32Array)) return sumsBetween(sortedRows(rows), bins);
  let made: BinSums | undefined;
  const whole = (): BinSums => (made ??= sumsBetween(sortedRows(rows), bins));
  return Object.defineProperties(massBins(confidence, correct, bins) as BinSums, { rows: { get: () => whole().rows }, index: { get: () => whole().index } });
}

function sumsBetween(rows: SortedRows, bins: number): BinSums {
  const { confidence, correct } = rows, n = confidence.length, sums = empty(bins, rows);
  for (let i = 0, b = 0, value = NaN; i < n; i++) {
    if (confidence[i] !== value) {
      value = confidence[i];
      while (b + 1 < bins && edge(b + 1, n, bins) <= i) b++;
    }
    const yes = correct[i], gap = yes - value;
    sums.index[i] = b;
    sums.count[b]++;
    sums.confidence[b] += value;
    sums.correct[b] += yes;
    sums.squares[b] += gap * gap;
  }
  return sums;
}

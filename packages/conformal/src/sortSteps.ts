import { type Steps } from "@logits/tensor";

/** Numbers sorted at once between two pauses: a few milliseconds. */
const NUMBERS = 65536;
/** The same by a comparison function. */
const INDICES = 8192;

/** Sorts numbers in place, without NaN, in pieces; the same bits as `Float32Array.prototype.sort` (-0 before 0). */
export function* sortNumbers(x: Float32Array): Steps<Float32Array> {
  for (let from = 0; from < x.length; from += NUMBERS) {
    x.subarray(from, from + NUMBERS).sort();
    yield (0.5 * from) / x.length;
  }
  // What is equal is the same bits but for zeros.
  return yield* merged(x, NUMBERS, (a, b) => a < b || (a === b && (a !== 0 || 1 / a <= 1 / b)));
}

/** Sorts indices in place, in pieces; equal ones stay in their order. */
export function* sortIndices(order: Int32Array, compare: (a: number, b: number) => number): Steps<Int32Array> {
  for (let from = 0; from < order.length; from += INDICES) {
    order.subarray(from, from + INDICES).sort(compare);
    yield (0.5 * from) / order.length;
  }
  return yield* merged(order, INDICES, (a, b) => compare(a, b) <= 0);
}

/** 0, 1, ..., n - 1. */
export function indices(n: number): Int32Array {
  const out = new Int32Array(n);
  for (let i = 0; i < n; i++) out[i] = i;
  return out;
}

/** The elements that `order` names, one after the other; into `out`. */
export function* picked<T extends Float32Array | Int32Array>(x: ArrayLike<number>, order: Int32Array, out: T): Steps<T> {
  for (let i = 0; i < order.length; i++) {
    out[i] = x[order[i]];
    if (i % NUMBERS === NUMBERS - 1) yield 0.99;
  }
  return out;
}

/** Merges runs of `run` sorted elements, twice as many at each round. */
function* merged<T extends Float32Array | Int32Array>(x: T, run: number, first: (a: number, b: number) => boolean): Steps<T> {
  const n = x.length;
  if (n <= run) return x;
  let from: Float32Array | Int32Array = x, to: Float32Array | Int32Array = x.slice();
  for (; run < n; run *= 2) {
    for (let start = 0; start < n; start += 2 * run) {
      const middle = Math.min(n, start + run), end = Math.min(n, start + 2 * run);
      for (let i = start, j = middle, at = start; at < end; ) {
        const pause = Math.min(end, at + NUMBERS);
        for (; at < pause; at++) to[at] = j >= end || (i < middle && first(from[i], from[j])) ? from[i++] : from[j++];
        yield 0.5 + (0.5 * at) / n;
      }
    }
    [from, to] = [to, from];
  }
  if (from !== x) x.set(from);
  return x;
}

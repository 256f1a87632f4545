import { rangeError, runSteps, type Steps } from "@logits/tensor";
import * as binary from "#wasm/order";
import { family } from "./family.ts";
import { allocate, release } from "./heap.ts";
import { byteView, floatView, intView } from "./memory.ts";

/** The kernels of the `order` family. */
export const kernels: () => {
  f32_tally_start(work: number): void;
  f32_tally_scan(x: number, n: number, work: number): number;
  u8_no_mask(mask: number, n: number): number;
  u8_ones(mask: number, n: number): number;
  f32_outside(x: number, n: number, low: number, high: number): number;
  f32_tally_plan(n: number, work: number): void;
  f32_tally_count(x: number, n: number, work: number): void;
  f32_tally_places(values: number, work: number): void;
  f32_tally_divide(x: number, mask: number, n: number, work: number): void;
  f32_tally_groups(x: number, values: number, counts: number, ones: number, most: number, work: number): number;
  f32_tally_pairs(counts: number, ones: number, groups: number): number;
  f32_tally_risk(counts: number, ones: number, groups: number, marks: number, sums: number): void;
  f64_rise(more: number, n: number): number;
  f32_tally_differences(values: number, counts: number, ones: number, groups: number, sums: number): void;
  f32_tally_bins(values: number, counts: number, ones: number, groups: number, n: number, bins: number, table: number): void;
  i32_pool(counts: number, ones: number, from: number, end: number, first: number, rows: number, sums: number, blocks: number): number;
  f32_residual_moments(c: number, mask: number, n: number, size: number, cells: number): void;
} = family("order", binary);

/** Bytes that the kernels need beside the data. */
const WORK = 32768;
/** Values between two pauses: 1 to 4 ms. */
const PIECE = 131072;

/** The distinct values of a list in increasing order, with their numbers. */
export interface Tally {
  /** float32 [K], strictly increasing; -0 counts as 0. */
  readonly values: Float32Array;
  /** int32 [K]: how often each value is there. */
  readonly counts: Int32Array;
  /** int32 [K]: how often it is there with a mask of 1. */
  readonly ones: Int32Array;
}

/** A tally in memory: addresses of its groups. */
export interface Groups {
  readonly values: number;
  readonly counts: number;
  readonly ones: number;
  /** K. */
  readonly groups: number;
  /** N. */
  readonly n: number;
  /** Room for the 4 N bytes of what was sorted, then for what was asked for. */
  readonly free: number;
  readonly more: number;
}

/** The tally in a block of memory, in pieces, with `extra` bytes behind it for `use`. */
export function* tallied<Result>(where: string, x: Float32Array, mask: Uint8Array, extra: number, use: (groups: Groups) => Steps<Result>): Steps<Result> {
  const n = x.length;
  if (mask.length !== n) throw rangeError(where, "mask", `of length ${n}`, `${mask.length}`);
  const list = (4 * n + 63) & ~63, head = WORK + 4 * list + ((n + 63) & ~63), size = head + extra;
  const work = allocate(size), from = work + WORK, values = from + list, counts = values + list, ones = counts + list, masks = ones + list;
  const k = kernels();
  function* pieces(share: number, piece: (first: number, count: number) => void): Steps<void> {
    for (let first = 0; first < n; first += PIECE) {
      piece(first, Math.min(PIECE, n - first));
      yield share + (0.2 * first) / n;
    }
  }
  try {
    k.f32_tally_start(work);
    yield* pieces(0, (first, count) => {
      floatView().set(x.subarray(first, first + count), (from >>> 2) + first);
      byteView().set(mask.subarray(first, first + count), masks + first);
      if (k.u8_no_mask(masks + first, count) === 1) {
        const at = first + mask.subarray(first, first + count).findIndex((mark) => mark > 1);
        throw rangeError(where, "mask", "of 0 and 1", `${mask[at]} at index ${at}`);
      }
      if (k.f32_tally_scan(from + 4 * first, count, work) === 0) return;
      const at = first + x.subarray(first, first + count).findIndex((value) => value !== value);
      throw rangeError(where, "x", "without NaN", `NaN at index ${at}`);
    });
    k.f32_tally_plan(n, work);
    yield* pieces(0.2, (first, count) => k.f32_tally_count(from + 4 * first, count, work));
    k.f32_tally_places(values, work);
    yield* pieces(0.3, (first, count) => k.f32_tally_divide(from + 4 * first, masks + first, count, work));
    let groups = 0;
    if (n > 0) while ((groups = k.f32_tally_groups(from, values, counts, ones, PIECE, work)) >= 0) yield 0.5 + (0.5 * groups) / n;
    return yield* use({ values, counts, ones, groups: n > 0 ? -1 - groups : 0, n, free: from, more: work + head });
  } finally {
    release(work, size);
  }
}

/** Views of groups in memory. */
export function viewsOf({ values, counts, ones, groups }: Groups): Tally {
  const ints = intView(), part = (at: number): [first: number, end: number] => [at >>> 2, (at >>> 2) + groups];
  return { values: floatView().subarray(...part(values)), counts: ints.subarray(...part(counts)), ones: ints.subarray(...part(ones)) };
}

/**
 * The distinct values of a list in increasing order, how often each is there and how often with a mask of 1: what ranking metrics, bins of equal mass and monotone fits start from.
 *
 *   values[0] < values[1] < ...     counts[k] = #{i : x[i] = values[k]}     ones[k] = #{i : x[i] = values[k], mask[i] = 1}
 *
 * @param x - float32 [N]; infinities are ordinary values, -0 is 0
 * @param mask - uint8 [N] of 0 and 1
 * @param use - receives the tally; its arrays are views of WebAssembly memory, valid until it returns, and it must call no other operation of this package
 * @returns what `use` returns; for N = 0 it receives empty arrays
 * @throws RangeError for a mask of another length or with other numbers, for NaN (its index is named)
 * @example
 *   withTally(Float32Array.of(2, 1, 2), Uint8Array.of(1, 0, 0), ({ counts }) => counts.slice()); // 1, 2
 * Source: Knuth, The Art of Computer Programming 3 (1998), 5.2.5; by leading digit first as McIlroy, Bostic, McIlroy, "Engineering radix sort", 1993.
 */
export function withTally<Result>(x: Float32Array, mask: Uint8Array, use: (tally: Tally) => Result): Result {
  return runSteps(tallied("withTally", x, mask, 0, function* (groups) {
    yield 1;
    return use(viewsOf(groups));
  }));
}

/** `withTally` in pieces of about 2 ms, with arrays of its own as the result. The data must not change meanwhile. */
export function* tallySteps(x: Float32Array, mask: Uint8Array): Steps<Tally> {
  return yield* tallied("tallySteps", x, mask, 0, function* (groups) {
    yield 1;
    const { values, counts, ones } = viewsOf(groups);
    return { values: values.slice(), counts: counts.slice(), ones: ones.slice() };
  });
}

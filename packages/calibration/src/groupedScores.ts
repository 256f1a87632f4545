import type { Steps } from "@logits/tensor";
import { PIECE, type BinaryPairs } from "./binaryCalibrator.ts";

/** The distinct scores in ascending order with their rows: what every monotone or binned fit starts from. */
export interface GroupedScores {
  /** float32 [K], strictly increasing; -0 counts as 0. */
  readonly x: Float32Array;
  /** Rows at each. */
  readonly count: Int32Array;
  /** Rows with yes at each. */
  readonly ones: Int32Array;
}

/** Groups equal scores: a radix sort on the 32 bits of float32, 11 at a time, with the answers carried along. Counts are integers, so nothing depends on the order of the rows. */
export function* groupedSteps({ s, t, n }: BinaryPairs): Steps<GroupedScores> {
  const zeroed = new Float32Array(n);
  for (let i = 0; i < n; i++) zeroed[i] = s[i] + 0;
  let keys = new Uint32Array(zeroed.buffer), yes: Uint8Array = t.slice(), spareKeys = new Uint32Array(n), spareYes: Uint8Array = new Uint8Array(n);
  for (let i = 0; i < n; i++) keys[i] = keys[i] >>> 31 ? ~keys[i] : keys[i] ^ 0x80000000;
  yield 0.05;
  const counts = new Int32Array(2048);
  for (let shift = 0; shift < 33; shift += 11) {
    counts.fill(0);
    countDigits(keys, shift, counts);
    yield 0.05 + shift / 44;
    if (counts[(keys[0] >>> shift) & 2047] === n) continue;
    for (let digit = 0, start = 0; digit < 2048; digit++) {
      const count = counts[digit];
      counts[digit] = start;
      start += count;
    }
    for (let first = 0; first < n; first += 8 * PIECE) {
      scatter(keys, yes, spareKeys, spareYes, shift, counts, first, Math.min(n, first + 8 * PIECE));
      yield 0.1 + shift / 44;
    }
    [keys, spareKeys] = [spareKeys, keys];
    [yes, spareYes] = [spareYes, yes];
  }
  const grouped = { x: new Float32Array(spareKeys.buffer), count: new Int32Array(n), ones: new Int32Array(n) };
  const k = group(keys, yes, spareKeys, grouped.count, grouped.ones);
  return { x: grouped.x.slice(0, k), count: grouped.count.slice(0, k), ones: grouped.ones.slice(0, k) };
}

// Loops of their own, which the engine compiles better than those in a generator.

function countDigits(keys: Uint32Array, shift: number, counts: Int32Array): void {
  for (let i = 0; i < keys.length; i++) counts[(keys[i] >>> shift) & 2047]++;
}

function scatter(keys: Uint32Array, yes: Uint8Array, toKeys: Uint32Array, toYes: Uint8Array, shift: number, counts: Int32Array, first: number, end: number): void {
  for (let i = first; i < end; i++) {
    const key = keys[i], to = counts[(key >>> shift) & 2047]++;
    toKeys[to] = key;
    toYes[to] = yes[i];
  }
}

/** Sums over runs of equal keys; the bits of their scores into `bits`. Returns how many. */
function group(keys: Uint32Array, yes: Uint8Array, bits: Uint32Array, count: Int32Array, ones: Int32Array): number {
  let k = 0;
  for (let i = 0; i < keys.length; k++) {
    const key = keys[i];
    let rows = 0, sum = 0;
    for (; i < keys.length && keys[i] === key; i++) {
      rows++;
      sum += yes[i];
    }
    bits[k] = key >>> 31 ? key ^ 0x80000000 : ~key;
    count[k] = rows;
    ones[k] = sum;
  }
  return k;
}

/** Blocks of an isotonic regression of `ones / count`: index of the first and past the last point, sums; values strictly increase from block to block. */
export interface Block {
  readonly first: number;
  readonly end: number;
  readonly count: number;
  readonly ones: number;
}

/** Pools adjacent violators on integer sums: exact. Source: Ayer, Brunk, Ewing, Reid, Silverman, Annals of Mathematical Statistics 26 (1955). */
export function* poolSteps({ count, ones }: GroupedScores): Steps<Block[]> {
  const k = count.length, first = new Int32Array(k), counts = new Int32Array(k), sums = new Int32Array(k);
  let blocks = 0;
  for (let i = 0; i < k; i += 8 * PIECE) {
    blocks = pool(count, ones, first, counts, sums, blocks, i, Math.min(k, i + 8 * PIECE));
    yield 0.9;
  }
  return Array.from({ length: blocks }, (_, b) => ({ first: first[b], end: b + 1 < blocks ? first[b + 1] : k, count: counts[b], ones: sums[b] }));
}

/** Takes the points [from, end) into the stack of blocks; returns its height. */
function pool(count: Int32Array, ones: Int32Array, first: Int32Array, counts: Int32Array, sums: Int32Array, blocks: number, from: number, end: number): number {
  for (let i = from; i < end; i++) {
    let n = count[i], sum = ones[i], at = i;
    // Products of counts below 2^31 can pass 2^53 only beyond 90 million rows in one block and as many in the next.
    while (blocks > 0 && sums[blocks - 1] * n >= sum * counts[blocks - 1]) {
      at = first[--blocks];
      n += counts[blocks];
      sum += sums[blocks];
    }
    first[blocks] = at;
    counts[blocks] = n;
    sums[blocks++] = sum;
  }
  return blocks;
}

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
  const bits = new Uint32Array(Float32Array.from(s, (score) => score + 0).buffer);
  let keys = new Uint32Array(n), yes: Uint8Array = t.slice(), spareKeys = new Uint32Array(n), spareYes: Uint8Array = new Uint8Array(n);
  for (let i = 0; i < n; i++) keys[i] = bits[i] >>> 31 ? ~bits[i] : bits[i] ^ 0x80000000;
  const counts = new Int32Array(2048);
  for (let shift = 0; shift < 33; shift += 11) {
    counts.fill(0);
    for (let i = 0; i < n; i++) counts[(keys[i] >>> shift) & 2047]++;
    yield shift / 44;
    if (counts[(keys[0] >>> shift) & 2047] === n) continue;
    for (let digit = 0, start = 0; digit < 2048; digit++) {
      const count = counts[digit];
      counts[digit] = start;
      start += count;
    }
    for (let first = 0; first < n; first += 8 * PIECE) {
      for (let i = first, end = Math.min(n, first + 8 * PIECE); i < end; i++) {
        const to = counts[(keys[i] >>> shift) & 2047]++;
        spareKeys[to] = keys[i];
        spareYes[to] = yes[i];
      }
      yield shift / 44;
    }
    [keys, spareKeys] = [spareKeys, keys];
    [yes, spareYes] = [spareYes, yes];
  }
  const kept = new Uint32Array(n), count = new Int32Array(n), ones = new Int32Array(n);
  let k = -1;
  for (let i = 0; i < n; i++) {
    if (i === 0 || keys[i] !== kept[k]) kept[++k] = keys[i];
    count[k]++;
    ones[k] += yes[i];
  }
  yield 0.8;
  for (let i = 0; i <= k; i++) kept[i] = kept[i] >>> 31 ? kept[i] ^ 0x80000000 : ~kept[i];
  return { x: new Float32Array(kept.buffer, 0, k + 1).slice(), count: count.slice(0, k + 1), ones: ones.slice(0, k + 1) };
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
  const first: number[] = [], counts: number[] = [], sums: number[] = [];
  for (let i = 0; i < count.length; i++) {
    let at = i, n = count[i], sum = ones[i];
    while (first.length > 0 && sums[sums.length - 1] * n >= sum * counts[counts.length - 1]) {
      at = first.pop()!;
      n += counts.pop()!;
      sum += sums.pop()!;
    }
    first.push(at);
    counts.push(n);
    sums.push(sum);
    if (i % (8 * PIECE) === 8 * PIECE - 1) yield 0.9;
  }
  return first.map((start, b) => ({ first: start, end: b + 1 < first.length ? first[b + 1] : count.length, count: counts[b], ones: sums[b] }));
}

import type { Steps } from "@logits/tensor";
import { intView } from "./memory.ts";
import { kernels, tallied, viewsOf, type Tally } from "./tally.ts";

/** Groups between two pauses: about a millisecond. */
const PIECE = 262144;

/** Blocks of an isotonic regression of a mask on values: the share of ones rises strictly from block to block. */
export interface PooledBlocks {
  /** int32 [B]: index of the first group. */
  readonly first: Int32Array;
  /** int32 [B]: rows. */
  readonly rows: Int32Array;
  /** int32 [B]: rows with a mask of 1. */
  readonly sums: Int32Array;
}

/**
 * Pools adjacent violators of the groups of a tally, in pieces. Integers throughout: exact.
 *
 * @param x - float32 [N]; infinities are ordinary values, -0 is 0
 * @param mask - uint8 [N] of 0 and 1
 * @param use - receives the blocks and the tally; views of WebAssembly memory, valid until it returns, and it must call no other operation of this package
 * @returns what `use` returns
 * @throws RangeError as `withTally`
 * @example
 *   runSteps(poolSteps(Float32Array.of(1, 2, 3), Uint8Array.of(1, 0, 1), ({ first }) => first.slice())); // 0, 2
 * Source: Ayer, Brunk, Ewing, Reid, Silverman, Annals of Mathematical Statistics 26 (1955).
 */
export function* poolSteps<Result>(x: Float32Array, mask: Uint8Array, use: (blocks: PooledBlocks, tally: Tally) => Result): Steps<Result> {
  const list = 4 * x.length;
  return yield* tallied("poolSteps", x, mask, 2 * list, function* (groups): Steps<Result> {
    const { counts, ones, groups: k, free, more } = groups;
    let blocks = 0;
    for (let from = 0; from < k; from += PIECE) {
      blocks = kernels().i32_pool(counts, ones, from, Math.min(k, from + PIECE), free, more, more + list, blocks);
      yield 0.95;
    }
    const part = (at: number): Int32Array => intView().subarray(at >>> 2, (at >>> 2) + blocks);
    return use({ first: part(free), rows: part(more), sums: part(more + list) }, viewsOf(groups));
  });
}

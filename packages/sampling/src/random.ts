import { philox } from "@logits/tensor";

/** What a random number is for. Numbers of different purposes are independent of each other. */
export const DRAW = 0;
export const ACCEPT = 1;
export const RESIDUAL = 2;

/** Uniform number `position` of `randomSource(seed, stream)` of @logits/tensor (purpose DRAW), or of a source of its own for another purpose; in (0, 1). */
export function uniformAt(seed: number, stream: number, position: number, purpose: number): number {
  const words = new Uint32Array(4), at = position % 2 === 0 ? 0 : 2;
  philox(words, seed >>> 0, Math.floor(seed / 4294967296), Math.floor(position / 2) >>> 0, Math.floor(position / 8589934592) + purpose * 16777216, stream >>> 0, Math.floor(stream / 4294967296));
  return ((words[at] >>> 6) * 67108864 + (words[at + 1] >>> 6) + 0.5) / 4503599627370496;
}

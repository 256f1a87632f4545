/**
 * MurmurHash3 (x86, 32 bit) of bytes [from, to): an integer in [0, 2^32).
 *
 * Source: Austin Appleby, MurmurHash3.cpp, MurmurHash3_x86_32 (public domain); the same numbers as scikit-learn's `murmurhash3_32(positive=True)`.
 */
export function murmur3(bytes: Uint8Array, from: number, to: number, seed: number): number {
  let h = seed | 0;
  const blocks = from + ((to - from) & ~3);
  let i = from;
  for (; i < blocks; i += 4) {
    h ^= scrambled(bytes[i] | (bytes[i + 1] << 8) | (bytes[i + 2] << 16) | (bytes[i + 3] << 24));
    h = (h << 13) | (h >>> 19);
    h = (Math.imul(h, 5) + 0xe6546b64) | 0;
  }
  let rest = 0;
  for (let shift = 0; i < to; i++, shift += 8) rest |= bytes[i] << shift;
  h ^= scrambled(rest) ^ (to - from);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

function scrambled(k: number): number {
  const mixed = Math.imul(k, 0xcc9e2d51);
  return Math.imul((mixed << 15) | (mixed >>> 17), 0x1b873593);
}

import type { Steps } from "@logits/tensor";

/** Numbers that are counted between two pauses. */
const PIECE = 2 ** 20;

/** The order of float32 numbers as integers from 0 up. */
const key = (bits: number): number => (bits < 0 ? ~bits : bits | 0x80000000) >>> 0;

/**
 * The quantile of all numbers by linear interpolation between the order statistics around position (N - 1) p (definition 7 of Hyndman and Fan, as numpy), exact, without a copy: numbers are counted by the
 * upper and then by the lower half of their bits.
 *
 * @param x - finite, N >= 1
 */
export function* floatQuantileSteps(x: Float32Array, p: number): Steps<number> {
  const bits = new Int32Array(x.buffer, x.byteOffset, x.length), position = (x.length - 1) * p, below = Math.floor(position);
  const upper = new Float64Array(65536);
  for (let from = 0; from < x.length; from += PIECE) {
    for (let i = from, to = Math.min(x.length, from + PIECE); i < to; i++) upper[key(bits[i]) >>> 16]++;
    yield (0.5 * from) / x.length;
  }
  // Where the wanted ranks lie: one or two upper halves.
  const ranks = [below, Math.min(below + 1, x.length - 1)], halves: number[] = [], before: number[] = [];
  for (const rank of ranks) {
    let half = 0, sum = 0;
    while (sum + upper[half] <= rank) sum += upper[half++];
    halves.push(half);
    before.push(sum);
  }
  const lower = halves.map(() => new Float64Array(65536)), [first, second] = halves;
  for (let from = 0; from < x.length; from += PIECE) {
    for (let i = from, to = Math.min(x.length, from + PIECE); i < to; i++) {
      const k = key(bits[i]), half = k >>> 16;
      if (half === first) lower[0][k & 65535]++;
      if (half === second) lower[1][k & 65535]++;
    }
    yield 0.5 + (0.5 * from) / x.length;
  }
  const word = new Uint32Array(1), value = new Float32Array(word.buffer);
  const [low, high] = ranks.map((rank, i) => {
    let rest = 0, sum = before[i];
    while (sum + lower[i][rest] <= rank) sum += lower[i][rest++];
    const k = ((halves[i] << 16) | rest) >>> 0;
    word[0] = k >= 0x80000000 ? k ^ 0x80000000 : ~k;
    return value[0];
  });
  return low + (position - below) * (high - low);
}

import { rangeError } from "./errors.ts";

/** Random numbers as an argument: the same stream in every engine. */
export interface RandomSource {
  /** The next 32 random bits. */
  uint32(): number;
  /** Uniform on (0, 1): (k + 1/2) / 2^52 with k of 52 bits, never 0 or 1. */
  uniform(): number;
  /** Uniform integer in [0, n), without bias. */
  integer(n: number): number;
  /** A uniformly random order of 0..n-1. */
  permutation(n: number): Int32Array;
}

const M0 = 0xd2511f53;
const M1 = 0xcd9e8d57;

/** High 32 bits of the 64-bit product. */
function mulHigh(a: number, b: number): number {
  const a0 = a & 0xffff, a1 = a >>> 16, b0 = b & 0xffff, b1 = b >>> 16;
  const low = a0 * b0, middle = a1 * b0 + (low >>> 16);
  const carry = (middle & 0xffff) + a0 * b1;
  return (a1 * b1 + Math.floor(middle / 65536) + Math.floor(carry / 65536)) >>> 0;
}

/**
 * Philox-4x32 with 10 rounds: four random words for a counter and a key, written into `out`.
 * Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
 */
export function philox(out: Uint32Array, key0: number, key1: number, c0: number, c1: number, c2: number, c3: number): void {
  for (let round = 0; round < 10; round++) {
    const high0 = mulHigh(M0, c0), high1 = mulHigh(M1, c2);
    const low0 = Math.imul(M0, c0) >>> 0, low1 = Math.imul(M1, c2) >>> 0;
    c0 = (high1 ^ c1 ^ key0) >>> 0;
    c1 = low1;
    c2 = (high0 ^ c3 ^ key1) >>> 0;
    c3 = low0;
    key0 = (key0 + 0x9e3779b9) >>> 0;
    key1 = (key1 + 0xbb67ae85) >>> 0;
  }
  out[0] = c0; out[1] = c1; out[2] = c2; out[3] = c3;
}

class Philox implements RandomSource {
  readonly #words = new Uint32Array(4);
  readonly #seed: number;
  readonly #seedHigh: number;
  readonly #stream: number;
  readonly #streamHigh: number;
  #block = 0;
  #used = 4;

  constructor(seed: number, stream: number) {
    this.#seed = seed >>> 0;
    this.#seedHigh = Math.floor(seed / 4294967296) >>> 0;
    this.#stream = stream >>> 0;
    this.#streamHigh = Math.floor(stream / 4294967296) >>> 0;
  }

  uint32(): number {
    if (this.#used === 4) {
      philox(this.#words, this.#seed, this.#seedHigh, this.#block >>> 0, Math.floor(this.#block / 4294967296), this.#stream, this.#streamHigh);
      this.#block++;
      this.#used = 0;
    }
    return this.#words[this.#used++];
  }

  uniform(): number {
    const high = this.uint32() >>> 6, low = this.uint32() >>> 6;
    return (high * 67108864 + low + 0.5) / 4503599627370496;
  }

  integer(n: number): number {
    if (!(Number.isInteger(n) && n > 0 && n <= 4294967296)) throw rangeError("RandomSource.integer", "n", "an integer in [1, 2^32]", `${n}`);
    const limit = 4294967296 - (4294967296 % n);
    let word = this.uint32();
    while (word >= limit) word = this.uint32();
    return word % n;
  }

  permutation(n: number): Int32Array {
    if (!(Number.isInteger(n) && n >= 0 && n < 2147483648)) throw rangeError("RandomSource.permutation", "n", "an integer in [0, 2^31)", `${n}`);
    const order = Int32Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      const kept = order[i];
      order[i] = order[j];
      order[j] = kept;
    }
    return order;
  }
}

/**
 * A stream of random numbers from a counter: no hidden state, no clock, the same in every engine.
 * Two streams of one seed are independent; give each row, worker or purpose its own.
 *
 * @param seed - integer in [0, 2^53)
 * @param stream - integer in [0, 2^53)
 */
export function randomSource(seed: number, stream = 0): RandomSource {
  for (const [name, value] of [["seed", seed], ["stream", stream]] as const) {
    if (!(Number.isSafeInteger(value) && value >= 0)) throw rangeError("randomSource", name, "an integer in [0, 2^53)", `${value}`);
  }
  return new Philox(seed, stream);
}

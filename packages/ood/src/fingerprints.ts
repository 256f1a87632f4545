import { asFloat32, checkShape, describe, rangeError, typeError, type TensorLike } from "@logits/tensor";

/**
 * Remembers rows by a 64-bit hash of their bits, so that a row which has served one step is found before it serves another.
 *
 * Two rows are the same where all their float32 numbers are equal (-0 is 0). A hash takes 8 bytes; among n remembered and m asked rows one is taken for another with a
 * probability of about n m 2^-64: 10^-10 for 50,000 and 50,000. Not cryptographic: rows made to collide do collide.
 *
 * Source: folklore; the mixing follows Appleby's MurmurHash3.
 */
export class Fingerprints {
  /** Open addressing: pairs of words at a power of two of places; 0, 0 is an empty place. */
  #table: Uint32Array = new Uint32Array(32);
  #size = 0;

  /** Different rows seen. */
  get size(): number {
    return this.#size;
  }

  /**
   * Remembers rows.
   *
   * @param rows - float32 [N, F]
   * @example new Fingerprints().add([[1, 2], [3, 4]]).firstShared([[5, 6], [1, 2]]) // 1
   */
  add(rows: TensorLike): this {
    return this.addHashes(hashesOf("Fingerprints.add", rows));
  }

  /** Remembers rows by their hashes: pairs of words, as `words` gives them. */
  addHashes(words: Uint32Array): this {
    for (let i = 0; i < words.length; i += 2) this.#put(words[i], words[i + 1]);
    return this;
  }

  /** Remembers what another one remembers; `other` is not changed. */
  merge(other: Fingerprints): this {
    if (!(other instanceof Fingerprints)) throw typeError("Fingerprints.merge", "other", "a Fingerprints", describe(other));
    const words = other.#table;
    for (let i = 0; i < words.length; i += 2) if (words[i] !== 0 || words[i + 1] !== 0) this.#put(words[i], words[i + 1]);
    return this;
  }

  /**
   * The index of the first of these rows that is remembered; -1 if none is.
   *
   * @param rows - float32 [N, F]; rows of another width are other rows
   */
  firstShared(rows: TensorLike): number {
    const words = hashesOf("Fingerprints.firstShared", rows);
    for (let i = 0; i < words.length; i += 2) {
      const at = this.#place(this.#table, words[i], words[i + 1]);
      if (this.#table[at] !== 0 || this.#table[at + 1] !== 0) return i / 2;
    }
    return -1;
  }

  /** All hashes as pairs of words in ascending order, [2 * size]. */
  words(): Uint32Array {
    const table = this.#table, places: number[] = [];
    for (let i = 0; i < table.length; i += 2) if (table[i] !== 0 || table[i + 1] !== 0) places.push(i);
    places.sort((a, b) => table[a] - table[b] || table[a + 1] - table[b + 1]);
    return Uint32Array.from({ length: 2 * places.length }, (_, i) => table[places[i >> 1] + (i & 1)]);
  }

  /** From what `words` gave. RangeError for an odd number of words. */
  static of(words: Uint32Array): Fingerprints {
    if (!(words instanceof Uint32Array)) throw typeError("Fingerprints.of", "words", "a Uint32Array", describe(words));
    if (words.length % 2 !== 0) throw rangeError("Fingerprints.of", "words", "of pairs", `${words.length} words`);
    return new Fingerprints().addHashes(words);
  }

  #put(high: number, low: number): void {
    if (high === 0 && low === 0) low = 1;
    if (4 * this.#size >= this.#table.length) {
      const grown = new Uint32Array(2 * this.#table.length);
      for (let i = 0; i < this.#table.length; i += 2) {
        const h = this.#table[i], l = this.#table[i + 1];
        if (h === 0 && l === 0) continue;
        const at = this.#place(grown, h, l);
        grown[at] = h;
        grown[at + 1] = l;
      }
      this.#table = grown;
    }
    const at = this.#place(this.#table, high, low);
    if (this.#table[at] === 0 && this.#table[at + 1] === 0) this.#size++;
    this.#table[at] = high;
    this.#table[at + 1] = low;
  }

  /** Where the pair stands, or the empty place for it. */
  #place(table: Uint32Array, high: number, low: number): number {
    const mask = table.length - 1;
    let at = (2 * low) & mask;
    while ((table[at] !== high || table[at + 1] !== low) && (table[at] !== 0 || table[at + 1] !== 0)) at = (at + 2) & mask;
    return at;
  }
}

/** The hash of each row of float32 [N, F], as pairs of words. */
function hashesOf(where: string, rows: TensorLike): Uint32Array {
  const x = asFloat32(where, "rows", rows);
  checkShape(where, "rows", x, ["N", "F"]);
  const [count, width] = x.shape, words = new Uint32Array(2 * count);
  hashRows(x.data, width, 0, count, words);
  return words;
}

/**
 * Writes the hashes of the rows [from, to) of float32 [., F] to their pairs of `words`; returns whether all their numbers are finite. Two rows at a time: neither waits for its own last step.
 *
 * @param words - [2 * rows], the pair of row n at 2 n
 */
export function hashRows(x: Float32Array, width: number, from: number, to: number, words: Uint32Array): boolean {
  const bits = new Int32Array(x.buffer, x.byteOffset, x.length);
  let seen = 0;
  for (let n = from; n < to; n += 2) {
    // The last row of an odd number twice.
    const other = n + 1 < to ? n + 1 : n, end = (n + 1) * width;
    let a = width | 0, b = ~width, c = a, d = b;
    for (let i = n * width, j = other * width; i < end; i++, j++) {
      const v = bits[i], w = bits[j];
      // An exponent of ones becomes the sign.
      seen |= ((v & 0x7f800000) + 0x00800000) | ((w & 0x7f800000) + 0x00800000);
      const p = v === -2147483648 ? 0 : v, q = w === -2147483648 ? 0 : w;
      const mixed = Math.imul(p ^ (p >>> 15), 0x2c1b3c6d), next = Math.imul(q ^ (q >>> 15), 0x2c1b3c6d);
      a = Math.imul(((a << 5) | (a >>> 27)) ^ mixed, 0x9e3779b1);
      b = Math.imul(((b << 11) | (b >>> 21)) + mixed, 0x85ebca77);
      c = Math.imul(((c << 5) | (c >>> 27)) ^ next, 0x9e3779b1);
      d = Math.imul(((d << 11) | (d >>> 21)) + next, 0x85ebca77);
    }
    words[2 * n] = finish(a ^ (b >>> 16));
    words[2 * n + 1] = finish(b);
    words[2 * other] = finish(c ^ (d >>> 16));
    words[2 * other + 1] = finish(d);
  }
  // 0, 0 is an empty place.
  for (let i = 2 * from; i < 2 * to; i += 2) if (words[i] === 0 && words[i + 1] === 0) words[i + 1] = 1;
  return seen >= 0;
}

function finish(h: number): number {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

import { SEED, hashed } from "./modelFile.ts";
import { grown } from "./growing.ts";

const ENCODER = new TextEncoder();

/** Texts as bytes of UTF-8, each with a number; the same text has the same number. */
export class Parts {
  bytes: Uint8Array = new Uint8Array(65536);
  /** Where the bytes of each part begin and end. */
  starts: Int32Array = new Int32Array(4096);
  ends: Int32Array = new Int32Array(4096);
  count = 0;
  #used = 0;
  #hashes = new Int32Array(4096);
  /** Number + 1, or 0. */
  #slots = new Int32Array(8192);

  clear(): void {
    this.count = this.#used = 0;
    this.#slots.fill(0);
  }

  /** Bytes that are held. */
  get size(): number {
    return this.#used;
  }

  /** The number of a text. */
  numberOf(text: string): number {
    const start = this.#used;
    if (start + 3 * text.length > this.bytes.length) this.bytes = grown(this.bytes, new Uint8Array(2 * (start + 3 * text.length)));
    const bytes = this.bytes;
    let i = 0;
    // Of a few letters a loop is faster than the encoder.
    for (; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code > 127) break;
      bytes[start + i] = code;
    }
    this.#used = start + (i === text.length ? i : ENCODER.encodeInto(text, bytes.subarray(start)).written);
    const part = this.numberAt(start, this.#used);
    // What was there before is not held twice.
    if (this.starts[part] !== start) this.#used = start;
    return part;
  }

  /** The number of the text that bytes [from, to) are. */
  numberAt(from: number, to: number): number {
    const bytes = this.bytes, hashes = this.#hashes, starts = this.starts, slots = this.#slots, mask = slots.length - 1, size = to - from, h = hashed(bytes, from, to, SEED);
    let slot = (h ^ (h >>> 15)) & mask;
    for (; slots[slot] !== 0; slot = (slot + 1) & mask) {
      const part = slots[slot] - 1, first = starts[part];
      if (hashes[part] !== h || this.ends[part] - first !== size) continue;
      let i = 0;
      while (i < size && bytes[first + i] === bytes[from + i]) i++;
      if (i === size) return part;
    }
    const part = this.count++;
    slots[slot] = this.count;
    starts[part] = from;
    this.ends[part] = to;
    hashes[part] = h;
    if (this.count === starts.length) this.#grow();
    return part;
  }

  #grow(): void {
    this.starts = grown(this.starts, new Int32Array(2 * this.count));
    this.ends = grown(this.ends, new Int32Array(2 * this.count));
    this.#hashes = grown(this.#hashes, new Int32Array(2 * this.count));
    const slots = (this.#slots = new Int32Array(4 * this.count)), mask = slots.length - 1;
    for (let part = 0; part < this.count; part++) {
      const h = this.#hashes[part];
      let slot = (h ^ (h >>> 15)) & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = part + 1;
    }
  }
}

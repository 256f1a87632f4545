import { FormatError, message } from "@logits/tensor";

/*
 * A model is one block of bytes, little-endian, that is read in place: every array below is a view.
 *
 *   0  "LGTG"   4  version   8  bytes in all   12  checksum of the words from 16 on
 *  16  labels C   20  attributes A   24  pairs P   28  slots of the hash table H   32  bytes of each of the three texts (templates, labels, attributes)   44  kind of training
 *  48  reserved, 0, up to 64
 *  64  start f32[C]   end f32[C]   transitions f32[C, C]   weights f32[P]   pair starts u32[A + 1]   pair labels u32[P]
 *      ends of the labels' names u32[C]   ends of the attributes' names u32[A]   slots u32[H]: 0, or attribute + 1 in the lower bits, as many as A takes, and
 *      above them the highest bits of the hash of its name; of version 1 attribute + 1 alone
 *      texts in UTF-8, filled up with zeros to 4 bytes
 */
const MAGIC = 0x4754474c, VERSION = 2, HEADER = 64;

/** What a model file holds. */
export interface ModelParts {
  /** Templates of the attributes; undefined where a function of the caller makes them. */
  readonly templates: string | undefined;
  readonly labels: readonly string[];
  readonly attributes: readonly string[];
  /** f32 [C], [C], [C, C]. */
  readonly start: Float32Array;
  readonly end: Float32Array;
  readonly transitions: Float32Array;
  /** [A + 1], [P], [P]. */
  readonly pairStarts: ArrayLike<number>;
  readonly pairLabels: ArrayLike<number>;
  readonly weights: Float32Array;
  /** Whether the scores are those of a distribution: a CRF, or a perceptron. */
  readonly kind: "crf" | "perceptron";
}

/** FNV-1a of nothing. */
export const SEED: number = 0x811c9dc5 | 0;

/** FNV-1a of bytes [from, to), after what came before. */
export function hashed(bytes: Uint8Array, from: number, to: number, before: number): number {
  let h = before;
  for (let i = from; i < to; i++) h = Math.imul(h ^ bytes[i], 0x01000193);
  return h;
}

function mix(h: number): number {
  return h ^ (h >>> 15);
}

/** Bits that the number of an attribute + 1 takes in a slot. */
function bitsOf(attributes: number): number {
  return 32 - Math.clz32(attributes);
}

/** What a slot holds of an attribute whose name has that hash. */
function slotOf(mixed: number, attribute: number, attributes: number): number {
  const bits = bitsOf(attributes);
  return ((mixed >>> (bits + 1)) << bits) | (attribute + 1);
}

/** Every step is a bijection of what came before: a change of one word is always seen. */
function checksum(words: Uint32Array | Int32Array): number {
  let h = 0x811c9dc5;
  for (let i = 4; i < words.length; i++) {
    h = Math.imul(h ^ words[i], 0x9e3779b1);
    h ^= h >>> 15;
  }
  return h >>> 0;
}

/** Writes a model. */
export function writeModel({ templates, labels, attributes, start, end, transitions, pairStarts, pairLabels, weights, kind }: ModelParts): Uint8Array {
  const encoder = new TextEncoder(), text = encoder.encode(templates ?? "");
  const names = (list: readonly string[]): { bytes: Uint8Array[]; size: number } => {
    const bytes = list.map((name) => encoder.encode(name));
    return { bytes, size: bytes.reduce((sum, b) => sum + b.length, 0) };
  };
  const labelNames = names(labels), attributeNames = names(attributes);
  const C = labels.length, A = attributes.length, P = weights.length;
  let H = 4;
  while (H < 2 * A) H *= 2;
  const texts = text.length + labelNames.size + attributeNames.size;
  const words = HEADER / 4 + 2 * C + C * C + P + (A + 1) + P + C + A + H + Math.ceil(texts / 4);
  const buffer = new ArrayBuffer(4 * words), out = new Uint32Array(buffer), floats = new Float32Array(buffer), bytes = new Uint8Array(buffer);
  out.set([MAGIC, VERSION, 4 * words, 0, C, A, P, H, text.length, labelNames.size, attributeNames.size, (templates === undefined ? 0 : 1) + (kind === "perceptron" ? 2 : 0)]);
  let at = HEADER / 4;
  for (const part of [start, end, transitions, weights]) {
    floats.set(part, at);
    at += part.length;
  }
  for (const part of [pairStarts, pairLabels]) {
    out.set(part, at);
    at += part.length;
  }
  const ends = (list: readonly Uint8Array[]): void => {
    let sum = 0;
    for (const item of list) out[at++] = sum += item.length;
  };
  ends(labelNames.bytes);
  ends(attributeNames.bytes);
  const slots = out.subarray(at, at + H);
  let to = 4 * (at + H);
  for (const item of [text, ...labelNames.bytes]) {
    bytes.set(item, to);
    to += item.length;
  }
  for (const [a, item] of attributeNames.bytes.entries()) {
    bytes.set(item, to);
    to += item.length;
    const mixed = mix(hashed(item, 0, item.length, SEED));
    let slot = mixed & (H - 1);
    while (slots[slot] !== 0) slot = (slot + 1) & (H - 1);
    slots[slot] = slotOf(mixed, a, A);
  }
  out[3] = checksum(out);
  return bytes;
}

/** A model that is read in place. */
export class ModelFile {
  readonly bytes: Uint8Array;
  readonly templates: string | undefined;
  readonly kind: "crf" | "perceptron";
  readonly labels: readonly string[];
  readonly start: Float32Array;
  readonly end: Float32Array;
  readonly transitions: Float32Array;
  readonly weights: Float32Array;
  readonly pairStarts: Int32Array;
  readonly pairLabels: Int32Array;
  /** Where the attributes' names end. */
  readonly nameEnds: Int32Array;
  readonly #slots: Int32Array;
  /** The names, in UTF-8. */
  readonly names: Uint8Array;
  /** Of what was looked at ahead of its use; nobody needs it, but without it engines would not look. */
  fetched: number = 0;
  readonly #bits: number;

  /** @throws FormatError for bytes that are no model, of another version, cut off or changed */
  constructor(where: string, given: Uint8Array) {
    const fail = (expected: string, got: string, todo?: string): never => {
      throw new FormatError(message(where, "bytes", expected, got, todo));
    };
    if (given.length < HEADER) fail(`of at least ${HEADER} bytes`, `${given.length}`);
    // Views need addresses that are multiples of 4.
    const bytes = (this.bytes = given.byteOffset % 4 === 0 ? given : given.slice());
    const head = new Uint32Array(bytes.buffer, bytes.byteOffset, HEADER / 4);
    if (head[0] !== MAGIC) fail('to begin with "LGTG"', JSON.stringify(String.fromCharCode(...bytes.subarray(0, 4))));
    if (head[1] < 1 || head[1] > VERSION) fail(`of version ${VERSION}`, `${head[1]}`, head[1] > VERSION ? "Upgrade @logits/structured-prediction to read it" : undefined);
    if (head[2] !== bytes.length || bytes.length % 4 !== 0) fail(`of ${head[2]} bytes`, `${bytes.length}`);
    // int32, with which engines count faster: sizes are less than 2^31.
    const all = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    if (head[3] !== checksum(all)) fail(`whose checksum is ${head[3]}`, `${checksum(all)}: the file is damaged`);
    const [C, A, P, H, textSize, labelSize, attributeSize, flags] = head.subarray(4, 12);
    const words = HEADER / 4 + 2 * C + C * C + 2 * P + 2 * A + 1 + C + H + Math.ceil((textSize + labelSize + attributeSize) / 4);
    // A checksum is no proof: whoever writes a file can write its checksum.
    if (C < 1 || words !== all.length || H < 4 || (H & (H - 1)) !== 0 || H < A + 1 || flags > 3) fail("with sizes that fit together", `${C} labels, ${A} attributes, ${P} pairs, ${H} slots`);
    let at = HEADER / 4;
    const take = (count: number): Int32Array => all.subarray(at, (at += count));
    const floats = (count: number): Float32Array => {
      const view = new Float32Array(bytes.buffer, bytes.byteOffset + 4 * at, count);
      at += count;
      const bad = notFinite(view);
      if (bad >= 0) fail("of finite weights", `${view[bad]}`);
      return view;
    };
    this.start = floats(C);
    this.end = floats(C);
    this.transitions = floats(C * C);
    this.weights = floats(P);
    this.pairStarts = take(A + 1);
    this.pairLabels = take(P);
    if (this.pairStarts[0] !== 0 || this.pairStarts[A] !== P || !rises(this.pairStarts) || !within(this.pairLabels, C)) fail("with pairs of attributes and labels that are there", "others");
    const labelEnds = take(C);
    this.nameEnds = take(A);
    const slots = take(H);
    if (!rises(labelEnds) || labelEnds[C - 1] !== labelSize || !rises(this.nameEnds) || (A > 0 ? this.nameEnds[A - 1] : 0) !== attributeSize || (head[1] === 1 ? !within(slots, A + 1) : !hold(slots, A)) || !slots.includes(0)) fail("with names that are there", "others");
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }), text = bytes.subarray(4 * at);
    const decode = (from: number, to: number): string => {
      try {
        return decoder.decode(text.subarray(from, to));
      } catch {
        return fail("of text in UTF-8", "other bytes");
      }
    };
    this.templates = (flags & 1) === 1 ? decode(0, textSize) : undefined;
    this.kind = (flags & 2) === 2 ? "perceptron" : "crf";
    this.labels = Object.freeze(Array.from(labelEnds, (to, y) => decode(textSize + (y === 0 ? 0 : labelEnds[y - 1]), textSize + to)));
    if (new Set(this.labels).size !== C) fail("with different labels", "one twice");
    this.names = text.subarray(textSize + labelSize, textSize + labelSize + attributeSize);
    this.#bits = bitsOf(A);
    this.#slots = head[1] === 1 ? withHashes(slots, this.names, this.nameEnds) : slots;
  }

  /** A. */
  get attributes(): number {
    return this.nameEnds.length;
  }

  /** Name of an attribute. */
  nameOf(attribute: number): string {
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(this.names.subarray(attribute === 0 ? 0 : this.nameEnds[attribute - 1], this.nameEnds[attribute]));
  }

  /** The attribute of that name, bytes [from, to) of UTF-8 whose FNV-1a is h, not mixed; -1 where training has not seen it. */
  find(name: Uint8Array, from: number, to: number, h: number): number {
    const slots = this.#slots, bits = this.#bits, low = (1 << bits) - 1, mask = slots.length - 1, mixed = mix(h), sign = mixed >>> (bits + 1);
    for (let slot = mixed & mask; slots[slot] !== 0; slot = (slot + 1) & mask) if (slots[slot] >>> bits === sign && this.is((slots[slot] & low) - 1, name, from, to)) return (slots[slot] & low) - 1;
    return -1;
  }

  /** Whether bytes [from, to) are the attribute's name. */
  is(attribute: number, name: Uint8Array, from: number, to: number): boolean {
    const names = this.names, first = attribute === 0 ? 0 : this.nameEnds[attribute - 1], size = to - from;
    if (this.nameEnds[attribute] - first !== size) return false;
    let i = 0;
    while (i < size && names[first + i] === name[from + i]) i++;
    return i === size;
  }

  /** Of names, by their hashes: the attribute that each could be, and none that `find` would see before it, or -1 where it is none. */
  candidates(hashes: Int32Array, count: number, found: Int32Array): void {
    const slots = this.#slots, bits = this.#bits, low = (1 << bits) - 1, mask = slots.length - 1, { names, nameEnds, pairStarts } = this;
    let fetched = 0;
    // A slot decides where the loop goes on: it is looked at before anything waits for it.
    for (let i = 0; i < count; i++) fetched ^= slots[mix(hashes[i]) & mask];
    for (let i = 0; i < count; i++) {
      const mixed = mix(hashes[i]), sign = mixed >>> (bits + 1);
      let slot = mixed & mask;
      while (slots[slot] !== 0 && slots[slot] >>> bits !== sign) slot = (slot + 1) & mask;
      found[i] = (slots[slot] & low) - 1;
    }
    for (let i = 0; i < count; i++) if (found[i] > 0) fetched ^= names[nameEnds[found[i] - 1]] ^ pairStarts[found[i]];
    this.fetched = fetched;
  }

  /** Looks at pairs ahead of their use: those of all attributes are on their way from memory at the same time. */
  fetch(pairs: Int32Array, count: number): void {
    const { pairLabels, weights } = this;
    let fetched = 0;
    for (let i = 0; i < count; i++) fetched += pairLabels[pairs[i]] + weights[pairs[i]];
    this.fetched = fetched;
  }
}

/** Slots of version 1 with what those of later versions hold. */
function withHashes(slots: Int32Array, names: Uint8Array, ends: Int32Array): Int32Array {
  const ofNames = new Int32Array(ends.length);
  for (let a = 0, from = 0; a < ends.length; from = ends[a++]) ofNames[a] = slotOf(mix(hashed(names, from, ends[a], SEED)), a, ends.length);
  return slots.map((a) => (a === 0 ? 0 : ofNames[a - 1]));
}

/** Whether each slot holds 0 or one of so many attributes. */
function hold(slots: Int32Array, attributes: number): boolean {
  const low = (1 << bitsOf(attributes)) - 1;
  for (let i = 0; i < slots.length; i++) if (slots[i] !== 0 && (slots[i] < 0 || (slots[i] & low) < 1 || (slots[i] & low) > attributes)) return false;
  return true;
}

function rises(x: Int32Array): boolean {
  for (let i = 0, before = 0; i < x.length; before = x[i++]) if (x[i] < before) return false;
  return true;
}

/** Whether all are in [0, end). */
function within(x: Int32Array, end: number): boolean {
  for (let i = 0; i < x.length; i++) if (x[i] < 0 || x[i] >= end) return false;
  return true;
}

function notFinite(x: Float32Array): number {
  for (let i = 0; i < x.length; i++) if (x[i] - x[i] !== 0) return i;
  return -1;
}

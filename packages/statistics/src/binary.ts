import { FormatError } from "@logits/tensor";

const MAGIC = 0x53544c47; // "GLTS" in little-endian order
const CRC = /* @__PURE__ */ crcTable();

function crcTable(): Uint32Array {
  const table = new Uint32Array(256);
  for (let n = 0; n < 256; n++) {
    let c = n;
    for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
    table[n] = c;
  }
  return table;
}

/** CRC-32 of bytes (the polynomial of zip and PNG). */
function crc32(bytes: Uint8Array, end: number): number {
  let c = 0xffffffff;
  for (let i = 0; i < end; i++) c = CRC[(c ^ bytes[i]) & 255] ^ (c >>> 8);
  return ~c >>> 0;
}

/**
 * Writes a small versioned binary format, little-endian: "GLTS", length and ASCII of the format's name, version, the fields, CRC-32 of all before it.
 *
 * @example new ByteWriter("statistics.Moments", 1).float64(2.5).bytes()
 */
export class ByteWriter {
  #view: DataView = new DataView(new ArrayBuffer(256));
  #length = 0;

  /**
   * @param format - package and class, ASCII, 1 to 255 characters
   * @param version - integer in [1, 65535]
   */
  constructor(format: string, version: number) {
    this.#room(4).setUint32(this.#advance(4), MAGIC, true);
    this.#room(1).setUint8(this.#advance(1), format.length);
    for (let i = 0; i < format.length; i++) this.#room(1).setUint8(this.#advance(1), format.charCodeAt(i));
    this.#room(2).setUint16(this.#advance(2), version, true);
  }

  /** An integer in [0, 2^32). */
  uint32(value: number): this {
    this.#room(4).setUint32(this.#advance(4), value, true);
    return this;
  }

  /** A number, bit for bit. */
  float64(value: number): this {
    this.#room(8).setFloat64(this.#advance(8), value, true);
    return this;
  }

  /** Numbers with their count in front. */
  float64Array(values: Float64Array): this {
    this.uint32(values.length);
    this.#room(8 * values.length);
    for (let i = 0; i < values.length; i++) this.#view.setFloat64(this.#advance(8), values[i], true);
    return this;
  }

  /** Everything written, with the checksum at the end. */
  bytes(): Uint8Array {
    const out = new Uint8Array(this.#length + 4);
    out.set(new Uint8Array(this.#view.buffer, 0, this.#length));
    new DataView(out.buffer).setUint32(this.#length, crc32(out, this.#length), true);
    return out;
  }

  #room(size: number): DataView {
    if (this.#length + size > this.#view.byteLength) {
      const grown = new Uint8Array(Math.max(2 * this.#view.byteLength, this.#length + size));
      grown.set(new Uint8Array(this.#view.buffer, 0, this.#length));
      this.#view = new DataView(grown.buffer);
    }
    return this.#view;
  }

  #advance(size: number): number {
    this.#length += size;
    return this.#length - size;
  }
}

/**
 * Reads what `ByteWriter` wrote. Bytes that are too short, of another format or version, damaged or too long are a `FormatError`;
 * a count is compared with what is left before anything is allocated.
 */
export class ByteReader {
  readonly #where: string;
  readonly #view: DataView;
  /** Version of the format that was found, in [1, latest]. */
  readonly version: number;
  #at = 0;

  /**
   * @param where - function for the messages
   * @param bytes - what was read
   * @param format - the name that must be there
   * @param latest - the newest version that the caller knows
   * @throws FormatError if the frame is not intact
   */
  constructor(where: string, bytes: Uint8Array, format: string, latest: number) {
    this.#where = where;
    if (!(bytes instanceof Uint8Array)) throw this.error("a Uint8Array", typeof bytes);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (bytes.length < 11) throw this.error("at least 11 bytes", `${bytes.length}`);
    if (this.uint32() !== MAGIC) throw this.error('to begin with "GLTS"', "other bytes");
    const length = this.#view.getUint8(this.#take(1));
    let name = "";
    for (let i = 0; i < length; i++) name += String.fromCharCode(this.#view.getUint8(this.#take(1)));
    if (name !== format) throw this.error(`of format ${format}`, JSON.stringify(name));
    this.version = this.#view.getUint16(this.#take(2), true);
    if (this.version < 1 || this.version > latest) {
      throw this.error(latest === 1 ? "of version 1" : `of version 1 to ${latest}`, `${this.version}${this.version > latest ? ". Upgrade to read it" : ""}`);
    }
    const sum = this.#view.getUint32(bytes.length - 4, true);
    if (sum !== crc32(bytes, bytes.length - 4)) throw this.error("intact (CRC-32)", "damaged bytes");
  }

  /** An integer in [0, 2^32). */
  uint32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  /** A number; not finite is a FormatError unless `allow` says otherwise. */
  float64(field: string, allow: "finite" | "any" = "finite"): number {
    const value = this.#view.getFloat64(this.#take(8), true);
    if (allow === "finite" && value - value !== 0) throw this.error(`with a finite \`${field}\``, `${value}`);
    return value;
  }

  /** As many finite numbers as the count in front says; `length` where only one count is right. */
  float64Array(field: string, length?: number): Float64Array {
    const count = this.uint32();
    if (length !== undefined && count !== length) throw this.error(`with ${length} numbers in \`${field}\``, `${count}`);
    if (count * 8 > this.#left()) throw this.error(`with ${count} numbers in \`${field}\``, `${this.#left()} bytes`);
    const out = new Float64Array(count);
    for (let i = 0; i < count; i++) out[i] = this.float64(`${field}[${i}]`);
    return out;
  }

  /** Checks that nothing is left. */
  end(): void {
    if (this.#left() !== 0) throw this.error("to end after its last field", `${this.#left()} more bytes`);
  }

  /** The error for a field that a caller has checked itself. */
  error(expected: string, got: string): FormatError {
    return new FormatError(`${this.#where}: expected \`bytes\` ${expected}, got ${got}`);
  }

  #left(): number {
    return this.#view.byteLength - 4 - this.#at;
  }

  #take(size: number): number {
    if (size > this.#left()) throw this.error("with all its fields", `${this.#view.byteLength} bytes`);
    this.#at += size;
    return this.#at - size;
  }
}

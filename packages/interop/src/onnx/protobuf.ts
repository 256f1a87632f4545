import { FormatError, message } from "@logits/tensor";

/** One field of a protobuf message. Source: protobuf.dev, "Encoding". */
export interface Field {
  readonly number: number;
  /** 0 varint, 1 eight bytes, 2 a length and that many bytes, 5 four bytes. */
  readonly wire: number;
  /** A varint as a signed 64-bit integer (exact up to 2^53); else 0. */
  readonly value: number;
  /** Where the field begins, its tag included. */
  readonly from: number;
  /** Its content: [start, end). */
  readonly start: number;
  readonly end: number;
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** Protobuf's own limit on a message, and so on an ONNX file. */
export const LARGEST: number = 2 ** 31 - 1;

/** Fields that are read of one file; a graph of 100,000 nodes has about half as many. Without a bound a file of 10 MB, all of it empty messages, would fill gigabytes of memory. */
const MOST_FIELDS = 2 ** 22;

/** Reads protobuf without copying; whatever is wrong is a `FormatError` of the caller `where`. */
export class Wire {
  readonly where: string;
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;
  #left: number;

  constructor(where: string, bytes: Uint8Array, mostFields: number = MOST_FIELDS) {
    this.where = where;
    this.bytes = bytes;
    this.#left = mostFields;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** The bytes are not what they must be. */
  fail(got: string, todo?: string, options?: ErrorOptions): never {
    throw new FormatError(message(this.where, "bytes", "to be an ONNX model", got, todo), options);
  }

  /** The fields of the message in [start, end), in the order of the file. */
  *fields(start: number, end: number): Generator<Field> {
    for (let at = start; at < end;) {
      if (--this.#left < 0) this.fail(`more fields than a model has, at byte ${at}`, "The file is damaged");
      const from = at;
      const tag = this.#varint(at, end);
      const number = Math.floor(tag / 8);
      const wire = tag & 7;
      const begin = this.#at;
      if (number < 1 || number > 0x1fffffff) this.fail(`field number ${number} at byte ${at}`);
      let value = 0;
      let content = begin;
      if (wire === 0) {
        value = this.#varint(begin, end);
        at = this.#at;
      } else if (wire === 2) {
        const length = this.#varint(begin, end);
        content = this.#at;
        at = content + length;
        if (length < 0 || at > end) this.fail(`a field of ${length} bytes at byte ${content}, where ${end - content} are left`, "The file is truncated or damaged: load it again");
      } else if (wire === 1 || wire === 5) {
        at = begin + (wire === 1 ? 8 : 4);
        if (at > end) this.fail(`a number of ${at - begin} bytes at byte ${begin}, where ${end - begin} are left`, "The file is truncated or damaged: load it again");
      } else this.fail(`wire type ${wire} at byte ${at}`);
      yield { number, wire, value, from, start: content, end: at };
    }
  }

  text({ number, wire, start, end }: Field): string {
    if (wire !== 2) this.fail(`wire type ${wire} for the text of field ${number} at byte ${start}`);
    try {
      return decoder.decode(this.bytes.subarray(start, end));
    } catch (cause) {
      return this.fail(`text that is not UTF-8 at byte ${start}`, undefined, { cause });
    }
  }

  /** The fields of an embedded message. */
  inside({ number, wire, start, end }: Field): Generator<Field> {
    if (wire !== 2) this.fail(`wire type ${wire} for the message of field ${number} at byte ${start}`);
    return this.fields(start, end);
  }

  integer({ number, wire, value, start }: Field): number {
    if (wire !== 0) this.fail(`wire type ${wire} for the integer of field ${number} at byte ${start}`);
    return value;
  }

  float({ number, wire, start }: Field): number {
    if (wire !== 5) this.fail(`wire type ${wire} for the float of field ${number} at byte ${start}`);
    return this.#view.getFloat32(start, true);
  }

  /** A repeated integer, each field one by itself or several packed; at most `most` in all. */
  integers(fields: readonly Field[], most: number): number[] {
    const out: number[] = [];
    for (const { wire, number, value, start, end } of fields) {
      if (wire === 0) out.push(value);
      else if (wire !== 2) this.fail(`wire type ${wire} for the integers of field ${number} at byte ${start}`);
      else for (let at = start; at < end && out.length <= most; at = this.#at) out.push(this.#varint(at, end));
      if (out.length > most) this.fail(`more than ${most} integers of field ${number} at byte ${start}`);
    }
    return out;
  }

  /** Leaves the position behind it in `#at`. */
  #varint(at: number, end: number): number {
    let low = 0;
    let high = 0;
    for (let i = 0; i < 10; i++) {
      if (at + i >= end) this.fail(`the end in the middle of a number at byte ${at}`, "The file is truncated or damaged: load it again");
      const byte = this.bytes[at + i];
      const part = byte & 127;
      if (i < 4) low += part << (7 * i);
      else if (i === 4) {
        low += (part & 15) * 2 ** 28;
        high = part >>> 4;
      } else high |= part << (7 * i - 32);
      if (byte < 128) {
        this.#at = at + i + 1;
        return high * 2 ** 32 + low;
      }
    }
    return this.fail(`a number of more than ten bytes at byte ${at}`);
  }
}

/** A varint of a value that is not negative. */
function varint(value: number): number[] {
  const out: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) out.push((rest % 128) + 128);
  return [...out, rest];
}

/** Bytes one after another. */
export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** A field that holds bytes or a message. */
export function bytesField(number: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return concat([Uint8Array.from([...varint(number * 8 + 2), ...varint(length)]), ...parts]);
}

export function textField(number: number, text: string): Uint8Array {
  return bytesField(number, encoder.encode(text));
}

export function integerField(number: number, value: number): Uint8Array {
  return Uint8Array.from([...varint(number * 8), ...varint(value)]);
}

import { inflateSync } from "fflate";
import type { FileArray } from "./fileArray.ts";
import { formatError, quote } from "./formatError.ts";
import { readNpy } from "./npy.ts";

/** Entries that unpack to more than this must not shrink better than RATIO_LIMIT: 64 MiB. */
const TRUSTED_BYTES = 67108864;
const RATIO_LIMIT = 200;
/** Deflate cannot shrink better than this: 258 bytes from 2 bits. */
const DEFLATE_RATIO = 1032;

interface Entry {
  readonly name: string;
  readonly method: number;
  readonly crc: number;
  readonly packed: number;
  readonly unpacked: number;
  readonly offset: number;
}

/**
 * One array of a `.npz` file (a zip of `.npy` files, stored or deflated, as numpy.savez and savez_compressed write it).
 *
 * Nothing is allocated before the directory was compared with the bytes that are there. An entry of more than 64 MiB that
 * claims to have shrunk more than 200 times is refused. Checksums are compared.
 *
 * @param key - the array's name; may be left out where the file holds exactly one
 * @throws FormatError that lists the keys where `key` is missing or unknown
 */
export function readNpz(bytes: Uint8Array, file: string, key?: string): FileArray {
  const fail = (expected: string, got: string, todo?: string, cause?: unknown): Error => formatError("readNpz", file, expected, got, todo, cause);
  const entries = directory(bytes, file);
  const keys = entries.map((entry) => entry.name.replace(/\.npy$/, ""));
  const listed = keys.length > 20 ? `${keys.slice(0, 20).join(", ")}, ... (${keys.length})` : keys.join(", ");
  if (entries.length === 0) throw fail("to hold an array", "an empty archive");
  if (key === undefined && entries.length > 1) throw fail("with a key, as FILE.npz:KEY", "none", `Keys: ${listed}`);
  const index = key === undefined ? 0 : keys.indexOf(key);
  if (index < 0) throw fail(`to hold ${quote(key!)}`, `keys ${listed}`);
  if (keys.indexOf(keys[index], index + 1) >= 0) throw fail("to hold each key once", `${quote(keys[index])} twice`);
  const name = `${file}:${keys[index]}`;
  if (!entries[index].name.endsWith(".npy")) throw fail("to hold .npy arrays", quote(entries[index].name));
  return readNpy(unpack(bytes, entries[index], file), name);
}

function directory(bytes: Uint8Array, file: string): Entry[] {
  const fail = (expected: string, got: string, todo?: string): Error => formatError("readNpz", file, expected, got, todo);
  if (bytes.length === 0) throw fail("to be a .npz file", "an empty file");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 22 || (view.getUint32(0, true) !== 0x04034b50 && view.getUint32(0, true) !== 0x06054b50)) {
    throw fail("to be a zip archive", bytes.length < 22 ? `${bytes.length} bytes` : "another signature", "Write it with numpy.savez");
  }
  let end = bytes.length - 22;
  const lowest = Math.max(0, end - 65535);
  while (end >= lowest && view.getUint32(end, true) !== 0x06054b50) end--;
  if (end < lowest) throw fail("to end with a zip directory", "none", "The file is truncated");
  let count = view.getUint16(end + 10, true);
  let size = view.getUint32(end + 12, true);
  let at = view.getUint32(end + 16, true);
  if (end >= 20 && view.getUint32(end - 20, true) === 0x07064b50) {
    const record = u64(view, end - 12);
    if (!(record + 56 <= end) || view.getUint32(record, true) !== 0x06064b50) throw fail("to have a zip64 directory where it says", `offset ${record}`);
    count = u64(view, record + 32);
    size = u64(view, record + 40);
    at = u64(view, record + 48);
  }
  // Each directory record has at least 46 bytes.
  if (!(at + size <= end) || !(count * 46 <= size)) throw fail("to have a zip directory inside the file", `${count} entries in ${size} bytes at ${at} of ${bytes.length}`, "The file is truncated or damaged");
  const entries: Entry[] = [];
  for (let i = 0; i < count; i++) {
    if (at + 46 > end || view.getUint32(at, true) !== 0x02014b50) throw fail("to have a readable zip directory", `none at entry ${i}`, "The file is damaged");
    const flags = view.getUint16(at + 8, true);
    const method = view.getUint16(at + 10, true);
    const nameLength = view.getUint16(at + 28, true);
    const extraLength = view.getUint16(at + 30, true);
    const next = at + 46 + nameLength + extraLength + view.getUint16(at + 32, true);
    if (next > end) throw fail("to have a readable zip directory", `an entry beyond its end`, "The file is damaged");
    const name = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + nameLength));
    if (flags & 1) throw fail("to be unencrypted", `${quote(name)} encrypted`);
    if (method !== 0 && method !== 8) throw fail("to be stored or deflated", `method ${method} for ${quote(name)}`, "Write it with numpy.savez");
    const wide = [view.getUint32(at + 24, true), view.getUint32(at + 20, true), view.getUint32(at + 42, true)];
    zip64(view, at + 46 + nameLength, extraLength, wide);
    entries.push({ name, method, crc: view.getUint32(at + 16, true), unpacked: wide[0], packed: wide[1], offset: wide[2] });
    at = next;
  }
  return entries;
}

/** Fields of 0xffffffff stand in the extra field with tag 1 instead, in the order size, packed size, offset. */
function zip64(view: DataView, at: number, length: number, fields: number[]): void {
  for (let p = at; p + 4 <= at + length; p += 4 + view.getUint16(p + 2, true)) {
    if (view.getUint16(p, true) !== 1) continue;
    const last = Math.min(at + length, p + 4 + view.getUint16(p + 2, true));
    let from = p + 4;
    for (let i = 0; i < fields.length; i++) {
      if (fields[i] !== 0xffffffff || from + 8 > last) continue;
      fields[i] = u64(view, from);
      from += 8;
    }
  }
}

function unpack(bytes: Uint8Array, entry: Entry, file: string): Uint8Array {
  const fail = (expected: string, got: string, todo?: string, cause?: unknown): Error => formatError("readNpz", file, expected, got, todo, cause);
  const { name, offset, packed, unpacked, method } = entry;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (!(offset + 30 <= bytes.length) || view.getUint32(offset, true) !== 0x04034b50) throw fail(`to hold ${quote(name)} at ${offset}`, "something else", "The file is damaged");
  const start = offset + 30 + view.getUint16(offset + 26, true) + view.getUint16(offset + 28, true);
  if (!(start + packed <= bytes.length)) throw fail(`to hold ${packed} bytes of ${quote(name)}`, `${Math.max(0, bytes.length - start)}`, "The file is truncated");
  const limit = unpacked > TRUSTED_BYTES ? RATIO_LIMIT : DEFLATE_RATIO;
  if (method === 0 ? unpacked !== packed : !(unpacked <= packed * limit + 64)) {
    throw fail(
      method === 0 ? `to store ${quote(name)} as it is` : `to unpack ${quote(name)} to at most ${limit} times its ${packed} bytes`,
      `${unpacked}`,
      method === 0 ? "The file is damaged" : "If you trust it, load it and write it again with numpy.savez",
    );
  }
  const body = bytes.subarray(start, start + packed);
  let data = body;
  if (method === 8) {
    try {
      data = inflateSync(body, { out: new Uint8Array(unpacked) });
    } catch (cause) {
      throw fail(`to hold deflated ${quote(name)}`, `damaged data (${(cause as Error).message})`, "The file is damaged", cause);
    }
    if (data.length !== unpacked) throw fail(`to unpack ${quote(name)} to ${unpacked} bytes`, `${data.length}`, "The file is damaged");
  }
  if (crc32(data) !== entry.crc) throw fail(`to hold ${quote(name)} with the checksum of its directory`, "another checksum", "The file is damaged");
  return data;
}

/** Little-endian 64-bit; above 2^53 it is inexact, and every comparison with a length then fails as it should. */
function u64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 4294967296;
}

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let bit = 0; bit < 8; bit++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c;
});

function crc32(bytes: Uint8Array): number {
  let c = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) c = CRC[(c ^ bytes[i]) & 255] ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}

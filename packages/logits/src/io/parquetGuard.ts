import { gunzipSync } from "fflate";
import type { Compressors, FileMetaData, SchemaTree } from "hyparquet";
import { parquetHeader } from "hyparquet/src/column.js";
import { snappyUncompress } from "hyparquet/src/snappy.js";

/**
 * hyparquet trusts the counts in pages: a run of 2^30 equal values in a 200-byte file fills the heap. So every page is walked first,
 * and a file may hold no more than VALUES + RATIO * (its bytes) values, and no page may unpack to more than BYTES + RATIO * (its bytes).
 */
const VALUES = 1048576;
const BYTES = 1048576;
const RATIO = 1000;

const ENCODINGS = ["PLAIN", "PLAIN_DICTIONARY", "RLE_DICTIONARY", "RLE", "BYTE_STREAM_SPLIT"];

/** Decompressors for hyparquet: snappy is its own, gzip comes from fflate. The others need large libraries. */
export const compressors: Compressors = {
  SNAPPY: (input, length) => {
    const out = new Uint8Array(length);
    snappyUncompress(input, out);
    return out;
  },
  GZIP: (input, length) => gunzipSync(input, { out: new Uint8Array(length) }),
};

/** Throws a plain Error (the reader wraps it) where a page of the chosen columns claims what it does not hold. */
export function checkPages(bytes: Uint8Array, metadata: FileMetaData, schema: SchemaTree, columns: readonly string[]): void {
  const limit = VALUES + RATIO * bytes.length;
  let total = 0;
  for (const group of metadata.row_groups) {
    for (const { meta_data: column, file_path: path } of group.columns) {
      if (!column || path) throw new Error("column data outside the file");
      if (!columns.includes(column.path_in_schema[0])) continue;
      const levels = levelsOf(schema, column.path_in_schema);
      const dictionary = Number(column.dictionary_page_offset ?? 0);
      const data = Number(column.data_page_offset);
      const begin = dictionary > 0 && dictionary < data ? dictionary : data;
      const end = begin + Number(column.total_compressed_size);
      if (!(begin >= 4 && begin <= end && end <= bytes.length)) throw new Error(`column data at ${begin} to ${end} of ${bytes.length} bytes`);
      if (column.codec !== "UNCOMPRESSED" && !compressors[column.codec]) throw new Error(`compression ${column.codec}, not UNCOMPRESSED, SNAPPY or GZIP`);
      total += walk(bytes.subarray(begin, end), column.codec, column.type, levels, limit - total);
    }
  }
}

interface Levels {
  readonly repetition: number;
  readonly definition: number;
}

function levelsOf(schema: SchemaTree, path: readonly string[]): Levels {
  let node: SchemaTree | undefined = schema;
  let repetition = 0;
  let definition = 0;
  for (const name of path) {
    node = node.children.find((child) => child.element.name === name);
    if (!node) throw new Error(`a column ${path.join(".")} that the schema lacks`);
    if (node.element.repetition_type === "REPEATED") repetition++;
    if (node.element.repetition_type !== "REQUIRED") definition++;
  }
  return { repetition, definition };
}

/** Walks the pages of one column chunk; returns how many values they claim. */
function walk(chunk: Uint8Array, codec: string, type: string, levels: Levels, limit: number): number {
  const reader = { view: new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength), offset: 0 };
  let total = 0;
  while (reader.offset < chunk.length - 1) {
    const header = parquetHeader(reader);
    const packed = header.compressed_page_size;
    const unpacked = header.uncompressed_page_size;
    if (!isCount(packed) || reader.offset + packed > chunk.length) throw new Error(`a page of ${packed} bytes where ${chunk.length - reader.offset} are left`);
    if (!isCount(unpacked) || unpacked > BYTES + RATIO * packed) throw new Error(`a page that unpacks from ${packed} to ${unpacked} bytes`);
    const body = chunk.subarray(reader.offset, reader.offset + packed);
    reader.offset += packed;
    if (header.type === "DICTIONARY_PAGE") {
      const count = header.dictionary_page_header?.num_values;
      if (!isCount(count) || count > 8 * unpacked) throw new Error(`a dictionary of ${count} values in ${unpacked} bytes`);
      continue;
    }
    const v1 = header.data_page_header;
    const v2 = header.data_page_header_v2;
    const page = header.type === "DATA_PAGE" ? v1 : header.type === "DATA_PAGE_V2" ? v2 : undefined;
    if (!page) throw new Error(`a page of type ${header.type}`);
    const count = page.num_values;
    if (!isCount(count) || (total += count) > limit) throw new Error(`a page of ${count} values in a file of this size`);
    if (!ENCODINGS.includes(page.encoding)) throw new Error(`encoding ${page.encoding}, not ${ENCODINGS.join(", ")}`);
    if (page === v2) {
      const { repetition_levels_byte_length: first, definition_levels_byte_length: second, num_nulls: nulls } = v2;
      if (!isCount(first) || !isCount(second) || first + second > packed || first + second > unpacked) throw new Error("level data beyond the page");
      if (!isCount(nulls) || nulls > count || !isCount(v2.num_rows) || v2.num_rows > count) throw new Error(`${nulls} nulls and ${v2.num_rows} rows of ${count} values`);
      checkRuns(body.subarray(0, first), widthOf(levels.repetition), count);
      checkRuns(body.subarray(first, first + second), widthOf(levels.definition), count);
      const rest = body.subarray(first + second);
      checkValues(v2.is_compressed === false ? rest : unpack(rest, unpacked - first - second, codec), page.encoding, type, count);
    } else {
      let values = unpack(body, unpacked, codec);
      for (const level of [levels.repetition, levels.definition]) if (level > 0) values = checkPrefixed(values, widthOf(level), count);
      checkValues(values, page.encoding, type, count);
    }
  }
  return total;
}

function checkValues(bytes: Uint8Array, encoding: string, type: string, count: number): void {
  if (encoding === "RLE") {
    if (type !== "BOOLEAN") throw new Error(`encoding RLE for ${type}`);
    checkPrefixed(bytes, 1, count);
  } else if (encoding.endsWith("_DICTIONARY") && bytes.length > 0) {
    if (type === "BOOLEAN") throw new Error("a dictionary of BOOLEAN");
    checkRuns(bytes.subarray(1), bytes[0], count);
  }
}

/** Runs behind their length of 4 bytes; returns what follows. */
function checkPrefixed(bytes: Uint8Array, width: number, count: number): Uint8Array {
  const length = bytes.length < 4 ? -1 : (bytes[0] | (bytes[1] << 8) | (bytes[2] << 16) | (bytes[3] << 24)) >>> 0;
  if (length < 0 || 4 + length > bytes.length) throw new Error("runs beyond the page");
  checkRuns(bytes.subarray(4, 4 + length), width, count);
  return bytes.subarray(4 + length);
}

/** Runs of the RLE and bit-packing hybrid: none may claim more than the values that are still to come. Nulls have none, so fewer may come. */
function checkRuns(bytes: Uint8Array, width: number, count: number): void {
  if (width > 32) throw new Error(`values of ${width} bits`);
  let seen = 0;
  for (let at = 0; at < bytes.length && seen < count; ) {
    let header = 0;
    for (let shift = 1; ; shift *= 128) {
      if (at >= bytes.length || shift > 2 ** 28) throw new Error("a run without an end");
      const byte = bytes[at++];
      header += (byte & 127) * shift;
      if (byte < 128) break;
    }
    const half = Math.floor(header / 2);
    if (header % 2 === 1) {
      if (half * 8 > count - seen + 7) throw new Error(`a run of ${half * 8} values where ${count - seen} are left`);
      at += half * width;
      seen += half * 8;
    } else {
      if (half > count - seen) throw new Error(`a run of ${half} values where ${count - seen} are left`);
      at += (width + 7) >> 3;
      seen += half;
    }
  }
}

function unpack(bytes: Uint8Array, length: number, codec: string): Uint8Array {
  if (codec === "UNCOMPRESSED") return bytes;
  return compressors[codec as "SNAPPY"]!(bytes, length);
}

/** Bits of a level in [0, level]. */
function widthOf(level: number): number {
  return 32 - Math.clz32(level);
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

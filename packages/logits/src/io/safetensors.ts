import { type ElementType, type FileArray, ELEMENT_BYTES, claimedSize, decodeElements } from "./fileArray.ts";
import { formatError, quote } from "./formatError.ts";

const TYPES: Readonly<Record<string, ElementType>> = {
  F64: "float64", F32: "float32", F16: "float16", BF16: "bfloat16", I64: "int64", I32: "int32", I16: "int16", I8: "int8", U64: "uint64", U32: "uint32", U16: "uint16", U8: "uint8", BOOL: "bool",
};
/** The limit of the reference implementation. */
const HEADER_LIMIT = 100_000_000;

interface Entry {
  readonly key: string;
  readonly type: ElementType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/**
 * One tensor of a `.safetensors` file. Every tensor's offsets are checked, not only those of the one that is read: inside the
 * file, of the size of shape and dtype, without holes or overlaps.
 *
 * @param key - the tensor's name; may be left out where the file holds exactly one
 * @throws FormatError that lists the keys where `key` is missing or unknown
 *
 * Source: the format section of the safetensors documentation: u64 header length, JSON, data.
 */
export function readSafetensors(bytes: Uint8Array, file: string, key?: string): FileArray {
  const fail = (expected: string, got: string, todo?: string, cause?: unknown): Error => formatError("readSafetensors", file, expected, got, todo, cause);
  if (bytes.length < 8) throw fail("to start with a header length of 8 bytes", bytes.length === 0 ? "an empty file" : `${bytes.length} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint32(0, true) + view.getUint32(4, true) * 4294967296;
  if (length > HEADER_LIMIT || 8 + length > bytes.length) throw fail(`to hold the header of ${length} bytes that it claims`, `${bytes.length - 8}`, "The file is truncated, damaged or of another format");
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(8, 8 + length)));
  } catch (cause) {
    throw fail("to have a JSON header", `damaged JSON (${(cause as Error).message})`, undefined, cause);
  }
  if (typeof header !== "object" || header === null || Array.isArray(header)) throw fail("to have a JSON object as its header", JSON.stringify(header).slice(0, 20));
  const there = bytes.length - 8 - length;
  const entries = Object.entries(header)
    .filter(([name]) => name !== "__metadata__")
    .map(([name, value]) => entryOf(name, value, there, file));
  const inOrder = entries.slice().sort((a, b) => a.begin - b.begin || a.end - b.end);
  let covered = 0;
  for (const { key: name, begin, end } of inOrder) {
    if (begin !== covered) throw fail("to have tensors without holes or overlaps", `${quote(name)} at ${begin} instead of ${covered}`, "The file is damaged");
    covered = end;
  }
  if (covered !== there) throw fail(`to hold ${covered} bytes of data`, `${there}`, "The file is damaged");
  const keys = entries.map((entry) => entry.key);
  const listed = keys.length > 20 ? `${keys.slice(0, 20).join(", ")}, ... (${keys.length})` : keys.join(", ");
  if (entries.length === 0) throw fail("to hold a tensor", "none");
  if (key === undefined && entries.length > 1) throw fail("with a key, as FILE.safetensors:KEY", "none", `Keys: ${listed}`);
  const entry = key === undefined ? entries[0] : entries.find((candidate) => candidate.key === key);
  if (!entry) throw fail(`to hold ${quote(key!)}`, `keys ${listed}`);
  const data = decodeElements("readSafetensors", file, bytes.subarray(8 + length + entry.begin, 8 + length + entry.end), entry.type, true);
  return { data, shape: entry.shape, dtype: entry.type };
}

function entryOf(key: string, value: unknown, there: number, file: string): Entry {
  const name = `${file}:${key.slice(0, 40)}`;
  const { dtype, shape, data_offsets: offsets } = (value ?? {}) as { dtype?: unknown; shape?: unknown; data_offsets?: unknown };
  const type = typeof dtype === "string" && Object.hasOwn(TYPES, dtype) ? TYPES[dtype] : undefined;
  if (!type) throw formatError("readSafetensors", name, `to have a dtype of ${Object.keys(TYPES).join(" ")}`, quote(String(dtype)), "Convert with tensor.float() before saving");
  if (!Array.isArray(shape) || !Array.isArray(offsets)) throw formatError("readSafetensors", name, "to have shape and data_offsets", "none");
  const bytes = claimedSize("readSafetensors", name, shape) * ELEMENT_BYTES[type];
  const [begin, end] = offsets as unknown[];
  if (offsets.length !== 2 || !Number.isSafeInteger(begin) || !Number.isSafeInteger(end) || (begin as number) < 0 || (end as number) > there || (end as number) - (begin as number) !== bytes) {
    throw formatError("readSafetensors", name, `to have data_offsets of ${bytes} bytes inside the ${there} that are there`, `[${offsets.slice(0, 4).join(", ")}]`, "The file is truncated or damaged");
  }
  return { key, type, shape: shape as number[], begin: begin as number, end: end as number };
}

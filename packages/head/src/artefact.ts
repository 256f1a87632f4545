import { FormatError, describe, message, sizeOf, typeError, type TensorJSON } from "@logits/tensor";
import { sha256 } from "./sha256.ts";

/** Names of the dtypes in the container. */
const CODES = { float32: "F32", int32: "I32" } as const;
/** Keys of `__metadata__`. */
const JSON_KEY = "logits", HASH_KEY = "sha256";
/** The limit of the reference implementation of safetensors. */
const HEADER_LIMIT = 100_000_000;

/** Stands in the JSON where a tensor was taken out. */
interface Reference {
  readonly $tensor: string;
  readonly dtype: keyof typeof CODES;
  readonly shape: readonly number[];
}

/**
 * The bytes of a safetensors file that holds a JSON value: each `{ dtype, shape, data }` in it becomes a tensor with the JSON path as its name, the rest stands as text
 * under `logits` in `__metadata__`, with a reference in the tensor's place. `sha256` there is the digest of that text followed by the tensors in the order of the references.
 *
 * @param json - what a `toJSON` of this library returned
 * @returns 8 bytes of header length (little-endian), the header padded with spaces to a multiple of 8, the little-endian numbers
 * Source: the format section of the safetensors documentation.
 */
export function toArtefact(json: object): Uint8Array {
  const header: Record<string, unknown> = {};
  const parts: Uint8Array[] = [];
  let end = 0;
  const without = (value: unknown, path: string): unknown => {
    if (isTensor(value)) {
      const { dtype, shape, data } = value;
      const characters = atob(data), part = new Uint8Array(characters.length);
      for (let i = 0; i < part.length; i++) part[i] = characters.charCodeAt(i);
      header[path] = { dtype: CODES[dtype], shape, data_offsets: [end, (end += part.length)] };
      parts.push(part);
      return { $tensor: path, dtype, shape } satisfies Reference;
    }
    if (Array.isArray(value)) return value.map((item, i) => without(item, `${path}.${i}`));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, without(item, path === "" ? key : `${path}.${key}`)]));
  };
  const encoder = new TextEncoder();
  const text = JSON.stringify(without(json, ""));
  const entries = encoder.encode(JSON.stringify({ __metadata__: { [JSON_KEY]: text, [HASH_KEY]: sha256(encoder.encode(text), ...parts) }, ...header }));
  const length = Math.ceil(entries.length / 8) * 8;
  const bytes = new Uint8Array(8 + length + end);
  new DataView(bytes.buffer).setUint32(0, length, true);
  bytes.fill(32, 8, 8 + length);
  bytes.set(entries, 8);
  let at = 8 + length;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/**
 * The JSON value in what `toArtefact` wrote (or in the same file written anew by another safetensors library); `data` of each tensor is the typed array, a copy.
 * Every offset, shape, reference and the digest are checked.
 *
 * @param where - the caller, for the messages
 * @throws TypeError if it is no Uint8Array; FormatError if the file is truncated, damaged or of another kind
 */
export function fromArtefact(where: string, bytes: Uint8Array): unknown {
  if (!(bytes instanceof Uint8Array)) throw typeError(where, "bytes", "a Uint8Array", describe(bytes));
  const fail = (expected: string, got: string, cause?: unknown): never => {
    throw new FormatError(message(where, "bytes", expected, got), cause === undefined ? undefined : { cause });
  };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 8) fail("to start with a header length of 8 bytes", `${bytes.length} bytes`);
  const length = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32;
  if (length > HEADER_LIMIT || 8 + length > bytes.length) fail(`to hold the header of ${length} bytes that it claims`, `${bytes.length - 8}`);
  const start = 8 + length;
  const header = parsed(bytes.subarray(8, start), (cause) => fail("with a header of JSON", "something else", cause));
  const metadata = isObject(header) && isObject(header.__metadata__) ? header.__metadata__ : {};
  const { [JSON_KEY]: text, [HASH_KEY]: digest } = metadata;
  if (typeof text !== "string" || typeof digest !== "string") return fail(`with \`${JSON_KEY}\` and \`${HASH_KEY}\` in \`__metadata__\``, "another kind of file");
  const tensors = tensorsOf(header as Record<string, unknown>, bytes.length - start, fail);
  const encoded = new TextEncoder().encode(text);
  const parts: Uint8Array[] = [];
  const json = parsed(encoded, (cause) => fail(`with JSON in \`${JSON_KEY}\``, "something else", cause), (value) => {
    if (!isObject(value) || !Object.hasOwn(value, "$tensor")) return value;
    const { $tensor: name, dtype, shape } = value as unknown as Reference;
    const tensor = tensors.get(name) ?? fail("with each tensor referred to once", `${JSON.stringify(name)} absent or twice`);
    tensors.delete(name);
    if (CODES[dtype] !== tensor.code || JSON.stringify(shape) !== JSON.stringify(tensor.shape)) fail(`with ${JSON.stringify(name)} as its reference says`, `${tensor.code} [${tensor.shape.join(", ")}]`);
    parts.push(bytes.subarray(start + tensor.begin, start + tensor.end));
    const data = dtype === "float32" ? new Float32Array(sizeOf(shape)) : new Int32Array(sizeOf(shape));
    for (let i = 0, at = start + tensor.begin; i < data.length; i++, at += 4) data[i] = dtype === "float32" ? view.getFloat32(at, true) : view.getInt32(at, true);
    return { dtype, shape, data };
  });
  if (tensors.size > 0) fail("with each tensor referred to once", `${JSON.stringify([...tensors.keys()][0])} without a reference`);
  if (sha256(encoded, ...parts) !== digest) fail("with the content of its digest (SHA-256)", "damaged bytes");
  return json;
}

interface Entry {
  readonly code: string;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/** The tensors of a header by name: inside the `there` bytes, of the size of shape and dtype, without holes or overlaps. */
function tensorsOf(header: Record<string, unknown>, there: number, fail: (expected: string, got: string) => never): Map<string, Entry> {
  const tensors = new Map<string, Entry>();
  for (const [name, value] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const { dtype: code, shape, data_offsets: offsets } = (value ?? {}) as { dtype?: unknown; shape?: unknown; data_offsets?: unknown };
    if (code !== CODES.float32 && code !== CODES.int32) return fail(`with ${JSON.stringify(name)} of dtype F32 or I32`, JSON.stringify(code) ?? "none");
    const count = (x: unknown): x is number => Number.isSafeInteger(x) && (x as number) >= 0;
    if (!Array.isArray(shape) || !shape.every(count) || !Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(count)) return fail(`with shape and offsets of ${JSON.stringify(name)}`, "something else");
    const [begin, end] = offsets as number[];
    if (end > there || end - begin !== 4 * sizeOf(shape)) return fail(`with ${4 * sizeOf(shape)} bytes for ${JSON.stringify(name)} inside the ${there} that are there`, `offsets [${begin}, ${end}]`);
    tensors.set(name, { code, shape, begin, end });
  }
  let covered = 0;
  for (const { begin, end } of [...tensors.values()].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== covered) fail("with tensors without holes or overlaps", `one at ${begin} instead of ${covered}`);
    covered = end;
  }
  if (covered !== there) fail(`with ${covered} bytes of tensors`, `${there}`);
  return tensors;
}

/** JSON of UTF-8; what goes wrong (bad text, nesting beyond the stack) goes to `fail`. */
function parsed(bytes: Uint8Array, fail: (cause: unknown) => never, reviver?: (value: unknown) => unknown): unknown {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return JSON.parse(text, reviver && ((_, value: unknown) => reviver(value)));
  } catch (cause) {
    if (cause instanceof FormatError) throw cause;
    return fail(cause);
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isTensor(value: unknown): value is TensorJSON {
  return isObject(value) && typeof value.data === "string" && Array.isArray(value.shape) && Object.hasOwn(CODES, value.dtype as string);
}

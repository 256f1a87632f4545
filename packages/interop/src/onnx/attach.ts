import { DecisionHead, type ReadHeadOptions } from "@logits/head";
import { FormatError, describe, message, rangeError, typeError } from "@logits/tensor";
import { readEnvelope } from "./model.ts";
import { LARGEST, bytesField, concat, textField } from "./protobuf.ts";

/** The key of `metadata_props` under which a decision head travels. */
export const HEAD_KEY: string = "logits.head";

/**
 * The metadata of an ONNX file: `metadata_props` (14), keys and values. Of a key that occurs twice the last one counts, as in ONNX Runtime.
 *
 * @param bytes - an .onnx file
 * @throws FormatError for bytes that are no ONNX model
 * @example
 *   if (readMetadata(bytes).has(HEAD_KEY)) use(readHead(bytes));
 *
 * Source: onnx.proto3, ModelProto and StringStringEntryProto.
 */
export function readMetadata(bytes: Uint8Array): Map<string, string> {
  return new Map(readEnvelope("readMetadata", bytes).metadata.map(({ key, value }) => [key, value]));
}

/**
 * Puts a decision head into an ONNX file, as an entry `logits.head` of its metadata, which runtimes ignore. A head that is there already is taken out, so that
 * the key stays unique (onnx.checker refuses a file with one key twice); every other byte stays as it is.
 *
 * @param bytes - an .onnx file
 * @param head - a `DecisionHead`, what its `toJSON` wrote (JSON text in the file), or what its `toBytes` wrote (base64 in the file)
 * @param options - `detectors`, as for `DecisionHead.fromJSON`: the head is read once before it goes in
 * @returns the bytes of the file with the head
 * @throws FormatError for bytes that are no ONNX model, or a head that cannot be read; RangeError where the file would be larger than a protobuf message can be
 * @example
 *   writeFileSync("guarded.onnx", attach(readFileSync("model.onnx"), head));
 *
 * Source: onnx.proto3, ModelProto.metadata_props = 14, StringStringEntryProto key = 1, value = 2.
 */
export function attach(bytes: Uint8Array, head: object, options: ReadHeadOptions = {}): Uint8Array {
  const where = "attach";
  const kept = without(where, bytes);
  const entry = bytesField(14, textField(1, HEAD_KEY), textField(2, encode(where, head, options)));
  const size = kept.reduce((sum, part) => sum + part.length, entry.length);
  if (size > LARGEST) throw rangeError(where, "bytes", `of at most ${LARGEST} bytes with the head, as a protobuf message`, `${size}`);
  return concat([...kept, entry]);
}

/**
 * The file without its decision head; all other bytes as they were, so `detach(attach(bytes, head))` are the bytes that came in. A file without a head comes back as a copy.
 *
 * @param bytes - an .onnx file
 * @throws FormatError for bytes that are no ONNX model
 * @example
 *   const plain = detach(guarded);
 *
 * Source: as `attach`.
 */
export function detach(bytes: Uint8Array): Uint8Array {
  return concat(without("detach", bytes));
}

/**
 * The decision head inside an ONNX file. Where there are several the last one counts.
 *
 * @param bytes - an .onnx file that went through `attach`
 * @param options - `detectors`, as for `DecisionHead.fromJSON`
 * @throws FormatError for bytes that are no ONNX model, for a file without a head, and for a head that is damaged
 * @example
 *   const head = readHead(new Uint8Array(await (await fetch("guarded.onnx")).arrayBuffer()));
 *
 * Source: as `attach`.
 */
export function readHead(bytes: Uint8Array, options: ReadHeadOptions = {}): DecisionHead {
  const where = "readHead";
  const text = readEnvelope(where, bytes).metadata.findLast(({ key }) => key === HEAD_KEY)?.value;
  if (text === undefined) throw new FormatError(message(where, "bytes", `to be an ONNX model with a decision head (metadata ${HEAD_KEY})`, "one without", "attach(bytes, head) puts one in"));
  return decode(where, text, options);
}

/** The pieces of the file between its heads. */
function without(where: string, bytes: Uint8Array): Uint8Array[] {
  const kept: Uint8Array[] = [];
  let at = 0;
  for (const { key, from, end } of readEnvelope(where, bytes).metadata) {
    if (key !== HEAD_KEY) continue;
    kept.push(bytes.subarray(at, from));
    at = end;
  }
  return [...kept, bytes.subarray(at)];
}

/** The text in the file. The head is read once, so that none goes in that does not come out. */
function encode(where: string, head: object, options: ReadHeadOptions): string {
  if (typeof head !== "object" || head === null) throw typeError(where, "head", "a DecisionHead, its JSON or its bytes", describe(head), typeof head === "string" ? "Pass JSON.parse(text)" : undefined);
  const text = head instanceof Uint8Array ? toBase64(head) : JSON.stringify(head);
  decode(where, text, options);
  return text;
}

/** JSON begins with a brace, which base64 never has. */
function decode(where: string, text: string, options: ReadHeadOptions): DecisionHead {
  const damaged = (cause: unknown): never => {
    throw new FormatError(message(where, HEAD_KEY, "to be JSON or base64", "damaged text", "The file was changed after `attach`"), { cause });
  };
  if (!text.startsWith("{")) return DecisionHead.fromBytes(fromBase64(text) ?? damaged(undefined), options);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    damaged(cause);
  }
  return DecisionHead.fromJSON(json, options);
}

function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
}

function fromBase64(text: string): Uint8Array | undefined {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return undefined;
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

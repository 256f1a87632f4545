/** Writes ONNX models for tests, so that a runtime has something to run and nothing is downloaded. Source: onnx.proto3 (field numbers). */

/** Element types and their numbers in `TensorProto.DataType`. */
export const ONNX_TYPES = {
  float32: 1, uint8: 2, int8: 3, uint16: 4, int16: 5, int32: 6, int64: 7, string: 8, bool: 9, float16: 10, float64: 11, uint32: 12, uint64: 13, bfloat16: 16, uint4: 21, int4: 22,
} as const;

/** Name of an element type. */
export type OnnxType = keyof typeof ONNX_TYPES;

/** A constant: an initialiser, or the value of a `Constant` node's attribute. */
export interface OnnxTensor {
  readonly name: string;
  readonly type: OnnxType;
  readonly shape: readonly number[];
  /** Numbers of that type (float16 and bfloat16 are rounded to nearest even; 4-bit types two a byte, the low half first), or its bytes as they stand in the file. */
  readonly data: readonly number[] | Float32Array | Float64Array | Int8Array | Int32Array | { readonly bytes: Uint8Array };
  /** `raw_data` (default), the typed field of the type, or a file beside the model. */
  readonly storage?: "raw" | "typed" | { readonly location: string; readonly offset?: number; /** Default true: the entry `length` is written. */ readonly length?: boolean };
}

/** An attribute of a node. A plain number is an int, a plain string a string. */
export type OnnxAttribute =
  | number
  | string
  | { readonly float: number }
  | { readonly ints: readonly number[] }
  | { readonly floats: readonly number[] }
  | { readonly strings: readonly string[] }
  | { readonly tensor: OnnxTensor }
  | { readonly graph: OnnxGraph };

/** A node; an input "" is left out. */
export interface OnnxNode {
  readonly type: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly name?: string;
  /** "" is ONNX itself; "com.microsoft" holds the operators of ONNX Runtime. */
  readonly domain?: string;
  readonly attributes?: Readonly<Record<string, OnnxAttribute>>;
}

/** A graph's input, output or intermediate value; a text in the shape is a symbolic size, no shape says nothing about it. */
export interface OnnxValue {
  readonly name: string;
  /** Default float32. */
  readonly type?: OnnxType;
  readonly shape?: readonly (number | string)[];
}

/** A graph: nodes in topological order. */
export interface OnnxGraph {
  readonly name?: string;
  readonly nodes: readonly OnnxNode[];
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  readonly initializers?: readonly OnnxTensor[];
  readonly values?: readonly OnnxValue[];
}

/** A model file. */
export interface OnnxModel extends OnnxGraph {
  /** Versions of the operator sets. Default `{ "": 18 }`; domains that nodes name and that are missing here get version 1. */
  readonly opsets?: Readonly<Record<string, number>>;
  readonly metadata?: Readonly<Record<string, string>>;
  /** Default 8. */
  readonly irVersion?: number;
  readonly producer?: string;
}

type Bytes = Uint8Array;

const encoder = new TextEncoder();

function join(parts: readonly Bytes[]): Bytes {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** A base-128 varint; negative numbers as 64 bits of two's complement, as protobuf has them. */
function varint(value: number): Bytes {
  const out: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 127n; rest >>= 7n) out.push(Number(rest & 127n) | 128);
  return Uint8Array.from([...out, Number(rest)]);
}

const integer = (field: number, value: number): Bytes => join([varint(field * 8), varint(value)]);
const bytes = (field: number, body: Bytes): Bytes => join([varint(field * 8 + 2), varint(body.length), body]);
const message = (field: number, ...parts: Bytes[]): Bytes => bytes(field, join(parts));
const text = (field: number, value: string): Bytes => bytes(field, encoder.encode(value));

function float32(value: number): Bytes {
  return new Uint8Array(Float32Array.of(value).buffer);
}

/** Nearest float16, ties to even; the bits. */
function float16(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (Number.isNaN(size)) return 0x7e00;
  if (size >= 65520) return sign | 0x7c00;
  const exponent = Math.max(-14, Math.floor(Math.log2(size || 1e-10)));
  const units = roundEven(size / 2 ** (exponent - 10));
  return sign | (units < 1024 ? units : (exponent + 14) * 1024 + units);
}

function bfloat16(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0];
  return Number.isNaN(value) ? 0x7fc0 : (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

function roundEven(x: number): number {
  const low = Math.floor(x);
  return x - low > 0.5 || (x - low === 0.5 && low % 2 === 1) ? low + 1 : low;
}

const WIDTH: Readonly<Record<OnnxType, number>> = {
  float32: 4, uint8: 1, int8: 1, uint16: 2, int16: 2, int32: 4, int64: 8, string: NaN, bool: 1, float16: 2, float64: 8, uint32: 4, uint64: 8, bfloat16: 2, uint4: 0.5, int4: 0.5,
};

/** The tensor's little-endian bytes, as `raw_data` holds them. */
function rawBytes({ name, type, data }: OnnxTensor): Bytes {
  if ("bytes" in data) return data.bytes;
  if (type === "string") throw new RangeError(`onnxModel: expected \`${name}\` of numbers, got string`);
  const out = new Uint8Array(Math.ceil(data.length * WIDTH[type]));
  const view = new DataView(out.buffer);
  for (let i = 0; i < data.length; i++) {
    const at = Math.floor(i * WIDTH[type]);
    const value = data[i];
    if (type === "float32") view.setFloat32(at, value, true);
    else if (type === "float64") view.setFloat64(at, value, true);
    else if (type === "float16" || type === "bfloat16") view.setUint16(at, type === "float16" ? float16(value) : bfloat16(value), true);
    else if (type === "int64" || type === "uint64") view.setBigInt64(at, BigInt(value), true);
    else if (WIDTH[type] === 0.5) out[at] |= (value & 15) << (i % 2 === 0 ? 0 : 4);
    else if (WIDTH[type] === 1) out[at] = value;
    else if (WIDTH[type] === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
  }
  return out;
}

/** The packed typed field: `float_data` 4, `int32_data` 5, `int64_data` 7, `double_data` 10, `uint64_data` 11. */
function typedField(tensor: OnnxTensor): Bytes {
  const { type, data } = tensor;
  if (type === "float32") return bytes(4, rawBytes(tensor));
  if (type === "float64") return bytes(10, rawBytes(tensor));
  if ("bytes" in data) throw new RangeError(`onnxModel: expected \`${tensor.name}\` of numbers for the typed field, got bytes`);
  const bits = type === "float16" ? float16 : type === "bfloat16" ? bfloat16 : (value: number) => value;
  const units = WIDTH[type] === 0.5 ? [...rawBytes(tensor)] : Array.from(data, bits);
  return message(type === "int64" ? 7 : type === "uint64" || type === "uint32" ? 11 : 5, ...units.map(varint));
}

function tensorMessage(tensor: OnnxTensor): Bytes[] {
  const { storage = "raw" } = tensor;
  const head = [...tensor.shape.map((size) => integer(1, size)), integer(2, ONNX_TYPES[tensor.type]), text(8, tensor.name)];
  if (storage === "raw") return [...head, bytes(9, rawBytes(tensor))];
  if (storage === "typed") return [...head, typedField(tensor)];
  const entries: Record<string, string> = { location: storage.location };
  if (storage.offset !== undefined) entries.offset = `${storage.offset}`;
  if (storage.length !== false) entries.length = `${rawBytes(tensor).length}`;
  return [...head, ...Object.entries(entries).map(([key, value]) => message(13, text(1, key), text(2, value))), integer(14, 1)];
}

function attribute(name: string, value: OnnxAttribute): Bytes {
  const parts = (type: number, ...body: Bytes[]): Bytes => message(5, text(1, name), ...body, integer(20, type));
  if (typeof value === "number") return parts(2, integer(3, value));
  if (typeof value === "string") return parts(3, text(4, value));
  if ("float" in value) return parts(1, varint(2 * 8 + 5), float32(value.float));
  if ("ints" in value) return parts(7, ...value.ints.map((i) => integer(8, i)));
  if ("floats" in value) return parts(6, bytes(7, join(value.floats.map(float32))));
  if ("strings" in value) return parts(8, ...value.strings.map((s) => text(9, s)));
  if ("tensor" in value) return parts(4, message(5, ...tensorMessage(value.tensor)));
  return parts(5, message(6, ...graphMessage(value.graph)));
}

function valueInfo(field: number, { name, type = "float32", shape }: OnnxValue): Bytes {
  const dims = shape?.map((size) => message(1, typeof size === "number" ? integer(1, size) : text(2, size)));
  return message(field, text(1, name), message(2, message(1, integer(1, ONNX_TYPES[type]), ...(dims ? [message(2, ...dims)] : []))));
}

function graphMessage({ name = "main", nodes, inputs, outputs, initializers = [], values = [] }: OnnxGraph): Bytes[] {
  return [
    ...nodes.map((node) => message(1,
      ...node.inputs.map((input) => text(1, input)), ...node.outputs.map((output) => text(2, output)),
      ...(node.name === undefined ? [] : [text(3, node.name)]), text(4, node.type),
      ...Object.entries(node.attributes ?? {}).map(([key, value]) => attribute(key, value)),
      ...(node.domain ? [text(7, node.domain)] : []),
    )),
    text(2, name),
    ...initializers.map((tensor) => message(5, ...tensorMessage(tensor))),
    ...inputs.map((value) => valueInfo(11, value)),
    ...outputs.map((value) => valueInfo(12, value)),
    ...values.map((value) => valueInfo(13, value)),
  ];
}

/**
 * The bytes of an ONNX model. Nothing is checked: a test may want a model that is wrong.
 *
 * @example
 *   const bytes = onnxModel({
 *     inputs: [{ name: "x", shape: ["batch", 4] }],
 *     outputs: [{ name: "logits", shape: ["batch", 3] }],
 *     nodes: [{ type: "Gemm", inputs: ["x", "W", "b"], outputs: ["logits"], attributes: { transB: 1 } }],
 *     initializers: [{ name: "W", type: "float32", shape: [3, 4], data: weights }, { name: "b", type: "float32", shape: [3], data: bias }],
 *   });
 */
export function onnxModel(model: OnnxModel): Uint8Array {
  const { opsets = { "": 18 }, metadata = {}, irVersion = 8, producer = "@logits/testkit" } = model;
  const versions: Record<string, number> = { ...opsets };
  for (const { domain } of model.nodes) if (domain !== undefined) versions[domain] ??= 1;
  return join([
    integer(1, irVersion),
    text(2, producer),
    message(7, ...graphMessage(model)),
    ...Object.entries(versions).map(([domain, version]) => message(8, text(1, domain), integer(2, version))),
    ...Object.entries(metadata).map(([key, value]) => message(14, text(1, key), text(2, value))),
  ]);
}

/** The files beside the model: the bytes of its tensors with a `storage.location`, each at its offset (default 0). */
export function onnxExternalFiles({ initializers = [] }: OnnxGraph): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  for (const tensor of initializers) {
    if (typeof tensor.storage !== "object") continue;
    const { location, offset = 0 } = tensor.storage;
    const raw = rawBytes(tensor);
    const old = files.get(location) ?? new Uint8Array(0);
    const file = new Uint8Array(Math.max(old.length, offset + raw.length));
    file.set(old);
    file.set(raw, offset);
    files.set(location, file);
  }
  return files;
}

import { describe, typeError } from "@logits/tensor";
import { LARGEST, Wire, type Field } from "./protobuf.ts";

/** Element types by their number in `TensorProto.DataType` of onnx.proto3. */
const TYPES = [
  "undefined", "float32", "uint8", "int8", "uint16", "int16", "int32", "int64", "string", "bool", "float16", "float64", "uint32", "uint64", "complex64", "complex128", "bfloat16",
  "float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz", "uint4", "int4", "float4e2m1", "float8e8m0", "uint2", "int2",
] as const;

/** Name of an element type of ONNX. */
export type OnnxDType = (typeof TYPES)[number];

/** Bytes of a file beside the model. */
export interface ExternalRange {
  /** Name of the file, relative to the model. */
  readonly location: string;
  readonly offset: number;
  /** In bytes. */
  readonly length: number;
}

/** A constant (TensorProto); its numbers stay where they are until they are read. */
export interface TensorRef {
  readonly name: string;
  readonly dtype: OnnxDType;
  readonly shape: readonly number[];
  /** `raw_data` (field 9). */
  readonly raw: Field | undefined;
  /** `float_data`, `int32_data`, `int64_data`, `double_data`, `uint64_data`. */
  readonly typed: readonly Field[];
  /** `external_data` (field 13); undefined where the numbers are in the file. */
  readonly external: ReadonlyMap<string, string> | undefined;
}

/** An attribute of a node (AttributeProto). */
export interface Attribute {
  readonly int: number;
  readonly float: number;
  /** Read when asked for: a table may be one. */
  readonly ints: readonly Field[];
  readonly tensor: Field | undefined;
  readonly graphs: readonly Field[];
}

/** A node (NodeProto). */
export interface Node {
  readonly type: string;
  readonly name: string;
  readonly domain: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: ReadonlyMap<string, Attribute>;
}

/** A graph's input, output or described intermediate value (ValueInfoProto). */
export interface Value {
  readonly name: string;
  /** Undefined where the file does not say. */
  readonly dtype: OnnxDType | undefined;
  /** Undefined where the file does not say; a size that is not fixed is its symbol, or "?". */
  readonly shape: readonly (number | string)[] | undefined;
  /** The TypeProto as it stands. */
  readonly type: Uint8Array | undefined;
}

/** The main graph (GraphProto). */
export interface Graph {
  readonly nodes: readonly Node[];
  readonly initializers: ReadonlyMap<string, TensorRef>;
  readonly inputs: ReadonlyMap<string, Value>;
  readonly outputs: ReadonlyMap<string, Value>;
  readonly values: ReadonlyMap<string, Value>;
  /** The node that makes a tensor. */
  readonly producers: ReadonlyMap<string, Node>;
}

/** An entry of `metadata_props` (field 14), with its place in the file. */
export interface MetadataEntry {
  readonly key: string;
  readonly value: string;
  readonly from: number;
  readonly end: number;
}

/** What a file says at its top level. */
export interface Envelope {
  readonly wire: Wire;
  readonly metadata: readonly MetadataEntry[];
  /** `graph` (field 7); a parser merges what occurs several times. */
  readonly graphs: readonly Field[];
  /** `functions` (field 25): "domain:name". */
  readonly functions: ReadonlySet<string>;
}

const NO_MODEL: readonly (readonly [test: (text: string) => boolean, got: string, todo: string])[] = [
  [(text) => text.slice(4, 8) === "ORTM", "an ORT-format file (.ort), a flatbuffer", "Nothing can be appended to it: use the .onnx file that it was converted from"],
  [(text) => text.startsWith("version https://git-lfs"), "a Git LFS pointer", "Fetch the file that it stands for (git lfs pull)"],
  [(text) => /^\s*</.test(text), "a page of HTML or XML", "The address answers with a page, not with the file"],
  [(text) => text.startsWith("PK\x03\x04"), "a ZIP archive", "Unpack it first"],
  [(text) => text.startsWith("\x1f\x8b"), "a gzip file", "Unpack it first"],
];

/** Reads the top level of a ModelProto: nothing of the graph but where it lies. */
export function readEnvelope(where: string, bytes: Uint8Array): Envelope {
  if (!(bytes instanceof Uint8Array)) throw typeError(where, "bytes", "a Uint8Array", describe(bytes), "Wrap an ArrayBuffer: new Uint8Array(buffer)");
  const wire = new Wire(where, bytes);
  if (bytes.length === 0) wire.fail("no bytes");
  if (bytes.length > LARGEST) wire.fail(`${bytes.length} bytes, more than a protobuf message can have (2^31 - 1)`, "Models beyond that keep their weights in a file beside them (external data): pass the .onnx file only");
  const start = String.fromCharCode(...bytes.subarray(0, 32));
  for (const [test, got, todo] of NO_MODEL) if (test(start)) wire.fail(got, todo);
  const metadata: MetadataEntry[] = [];
  const graphs: Field[] = [];
  const functions = new Set<string>();
  for (const field of wire.fields(0, bytes.length)) {
    if (field.number === 7) graphs.push(field);
    else if (field.number === 14) metadata.push({ ...readEntry(wire, field), from: field.from, end: field.end });
    else if (field.number === 25) functions.add(functionName(wire, field));
  }
  if (graphs.length === 0) wire.fail("no graph in it");
  return { wire, metadata, graphs, functions };
}

/** StringStringEntryProto: key 1, value 2. */
function readEntry(wire: Wire, entry: Field): { key: string; value: string } {
  let [key, value] = ["", ""];
  for (const field of wire.inside(entry)) {
    if (field.number === 1) key = wire.text(field);
    else if (field.number === 2) value = wire.text(field);
  }
  return { key, value };
}

/** FunctionProto: name 1, domain 10. */
function functionName(wire: Wire, entry: Field): string {
  let [name, domain] = ["", ""];
  for (const field of wire.inside(entry)) {
    if (field.number === 1) name = wire.text(field);
    else if (field.number === 10) domain = wire.text(field);
  }
  return `${domain}:${name}`;
}

/** GraphProto: node 1, initializer 5, input 11, output 12, value_info 13. */
export function readGraph({ wire, graphs }: Envelope): Graph {
  const nodes: Node[] = [];
  const initializers = new Map<string, TensorRef>();
  const inputs = new Map<string, Value>();
  const outputs = new Map<string, Value>();
  const values = new Map<string, Value>();
  for (const part of graphs) {
    for (const field of wire.inside(part)) {
      if (field.number === 1) nodes.push(readNode(wire, field));
      else if (field.number === 5) {
        const tensor = readTensorRef(wire, field);
        initializers.set(tensor.name, tensor);
      } else if (field.number === 11 || field.number === 12 || field.number === 13) {
        const value = readValue(wire, field);
        (field.number === 11 ? inputs : field.number === 12 ? outputs : values).set(value.name, value);
      }
    }
  }
  const producers = new Map<string, Node>();
  for (const node of nodes) {
    for (const output of node.outputs) {
      if (output === "") continue;
      if (producers.has(output)) wire.fail(`two nodes that make ${quote(output)}`);
      producers.set(output, node);
    }
  }
  if (outputs.size === 0) wire.fail("a graph without outputs");
  return { nodes, initializers, inputs, outputs, values, producers };
}

/** NodeProto: input 1, output 2, name 3, op_type 4, attribute 5, domain 7. */
function readNode(wire: Wire, node: Field): Node {
  const inputs: string[] = [];
  const outputs: string[] = [];
  const attributes = new Map<string, Attribute>();
  let [type, name, domain] = ["", "", ""];
  for (const field of wire.inside(node)) {
    if (field.number === 1) inputs.push(wire.text(field));
    else if (field.number === 2) outputs.push(wire.text(field));
    else if (field.number === 3) name = wire.text(field);
    else if (field.number === 4) type = wire.text(field);
    else if (field.number === 5) attributes.set(...readAttribute(wire, field));
    else if (field.number === 7) domain = wire.text(field);
  }
  if (type === "") wire.fail(`a node without an operator at byte ${node.from}`);
  return { type, name, domain: domain === "ai.onnx" ? "" : domain, inputs, outputs, attributes };
}

/** AttributeProto: name 1, f 2, i 3, t 5, g 6, ints 8, graphs 11. */
function readAttribute(wire: Wire, attribute: Field): [string, Attribute] {
  let [name, int, float] = ["", 0, 0];
  let tensor: Field | undefined;
  const ints: Field[] = [];
  const graphs: Field[] = [];
  for (const field of wire.inside(attribute)) {
    if (field.number === 1) name = wire.text(field);
    else if (field.number === 2) float = wire.float(field);
    else if (field.number === 3) int = wire.integer(field);
    else if (field.number === 5) tensor = field;
    else if (field.number === 6 || field.number === 11) graphs.push(field);
    else if (field.number === 8) ints.push(field);
  }
  return [name, { int, float, ints, tensor, graphs }];
}

/** Axes of a tensor; runtimes take fewer. */
const MOST_DIMS = 64;

/** Typed fields of TensorProto by element type. */
const TYPED_FIELDS = [4, 5, 7, 10, 11];

/** TensorProto: dims 1, data_type 2, name 8, raw_data 9, external_data 13, data_location 14; typed numbers in 4, 5, 7, 10, 11. */
export function readTensorRef(wire: Wire, tensor: Field): TensorRef {
  const dims: Field[] = [];
  const typed: Field[] = [];
  const external = new Map<string, string>();
  let [name, type, location] = ["", 0, 0];
  let raw: Field | undefined;
  for (const field of wire.inside(tensor)) {
    if (field.number === 1) dims.push(field);
    else if (field.number === 2) type = wire.integer(field);
    else if (field.number === 8) name = wire.text(field);
    else if (field.number === 9) raw = field;
    else if (field.number === 13) {
      const { key, value } = readEntry(wire, field);
      external.set(key, value);
    } else if (field.number === 14) location = wire.integer(field);
    else if (TYPED_FIELDS.includes(field.number)) typed.push(field);
  }
  const shape = wire.integers(dims, MOST_DIMS);
  if (!shape.every((size) => Number.isSafeInteger(size) && size >= 0)) wire.fail(`shape [${shape.join(", ")}] of the constant ${quote(name)}`);
  return { name, dtype: dtypeOf(type), shape, raw, typed, external: location === 1 ? external : undefined };
}

/** ValueInfoProto: name 1, type 2. TypeProto: tensor_type 1 with elem_type 1 and shape 2; TensorShapeProto: dim 1 with dim_value 1 or dim_param 2. */
function readValue(wire: Wire, info: Field): Value {
  let name = "";
  let type: Uint8Array | undefined;
  let dtype: OnnxDType | undefined;
  let shape: (number | string)[] | undefined;
  for (const field of wire.inside(info)) {
    if (field.number === 1) name = wire.text(field);
    if (field.number !== 2) continue;
    type = wire.bytes.subarray(field.start, field.end);
    for (const kind of wire.inside(field)) {
      if (kind.number !== 1) continue;
      for (const part of wire.inside(kind)) {
        if (part.number === 1) dtype = dtypeOf(wire.integer(part));
        else if (part.number === 2) shape = [...wire.inside(part)].filter(({ number }) => number === 1).map((dim) => readDim(wire, dim));
      }
    }
  }
  return { name, dtype, shape, type };
}

function readDim(wire: Wire, dim: Field): number | string {
  let size: number | string = "?";
  for (const field of wire.inside(dim)) {
    if (field.number === 1) size = wire.integer(field);
    else if (field.number === 2) size = wire.text(field) || "?";
  }
  // Some exporters write -1 for a size that is not fixed.
  return typeof size === "number" && size < 0 ? "?" : size;
}

function dtypeOf(type: number): OnnxDType {
  return TYPES[type] ?? "undefined";
}

/** The number of an element type. */
export function dtypeNumber(dtype: OnnxDType): number {
  return TYPES.indexOf(dtype);
}

/** Whether a tensor is made inside a subgraph (the branches of If, the bodies of Loop and Scan), and of which node. */
export function subgraphOf(wire: Wire, nodes: readonly Node[], tensor: string, depth = 0): Node | undefined {
  if (depth > 32) wire.fail("subgraphs nested deeper than 32");
  return nodes.find((node) => [...node.attributes.values()].some(({ graphs }) => graphs.some((graph) => {
    const inner = [...wire.inside(graph)].filter(({ number }) => number === 1).map((field) => readNode(wire, field));
    return inner.some(({ outputs }) => outputs.includes(tensor)) || subgraphOf(wire, inner, tensor, depth + 1) !== undefined;
  })));
}

/** Text of a file in a message: at most 60 characters, control characters escaped. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}...` : text);
}

/** A node in a message: type and name. */
export function nodeName({ type, name, domain }: Node): string {
  return `the ${domain ? `${domain}.` : ""}${type.length > 60 ? `${type.slice(0, 60)}...` : type} node${name ? ` ${quote(name)}` : ""}`;
}

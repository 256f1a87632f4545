import { float16ToFloat32, float32ToFloat16, rangeError, sizeOf, typeError } from "@logits/tensor";
import { nodeName, quote, readTensorRef, type Envelope, type ExternalRange, type Graph, type Node, type OnnxDType, type TensorRef } from "./model.ts";

/** Numbers of a constant. */
export type Numbers = Float32Array | Float64Array | Int32Array | Int16Array | Int8Array | Uint8Array | Uint16Array;

/** Files beside the model: their bytes by name, or a function that answers with the bytes [offset, offset + length) of one. */
export type ExternalFiles = ReadonlyMap<string, Uint8Array> | ((location: string, offset: number, length: number) => Uint8Array);

/** What a model and the files beside it say. */
export interface Model {
  readonly envelope: Envelope;
  readonly graph: Graph;
}

/** A tensor that does not depend on the model's input; its numbers are read when asked for. */
export interface Constant {
  readonly shape: readonly number[];
  readonly dtype: OnnxDType;
  /** The element type in the file, before any cast or dequantisation. */
  readonly stored: OnnxDType;
  /** Numbers along an axis that share a scale; 0 if not in blocks. */
  readonly block: number;
  /** What must be at hand to read it. */
  readonly external: readonly ExternalRange[];
  read(files: ExternalFiles): Numbers;
}

/** Bits of an element of those types that constants may have. */
const BITS: Partial<Record<OnnxDType, number>> = {
  float32: 32, float64: 64, float16: 16, bfloat16: 16, int8: 8, uint8: 8, int16: 16, uint16: 16, int32: 32, int64: 64, int4: 4, uint4: 4, bool: 8,
};

const FLOATS: readonly OnnxDType[] = ["float32", "float16", "bfloat16", "float64"];

/** Nodes on the way from a stored constant to the layer. */
const DEEPEST = 16;

/** The constant behind a tensor's name: an initialiser, a Constant node, or one of these behind Identity, Cast, Transpose and DequantizeLinear. */
export function constantOf(model: Model, name: string, depth = 0): Constant | undefined {
  const { envelope, graph } = model;
  const stored = graph.initializers.get(name);
  if (stored) return initializer(envelope, stored);
  const node = graph.producers.get(name);
  if (!node || depth > DEEPEST || !isStandard(node)) return undefined;
  // Only the first input may lie deep: scales that are computed from scales would make the work grow with a power of the depth.
  const input = (i: number): Constant | undefined => (node.inputs[i] ? constantOf(model, node.inputs[i], i === 0 ? depth + 1 : DEEPEST) : undefined);
  const attribute = (key: string): number | undefined => node.attributes.get(key)?.int;
  if (node.type === "Constant") return constantNode(envelope, node);
  const x = input(0);
  if (!x) return undefined;
  if (node.type === "Identity") return x;
  if (node.type === "Cast") return cast(x, attribute("to") ?? 0);
  if (node.type === "Transpose") return transpose(x, envelope.wire.integers(node.attributes.get("perm")?.ints ?? [], x.shape.length));
  if (node.type !== "DequantizeLinear") return undefined;
  const scale = input(1);
  const zero = input(2);
  if (!scale || (node.inputs[2] && !zero)) return undefined;
  return dequantize(envelope, node, x, scale, zero, attribute("axis") ?? 1, attribute("block_size") ?? 0);
}

/** DequantizeLinear exists in ONNX and, older, in com.microsoft. */
function isStandard({ type, domain }: Node): boolean {
  return domain === "" || (domain === "com.microsoft" && type === "DequantizeLinear");
}

function constantNode(envelope: Envelope, node: Node): Constant | undefined {
  const tensor = node.attributes.get("value")?.tensor;
  if (tensor) return initializer(envelope, readTensorRef(envelope.wire, tensor));
  const float = node.attributes.get("value_float");
  if (!float) return undefined;
  return { shape: [], dtype: "float32", stored: "float32", block: 0, external: [], read: () => Float32Array.of(float.float) };
}

function initializer(envelope: Envelope, tensor: TensorRef): Constant {
  const { shape, dtype } = tensor;
  const external = tensor.external && externalRange(envelope, tensor, tensor.external);
  return { shape, dtype, stored: dtype, block: 0, external: external ? [external] : [], read: (files) => readNumbers(envelope, tensor, external, files) };
}

function byteLength({ wire }: Envelope, { name, dtype, shape }: TensorRef): number {
  const bits = BITS[dtype];
  if (bits === undefined) return wire.fail(`the constant ${quote(name)} of type ${dtype}`, "Weights of that type are not read");
  const length = Math.ceil((sizeOf(shape) * bits) / 8);
  return Number.isSafeInteger(length) ? length : wire.fail(`shape [${shape.join(", ")}] of the constant ${quote(name)}`);
}

function externalRange(envelope: Envelope, tensor: TensorRef, entries: ReadonlyMap<string, string>): ExternalRange {
  const { wire } = envelope;
  const number = (key: string): number | undefined => {
    const text = entries.get(key);
    if (text === undefined) return undefined;
    return /^\d{1,15}$/.test(text) ? Number(text) : wire.fail(`${key} ${quote(text)} of the external constant ${quote(tensor.name)}`);
  };
  const location = entries.get("location") || wire.fail(`no file for the external constant ${quote(tensor.name)}`);
  const needed = byteLength(envelope, tensor);
  const length = number("length") ?? needed;
  if (length !== needed) wire.fail(`${length} external bytes for the constant ${quote(tensor.name)} of ${tensor.dtype} [${tensor.shape.join(", ")}], which needs ${needed}`);
  return { location, offset: number("offset") ?? 0, length };
}

function readNumbers(envelope: Envelope, tensor: TensorRef, external: ExternalRange | undefined, files: ExternalFiles): Numbers {
  const { wire } = envelope;
  const needed = byteLength(envelope, tensor);
  const wrong = (got: string): never => wire.fail(`${got} for the constant ${quote(tensor.name)} of ${tensor.dtype} [${tensor.shape.join(", ")}]`);
  if (external) return fromBytes(tensor.dtype, readExternal(wire.where, external, files), sizeOf(tensor.shape));
  if (tensor.raw) {
    if (tensor.raw.wire !== 2) return wrong("no bytes");
    if (tensor.raw.end - tensor.raw.start !== needed) return wrong(`${tensor.raw.end - tensor.raw.start} bytes instead of ${needed}`);
    return fromBytes(tensor.dtype, wire.bytes.subarray(tensor.raw.start, tensor.raw.end), sizeOf(tensor.shape));
  }
  return readTyped(envelope, tensor, wrong);
}

/** float_data 4 (float32), double_data 10, else int32_data 5, int64_data 7 and uint64_data 11, where float16 stands as bits and two 4-bit numbers share one. */
function readTyped({ wire }: Envelope, { dtype, shape, typed }: TensorRef, wrong: (got: string) => never): Numbers {
  const size = sizeOf(shape);
  if (dtype === "float32" || dtype === "float64") {
    const width = dtype === "float32" ? 4 : 8;
    const parts = typed.filter(({ number }) => number === (dtype === "float32" ? 4 : 10));
    const bytes = parts.reduce((sum, { start, end }) => sum + end - start, 0);
    if (bytes !== size * width) return wrong(`${bytes} bytes instead of ${size * width}`);
    const joined = new Uint8Array(bytes);
    let at = 0;
    for (const { start, end } of parts) {
      joined.set(wire.bytes.subarray(start, end), at);
      at += end - start;
    }
    return fromBytes(dtype, joined, size);
  }
  const field = dtype === "int64" ? 7 : 5;
  const expected = dtype === "int4" || dtype === "uint4" ? Math.ceil(size / 2) : size;
  const units = wire.integers(typed.filter(({ number }) => number === field), expected);
  if (units.length !== expected) return wrong(`${units.length} numbers instead of ${expected}`);
  if (dtype === "int64") return Float64Array.from(units);
  if (dtype === "int32") return Int32Array.from(units);
  const narrow = BITS[dtype] === 16 ? Uint16Array.from(units) : Uint8Array.from(units);
  return fromBytes(dtype, new Uint8Array(narrow.buffer), size);
}

function readExternal(where: string, { location, offset, length }: ExternalRange, files: ExternalFiles): Uint8Array {
  const range = `bytes [${offset}, ${offset + length}) of ${quote(location)}`;
  if (typeof files === "function") {
    const bytes = files(location, offset, length);
    if (!(bytes instanceof Uint8Array)) throw typeError(where, "files", `to answer with a Uint8Array: the ${range}`, typeof bytes, "Read the file before: the function must not be async");
    if (bytes.length !== length) throw rangeError(where, "files", `to answer with the ${range}`, `${bytes.length} bytes`);
    return bytes;
  }
  const file = files.get(location);
  if (!file) throw rangeError(where, "files", `to hold ${quote(location)}, where the model keeps the head's weights`, files.size === 0 ? "no files" : [...files.keys()].map(quote).join(", "), `Pass { files: new Map([[${quote(location)}, bytes]]) }`);
  if (file.length < offset + length) throw rangeError(where, "files", `to hold the ${range}`, `a file of ${file.length} bytes`, "The file is truncated, or belongs to another model");
  return file.subarray(offset, offset + length);
}

/** Little-endian bytes as numbers; `bytes` holds exactly `size` of them. */
function fromBytes(dtype: OnnxDType, bytes: Uint8Array, size: number): Numbers {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fill = <T extends Numbers>(out: T, get: (at: number) => number, width: number): T => {
    for (let i = 0; i < size; i++) out[i] = get(i * width);
    return out;
  };
  if (dtype === "float32") return fill(new Float32Array(size), (at) => view.getFloat32(at, true), 4);
  if (dtype === "float64") return fill(new Float64Array(size), (at) => view.getFloat64(at, true), 8);
  if (dtype === "float16") return float16ToFloat32(fill(new Uint16Array(size), (at) => view.getUint16(at, true), 2));
  if (dtype === "bfloat16") return new Float32Array(fill(new Int32Array(size), (at) => view.getUint16(at, true) << 16, 2).buffer);
  if (dtype === "int16") return fill(new Int16Array(size), (at) => view.getInt16(at, true), 2);
  if (dtype === "uint16") return fill(new Uint16Array(size), (at) => view.getUint16(at, true), 2);
  if (dtype === "int32") return fill(new Int32Array(size), (at) => view.getInt32(at, true), 4);
  if (dtype === "int64") return fill(new Float64Array(size), (at) => Number(view.getBigInt64(at, true)), 8);
  if (dtype === "int8") return Int8Array.from(bytes.subarray(0, size), (byte) => (byte << 24) >> 24);
  if (dtype === "int4") return fill(new Int8Array(size), (i) => (bytes[i >> 1] << (i & 1 ? 24 : 28)) >> 28, 1);
  if (dtype === "uint4") return fill(new Uint8Array(size), (i) => (bytes[i >> 1] >> (i & 1 ? 4 : 0)) & 15, 1);
  return Uint8Array.from(bytes.subarray(0, size));
}

const CAST_TO: Readonly<Record<number, OnnxDType>> = { 1: "float32", 10: "float16", 11: "float64", 16: "bfloat16" };

/** A cast between float types rounds as the runtime does; one that could not be repeated exactly is not followed. */
function cast(x: Constant, to: number): Constant | undefined {
  const dtype = CAST_TO[to];
  if (dtype === undefined || dtype === "bfloat16" || !FLOATS.includes(x.dtype)) return undefined;
  return { ...x, dtype, read: (files) => rounded(x.read(files), dtype) };
}

function rounded(numbers: Numbers, dtype: OnnxDType): Numbers {
  if (dtype === "float64") return Float64Array.from(numbers);
  const singles = Float32Array.from(numbers);
  return dtype === "float16" ? float16ToFloat32(float32ToFloat16(singles)) : singles;
}

function transpose(x: Constant, perm: readonly number[]): Constant | undefined {
  if (x.shape.length !== 2 || (perm.length > 0 && !(perm.length === 2 && perm[0] === 1 && perm[1] === 0))) return undefined;
  const [rows, cols] = x.shape;
  return {
    ...x,
    shape: [cols, rows],
    read(files) {
      const from = x.read(files);
      const to = from.slice();
      for (let i = 0; i < to.length; i++) to[(i % cols) * rows + Math.floor(i / cols)] = from[i];
      return to;
    },
  };
}

/** (x - zero) * scale; the scale is one number, one per slice of `axis`, or one per block of `block` numbers along it. Source: ONNX operator DequantizeLinear-21. */
function dequantize({ wire }: Envelope, node: Node, x: Constant, scale: Constant, zero: Constant | undefined, axis: number, block: number): Constant | undefined {
  const rank = x.shape.length;
  const at = axis < 0 ? axis + rank : axis;
  const wrong = (): never => wire.fail(`${nodeName(node)} with x [${x.shape.join(", ")}], scale [${scale.shape.join(", ")}], zero point [${zero?.shape.join(", ") ?? ""}], axis ${axis}, block_size ${block}`);
  const scales = sizeOf(scale.shape);
  const one = scales === 1 && block === 0;
  if (!one && !(at >= 0 && at < rank)) return wrong();
  const length = one ? 1 : x.shape[at];
  const inner = one ? 1 : sizeOf(x.shape.slice(at + 1));
  const blocks = block > 0 ? Math.ceil(length / block) : length;
  const expected = block > 0 ? sizeOf(x.shape.slice(0, at)) * blocks * inner : length;
  if (block < 0 || scales !== expected || (zero && sizeOf(zero.shape) !== scales)) return wrong();
  return {
    shape: x.shape, dtype: scale.dtype, stored: x.stored, block, external: [...x.external, ...scale.external, ...(zero?.external ?? [])],
    read(files) {
      const [values, factors, zeros] = [x.read(files), scale.read(files), zero?.read(files)];
      const out = new Float32Array(values.length);
      for (let i = 0; i < out.length; i++) {
        const outer = Math.floor(i / (length * inner));
        const along = Math.floor(i / inner) % length;
        const s = one ? 0 : block > 0 ? (outer * blocks + Math.floor(along / block)) * inner + (i % inner) : along;
        out[i] = (values[i] - (zeros ? zeros[s] : 0)) * factors[s];
      }
      return scale.dtype === "float16" ? rounded(out, "float16") : out;
    },
  };
}

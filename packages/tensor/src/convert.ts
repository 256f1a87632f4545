import { rangeError, typeError } from "./errors.ts";
import { float16ToFloat32 } from "./float16.ts";
import { type DataOf, type DType, type NestedArray, Tensor, describe, sizeOf } from "./tensor.ts";

/** A numeric typed array, `Float16Array` included where the engine has it. */
export type NumericArray =
  | Float32Array | Float64Array | Int32Array | Uint8Array | Int8Array | Int16Array | Uint16Array | Uint32Array | BigInt64Array;

/** Something with the fields of an ONNX Runtime or Transformers.js tensor. */
export interface OnnxTensorLike {
  readonly data: unknown;
  readonly dims: readonly number[];
  readonly type?: string;
  readonly location?: string;
}

/** Something with the fields of a plain tensor. */
export interface PlainTensorLike {
  readonly data: unknown;
  readonly shape: readonly number[];
  readonly dtype?: string;
}

/**
 * What public functions accept: a `Tensor`; a typed array (rank 1: one row, labels, scores); `{ data, dims, type? }`;
 * `{ data, shape, dtype? }`; nested number arrays. Anything but float32, int32 and uint8 is converted once, here.
 */
export type TensorLike = Tensor | NumericArray | OnnxTensorLike | PlainTensorLike | readonly NestedArray[];

type Source = ArrayLike<number | bigint> & { readonly length: number };

/** The argument as float32. Values that float32 cannot hold (finite but beyond its range, integers beyond 2^24) are a RangeError. */
export function asFloat32(where: string, argument: string, x: TensorLike): Tensor<"float32"> {
  if (x instanceof Tensor && x.dtype === "float32") return checkAttached(where, argument, x as Tensor<"float32">);
  const { source, shape } = read(where, argument, x);
  if (source instanceof Float32Array) return checkAttached(where, argument, new Tensor("float32", shape, source));
  const limit = source instanceof Float64Array || Array.isArray(source) ? 3.4028234663852886e38 : 16777216;
  const out = new Float32Array(source.length);
  for (let i = 0; i < out.length; i++) {
    const value = (out[i] = numberAt(where, argument, source, i));
    if (Math.abs(value) > limit && Math.abs(value) !== Infinity) throw rangeError(where, argument, "of values that float32 holds", `${source[i]} at index ${i}`);
  }
  return new Tensor("float32", shape, out);
}

/** The argument as int32, for labels and lengths. A value that is no integer or out of range is a RangeError that names its index. */
export function asInt32(where: string, argument: string, x: TensorLike): Tensor<"int32"> {
  return asIntegers(where, argument, x, "int32", Int32Array);
}

/** The argument as a uint8 mask: every element 0 or 1 (1 = takes part); booleans are accepted. */
export function asMask(where: string, argument: string, x: TensorLike): Tensor<"uint8"> {
  const mask = asIntegers(where, argument, x, "uint8", Uint8Array);
  const { data } = mask;
  let at = firstWordOutside(data);
  while (at < data.length && data[at] <= 1) at++;
  if (at < data.length) throw rangeError(where, argument, "of 0 and 1", `${data[at]} at index ${at}`);
  return mask;
}

/** Where a byte above 1 may be: the first byte of a block of whole words that has one, else what they leave. Four bytes at a time. */
function firstWordOutside(data: Uint8Array): number {
  if (data.byteOffset % 4 !== 0) return 0;
  const words = new Int32Array(data.buffer, data.byteOffset, data.length >> 2);
  for (let at = 0; at < words.length; at += 256) {
    let bits = 0;
    for (let i = at, end = Math.min(words.length, at + 256); i < end; i++) bits |= words[i];
    if ((bits & 0xfefefefe) !== 0) return 4 * at;
  }
  return 4 * words.length;
}

function asIntegers<D extends "int32" | "uint8">(where: string, argument: string, x: TensorLike, dtype: D, Kind: new (length: number) => DataOf<D>): Tensor<D> {
  if (x instanceof Tensor && x.dtype === dtype) return checkAttached(where, argument, x as Tensor<D>);
  const { source, shape, half } = read(where, argument, x);
  if (source instanceof Kind) return checkAttached(where, argument, new Tensor(dtype, shape, source));
  if (half || describe(source).startsWith("Float")) throw typeError(where, argument, `of integers (${dtype})`, describe(source), "Convert with Int32Array.from");
  const out = new Kind(source.length);
  for (let i = 0; i < out.length; i++) {
    const value = (out[i] = numberAt(where, argument, source, i));
    if (out[i] !== value) throw rangeError(where, argument, `of integers that ${dtype} holds`, `${source[i]} at index ${i}`);
  }
  return new Tensor(dtype, shape, out);
}

/**
 * A tensor from numbers, with the shape given or read off the nesting.
 *
 * @example
 *   tensor([[1, 2], [3, 4]])            // float32 [2, 2]
 *   tensor([1, 2, 3, 4], [2, 2])
 *   tensor([0, 1], [2], "int32")
 */
export function tensor(data: TensorLike): Tensor<"float32">;
export function tensor<D extends DType = "float32">(data: TensorLike, shape: readonly number[] | undefined, dtype?: D): Tensor<D>;
export function tensor(data: TensorLike, shape?: readonly number[], dtype: DType = "float32"): Tensor {
  const flat = dtype === "float32" ? asFloat32("tensor", "data", data) : dtype === "int32" ? asInt32("tensor", "data", data) : asIntegers("tensor", "data", data, dtype, Uint8Array);
  return shape === undefined ? flat : new Tensor(dtype, [...shape], flat.data);
}

/** Where the numbers of an argument are, and their shape. float16 is widened already (`half`). */
function read(where: string, argument: string, x: TensorLike): { readonly source: Source; readonly shape: readonly number[]; readonly half?: boolean } {
  const fail = (got: string, todo?: string): TypeError => typeError(where, argument, "a tensor, typed array, { data, dims } or nested number arrays", got, todo);
  let source: Source;
  let shape: readonly number[];
  let half = false;
  if (ArrayBuffer.isView(x) && !(x instanceof DataView)) {
    source = x as NumericArray;
    shape = [source.length];
  } else if (Array.isArray(x)) {
    const nesting: number[] = [];
    for (let level: unknown = x; Array.isArray(level); level = level[0]) nesting.push(level.length);
    shape = nesting;
    source = [];
    flatten(where, argument, x, shape, 0, source as number[]);
  } else {
    const like = x as Partial<OnnxTensorLike & PlainTensorLike> | null | undefined;
    if (typeof like !== "object" || like === null) throw fail(describe(x));
    if (!/^(cpu|cpu-pinned)?$/.test(like.location ?? "")) throw fail(`a tensor at location ${like.location}`, like.location === "none" ? "Its data are gone: read them before dispose()" : "Pass { data: await tensor.getData(), dims: tensor.dims }");
    const { data } = like;
    const dims = like.dims ?? like.shape;
    if (!Array.isArray(dims) || typeof data !== "object" || data === null || !(ArrayBuffer.isView(data) || Array.isArray(data))) {
      throw fail(typeof data === "function" ? `${describe(x)} whose data is a function` : describe(x), typeof data === "function" ? "Pass { data: await tensor.data(), shape: tensor.shape }" : undefined);
    }
    source = data as NumericArray | readonly number[];
    shape = [...dims];
    half = (like.type ?? like.dtype) === "float16";
    if (source.length !== sizeOf(shape)) throw rangeError(where, argument, `with ${sizeOf(shape)} elements for shape [${shape.join(", ")}]`, `${source.length}`);
  }
  if (source instanceof Uint16Array) {
    if (!half) throw fail("Uint16Array", 'For float16 bits pass { data, dims, type: "float16" }');
    source = float16ToFloat32(source);
  }
  return { source, shape, half };
}

function numberAt(where: string, argument: string, source: Source, i: number): number {
  const value = source[i] as unknown;
  if (typeof value !== "number" && typeof value !== "bigint" && typeof value !== "boolean") throw typeError(where, argument, "of numbers", `${describe(value)} at index ${i}`);
  return Number(value);
}

function flatten(where: string, argument: string, x: unknown, shape: readonly number[], axis: number, out: unknown[]): void {
  if (axis === shape.length) out.push(x);
  else if (!Array.isArray(x) || x.length !== shape[axis]) {
    throw rangeError(where, argument, `with rows of equal length (shape [${shape.join(", ")}])`, `${Array.isArray(x) ? `${x.length} elements` : describe(x)} at axis ${axis}`);
  } else for (let i = 0; i < x.length; i++) flatten(where, argument, x[i], shape, axis + 1, out);
}

/** Checks that the elements are there: a buffer that was transferred, or a memory that has grown, leaves arrays of length 0. */
export function checkAttached<D extends DType>(where: string, argument: string, x: Tensor<D>): Tensor<D> {
  // Not x.data: a resident tensor makes its view anew. And `buffer` only where needed: it moves a small array's elements out of the engine's heap.
  const values = x["values"];
  if (values && (values.length !== x.size || (values.length === 0 && (values.buffer as { detached?: boolean }).detached))) {
    throw rangeError(where, argument, "with its elements", "a detached buffer", "Pass a copy made before the transfer");
  }
  return x;
}

import { float16ToFloat32, type NumericArray } from "@logits/tensor";
import { formatError } from "./formatError.ts";

/** What a reader returns: a plain tensor, so that it can go wherever a `TensorLike` goes. Row-major. */
export interface FileArray {
  readonly data: NumericArray;
  readonly shape: readonly number[];
  /** What the file said, in numpy's words: `float32`, `int64`, `bool`. float16 and bfloat16 are already widened to float32. */
  readonly dtype: string;
}

/** Element types that files have and this library reads. */
export type ElementType =
  | "float16" | "bfloat16" | "float32" | "float64" | "int8" | "int16" | "int32" | "int64" | "uint8" | "uint16" | "uint32" | "uint64" | "bool";

/** Bytes of one element. */
export const ELEMENT_BYTES: Readonly<Record<ElementType, number>> = {
  float16: 2, bfloat16: 2, float32: 4, float64: 8, int8: 1, int16: 2, int32: 4, int64: 8, uint8: 1, uint16: 2, uint32: 4, uint64: 8, bool: 1,
};

/** Number of elements of a shape that a file claims; an error if an axis is no integer from 0 up, or the product is beyond 2^53. */
export function claimedSize(reader: string, file: string, shape: readonly unknown[]): number {
  if (shape.length > 32) throw formatError(reader, file, "to have at most 32 axes", `${shape.length}`);
  let size = 1;
  let largest = 1;
  for (let axis = 0; axis < shape.length; axis++) {
    const length = shape[axis];
    if (!Number.isSafeInteger(length) || (length as number) < 0) throw formatError(reader, file, "to have a shape of integers in [0, 2^53)", `${String(length)} at axis ${axis}`);
    size *= length as number;
    // An empty array with an absurd second axis is still absurd.
    largest *= Math.max(1, length as number);
  }
  if (!(largest <= Number.MAX_SAFE_INTEGER)) throw formatError(reader, file, "to have fewer than 2^53 elements", `shape [${shape.join(", ")}]`, "The header is damaged or hostile");
  return size;
}

/** Elements from bytes, copied (never a view of the file). `bytes.length` is a multiple of the element's size. */
export function decodeElements(reader: string, file: string, bytes: Uint8Array, type: ElementType, littleEndian: boolean): NumericArray {
  const width = ELEMENT_BYTES[type];
  // Not bytes.slice(): of a Node Buffer that shares memory.
  const copy = new Uint8Array(bytes.length);
  copy.set(bytes);
  if (!littleEndian) {
    for (let at = 0; at < copy.length; at += width) copy.subarray(at, at + width).reverse();
  }
  const { buffer } = copy;
  switch (type) {
    case "float16": return float16ToFloat32(new Uint16Array(buffer));
    case "bfloat16": return new Float32Array(Uint32Array.from(new Uint16Array(buffer), (bits) => bits << 16).buffer);
    case "float32": return new Float32Array(buffer);
    case "float64": return new Float64Array(buffer);
    case "int8": return new Int8Array(buffer);
    case "int16": return new Int16Array(buffer);
    case "int32": return new Int32Array(buffer);
    case "int64": return new BigInt64Array(buffer);
    case "uint8": case "bool": return copy;
    case "uint16": return Int32Array.from(new Uint16Array(buffer));
    case "uint32": return new Uint32Array(buffer);
    case "uint64": {
      const values = new BigInt64Array(buffer);
      const at = values.findIndex((value) => value < 0n);
      if (at >= 0) throw formatError(reader, file, "to hold integers below 2^63", `${BigInt.asUintN(64, values[at])} at index ${at}`);
      return values;
    }
  }
}

/** Numbers from text or JSON: int32 if every one is an integer that int32 holds, float64 if not. */
export function numbersToFileArray(values: Float64Array, shape: readonly number[]): FileArray {
  for (let i = 0; i < values.length; i++) {
    if ((values[i] | 0) !== values[i] || Object.is(values[i], -0)) return { data: values, shape, dtype: "float64" };
  }
  return { data: Int32Array.from(values), shape, dtype: "int32" };
}

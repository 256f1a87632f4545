import { type NumericArray } from "@logits/tensor";
/** What a reader returns: a plain tensor, so that it can go wherever a `TensorLike` goes. Row-major. */
export interface FileArray {
    readonly data: NumericArray;
    readonly shape: readonly number[];
    /** What the file said, in numpy's words: `float32`, `int64`, `bool`. float16 and bfloat16 are already widened to float32. */
    readonly dtype: string;
}
/** Element types that files have and this library reads. */
export type ElementType = "float16" | "bfloat16" | "float32" | "float64" | "int8" | "int16" | "int32" | "int64" | "uint8" | "uint16" | "uint32" | "uint64" | "bool";
/** Bytes of one element. */
export declare const ELEMENT_BYTES: Readonly<Record<ElementType, number>>;
/** Number of elements of a shape that a file claims; an error if an axis is no integer from 0 up, or the product is beyond 2^53. */
export declare function claimedSize(reader: string, file: string, shape: readonly unknown[]): number;
/** Elements from bytes, copied (never a view of the file). `bytes.length` is a multiple of the element's size. */
export declare function decodeElements(reader: string, file: string, bytes: Uint8Array, type: ElementType, littleEndian: boolean): NumericArray;
/** Numbers from text or JSON: int32 if every one is an integer that int32 holds, float64 if not. */
export declare function numbersToFileArray(values: Float64Array, shape: readonly number[]): FileArray;

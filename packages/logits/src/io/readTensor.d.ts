import { Tensor } from "@logits/tensor";
import type { FileArray } from "./fileArray.ts";
/** A file on the command line: `outputs.npz:logits` is the path `outputs.npz` and the key `logits`. */
export interface FileReference {
    readonly path: string;
    readonly key: string | undefined;
}
/** Splits `FILE:KEY` after a known extension, so that `C:\data.npy` and paths with colons stay whole. */
export declare function parseFileReference(text: string): FileReference;
/**
 * An array from the bytes of a file: the reader of its extension; without a known extension the one whose signature the bytes have.
 * A file whose bytes are plainly of another format than its name says is an error, not a guess.
 *
 * @param bytes - the whole file
 * @param file - its name: the extension chooses the reader, and messages name it
 * @param key - which array, for `.npz`, `.safetensors`, `.json`; which column, for `.csv` and `.parquet`; which property of each line, for `.ndjson`
 * @returns data, shape and dtype: a `TensorLike`
 * @throws FormatError naming the file, what was expected, what came and what to do
 */
export declare function readTensor(bytes: Uint8Array, file: string, key?: string): Promise<FileArray>;
/**
 * A file's array as float32 [N, C], N and C at least 1. NaN stays: whoever cannot use it says so.
 *
 * @throws FormatError for another rank, an empty array or values that float32 cannot hold
 */
export declare function toMatrix(array: FileArray, file: string): Tensor<"float32">;
/**
 * A file's array as int32 labels [N], N at least 1; [N, 1] and [1, N] too. Floats are accepted if every one is an integer (numpy and CSV
 * writers make them); NaN, fractions and what int32 cannot hold are errors that name the index. Bool is 0 and 1.
 *
 * @throws FormatError
 */
export declare function toLabels(array: FileArray, file: string): Tensor<"int32">;

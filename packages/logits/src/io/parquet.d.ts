import { type FileArray } from "./fileArray.ts";
/**
 * A matrix from a `.parquet` file, read by hyparquet: all columns as numbers [rows, columns]; or one column named by `key`, numbers [rows]
 * or lists of equal length [rows, length]; or the only column. Uncompressed, snappy or gzip. Nulls are an error.
 *
 * Pages are walked before they are decoded, so that a damaged count can neither hang nor fill the heap.
 *
 * @throws FormatError naming column and row of what is no number
 */
export declare function readParquet(bytes: Uint8Array, file: string, key?: string): Promise<FileArray>;

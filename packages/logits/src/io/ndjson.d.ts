import { type FileArray } from "./fileArray.ts";
/**
 * An array from newline-delimited JSON (`.ndjson`, `.jsonl`): every line a number (labels), a row of numbers, or an object that holds
 * one of them under `key`. Blank lines are skipped.
 *
 * @throws FormatError naming the line
 */
export declare function readNdjson(bytes: Uint8Array, file: string, key?: string): FileArray;

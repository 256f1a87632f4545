import { type FileArray } from "./fileArray.ts";
/**
 * An array from a `.json` file: nested number arrays, or `{ "data": [...], "shape" | "dims": [...] }`, or an object that holds either
 * under a key. The strings "NaN", "Infinity" and "-Infinity" are numbers too, because JSON has no other way to write them; `null` is not.
 *
 * @param key - the property to read; may be left out where the object has exactly one
 * @throws FormatError naming the place of what is no number, or the row of another length
 */
export declare function readJson(bytes: Uint8Array, file: string, key?: string): FileArray;
/** An array from a parsed JSON value; see {@link readJson}. */
export declare function arrayFromJson(value: unknown, name: string, reader: string): FileArray;

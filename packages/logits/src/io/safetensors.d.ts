import { type FileArray } from "./fileArray.ts";
/**
 * One tensor of a `.safetensors` file. Every tensor's offsets are checked, not only those of the one that is read: inside the
 * file, of the size of shape and dtype, without holes or overlaps.
 *
 * @param key - the tensor's name; may be left out where the file holds exactly one
 * @throws FormatError that lists the keys where `key` is missing or unknown
 *
 * Source: the format section of the safetensors documentation: u64 header length, JSON, data.
 */
export declare function readSafetensors(bytes: Uint8Array, file: string, key?: string): FileArray;

import type { FileArray } from "./fileArray.ts";
/**
 * One array of a `.npz` file (a zip of `.npy` files, stored or deflated, as numpy.savez and savez_compressed write it).
 *
 * Nothing is allocated before the directory was compared with the bytes that are there. An entry of more than 64 MiB that
 * claims to have shrunk more than 200 times is refused. Checksums are compared.
 *
 * @param key - the array's name; may be left out where the file holds exactly one
 * @throws FormatError that lists the keys where `key` is missing or unknown
 */
export declare function readNpz(bytes: Uint8Array, file: string, key?: string): FileArray;

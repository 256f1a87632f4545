import { type FileArray } from "./fileArray.ts";
/**
 * An array from a `.npy` file: versions 1, 2 and 3, either byte order, C or Fortran order (converted to C).
 * f2 f4 f8, i1 i2 i4 i8, u1 u2 u4 u8 and b1; anything else (objects, text, complex, structured) is refused.
 *
 * Nothing is allocated before the claimed size was compared with the bytes that are there.
 *
 * @param bytes - the file
 * @param file - its name, for messages
 * @throws FormatError naming the file, what was expected and what came
 *
 * Source: NumPy enhancement proposal 1 and numpy.lib.format.
 */
export declare function readNpy(bytes: Uint8Array, file: string): FileArray;

import { type FileArray } from "./fileArray.ts";
/** A matrix from a text file, with the names of its columns where the file has them. */
export interface CsvArray extends FileArray {
    readonly columns: readonly string[] | undefined;
}
/**
 * A matrix [rows, columns] from a `.csv` or `.tsv` file: one row a line, comma, semicolon or tabulator (whichever the first line has; tab wins,
 * then semicolon). The first line is a header if a cell of it is no number. Cells are decimal numbers, `nan`, `inf`, `-inf`, quoted or not.
 * A blank last line is no row. int32 if every number is one, else float64.
 *
 * @param key - the name of the one column to read; needs a header
 * @throws FormatError naming line and column of a cell that is no number, and the line of a row of another width
 */
export declare function readCsv(bytes: Uint8Array, file: string, key?: string): CsvArray;

import { dsvFormat } from "d3-dsv";
import { type FileArray, numbersToFileArray } from "./fileArray.ts";
import { formatError, quote } from "./formatError.ts";
import { decodeText, parseNumber } from "./text.ts";

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
export function readCsv(bytes: Uint8Array, file: string, key?: string): CsvArray {
  const fail = (expected: string, got: string, todo?: string): Error => formatError("readCsv", file, expected, got, todo);
  const text = decodeText("readCsv", bytes, file);
  const first = text.slice(0, text.search(/[\r\n]|$/));
  const delimiter = first.includes("\t") ? "\t" : first.includes(";") ? ";" : ",";
  checkQuotes(text, delimiter, file);
  const rows = dsvFormat(delimiter).parseRows(text);
  while (rows.length > 0 && rows[rows.length - 1].length === 1 && rows[rows.length - 1][0].trim() === "") rows.pop();
  if (rows.length === 0) throw fail("to hold numbers", "blank lines");
  const header = rows[0].some((cell) => parseNumber(cell) === undefined) ? rows[0].map((cell) => cell.trim()) : undefined;
  const skip = header ? 1 : 0;
  const width = rows[0].length;
  const count = rows.length - skip;
  if (count === 0) throw fail("to hold rows of numbers", `only a header (${quote(header!.join(delimiter))})`);
  if (key !== undefined && !header) throw fail(`to have a header with ${quote(key)}`, "no header");
  const chosen = key === undefined ? -1 : header!.indexOf(key);
  if (key !== undefined && chosen < 0) throw fail(`to have a column ${quote(key)}`, `columns ${header!.slice(0, 20).join(", ")}`);
  if (header && new Set(header).size !== width) throw fail("to name each column once", quote(header.find((name, i) => header.indexOf(name) !== i)!) + " twice");
  const columns = chosen < 0 ? width : 1;
  const values = new Float64Array(count * columns);
  for (let r = 0; r < count; r++) {
    const row = rows[r + skip];
    if (row.length !== width) throw fail(`to have ${width} columns in every row`, `${row.length} in line ${r + skip + 1}`);
    for (let c = 0; c < columns; c++) {
      const at = chosen < 0 ? c : chosen;
      const value = parseNumber(row[at]);
      if (value === undefined) {
        throw fail("to hold a number in every cell", `${row[at].trim() === "" ? "an empty cell" : quote(row[at])} in line ${r + skip + 1}, column ${header ? quote(header[at]) : at + 1}`, "Write nan where a value is missing");
      }
      values[r * columns + c] = value;
    }
  }
  return { ...numbersToFileArray(values, chosen < 0 ? [count, columns] : [count]), columns: chosen < 0 ? header : undefined };
}

/** d3-dsv drops the character after a closing quote, whatever it is; here a quote stands at the edge of a cell or the file is refused. */
function checkQuotes(text: string, delimiter: string, file: string): void {
  const fail = (at: number, got: string): Error => formatError("readCsv", file, "to have quotes only around whole cells", `${got} in line ${text.slice(0, at).split("\n").length}`);
  for (let at = text.indexOf('"'); at >= 0; at = text.indexOf('"', at)) {
    if (at > 0 && !`${delimiter}\r\n`.includes(text[at - 1])) throw fail(at, "a quote inside a cell");
    let end = text.indexOf('"', at + 1);
    while (end >= 0 && text[end + 1] === '"') end = text.indexOf('"', end + 2);
    if (end < 0) throw fail(at, "a quote that is never closed");
    if (end + 1 < text.length && !`${delimiter}\r\n`.includes(text[end + 1])) throw fail(end, "text after a closing quote");
    at = end + 1;
  }
}

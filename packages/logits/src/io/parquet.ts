import { parquetMetadata, parquetRead, parquetSchema } from "hyparquet";
import { type FileArray, numbersToFileArray } from "./fileArray.ts";
import { formatError, quote } from "./formatError.ts";
import { checkPages, compressors } from "./parquetGuard.ts";

/**
 * A matrix from a `.parquet` file, read by hyparquet: all columns as numbers [rows, columns]; or one column named by `key`, numbers [rows]
 * or lists of equal length [rows, length]; or the only column. Uncompressed, snappy or gzip. Nulls are an error.
 *
 * Pages are walked before they are decoded, so that a damaged count can neither hang nor fill the heap.
 *
 * @throws FormatError naming column and row of what is no number
 */
export async function readParquet(bytes: Uint8Array, file: string, key?: string): Promise<FileArray> {
  const fail = (expected: string, got: string, todo?: string, cause?: unknown): Error => formatError("readParquet", file, expected, got, todo, cause);
  if (bytes.length < 12) throw fail("to be a .parquet file", bytes.length === 0 ? "an empty file" : `${bytes.length} bytes`);
  const buffer = new ArrayBuffer(bytes.length);
  const copy = new Uint8Array(buffer);
  copy.set(bytes);
  let names: string[];
  let rows: number;
  const chunks = new Map<string, { start: number; data: ArrayLike<unknown> }[]>();
  try {
    const metadata = parquetMetadata(buffer);
    const schema = parquetSchema(metadata);
    names = schema.children.map((child) => child.element.name);
    rows = Number(metadata.num_rows);
    const groups = metadata.row_groups.reduce((sum, group) => sum + Number(group.num_rows), 0);
    if (!(rows >= 0) || groups !== rows || metadata.row_groups.some((group) => !(Number(group.num_rows) >= 0))) throw new Error(`${rows} rows in all, ${groups} in its groups`);
    if (new Set(names).size !== names.length) throw new Error("two columns of one name");
    if (rows === 0 || names.length === 0) throw fail("to hold numbers", `${rows} rows of ${names.length} columns`);
    if (key !== undefined && !names.includes(key)) throw fail(`to have a column ${quote(key)}`, `columns ${names.slice(0, 20).join(", ")}`);
    if (key !== undefined) names = [key];
    checkPages(copy, metadata, schema, names);
    for (const name of names) chunks.set(name, []);
    await parquetRead({
      file: { byteLength: buffer.byteLength, slice: (start: number, end?: number) => buffer.slice(start, end) },
      metadata, columns: names, compressors, utf8: false,
      onChunk: ({ columnName, columnData, rowStart }) => {
        chunks.get(columnName)?.push({ start: rowStart, data: columnData });
      },
    });
  } catch (cause) {
    if (!(cause instanceof Error) || cause.name === "FormatError") throw cause;
    throw fail("to be a readable .parquet file", cause.message || cause.name, "Write it with compression snappy and default encodings", cause);
  }
  const first = columnOf(chunks.get(names[0])!, rows, file, names[0]);
  if (names.length === 1 && isList(first[0])) return listMatrix(first, file, names[0]);
  const values = new Float64Array(rows * names.length);
  names.forEach((name, c) => {
    const column = c === 0 ? first : columnOf(chunks.get(name)!, rows, file, name);
    for (let r = 0; r < rows; r++) {
      if (isList(column[r])) throw fail("to hold numbers in every column", `a list in column ${quote(name)}`, "Name the column: FILE.parquet:COLUMN");
      values[r * names.length + c] = numberOf(column[r], file, name, r);
    }
  });
  return numbersToFileArray(values, key === undefined ? [rows, names.length] : [rows]);
}

/** The values of one column in order; each row exactly once. */
function columnOf(chunks: readonly { start: number; data: ArrayLike<unknown> }[], rows: number, file: string, name: string): unknown[] {
  const out: unknown[] = [];
  for (const { start, data } of chunks.slice().sort((a, b) => a.start - b.start)) {
    if (start !== out.length) break;
    for (let i = 0; i < data.length; i++) out.push(data[i]);
  }
  if (out.length !== rows) throw formatError("readParquet", file, `to hold ${rows} rows in column ${quote(name)}`, `${out.length}`, "The file is damaged");
  return out;
}

function listMatrix(column: readonly unknown[], file: string, name: string): FileArray {
  const width = (column[0] as ArrayLike<unknown>).length;
  const values = new Float64Array(column.length * width);
  column.forEach((row, r) => {
    if (!isList(row) || row.length !== width) throw formatError("readParquet", file, `to hold lists of ${width} numbers in column ${quote(name)}`, `${isList(row) ? row.length : String(row)} in row ${r}`);
    for (let c = 0; c < width; c++) values[r * width + c] = numberOf(row[c], file, name, r);
  });
  return numbersToFileArray(values, [column.length, width]);
}

function isList(value: unknown): value is ArrayLike<unknown> {
  return Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));
}

function numberOf(value: unknown, file: string, name: string, row: number): number {
  if (typeof value === "number") return value;
  if (typeof value === "boolean") return value ? 1 : 0;
  if (typeof value === "bigint" && value >= -9007199254740992n && value <= 9007199254740992n) return Number(value);
  const got = value === null || value === undefined ? "null" : typeof value === "bigint" ? `${value}` : value instanceof Date ? "a date" : typeof value;
  throw formatError("readParquet", file, `to hold numbers in column ${quote(name)}`, `${got} in row ${row}`);
}

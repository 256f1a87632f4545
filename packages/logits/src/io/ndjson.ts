import { type FileArray, numbersToFileArray } from "./fileArray.ts";
import { formatError, quote } from "./formatError.ts";
import { arrayFromJson } from "./json.ts";
import { decodeText } from "./text.ts";

/**
 * An array from newline-delimited JSON (`.ndjson`, `.jsonl`): every line a number (labels), a row of numbers, or an object that holds
 * one of them under `key`. Blank lines are skipped.
 *
 * @throws FormatError naming the line
 */
export function readNdjson(bytes: Uint8Array, file: string, key?: string): FileArray {
  const lines = decodeText("readNdjson", bytes, file).split("\n");
  const rows: FileArray[] = [];
  for (let i = 0; i < lines.length; i++) {
    if (lines[i].trim() === "") continue;
    const name = `${file} line ${i + 1}`;
    let value: unknown;
    try {
      value = JSON.parse(lines[i]);
    } catch (cause) {
      throw formatError("readNdjson", name, "to be JSON", `damaged JSON (${(cause as Error).message})`, undefined, cause);
    }
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      if (key === undefined) throw formatError("readNdjson", name, "with a key, as FILE.ndjson:KEY", "none", `Keys: ${Object.keys(value).slice(0, 20).join(", ")}`);
      if (!Object.hasOwn(value, key)) throw formatError("readNdjson", name, `to hold ${quote(key)}`, `keys ${Object.keys(value).slice(0, 20).join(", ")}`);
      value = (value as Record<string, unknown>)[key];
    } else if (key !== undefined) {
      throw formatError("readNdjson", name, `to be an object with ${quote(key)}`, Array.isArray(value) ? "an array" : typeof value);
    }
    const row = typeof value === "number" || typeof value === "string" ? { ...arrayFromJson([value], name, "readNdjson"), shape: [] } : arrayFromJson(value, name, "readNdjson");
    const { shape } = rows[0] ?? row;
    if (row.shape.length > 1) throw formatError("readNdjson", name, "to hold a number or one row of numbers", `shape [${row.shape.join(", ")}]`);
    if (row.shape.length !== shape.length || row.shape[0] !== shape[0]) {
      throw formatError("readNdjson", name, shape.length === 0 ? "to hold one number, as the first line does" : `to hold ${shape[0]} numbers, as the first line does`, row.shape.length === 0 ? "one number" : `${row.shape[0]}`);
    }
    rows.push(row);
  }
  if (rows.length === 0) throw formatError("readNdjson", file, "to hold numbers", "blank lines");
  const width = rows[0].shape[0] ?? 1;
  const values = new Float64Array(rows.length * width);
  rows.forEach(({ data }, r) => {
    for (let c = 0; c < width; c++) values[r * width + c] = data[c] as number;
  });
  return numbersToFileArray(values, rows[0].shape.length === 0 ? [rows.length] : [rows.length, width]);
}

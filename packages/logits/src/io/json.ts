import { type FileArray, claimedSize, numbersToFileArray } from "./fileArray.ts";
import { formatError, quote } from "./formatError.ts";
import { decodeText, parseNumber } from "./text.ts";

/**
 * An array from a `.json` file: nested number arrays, or `{ "data": [...], "shape" | "dims": [...] }`, or an object that holds either
 * under a key. The strings "NaN", "Infinity" and "-Infinity" are numbers too, because JSON has no other way to write them; `null` is not.
 *
 * @param key - the property to read; may be left out where the object has exactly one
 * @throws FormatError naming the place of what is no number, or the row of another length
 */
export function readJson(bytes: Uint8Array, file: string, key?: string): FileArray {
  const fail = (expected: string, got: string, todo?: string, cause?: unknown): Error => formatError("readJson", file, expected, got, todo, cause);
  let value: unknown;
  try {
    value = JSON.parse(decodeText("readJson", bytes, file).replace(/^\ufeff/, ""));
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw fail("to be JSON", `damaged JSON (${cause.message})`, undefined, cause);
  }
  let name = file;
  if (isRecord(value) && !("data" in value && ("shape" in value || "dims" in value))) {
    const keys = Object.keys(value);
    const listed = keys.slice(0, 20).join(", ");
    if (key === undefined && keys.length !== 1) throw fail("with a key, as FILE.json:KEY", "none", `Keys: ${listed}`);
    const chosen = key ?? keys[0];
    if (!Object.hasOwn(value, chosen)) throw fail(`to hold ${quote(chosen)}`, `keys ${listed}`);
    value = value[chosen];
    name = `${file}:${chosen.slice(0, 40)}`;
  } else if (key !== undefined) {
    throw fail(`to be an object with ${quote(key)}`, Array.isArray(value) ? "an array" : "a tensor");
  }
  return arrayFromJson(value, name, "readJson");
}

/** An array from a parsed JSON value; see {@link readJson}. */
export function arrayFromJson(value: unknown, name: string, reader: string): FileArray {
  let claimed: readonly number[] | undefined;
  if (isRecord(value) && "data" in value) {
    const shape = value.shape ?? value.dims;
    if (!Array.isArray(shape)) throw formatError(reader, name, "to have a shape of integers", typeof shape);
    claimedSize(reader, name, shape);
    claimed = shape as number[];
    value = value.data;
  }
  if (!Array.isArray(value)) throw formatError(reader, name, "to be an array of numbers", value === null ? "null" : typeof value);
  const shape: number[] = [];
  for (let level: unknown = value; Array.isArray(level); level = level[0]) {
    shape.push(level.length);
    if (shape.length > 8) throw formatError(reader, name, "to have at most 8 axes", "more");
  }
  // No more leaves than the text had numbers, so this cannot outgrow the file; ragged rows are found while filling.
  const leaves = value.flat(shape.length - 1 || 1) as unknown[];
  const size = shape.reduce((a, b) => a * b, 1);
  const ragged = (): Error => formatError(reader, name, `to have rows of equal length (shape [${shape.join(", ")}])`, `${leaves.length} numbers`);
  if (size !== leaves.length) throw ragged();
  checkNesting(value, shape, 0, name, reader);
  const values = new Float64Array(leaves.length);
  for (let i = 0; i < leaves.length; i++) {
    const leaf = leaves[i];
    const number = typeof leaf === "number" ? leaf : typeof leaf === "string" ? parseNumber(leaf) : undefined;
    if (number === undefined) {
      throw formatError(reader, name, "to hold only numbers", `${leaf === null ? "null" : typeof leaf === "string" ? quote(leaf) : typeof leaf} at ${place(i, shape)}`, leaf === null ? 'JSON has no NaN: write "NaN"' : undefined);
    }
    values[i] = number;
  }
  if (claimed === undefined) return numbersToFileArray(values, shape);
  if (shape.length !== 1 || claimed.reduce((a, b) => a * b, 1) !== values.length) {
    throw formatError(reader, name, `to have flat data of ${claimed.reduce((a, b) => a * b, 1)} numbers for shape [${claimed.join(", ")}]`, `shape [${shape.join(", ")}]`);
  }
  return numbersToFileArray(values, claimed);
}

/** Every row has the length of the first: equal totals are not enough ([[1], [2, 3], []] has 3 of 3 x 1). */
function checkNesting(value: unknown[], shape: readonly number[], axis: number, name: string, reader: string): void {
  if (axis === shape.length - 1) return;
  for (let i = 0; i < value.length; i++) {
    const row = value[i];
    if (!Array.isArray(row) || row.length !== shape[axis + 1]) {
      throw formatError(reader, name, `to have rows of ${shape[axis + 1]} numbers`, `${Array.isArray(row) ? row.length : "no row"} in row ${i}${axis > 0 ? ` of axis ${axis}` : ""}`);
    }
    checkNesting(row, shape, axis + 1, name, reader);
  }
}

function place(index: number, shape: readonly number[]): string {
  const at: number[] = [];
  for (let axis = shape.length - 1, rest = index; axis >= 0; axis--) {
    at.unshift(rest % shape[axis]);
    rest = Math.floor(rest / shape[axis]);
  }
  return `[${at.join(", ")}]`;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

import { FormatError, message } from "./errors.ts";
import { describe } from "./tensor.ts";

/** Checked access to the fields of a JSON object; every failure is a `FormatError` that names the field. */
export interface JsonFields {
  /** A finite number in [low, high]. */
  number(field: string, low?: number, high?: number): number;
  integer(field: string, low: number, high: number): number;
  boolean(field: string): boolean;
  string(field: string): string;
  /** One of the strings. */
  oneOf<const T extends string>(field: string, values: readonly T[]): T;
  /** A list of strings. */
  strings(field: string): string[];
  /** Base64 of little-endian float32, all finite. */
  floats(field: string): Float32Array;
  /** The field as it stands, for a reader of its own; missing or null is an error. */
  value(field: string): unknown;
  /** Throws: the field is not what it must be. */
  fail(field: string, expected: string, got: string, todo?: string): never;
}

/**
 * Checks `format` and `version` of a JSON value and gives checked access to its fields.
 *
 * @param where - the caller, `TemperatureScaling.fromJSON`
 * @param owner - the package to upgrade when the version is newer
 * @throws FormatError if it is no object or of another format or version
 */
export function readJson(where: string, json: unknown, format: string, version: number, owner: string): JsonFields {
  if (typeof json !== "object" || json === null || Array.isArray(json)) throw new FormatError(message(where, "json", "an object", show(json), typeof json === "string" ? "Pass JSON.parse(text)" : undefined));
  const source = json as Record<string, unknown>;
  const fail = (field: string, expected: string, got: string, todo?: string): never => {
    throw new FormatError(message(where, field, expected, got, todo));
  };
  const get = (field: string, expected: string): unknown => {
    if (!Object.hasOwn(source, field)) fail(field, expected, "nothing: the field is missing");
    return source[field];
  };
  const text = (field: string): string => {
    const value = get(field, "a string");
    return typeof value === "string" ? value : fail(field, "a string", show(value));
  };
  const fields: JsonFields = {
    number(field, low = -Infinity, high = Infinity) {
      const expected = low === -Infinity && high === Infinity ? "a finite number" : `a finite number in [${low}, ${high}]`;
      const value = get(field, expected);
      return typeof value === "number" && Number.isFinite(value) && value >= low && value <= high ? value : fail(field, expected, show(value));
    },
    integer(field, low, high) {
      const expected = `an integer in [${low}, ${high}]`;
      const value = get(field, expected);
      return typeof value === "number" && Number.isInteger(value) && value >= low && value <= high ? value : fail(field, expected, show(value));
    },
    boolean(field) {
      const value = get(field, "true or false");
      return typeof value === "boolean" ? value : fail(field, "true or false", show(value));
    },
    string: text,
    oneOf(field, values) {
      const value = text(field);
      return values.find((known) => known === value) ?? fail(field, values.map((known) => `"${known}"`).join(" or "), show(value));
    },
    strings(field) {
      const value = get(field, "a list of strings");
      if (!Array.isArray(value)) return fail(field, "a list of strings", show(value));
      const bad = value.findIndex((item) => typeof item !== "string");
      return bad < 0 ? [...(value as string[])] : fail(field, "a list of strings", `${show(value[bad])} at index ${bad}`);
    },
    floats(field) {
      const decoded = fromBase64(text(field));
      if (decoded === undefined) return fail(field, "base64 of little-endian float32", "text that is not");
      const bad = decoded.findIndex((value) => !Number.isFinite(value));
      return bad < 0 ? decoded : fail(field, "base64 of finite float32", `${decoded[bad]} at index ${bad}`);
    },
    value(field) {
      return get(field, "a value") ?? fail(field, "a value", "null");
    },
    fail,
  };
  const named = fields.string("format");
  if (named !== format) fail("format", `"${format}"`, `"${named}"`);
  const found = get("version", `${version}`);
  if (found !== version) fail("version", `${version}`, show(found), typeof found === "number" && found > version ? `Upgrade ${owner} to read it` : undefined);
  return fields;
}

/** float32 as base64 of its little-endian bytes, for JSON. */
export function toBase64(values: Float32Array): string {
  const bytes = new Uint8Array(4 * values.length);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < values.length; i++) view.setFloat32(4 * i, values[i], true);
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
}

function fromBase64(text: string): Float32Array | undefined {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return undefined;
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  if (bytes.length % 4 !== 0) return undefined;
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
}

function show(value: unknown): string {
  if (typeof value === "string") return value.length > 40 ? `text of ${value.length} characters` : JSON.stringify(value);
  return typeof value === "number" || typeof value === "boolean" ? `${value}` : describe(value);
}

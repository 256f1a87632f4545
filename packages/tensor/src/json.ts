import { FormatError, message } from "./errors.ts";
import { Tensor, describe, sizeOf, type DataOf } from "./tensor.ts";

/** An array inside JSON. A binary artefact keeps `data` as the typed array that it stands for. */
export interface TensorJSON {
  readonly dtype: "float32" | "int32";
  readonly shape: readonly number[];
  /** Base64 of the little-endian numbers, row-major. */
  readonly data: string;
}

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
  /** What `tensorToJSON` wrote, of this dtype and rank; float32 all finite. */
  tensor<const D extends "float32" | "int32">(field: string, dtype: D, rank: number): Tensor<D>;
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
    tensor(field, dtype, rank) {
      const expected = `a tensor of ${dtype} and rank ${rank}`;
      const value = get(field, expected);
      if (typeof value !== "object" || value === null) return fail(field, expected, show(value));
      const { dtype: named, shape, data } = value as Record<string, unknown>;
      if (named !== dtype) return fail(field, expected, `dtype ${show(named)}`);
      if (!Array.isArray(shape) || shape.length !== rank || !shape.every((size) => Number.isSafeInteger(size) && size >= 0)) return fail(field, expected, `shape ${JSON.stringify(shape)}`);
      const numbers = typeof data === "string" ? fromBase64(data, dtype) : data instanceof (dtype === "float32" ? Float32Array : Int32Array) ? data : undefined;
      if (numbers === undefined) return fail(field, `base64 of little-endian ${dtype} in \`data\``, "something else");
      if (numbers.length !== sizeOf(shape)) return fail(field, `${sizeOf(shape)} numbers of shape [${shape.join(", ")}]`, `${numbers.length}`);
      const bad = dtype === "float32" ? numbers.findIndex((x) => !Number.isFinite(x)) : -1;
      if (bad >= 0) fail(field, "finite numbers", `${numbers[bad]} at index ${bad}`);
      return new Tensor(dtype, shape, numbers as DataOf<typeof dtype>);
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

/** A tensor as a JSON value, bit by bit: base64 of its little-endian numbers. `JsonFields.tensor` reads it. */
export function tensorToJSON({ dtype, shape, data }: Tensor<"float32"> | Tensor<"int32">): TensorJSON {
  const bytes = new Uint8Array(4 * data.length);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < data.length; i++) {
    if (dtype === "float32") view.setFloat32(4 * i, data[i], true);
    else view.setInt32(4 * i, data[i], true);
  }
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += Reflect.apply(String.fromCharCode, null, bytes.subarray(i, i + 8192)); // a spread would walk an iterator
  return { dtype, shape: [...shape], data: btoa(text) };
}

function fromBase64(text: string, dtype: "float32" | "int32"): Float32Array | Int32Array | undefined {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return undefined;
  const characters = atob(text), bytes = new Uint8Array(characters.length);
  if (bytes.length % 4 !== 0) return undefined;
  for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i);
  const view = new DataView(bytes.buffer);
  const numbers = dtype === "float32" ? new Float32Array(bytes.length / 4) : new Int32Array(bytes.length / 4);
  for (let i = 0; i < numbers.length; i++) numbers[i] = dtype === "float32" ? view.getFloat32(4 * i, true) : view.getInt32(4 * i, true);
  return numbers;
}

function show(value: unknown): string {
  if (typeof value === "string") return value.length > 40 ? `text of ${value.length} characters` : JSON.stringify(value);
  return typeof value === "number" || typeof value === "boolean" ? `${value}` : describe(value);
}

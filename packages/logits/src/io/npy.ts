import { type ElementType, type FileArray, ELEMENT_BYTES, claimedSize, decodeElements } from "./fileArray.ts";
import { formatError, quote } from "./formatError.ts";

const MAGIC = "\x93NUMPY";
/** numpy itself writes headers of about 100 bytes and refuses to read more than 10,000. */
const HEADER_LIMIT = 65536;

const TYPES: Readonly<Record<string, ElementType>> = {
  f2: "float16", f4: "float32", f8: "float64", i1: "int8", i2: "int16", i4: "int32", i8: "int64", u1: "uint8", u2: "uint16", u4: "uint32", u8: "uint64", b1: "bool",
};

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
export function readNpy(bytes: Uint8Array, file: string): FileArray {
  const fail = (expected: string, got: string, todo?: string): Error => formatError("readNpy", file, expected, got, todo);
  if (bytes.length === 0) throw fail("to be a .npy file", "an empty file");
  const start = latin1(bytes.subarray(0, 6));
  if (start !== MAGIC) throw fail("to start with \\x93NUMPY", quote(start), "Write it with numpy.save");
  if (bytes.length < 10) throw fail("to have a header", `${bytes.length} bytes`, "The file is truncated");
  const [major, minor] = [bytes[6], bytes[7]];
  if (major < 1 || major > 3 || minor !== 0) throw fail("to have format version 1.0, 2.0 or 3.0", `${major}.${minor}`);
  const begin = major === 1 ? 10 : 12;
  if (bytes.length < begin) throw fail("to have a header", `${bytes.length} bytes`, "The file is truncated");
  const length = major === 1 ? bytes[8] | (bytes[9] << 8) : (bytes[8] | (bytes[9] << 8) | (bytes[10] << 16) | (bytes[11] << 24)) >>> 0;
  if (length > HEADER_LIMIT) throw fail(`to have a header of at most ${HEADER_LIMIT} bytes`, `${length}`, "The file is damaged");
  if (begin + length > bytes.length) throw fail(`to have a header of ${length} bytes`, `${bytes.length - begin}`, "The file is truncated");
  const header = new HeaderParser(latin1(bytes.subarray(begin, begin + length)), file).header();

  const shape = header.shape;
  const size = claimedSize("readNpy", file, shape);
  const match = /^([<>|])([fiub])([1248])$/.exec(header.descr);
  const type = match ? TYPES[match[2] + match[3]] : undefined;
  if (!match || !type || (match[1] === "|" && ELEMENT_BYTES[type] !== 1)) {
    throw fail("to hold float, integer or bool elements", `dtype ${quote(header.descr)}`, "Convert with x.astype(numpy.float32) before saving");
  }
  const there = bytes.length - begin - length;
  const claimed = size * ELEMENT_BYTES[type];
  if (claimed !== there) {
    throw fail(`to hold ${claimed} bytes of data for shape [${shape.join(", ")}] of ${type}`, `${there}`, there < claimed ? "The file is truncated or its header is damaged" : "Save one array per file");
  }
  const data = decodeElements("readNpy", file, bytes.subarray(begin + length), type, match[1] !== ">");
  return { data: header.fortranOrder && shape.length > 1 && size > 0 ? toRowMajor(data, shape) : data, shape, dtype: type };
}

/** Column-major to row-major: the element at row-major position i has its indices read from the last axis. */
function toRowMajor<A extends FileArray["data"]>(data: A, shape: readonly number[]): A {
  const out = data.slice() as A;
  const strides: number[] = [];
  let stride = 1;
  for (const length of shape) {
    strides.push(stride);
    stride *= length;
  }
  const index = new Array<number>(shape.length).fill(0);
  let from = 0;
  for (let i = 0; i < out.length; i++) {
    out[i] = data[from];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis];
      if (++index[axis] < shape[axis]) break;
      from -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
  return out;
}

function latin1(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i++) text += String.fromCharCode(bytes[i]);
  return text;
}

/** The header is a Python literal: a dict of text, booleans and a tuple of integers. This reads exactly that, and nothing else. */
class HeaderParser {
  readonly #text: string;
  readonly #file: string;
  #at = 0;

  constructor(text: string, file: string) {
    this.#text = text;
    this.#file = file;
  }

  header(): { descr: string; fortranOrder: boolean; shape: number[] } {
    const seen = new Map<string, string | boolean | number[]>();
    this.#take("{");
    while (this.#peek() !== "}") {
      const key = this.#string();
      if (seen.has(key)) throw this.#fail("each key once", `${quote(key)} twice`);
      this.#take(":");
      seen.set(key, this.#value(key));
      if (this.#peek() !== ",") break;
      this.#take(",");
    }
    this.#take("}");
    if (this.#peek() !== "") throw this.#fail("nothing after the dict", quote(this.#text.slice(this.#at)));
    const [descr, fortranOrder, shape] = [seen.get("descr"), seen.get("fortran_order"), seen.get("shape")];
    if (seen.size !== 3 || typeof descr !== "string" || typeof fortranOrder !== "boolean" || !Array.isArray(shape)) {
      throw this.#fail("descr (text), fortran_order (bool) and shape (tuple)", [...seen.keys()].join(", ") || "an empty dict");
    }
    return { descr, fortranOrder, shape };
  }

  #value(key: string): string | boolean | number[] {
    const next = this.#peek();
    if (next === "'" || next === '"') return this.#string();
    if (next === "(") return this.#tuple();
    if (next === "[" && key === "descr") throw this.#fail("a plain dtype", "a structured one", "Save each field as an array of its own");
    for (const [word, value] of [["True", true], ["False", false]] as const) {
      if (this.#text.startsWith(word, this.#at)) {
        this.#at += word.length;
        return value;
      }
    }
    throw this.#fail(`a value for ${quote(key)}`, quote(this.#text.slice(this.#at, this.#at + 20)));
  }

  #tuple(): number[] {
    const out: number[] = [];
    this.#take("(");
    while (this.#peek() !== ")") {
      const digits = /^-?\d{1,20}L?/.exec(this.#text.slice(this.#at, this.#at + 24))?.[0];
      if (digits === undefined) throw this.#fail("integers in the shape", quote(this.#text.slice(this.#at, this.#at + 20)));
      this.#at += digits.length;
      out.push(Number(digits.replace("L", "")));
      if (out.length > 32) throw this.#fail("at most 32 axes", "more");
      if (this.#peek() !== ",") break;
      this.#take(",");
    }
    this.#take(")");
    return out;
  }

  #string(): string {
    const mark = this.#peek();
    if (mark !== "'" && mark !== '"') throw this.#fail("a quoted key", mark === "" ? "its end" : quote(this.#text.slice(this.#at, this.#at + 20)));
    const end = this.#text.indexOf(mark, this.#at + 1);
    if (end < 0) throw this.#fail("a closing quote", "none");
    const text = this.#text.slice(this.#at + 1, end);
    if (text.includes("\\")) throw this.#fail("text without escapes", quote(text));
    this.#at = end + 1;
    return text;
  }

  #peek(): string {
    while (this.#at < this.#text.length && " \n\t\r".includes(this.#text[this.#at])) this.#at++;
    return this.#text[this.#at] ?? "";
  }

  #take(character: string): void {
    const next = this.#peek();
    if (next !== character) throw this.#fail(`${character} at position ${this.#at}`, next === "" ? "its end" : quote(this.#text.slice(this.#at, this.#at + 20)));
    this.#at++;
  }

  #fail(expected: string, got: string, todo?: string): Error {
    return formatError("readNpy", this.#file, `to have a header with ${expected}`, got, todo);
  }
}

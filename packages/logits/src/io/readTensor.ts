import { LogitsError, Tensor, asFloat32, asInt32 } from "@logits/tensor";
import { readCsv } from "./csv.ts";
import type { FileArray } from "./fileArray.ts";
import { formatError, quote } from "./formatError.ts";
import { readJson } from "./json.ts";
import { readNdjson } from "./ndjson.ts";
import { readNpy } from "./npy.ts";
import { readNpz } from "./npz.ts";
import { readParquet } from "./parquet.ts";
import { readSafetensors } from "./safetensors.ts";

type Reader = (bytes: Uint8Array, file: string, key?: string) => FileArray | Promise<FileArray>;

const READERS: Readonly<Record<string, Reader>> = {
  npy: (bytes, file, key) => {
    if (key !== undefined) throw formatError("readTensor", file, "without a key, because .npy holds one array", quote(key));
    return readNpy(bytes, file);
  },
  npz: readNpz, csv: readCsv, tsv: readCsv, txt: readCsv, json: readJson, ndjson: readNdjson, jsonl: readNdjson, safetensors: readSafetensors, parquet: readParquet,
};

/** A file on the command line: `outputs.npz:logits` is the path `outputs.npz` and the key `logits`. */
export interface FileReference {
  readonly path: string;
  readonly key: string | undefined;
}

/** Splits `FILE:KEY` after the first known extension with a colon behind it, so that `C:\data.npy` and paths with colons stay whole. */
export function parseFileReference(text: string): FileReference {
  const match = /^(.*?\.(?:npy|npz|csv|tsv|txt|json|ndjson|jsonl|safetensors|parquet)):(.+)$/is.exec(text);
  return match ? { path: match[1], key: match[2] } : { path: text, key: undefined };
}

/**
 * An array from the bytes of a file: the reader of its extension; without a known extension the one whose signature the bytes have.
 * A file whose bytes are plainly of another format than its name says is an error, not a guess.
 *
 * @param bytes - the whole file
 * @param file - its name: the extension chooses the reader, and messages name it
 * @param key - which array, for `.npz`, `.safetensors`, `.json`; which column, for `.csv` and `.parquet`; which property of each line, for `.ndjson`
 * @returns data, shape and dtype: a `TensorLike`
 * @throws FormatError naming the file, what was expected, what came and what to do
 */
export async function readTensor(bytes: Uint8Array, file: string, key?: string): Promise<FileArray> {
  const extension = /\.([a-z0-9]+)$/i.exec(file)?.[1].toLowerCase() ?? "";
  const sniffed = sniff(bytes);
  if (Object.hasOwn(READERS, extension)) {
    if (sniffed !== undefined && sniffed !== extension) throw formatError("readTensor", file, `to be .${extension}, as its name says`, `the signature of .${sniffed}`, "Rename it");
    return READERS[extension](bytes, file, key);
  }
  if (sniffed === undefined) {
    throw formatError("readTensor", file, `to end with one of ${Object.keys(READERS).map((name) => `.${name}`).join(" ")}`, extension === "" ? "no extension" : quote(`.${extension}`));
  }
  return READERS[sniffed](bytes, file, key);
}

function sniff(bytes: Uint8Array): string | undefined {
  const start = String.fromCharCode(...bytes.subarray(0, 6));
  if (start === "\x93NUMPY") return "npy";
  if (start.startsWith("PK\x03\x04") || start.startsWith("PK\x05\x06")) return "npz";
  if (start.startsWith("PAR1")) return "parquet";
  return undefined;
}

/**
 * A file's array as float32 [N, C], N and C at least 1. NaN stays: whoever cannot use it says so.
 *
 * @throws FormatError for another rank, an empty array or values that float32 cannot hold
 */
export function toMatrix(array: FileArray, file: string): Tensor<"float32"> {
  const { shape } = array;
  if (shape.length !== 2 || shape[0] === 0 || shape[1] === 0) throw formatError("toMatrix", file, "of shape [N, C] with N and C at least 1", `[${shape.join(", ")}]`);
  return inFile("toMatrix", file, () => asFloat32("toMatrix", file, array as { data: unknown; shape: readonly number[] }));
}

/**
 * A file's array as int32 labels [N], N at least 1; [N, 1] and [1, N] too. Floats are accepted if every one is an integer (numpy and CSV
 * writers make them); NaN, fractions and what int32 cannot hold are errors that name the index. Bool is 0 and 1.
 *
 * @throws FormatError
 */
export function toLabels(array: FileArray, file: string): Tensor<"int32"> {
  const { shape, data } = array;
  const size = data.length;
  if (size === 0 || shape.length > 2 || shape.length === 0 || (shape.length === 2 && shape[0] !== 1 && shape[1] !== 1)) {
    throw formatError("toLabels", file, "of shape [N] with N at least 1", `[${shape.join(", ")}]`, shape.length === 2 && size > 0 ? "One integer per row, not one-hot rows" : undefined);
  }
  if (!(data instanceof Float32Array || data instanceof Float64Array)) {
    return inFile("toLabels", file, () => new Tensor("int32", [size], asInt32("toLabels", file, data).data));
  }
  const labels = new Int32Array(size);
  for (let i = 0; i < size; i++) {
    labels[i] = data[i];
    if (labels[i] !== data[i]) throw formatError("toLabels", file, "to hold integers that int32 holds", `${data[i]} at index ${i}`);
  }
  return new Tensor("int32", [size], labels);
}

/** An error of the border conversion is an error of the file. */
function inFile<T>(reader: string, file: string, convert: () => T): T {
  try {
    return convert();
  } catch (cause) {
    if (!(cause instanceof Error) || cause instanceof LogitsError) throw cause;
    throw formatError(reader, file, "to hold numbers of the right range", cause.message.replace(/^.*?, got /, ""), undefined, cause);
  }
}

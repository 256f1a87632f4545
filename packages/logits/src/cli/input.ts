import { readFile } from "node:fs/promises";
import { Tensor, rangeError } from "@logits/tensor";
import { formatError } from "../io/formatError.ts";
import { parseFileReference, readTensor, toLabels, toMatrix } from "../io/readTensor.ts";

/** The command line was used wrongly, or an input is not what it should be: exit code 2. */
export class UsageError extends Error {}

/** `FILE`, `FILE:KEY`, and either with rows: `FILE:KEY[0:5000]`, `FILE[5000:]`. */
export function parseRows(text: string): { file: string; from: number; to: number } {
  const match = /^(.*)\[(\d*):(\d*)\]$/.exec(text);
  return match ? { file: match[1], from: Number(match[2] || 0), to: match[3] ? Number(match[3]) : Infinity } : { file: text, from: 0, to: Infinity };
}

async function load(text: string): Promise<{ array: Awaited<ReturnType<typeof readTensor>>; name: string; from: number; to: number }> {
  const { file, from, to } = parseRows(text);
  const { path, key } = parseFileReference(file);
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    throw new UsageError(`logits: expected a readable file, got ${path} (${(cause as NodeJS.ErrnoException).code ?? (cause as Error).message})`, { cause });
  }
  return { array: await readTensor(bytes, path, key), name: path, from, to };
}

function cut(name: string, rows: number, from: number, to: number): [number, number] {
  const end = to === Infinity ? rows : to;
  if (!(from < end && end <= rows)) throw formatError("logits", name, `to have the rows [${from}:${to === Infinity ? "" : to}]`, `${rows} rows`);
  return [from, end];
}

/** Scores from a file: float32 [N, C]. */
export async function readScores(text: string): Promise<Tensor<"float32">> {
  const { array, name, from, to } = await load(text);
  const all = toMatrix(array, name);
  const [start, end] = cut(name, all.shape[0], from, to);
  const cols = all.shape[1];
  return new Tensor("float32", [end - start, cols], all.data.subarray(start * cols, end * cols));
}

/** Labels from a file: int32 [N], in [0, classes). */
export async function readLabels(text: string, rows: number, classes: number): Promise<Tensor<"int32">> {
  const { array, name, from, to } = await load(text);
  const all = toLabels(array, name);
  const [start, end] = cut(name, all.shape[0], from, to);
  if (end - start !== rows) throw formatError("logits", name, `to have one label for each of the ${rows} rows of scores`, `${end - start} labels`);
  const data = all.data.subarray(start, end);
  const bad = data.findIndex((label) => label < 0 || label >= classes);
  if (bad >= 0) throw formatError("logits", name, `to have labels in [0, ${classes})`, `${data[bad]} at row ${start + bad}`);
  return new Tensor("int32", [rows], data);
}

/** Class names from a JSON file: an array of distinct strings, one per class. */
export async function readClassNames(path: string | undefined, classes: number): Promise<string[]> {
  if (path === undefined) return Array.from({ length: classes }, (_, c) => `class ${c}`);
  let names: unknown;
  try {
    names = JSON.parse(await readFile(path, "utf8"));
  } catch (cause) {
    throw new UsageError(`logits: expected ${path} to be a JSON array of class names, got ${(cause as Error).message}`, { cause });
  }
  if (!Array.isArray(names) || names.length !== classes || names.some((name) => typeof name !== "string") || new Set(names).size !== classes) {
    throw new UsageError(`logits: expected ${path} to hold ${classes} distinct class names, got ${Array.isArray(names) ? `${names.length} entries` : typeof names}`);
  }
  return names as string[];
}

/** A number from the command line, in (low, high). */
export function parseNumber(option: string, low: number, high: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!(text.trim() !== "" && value > low && value < high)) throw new UsageError(rangeError("logits", option, `a number in (${low}, ${high})`, text).message);
    return value;
  };
}

/** An integer from the command line, from `low` up. */
export function parseCount(option: string, low: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!(text.trim() !== "" && Number.isSafeInteger(value) && value >= low)) throw new UsageError(rangeError("logits", option, `an integer from ${low} up`, text).message);
    return value;
  };
}

import { readFile } from "node:fs/promises";
import { DecisionHead, type HeadInput } from "@logits/head";
import { allDetectors } from "@logits/ood";
import { Tensor, message } from "@logits/tensor";
import { formatError, quote } from "../io/formatError.ts";
import { parseFileReference, readTensor, toLabels, toMatrix } from "../io/readTensor.ts";

/** The command line was used wrongly, or an input is not what it should be: exit code 2. */
export class UsageError extends Error {}

/** What scores are: logits, or probabilities that become logits by ln max(p, 2^-126). */
export type InputKind = HeadInput;

/** Rows [from, to) of an array in a file. */
export interface RowsReference {
  readonly path: string;
  readonly key: string | undefined;
  readonly from: number;
  /** Infinity: to the last. */
  readonly to: number;
}

/** `FILE`, `FILE:KEY`, and either with rows: `FILE:KEY[0:5000]`, `FILE[5000:]`. */
export function parseRows(text: string): RowsReference {
  const match = /^(.*)\[(\d*):(\d*)\]$/s.exec(text);
  if (!match) return { ...parseFileReference(text), from: 0, to: Infinity };
  return { ...parseFileReference(match[1]), from: Number(match[2]), to: match[3] === "" ? Infinity : Number(match[3]) };
}

/** Scores from a file, with the index of their first row in it. */
export interface Scores {
  /** float32 [N, C], not yet checked: a stream of decisions lets a NaN through and says so. */
  readonly values: Tensor<"float32">;
  readonly from: number;
  readonly path: string;
}

export async function readScores(text: string): Promise<Scores> {
  const { path, key, from, to } = parseRows(text);
  const { shape, data } = toMatrix(await readTensor(await bytesOf(path), path, key), path);
  const [rows, columns] = shape;
  const end = lastRow(path, rows, from, to);
  return { values: new Tensor("float32", [end - from, columns], data.subarray(from * columns, end * columns)), from, path };
}

/** Features from a file: float32 [rows, F], finite. */
export async function readFeatures(text: string, rows: number, width?: number): Promise<Tensor<"float32">> {
  const { values, from, path } = await readScores(text);
  const [count, columns] = values.shape;
  if (count !== rows) throw formatError("logits", path, `to have features of each of the ${rows} rows of scores`, `${count} rows`);
  if (width !== undefined && columns !== width) throw formatError("logits", path, `to have ${width} columns, as --features has`, `${columns}`);
  const bad = values.data.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) throw formatError("logits", path, "to hold finite features", `${values.data[bad]} in column ${bad % columns} of row ${from + Math.floor(bad / columns)}`);
  return values;
}

/** Labels from a file: int32 [rows], in [0, classes). */
export async function readLabels(text: string, rows: number, classes: number): Promise<Tensor<"int32">> {
  const { path, key, from, to } = parseRows(text);
  const all = toLabels(await readTensor(await bytesOf(path), path, key), path);
  const end = lastRow(path, all.size, from, to);
  if (end - from !== rows) throw formatError("logits", path, `to have one label for each of the ${rows} rows of scores`, `${end - from} labels`);
  const data = all.data.subarray(from, end);
  const bad = data.findIndex((label) => label < 0 || label >= classes);
  if (bad >= 0) throw formatError("logits", path, `to have labels in [0, ${classes})`, `${data[bad]} in row ${from + bad}`);
  return new Tensor("int32", [rows], data);
}

/** Why a row is no distribution; undefined if it is one. */
export function rowProblem(kind: InputKind, row: Float32Array): string | undefined {
  const bad = row.findIndex((value) => (kind === "logits" ? !(value < Infinity) : !(value >= 0 && value <= 1.00001)));
  if (bad >= 0) return `${row[bad]} in column ${bad}`;
  const sum = row.reduce((total, value) => total + value, 0);
  if (kind === "probabilities" && Math.abs(sum - 1) > 0.01) return `the sum ${sum}`;
  return kind === "logits" && row.every((value) => value === -Infinity) ? "no finite score" : undefined;
}

/** Class names from a JSON file: an array of different strings, one per class. Without a file: "class 0", "class 1", ... */
export async function readClassNames(path: string | undefined, classes: number): Promise<string[]> {
  if (path === undefined) return Array.from({ length: classes }, (_, c) => `class ${c}`);
  const names = await readJsonFile(path);
  const fail = (got: string): Error => formatError("logits", path, `to be a JSON array of ${classes} different class names`, got);
  if (!Array.isArray(names)) throw fail(names === null ? "null" : typeof names);
  const odd = names.findIndex((name) => typeof name !== "string");
  if (odd >= 0) throw fail(`${JSON.stringify(names[odd])} at index ${odd}`);
  if (names.length !== classes) throw fail(`${names.length}`);
  const twice = names.find((name, i) => names.indexOf(name) !== i) as string | undefined;
  if (twice !== undefined) throw fail(`${quote(twice)} twice`);
  return names as string[];
}

/** A decision head from a file: JSON, or what `toBytes` wrote. */
export async function readHead(path: string): Promise<DecisionHead> {
  const bytes = await bytesOf(path);
  return path.endsWith(".json") || /^\s*\{/.test(bytes.toString("latin1", 0, 64)) ? DecisionHead.fromJSON(await readJsonFile(path), { detectors: allDetectors }) : DecisionHead.fromBytes(bytes, { detectors: allDetectors });
}

/** A JSON value from a file. */
export async function readJsonFile(path: string): Promise<unknown> {
  const text = (await bytesOf(path)).toString("utf8");
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw formatError("logits", path, "to be JSON", text.trim() === "" ? "an empty file" : "damaged JSON", undefined, cause);
  }
}

/** A number from the command line, in (low, high). */
export function parseNumber(option: string, low: number, high: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!(text.trim() !== "" && value > low && value < high)) throw new UsageError(message("logits", option, `a number in (${low}, ${high})`, quote(text)));
    return value;
  };
}

/** An integer from the command line, from `low` up. */
export function parseCount(option: string, low: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!(text.trim() !== "" && Number.isSafeInteger(value) && value >= low)) throw new UsageError(message("logits", option, `an integer in [${low}, 2^53)`, quote(text)));
    return value;
  };
}

/** Bytes of a file. */
export async function bytesOf(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new UsageError(message("logits", path, "to be a readable file", `${(cause as NodeJS.ErrnoException).code}`), { cause });
  }
}

function lastRow(path: string, rows: number, from: number, to: number): number {
  const end = to === Infinity ? rows : to;
  if (!(from < end && end <= rows)) throw formatError("logits", path, `to have the rows [${from}:${to === Infinity ? "" : to}]`, `${rows} rows`);
  return end;
}

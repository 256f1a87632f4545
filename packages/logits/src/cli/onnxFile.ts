import { readFile, stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { message } from "@logits/tensor";
import { formatError } from "../io/formatError.ts";
import { UsageError } from "./input.ts";
import { printable, writeAll } from "./output.ts";

/** The largest file that can be one protobuf message. */
const LARGEST = 2 ** 31 - 1;

/** The bytes of a model file. */
export async function readModel(path: string): Promise<Uint8Array> {
  const { size } = await attempt(path, () => stat(path));
  if (size > LARGEST) throw formatError("logits", path, "to be an ONNX model", `${size} bytes, more than a protobuf message can have (2^31 - 1)`, "Models beyond that keep their weights in a file beside them (external data): pass the .onnx file only");
  return readBytes(path);
}

export async function readBytes(path: string): Promise<Uint8Array> {
  return attempt(path, () => readFile(path));
}

async function attempt<T>(path: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (cause) {
    throw new UsageError(message("logits", path, "to be a readable file", `${(cause as NodeJS.ErrnoException).code}`), { cause });
  }
}

/** Writes a model, whole or not at all, and returns its name for a message. */
export async function writeModel(path: string, bytes: Uint8Array): Promise<string> {
  await writeAll(dirname(path), { [basename(path)]: bytes });
  return printable(path);
}

/** Rows of a name and a text, aligned. */
export function table(rows: readonly (readonly [name: string, text: string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, text]) => `${name.padEnd(width)}  ${printable(text)}\n`).join("");
}

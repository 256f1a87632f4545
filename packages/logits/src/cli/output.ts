import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { message } from "@logits/tensor";
import { UsageError } from "./input.ts";

/** Writes all files under other names and then renames them, so that a full disk or a kill leaves none of them half-written. Returns their paths. */
export async function writeAll(directory: string, files: Readonly<Record<string, string | Uint8Array>>): Promise<string[]> {
  const partial = Object.keys(files).map((name) => [join(directory, `.${name}.${process.pid}.partial`), join(directory, name)] as const);
  let made: string | undefined;
  try {
    made = await mkdir(resolve(directory), { recursive: true });
    for (const [i, content] of Object.values(files).entries()) await writeFile(partial[i][0], content);
    for (const [from, to] of partial) await rename(from, to);
  } catch (cause) {
    // Where the folder itself was the trouble there is nothing to remove, and the first error is the one to report.
    await Promise.allSettled(made === undefined ? partial.map(([path]) => rm(path, { force: true })) : [rm(made, { recursive: true })]);
    throw new UsageError(message("logits", directory, "to be a folder that can be written to", `${(cause as NodeJS.ErrnoException).code}`), { cause });
  }
  return partial.map(([, path]) => path);
}

/** Progress for people, on stderr: one line a step. */
export function progress(): (text: string) => void {
  const start = performance.now();
  return (text) => process.stderr.write(`${((performance.now() - start) / 1000).toFixed(1).padStart(5)} s  ${text}\n`);
}

/** Text from files on a terminal: control characters would be commands to it. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]/gu, "\ufffd");
}

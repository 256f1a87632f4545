import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";

/** Writes all files or none: into a new folder beside `directory`, then each is moved to its place. */
export async function writeAll(directory: string, files: Readonly<Record<string, string>>): Promise<string[]> {
  const target = resolve(directory);
  await mkdir(dirname(target), { recursive: true });
  const staging = await mkdtemp(`${target}.partial-`);
  try {
    for (const [name, text] of Object.entries(files)) await writeFile(join(staging, name), text);
    await mkdir(target, { recursive: true });
    for (const name of Object.keys(files)) await rename(join(staging, name), join(target, name));
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  return Object.keys(files).map((name) => join(directory, name));
}

/** Progress for people, on stderr: one line a step. `quiet` where the output is for a program. */
export function progress(quiet: boolean): (text: string) => void {
  const start = performance.now();
  return quiet ? () => {} : (text) => process.stderr.write(`${((performance.now() - start) / 1000).toFixed(1).padStart(5)} s  ${text}\n`);
}

import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { build } from "esbuild";

/** What a page may weigh, and a family's binary. */
export interface Budgets {
  /** `package`: the folder under packages/ from which `code` imports; default the umbrella. `beside`: what the page has anyway; only what `code` adds to it counts. */
  readonly bundles: readonly { readonly name: string; readonly package?: string; readonly code: string; readonly beside?: string; readonly gzip: number }[];
  readonly wasm: { readonly brotli: number };
}

/** One measured thing and its budget, in bytes after compression. */
export interface Weight {
  readonly name: string;
  readonly compression: "gzip" | "brotli";
  readonly bytes: number;
  readonly budget: number;
}

/** Size of what a bundler for browsers makes of `code`, minified, gzip level 9. */
export async function bundledGzip(code: string, resolveDir: string): Promise<number> {
  const { outputFiles } = await build({ stdin: { contents: code, resolveDir, sourcefile: "page.js" }, bundle: true, minify: true, format: "esm", platform: "browser", target: "es2022", write: false, logLevel: "silent" });
  return gzipSync(outputFiles[0].contents, { level: 9 }).length;
}

/** Every bundle and every binary. The packages must be built. */
export async function weigh(root: string, budgets: Budgets): Promise<Weight[]> {
  const weights: Weight[] = [];
  for (const { name, package: from = "logits", code, beside, gzip } of budgets.bundles) {
    const folder = join(root, "packages", from), bytes = beside === undefined ? await bundledGzip(code, folder) : (await bundledGzip(`${beside} ${code}`, folder)) - (await bundledGzip(beside, folder));
    weights.push({ name, compression: "gzip", bytes, budget: gzip });
  }
  const folder = join(root, "packages", "core-wasm", "wasm");
  const binaries = existsSync(folder) ? readdirSync(folder).filter((file) => file.endsWith(".wasm")).sort() : [];
  if (binaries.length === 0) throw new Error(`size: expected binaries in packages/core-wasm/wasm, got none. Run the build first`);
  for (const file of binaries) weights.push({ name: file, compression: "brotli", bytes: brotliCompressSync(readFileSync(join(folder, file))).length, budget: budgets.wasm.brotli });
  return weights;
}

/** The table, and whether everything is within its budget. */
export function report(weights: readonly Weight[]): { text: string; ok: boolean } {
  const width = Math.max(...weights.map(({ name }) => name.length));
  const lines = weights.map(({ name, compression, bytes, budget }) => `${bytes <= budget ? "ok  " : "FAIL"} ${name.padEnd(width)} ${`${bytes}`.padStart(6)} of ${`${budget}`.padStart(6)} bytes ${compression}`);
  return { text: lines.join("\n"), ok: weights.every(({ bytes, budget }) => bytes <= budget) };
}

if (process.argv[1] === import.meta.filename) {
  const root = dirname(dirname(import.meta.dirname));
  const budgets = JSON.parse(readFileSync(join(import.meta.dirname, "budgets.json"), "utf8")) as Budgets;
  const { text, ok } = report(await weigh(root, budgets));
  console.log(text);
  process.exitCode = ok ? 0 : 1;
}

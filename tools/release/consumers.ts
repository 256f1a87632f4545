import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nodeResolve } from "@rollup/plugin-node-resolve";
import { build as esbuild, transform } from "esbuild";
import { Miniflare } from "miniflare";
import { rollup } from "rollup";
import { build as vite } from "vite";
import webpack from "webpack";
import { inBrowsers } from "./browsers.ts";
import type { Packed } from "./pack.ts";
import { run } from "./run.ts";

/** One line of the matrix. */
export interface Outcome {
  readonly where: string;
  readonly ok: boolean;
  readonly detail: string;
}

const here = import.meta.dirname;
const tool = (name: string): string => join(here, "node_modules", ".bin", name);

/** Installs the tarballs in a fresh folder outside the repository, with npm, as a stranger would. */
export function freshFolder(packed: readonly Packed[]): string {
  const folder = mkdtempSync(join(tmpdir(), "logits-consumer-"));
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "consumer", private: true, type: "module", dependencies: Object.fromEntries(packed.map(({ name, file }) => [name, `file:${file}`])) }));
  run("npm", ["install", "--no-audit", "--no-fund", "--prefer-offline"], { cwd: folder });
  for (const file of readdirSync(join(here, "consumer"))) copyFileSync(join(here, "consumer", file), join(folder, file));
  return folder;
}

/** Runs the same program everywhere and compares what it prints with what Node 24 prints. */
export async function consumers(packed: readonly Packed[]): Promise<Outcome[]> {
  const folder = freshFolder(packed);
  const outcomes: Outcome[] = [];
  const attempt = async (where: string, work: () => Promise<string> | string): Promise<void> => {
    const start = performance.now();
    try {
      outcomes.push({ where, ok: true, detail: await work() });
    } catch (error) {
      outcomes.push({ where, ok: false, detail: (error as Error).message.slice(0, 2000) });
    }
    const { ok, detail } = outcomes.at(-1)!;
    console.error(`${ok ? "ok  " : "FAIL"} ${where} (${((performance.now() - start) / 1000).toFixed(1)} s)${ok ? "" : `\n${detail}`}`);
  };
  try {
    writeFileSync(join(folder, "digest.js"), (await transform(readFileSync(join(here, "..", "checks", "digest.ts"), "utf8"), { loader: "ts" })).code);
    writeFileSync(join(folder, "main.js"), `import { program } from "./program.js"; console.log(program());`);
    const want = withoutVariant(run(join(here, "node_modules", "node24", "bin", "node"), ["main.js"], { cwd: folder }));
    const same = (printed: string): string => {
      const got = withoutVariant(printed);
      if (got !== want) throw new Error(`expected the same text as Node 24, got\n${got}\ninstead of\n${want}`);
      return "same bits as Node 24";
    };
    for (const version of ["20", "22", "24", "26"]) await attempt(`Node ${version}`, () => same(run(join(here, "node_modules", `node${version}`, "bin", "node"), ["main.js"], { cwd: folder })));
    await attempt("Bun", () => same(run(tool("bun"), ["main.js"], { cwd: folder })));
    await attempt("Deno", () => same(run(tool("deno"), ["run", "--no-remote", "--node-modules-dir=manual", "main.js"], { cwd: folder })));
    await attempt("workerd (miniflare)", async () => same(await inWorkerd(folder)));
    for (const version of ["54", "59", "60", "70"]) {
      await attempt(`TypeScript ${version[0]}.${version[1]}, skipLibCheck false`, () => {
        run(process.execPath, [join(here, "node_modules", `typescript${version}`, "bin", "tsc"), "--noEmit", "--strict", "--skipLibCheck", "false", "--target", "es2022", "--lib", "es2022,dom", "--module", "nodenext", "--moduleResolution", "nodenext", "--typeRoots", "none", "types.ts"], { cwd: folder });
        return "types without errors";
      });
    }
    const site = join(folder, "site");
    mkdirSync(site);
    const built: string[] = [];
    for (const [bundler, bundle] of Object.entries(bundlers)) {
      await attempt(`${bundler}: an unused family costs nothing`, async () => {
        await bundle(folder, "alone.js", join(site, `${bundler}-alone.js`));
        const text = readFileSync(join(site, `${bundler}-alone.js`), "utf8");
        const families = carried(folder, text);
        if (families.join() !== "softmax") throw new Error(`expected a bundle of softmax to carry the family softmax alone, got ${families.join(", ") || "none"}`);
        return `${text.length} bytes, family softmax alone`;
      });
      await attempt(`${bundler} bundles`, async () => {
        for (const entry of ["page", "worker"]) await bundle(folder, `${entry}.js`, join(site, `${bundler}-${entry}.js`));
        built.push(bundler);
        return "built";
      });
    }
    await inBrowsers(site, built, attempt, same);
    return outcomes;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The variant is the one thing that differs between engines. */
function withoutVariant(printed: string): string {
  return printed.trim().replace(/,"variant":"[^"]*"/, "");
}

/** Families whose binary, as the text that the package embeds, is in a bundle: families share code (the exponential), so only pieces that no other family has count. A minifier may escape a quote here and there, so most of them must be there, not all. */
function carried(folder: string, bundle: string): string[] {
  const wasm = join(folder, "node_modules", "@logits", "core-wasm", "wasm");
  const texts = new Map(readdirSync(wasm).filter((file) => file.endsWith(".simd.wasm")).map((file) => {
    const family = file.split(".")[0];
    return [family, /simd = "([^"]*)"/.exec(readFileSync(join(wasm, `${family}.js`), "utf8"))![1]];
  }));
  return [...texts.keys()].filter((family) => {
    const others = [...texts].filter(([name]) => name !== family).map(([, text]) => text).join("\n");
    const own = texts.get(family)!.match(/.{24}/g)!.filter((piece) => !others.includes(piece));
    if (own.length < 20) throw new Error(`expected 20 pieces of 24 characters or more of ${family}.simd.wasm that no other family has, got ${own.length}`);
    return own.filter((piece) => bundle.includes(piece)).length > own.length / 2;
  });
}

const bundlers: Record<string, (folder: string, entry: string, out: string) => Promise<unknown>> = {
  esbuild: (folder, entry, out) => esbuild({ absWorkingDir: folder, entryPoints: [entry], outfile: out, bundle: true, minify: true, format: "iife", platform: "browser", logLevel: "error" }),
  async rollup(folder, entry, out) {
    const bundle = await rollup({ input: join(folder, entry), plugins: [nodeResolve({ browser: true })], onwarn: (warning) => { throw new Error(warning.message); } });
    await bundle.write({ file: out, format: "iife", name: "bundle" });
  },
  vite: (folder, entry, out) => vite({
    root: folder, logLevel: "error", configFile: false,
    build: { outDir: join(folder, `vite-${entry}`), lib: { entry, formats: ["iife"], name: "bundle", fileName: () => "out.js" }, minify: true },
  }).then(() => copyFileSync(join(folder, `vite-${entry}`, "out.js"), out)),
  webpack: (folder, entry, out) => new Promise((resolve, reject) => {
    webpack({ context: folder, mode: "production", entry: `./${entry}`, target: "web", output: { path: join(out, ".."), filename: out.split("/").at(-1) }, performance: false }, (error, stats) => {
      if (error || !stats || stats.hasErrors() || stats.hasWarnings()) reject(error ?? new Error(stats?.toString("errors-warnings")));
      else resolve(stats);
    });
  }),
};

/** Cloudflare's runtime: a static import of a `.wasm` file gives a compiled module, compiling bytes is forbidden. */
async function inWorkerd(folder: string): Promise<string> {
  const out = join(folder, "workerd");
  await esbuild({ absWorkingDir: folder, entryPoints: ["workerd.js"], outdir: out, bundle: true, format: "esm", platform: "browser", conditions: ["workerd", "worker"], loader: { ".wasm": "copy" }, assetNames: "[name]-[hash]", logLevel: "error" });
  const modules = readdirSync(out).map((file) => ({ type: file.endsWith(".wasm") ? "CompiledWasm" as const : "ESModule" as const, path: file, contents: readFileSync(join(out, file)) }));
  const main = modules.findIndex(({ path }) => path === "workerd.js");
  modules.unshift(...modules.splice(main, 1));
  const worker = new Miniflare({ modules, compatibilityDate: "2026-01-01" });
  try {
    return await (await worker.dispatchFetch("http://localhost/")).text();
  } finally {
    await worker.dispose();
  }
}

if (process.argv[1] === import.meta.filename) {
  const folder = process.argv[2];
  if (!folder || !existsSync(folder)) throw new Error("consumers: expected the folder of the tarballs as the argument");
  const packed = readdirSync(folder).filter((file) => file.endsWith(".tgz")).map((file): Packed => {
    const { name, version } = JSON.parse(run("tar", ["-xzOf", join(folder, file), "package/package.json"])) as { name: string; version: string };
    return { name, version, file: join(folder, file) };
  });
  const outcomes = await consumers(packed);
  process.exitCode = outcomes.every(({ ok }) => ok) ? 0 : 1;
}

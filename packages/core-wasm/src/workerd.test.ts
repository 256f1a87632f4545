import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { build, type Plugin } from "esbuild";
import { afterAll, describe, expect, it } from "vitest";

// Cloudflare's runtime forbids compiling bytes: a binary must come as a compiled module, from a static import that the bundler sees.

const folder = mkdtempSync(join(tmpdir(), "logits-workerd-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What the runtime does with a static import of a `.wasm` file: hands over a `WebAssembly.Module`, compiled before the program starts. */
function compiledWasm(): Plugin {
  return {
    name: "compiled-wasm",
    setup(b) {
      b.onLoad({ filter: /\.wasm$/ }, ({ path }) => ({
        contents: `export default globalThis.precompiled(${JSON.stringify(basename(path))}, ${JSON.stringify(readFileSync(path).toString("base64"))});`,
      }));
    },
  };
}

/** A program on the built package, bundled as for Workers, in an engine that refuses to compile once it runs. */
async function runInWorkerd(code: string, conditions: string[] = ["workerd"]): Promise<{ binaries: string[]; printed: string }> {
  const { outputFiles } = await build({
    stdin: { contents: code, resolveDir: import.meta.dirname, sourcefile: "worker.js" },
    bundle: true, format: "esm", platform: "neutral", conditions, write: false, logLevel: "silent", plugins: [compiledWasm()],
  });
  const file = join(folder, "worker.mjs");
  const runtime = `
    const { Module } = WebAssembly;
    globalThis.precompiled = (_, base64) => new Module(Buffer.from(base64, "base64"));
    const refuse = () => { throw new WebAssembly.CompileError("Wasm code generation disallowed by embedder"); };
    WebAssembly.Module = class extends Module { constructor() { refuse(); } };
    Object.defineProperty(WebAssembly.Module, Symbol.hasInstance, { value: (x) => Object.prototype.toString.call(x) === "[object WebAssembly.Module]" });
    WebAssembly.compile = WebAssembly.instantiate = async () => refuse();
    await import("./worker.mjs");`;
  writeFileSync(file, outputFiles[0].contents);
  writeFileSync(join(folder, "runtime.mjs"), runtime);
  const binaries = [...outputFiles[0].text.matchAll(/globalThis\.precompiled\("([^"]+)"/g)].map((match) => match[1]).sort();
  return { binaries, printed: execFileSync(process.execPath, [join(folder, "runtime.mjs")], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).trim() };
}

const SOFTMAX = `
  import { softmax, configureWasm, core } from "@logits/core-wasm";
  configureWasm({ variant: globalThis.process.env.LOGITS_VARIANT });
  console.log(core.variant, JSON.stringify(softmax([0, 0, -Infinity]).toArray()));`;

describe("the workerd condition", () => {
  it("computes where compiling bytes is forbidden", async () => {
    const { printed } = await runInWorkerd(SOFTMAX);
    expect(printed).toBe(`${process.env.LOGITS_VARIANT} [0.5,0.5,0]`);
  });

  it("imports both variants of the family statically, and of no other family", async () => {
    const { binaries } = await runInWorkerd(SOFTMAX);
    expect(binaries).toEqual(["softmax.relaxed.wasm", "softmax.simd.wasm"]);
  });

  it("is needed: the default binaries, as text, are refused there", async () => {
    await expect(runInWorkerd(SOFTMAX, ["default"])).rejects.toThrow(/BackendUnavailableError: core-wasm: expected WebAssembly SIMD and leave to compile it/);
  });
});

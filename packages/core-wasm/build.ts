/**
 * Compiles every family of `assembly/` twice (baseline SIMD and relaxed SIMD) into `wasm/`, and checks each binary:
 * its data stays in the family's own 1 KiB of page 0, and no non-zero `v128.const` stands inside a loop.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Worker, isMainThread, workerData } from "node:worker_threads";
import asc from "assemblyscript/asc";
import { binaryText } from "./binaryText.ts";
import { checkRanges, dataSegments, loopConstants } from "./wasmChecks.ts";

const RANGE = 1024;
const here = import.meta.dirname;
const bases = JSON.parse(readFileSync(join(here, "families.json"), "utf8")) as Record<string, number>;

if (isMainThread) {
  const faults = checkRanges(bases);
  if (faults.length > 0) throw new Error(`families.json: ${faults.join("; ")}`);
  mkdirSync(join(here, "wasm"), { recursive: true });
  const only = process.argv[2], families = Object.keys(bases).filter((family) => (!only || only === family) && existsSync(join(here, "assembly", `${family}.ts`)));
  // Each thread takes the next family that nobody has: the order does not change what is written.
  const next = new Int32Array(new SharedArrayBuffer(4));
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), families.length) }, () => new Promise<void>((resolve, reject) => {
    new Worker(import.meta.filename, { workerData: { families, next } }).once("error", reject).once("exit", (code) => (code === 0 ? resolve() : reject(new Error(`a thread of the build ended with ${code}`))));
  })));
  const { version } = JSON.parse(readFileSync(join(here, "package.json"), "utf8")) as { version: string };
  for (const condition of ["", ".workerd"]) writeFileSync(join(here, "wasm", `version${condition}.js`), `export const version = "${version}";\n`);
  writeFileSync(join(here, "wasm", "version.d.ts"), `/** Version of this package. */\nexport declare const version: string;\n`);
} else {
  const { families, next } = workerData as { families: readonly string[]; next: Int32Array };
  for (let at = Atomics.add(next, 0, 1); at < families.length; at = Atomics.add(next, 0, 1)) await compile(families[at], bases[families[at]]);
}

/** Both variants of a family, and the modules that carry them. */
async function compile(family: string, base: number): Promise<void> {
  const binaries: Record<string, Uint8Array> = {};
  for (const variant of ["simd", "relaxed"]) {
    const name = `${family}.${variant}`;
    const { error, stderr } = await asc.main(
      [
        `assembly/${family}.ts`, "--outFile", `wasm/${name}.wasm`, "--textFile", `wasm/${name}.wat`,
        "--importMemory", "--noExportMemory", "--memoryBase", `${base}`, "--runtime", "stub", "--noAssert", "-O3", "--shrinkLevel", "1", "--converge", "--uncheckedBehavior", "always",
        "--enable", "simd", ...(variant === "relaxed" ? ["--enable", "relaxed-simd"] : []),
      ],
      { readFile: (file, dir) => read(join(dir, file)), writeFile: (file, data, dir) => writeFileSync(join(dir, file), data), stdout: { write() {} } as never },
    );
    if (error) throw new Error(`${name}: ${error.message}\n${stderr.toString()}`);
    const bytes = new Uint8Array(readFileSync(join(here, "wasm", `${name}.wasm`)));
    for (const { start, end } of dataSegments(bytes)) {
      if (start < base || end > base + RANGE) throw new Error(`${name}: data at [${start}, ${end}) leaves its range [${base}, ${base + RANGE})`);
    }
    const constants = loopConstants(readFileSync(join(here, "wasm", `${name}.wat`), "utf8"));
    if (constants.length > 0) throw new Error(`${name}: a v128.const inside a loop is made anew at every use; load it before the loop:\n${constants.join("\n")}`);
    binaries[variant] = bytes;
  }
  const literal = (bytes: Uint8Array): string => JSON.stringify(binaryText(bytes));
  writeFileSync(join(here, "wasm", `${family}.js`), `export const simd = ${literal(binaries.simd)};\nexport const relaxed = ${literal(binaries.relaxed)};\n`);
  writeFileSync(join(here, "wasm", `${family}.workerd.js`), `import simd from "./${family}.simd.wasm";\nimport relaxed from "./${family}.relaxed.wasm";\nexport { simd, relaxed };\n`);
  writeFileSync(join(here, "wasm", `${family}.d.ts`), `/** A binary as text, or a compiled module where the runtime forbids compiling bytes. */\nexport declare const simd: string | WebAssembly.Module;\nexport declare const relaxed: string | WebAssembly.Module;\n`);
}

function read(file: string): string | null {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return null; // asc probes several places for each import
  }
}

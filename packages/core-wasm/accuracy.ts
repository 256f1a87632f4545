/**
 * Sweeps the elementwise kernels over all 2^32 float32 inputs, in both variants, against float64, and writes accuracy.json.
 * About a minute per function.
 *   node accuracy.ts [function ...]
 *   SWEEP_STRIDE=3 node accuracy.ts tanh     every third block of 65,536 inputs; the file says how many were compared
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mathRef } from "./src/math.ref.ts";
import { sweep, type MathKernel, type MathName } from "./mathSweep.ts";

const file = join(import.meta.dirname, "accuracy.json");
const memory = new WebAssembly.Memory({ initial: 20 });
const variants = { simd: "simd", "relaxed-simd": "relaxed" };
const kernels = Object.values(variants).map((variant) => {
  const bytes = readFileSync(join(import.meta.dirname, "wasm", `math.${variant}.wasm`));
  return new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory } }).exports as Record<string, MathKernel>;
});

const stride = Number(process.env.SWEEP_STRIDE ?? 1);
const names = (process.argv.length > 2 ? process.argv.slice(2) : Object.keys(mathRef)) as MathName[];
for (const name of names) {
  const found = sweep(name, kernels.map((exports) => exports[`f32_${name}`]), memory, 65536, stride);
  const known = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as { functions: Record<string, unknown> }).functions : {};
  known[name] = Object.fromEntries(Object.keys(variants).map((variant, k) => {
    const { inputs, maxUlp, at, wrong } = found[k];
    if (wrong.length > 0) throw new Error(`${name}, ${variant}: wrong special results ${JSON.stringify(wrong)}`);
    return [variant, { maxUlp: Math.ceil(maxUlp * 1e4) / 1e4, at, inputs }];
  }));
  const functions = Object.fromEntries(Object.keys(mathRef).flatMap((key) => (known[key] ? [[key, known[key]]] : [])));
  const provenance = "node packages/core-wasm/accuracy.ts: largest error in units in the last place of float32 against float64 (Math of V8), over all float32 inputs where inputs is 2^32, over blocks of them elsewhere";
  writeFileSync(file, `${JSON.stringify({ provenance, functions }, null, 2)}\n`);
}

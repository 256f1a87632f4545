import { loadCore } from "./ours.ts";
import { checkOf, inputs } from "./suites/attention.ts";
import type { Variant } from "./types.ts";

/** One causal call of one head: `attentionMemory.ts <variant> <T> <seed>`. Prints the WebAssembly memory after it, in bytes; it never shrinks. The result is checked. */

const [variant, length, seed] = process.argv.slice(2), library = await loadCore(variant as Variant), { attention } = await import("@logits/attention");
const sizes = { heads: 1, groups: 1, queries: Number(length), keys: Number(length), size: 64, causal: true }, given = inputs(sizes, Number(seed)), shape = [1, sizes.queries, sizes.size];
const start = performance.now(), { output } = attention({ data: given.q, shape }, { data: given.k, shape }, { data: given.v, shape }, { causal: true }), ms = performance.now() - start;
process.stdout.write(JSON.stringify({ ...checkOf(given)({ values: output.data }, "ours"), ms, wasm: library.core.memory.buffer.byteLength }));

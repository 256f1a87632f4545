import * as binary from "#wasm/decode";
import type { AttentionResult } from "./attention.ts";
import type { CacheFormat } from "./cacheFormat.ts";
import { family } from "./family.ts";
import { floatView, intView, scratch } from "./memory.ts";

const kernels: () => {
  f32_decode_page(call: number, page: number, begin: number, end: number, next: number): void;
  f32_decode_queries(call: number, x: number, scale: number, share: number, most: number): void;
  f32_decode_finish(call: number, share: number, cols: number, total: number, y: number): void;
} = /* @__PURE__ */ family("decode", binary);

/** The maximum of no scores. */
const LOWEST = -3.4028234663852886e38;

/** The record that assembly/decode.ts reads, its fields in order; each has four bytes. */
const FIELDS = [
  "format", "groups", "rows", "lone", "features", "width", "pageSize", "block", "keysAt", "valuesAt", "queries", "units", "max", "half", "out", "shifts", "sigmoid", "cap", "relative", "relativeRow", "scores", "weights", "weightUnits",
] as const;
const RELATIVE: number = FIELDS.indexOf("relative");

/** One decoding step: a query for each head against the keys and values of a cache. */
export interface DecodeProblem {
  /** H, a multiple of the cache's heads. */
  readonly heads: number;
  /** Of the pages. */
  readonly format: CacheFormat;
  /** float32 [H, D]. */
  readonly query: Float32Array;
  readonly scale: number;
  readonly softCap: number;
  /** [H], as of AttentionProblem. */
  readonly shifts?: Float32Array | undefined;
  readonly sinks?: Float32Array | undefined;
  /** The tokens that take part: [from, to). */
  readonly from: number;
  readonly to: number;
  /** float32 [H, to - from]: what is added to the score of token to - 1, to - 2, ... */
  readonly relative?: Float32Array | undefined;
  /** Address of a page. */
  page(index: number): number;
}

/**
 * Attention of one position over a cache: every key and value is read once, in the order in which it lies, for all heads of its group.
 *
 * int8 pages are multiplied as they are: queries and weights come as integers of 14 bits, sums are exact integers.
 *
 * @param problem - the step; whoever makes it has checked it
 * @returns output [H, E] and logSumExp [H]
 */
export function attentionDecode({ heads, format, query, scale, softCap, shifts, sinks, from, to, relative, page }: DecodeProblem): AttentionResult {
  const { groups, features, width, pageSize, dtype, blockBytes, keysAt, valuesAt } = format, k = kernels(), share = heads / groups, rows = (share + 3) & ~3, all = groups * rows, columns = (width + 7) & ~7, count = Math.max(0, to - from);
  const depth = dtype === "int8" ? 2 * ((features + 3) >> 2) : features;
  const places: Record<string, number> = {}, sizes = {
    call: FIELDS.length, queries: all * depth, units: all, max: all, half: 2 * all, out: all * columns, shifts: all, given: heads * features, total: heads, output: heads * width, relative: relative ? all * count : 0, scores: 64 * rows, weights: 256, weightUnits: 4,
  };
  let words = 0;
  for (const [name, size] of Object.entries(sizes)) {
    places[name] = words;
    words += (size + 15) & ~15;
  }
  const base = scratch(4 * words) >>> 2, floats = floatView(), ints = intView(), at = (name: keyof typeof sizes): number => base + places[name];
  const fields: Record<(typeof FIELDS)[number], number> = {
    format: ["float32", "float16", "int8"].indexOf(dtype), groups, rows, lone: share === 1 ? 1 : 0, features, width: columns, pageSize, block: blockBytes, keysAt, valuesAt, queries: 4 * at("queries"), units: 4 * at("units"), max: 4 * at("max"), half: 4 * at("half"),
    out: 4 * at("out"), shifts: 4 * at("shifts"), sigmoid: shifts ? 1 : 0, cap: 0, relative: 0, relativeRow: count, scores: 4 * at("scores"), weights: 4 * at("weights"), weightUnits: 4 * at("weightUnits"),
  };
  FIELDS.forEach((name, i) => (ints[at("call") + i] = fields[name]));
  floats[at("call") + FIELDS.indexOf("cap")] = softCap;
  // Rows that no head has are queries of 0.
  floats.fill(0, at("queries"), at("given"));
  floats.fill(LOWEST, at("max"), at("max") + all);
  floats.set(query, at("given"));
  k.f32_decode_queries(4 * at("call"), 4 * at("given"), scale, share, Math.min(8191, Math.floor(2147483647 / (127 * features))));
  const halves = new Float64Array(floats.buffer, 4 * at("half"), all);
  for (let h = 0; h < heads; h++) {
    const row = Math.floor(h / share) * rows + (h % share);
    if (shifts) floats[at("shifts") + row] = shifts[h];
    if (relative) floats.set(relative.subarray(h * count, (h + 1) * count), at("relative") + row * count);
    if (!sinks || sinks[h] === -Infinity) continue;
    floats[at("max") + row] = sinks[h];
    halves[row] = 0.5;
  }
  for (let start = from; start < to; ) {
    const index = Math.floor(start / pageSize), first = index * pageSize, end = Math.min(first + pageSize, to);
    if (relative) ints[at("call") + RELATIVE] = 4 * (at("relative") + to - 1 - first);
    k.f32_decode_page(4 * at("call"), page(index), start - first, end - first, end < to ? page(index + 1) : 0);
    start = end;
  }
  k.f32_decode_finish(4 * at("call"), share, width, 4 * at("total"), 4 * at("output"));
  return { output: floats.slice(at("output"), at("output") + heads * width), logSumExp: floats.slice(at("total"), at("total") + heads) };
}

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
  "format", "groups", "rows", "lone", "features", "width", "pageSize", "block", "keysAt", "valuesAt", "queries", "units", "max", "half", "out", "shifts", "sigmoid", "cap", "first", "seen", "relative", "scores", "weights", "weightUnits",
] as const;
const FIRST: number = FIELDS.indexOf("first");

/** One decoding step: a query for each head, or several, against the keys and values of a cache. */
export interface DecodeProblem {
  /** H, a multiple of the cache's heads. */
  readonly heads: number;
  /** T. */
  readonly queries: number;
  /** Of the pages. */
  readonly format: CacheFormat;
  /** float32 [H, T, D]. */
  readonly query: Float32Array;
  readonly scale: number;
  readonly softCap: number;
  /** [H], as of AttentionProblem. */
  readonly shifts?: Float32Array | undefined;
  readonly sinks?: Float32Array | undefined;
  /** [T]: query i sees the tokens [from[i], to[i]). Values of tokens that one of them sees are multiplied with 0 for the others. */
  readonly from: Int32Array;
  readonly to: Int32Array;
  /** float32 [H, n], n at least every to[i] - from[i]: what is added to the scores of the tokens to[i] - 1, to[i] - 2, ... */
  readonly relative?: Float32Array | undefined;
  /** Address of a page. */
  page(index: number): number;
}

/**
 * Attention of a few positions over a cache: every key and value is read once, in the order in which it lies, for all queries of the heads of its group.
 *
 * int8 pages are multiplied as they are: queries and weights come as integers of 14 bits, sums are exact integers.
 *
 * @param problem - the step; whoever makes it has checked it
 * @returns output [H, T, E] and logSumExp [H, T]
 */
export function attentionDecode({ heads, queries, format, query, scale, softCap, shifts, sinks, from, to, relative, page }: DecodeProblem): AttentionResult {
  const { groups, features, width, pageSize, dtype, blockBytes, keysAt, valuesAt } = format, k = kernels(), share = (heads / groups) * queries, rows = (share + 3) & ~3, all = groups * rows, columns = (width + 7) & ~7, least = Math.max(0, Math.min(...from)), most = Math.max(0, ...to);
  const depth = dtype === "int8" ? 2 * ((features + 3) >> 2) : features;
  const places: Record<string, number> = {}, sizes = {
    call: FIELDS.length, queries: all * depth, units: all, max: all, half: 2 * all, out: all * columns, shifts: all, seen: 2 * rows, biases: all, given: heads * queries * features, total: heads * queries, output: heads * queries * width, relative: relative ? relative.length : 0, scores: 64 * rows, weights: 256, weightUnits: 4,
  };
  let words = 0;
  for (const [name, size] of Object.entries(sizes)) {
    places[name] = words;
    words += (size + 15) & ~15;
  }
  const base = scratch(4 * words) >>> 2, floats = floatView(), ints = intView(), at = (name: keyof typeof sizes): number => base + places[name];
  const fields: Record<(typeof FIELDS)[number], number> = {
    format: ["float32", "float16", "int8"].indexOf(dtype), groups, rows, lone: share === 1 ? 1 : 0, features, width: columns, pageSize, block: blockBytes, keysAt, valuesAt, queries: 4 * at("queries"), units: 4 * at("units"), max: 4 * at("max"), half: 4 * at("half"),
    out: 4 * at("out"), shifts: 4 * at("shifts"), sigmoid: shifts ? 1 : 0, cap: 0, first: 0, seen: 4 * at("seen"), relative: relative ? 4 * at("biases") : 0, scores: 4 * at("scores"), weights: 4 * at("weights"), weightUnits: 4 * at("weightUnits"),
  };
  FIELDS.forEach((name, i) => (ints[at("call") + i] = fields[name]));
  floats[at("call") + FIELDS.indexOf("cap")] = softCap;
  // Rows that no head has are queries of 0.
  floats.fill(0, at("queries"), at("given"));
  floats.fill(LOWEST, at("max"), at("max") + all);
  floats.set(query, at("given"));
  k.f32_decode_queries(4 * at("call"), 4 * at("given"), scale, share, Math.min(8191, Math.floor(2147483647 / (127 * features))));
  const halves = new Float64Array(floats.buffer, 4 * at("half"), all);
  if (relative) floats.set(relative, at("relative"));
  for (let r = 0; r < share; r++) {
    ints[at("seen") + 2 * r] = from[r % queries];
    ints[at("seen") + 2 * r + 1] = to[r % queries];
  }
  for (let i = 0; i < heads * queries; i++) {
    const row = Math.floor(i / share) * rows + (i % share), h = Math.floor(i / queries);
    if (shifts) floats[at("shifts") + row] = shifts[h];
    if (relative) ints[at("biases") + row] = 4 * (at("relative") + h * (relative.length / heads) + to[i % queries] - 1);
    if (!sinks || sinks[h] === -Infinity) continue;
    floats[at("max") + row] = sinks[h];
    halves[row] = 0.5;
  }
  for (let start = least; start < most; ) {
    const index = Math.floor(start / pageSize), first = index * pageSize, end = Math.min(first + pageSize, most);
    ints[at("call") + FIRST] = first;
    k.f32_decode_page(4 * at("call"), page(index), start - first, end - first, end < most ? page(index + 1) : 0);
    start = end;
  }
  k.f32_decode_finish(4 * at("call"), share, width, 4 * at("total"), 4 * at("output"));
  return { output: floats.slice(at("output"), at("output") + heads * queries * width), logSumExp: floats.slice(at("total"), at("total") + heads * queries) };
}

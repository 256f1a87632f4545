import type { AttentionResult } from "./attention.ts";
import { attentionKernels, LOWEST } from "./attention.ts";
import { floatView, scratch } from "./memory.ts";

/** One decoding step: a query for each head against keys and values that lie in WebAssembly memory in pages. */
export interface DecodeProblem {
  /** H, a multiple of G. */
  readonly heads: number;
  /** G. */
  readonly groups: number;
  /** D. */
  readonly features: number;
  /** E. */
  readonly width: number;
  /** float32 [H, D]. */
  readonly query: Float32Array;
  readonly scale: number;
  readonly softCap: number;
  /** [H], as of AttentionProblem. */
  readonly shifts?: Float32Array | undefined;
  readonly sinks?: Float32Array | undefined;
  /** The keys that take part: [from, to). */
  readonly from: number;
  readonly to: number;
  /** float32 [H, to - from]: what is added to the score of key to - 1, to - 2, ... */
  readonly relative?: Float32Array | undefined;
  /** Tokens of a page. */
  readonly pageSize: number;
  /** Address of a page's keys, float32 [G, pageSize, D]. */
  keyPage(page: number): number;
  /** Address of a page's values, float32 [G, pageSize, E]. */
  valuePage(page: number): number;
}

/**
 * Attention of one position over a cache: every key and value is read once for all heads of its group.
 *
 * @param problem - the step; whoever makes it has checked it
 * @returns output [H, E] and logSumExp [H]
 */
export function attentionDecode({ heads, groups, features, width, query, scale, softCap, shifts, sinks, from, to, relative, pageSize, keyPage, valuePage }: DecodeProblem): AttentionResult {
  const k = attentionKernels(), share = heads / groups, rows = (share + 3) & ~3, count = Math.max(0, to - from), output = new Float32Array(heads * width), logSumExp = new Float32Array(heads);
  const sizes = [rows * features, rows, 2 * rows, rows * width, rows, rows, rows, relative ? rows * count : 0, 256], places: number[] = [];
  let words = 0;
  for (const size of sizes) {
    places.push(words);
    words += (size + 15) & ~15;
  }
  const base = scratch(4 * words), [q, top, half, out, by, total, shift, bias, scores] = places.map((at) => base + 4 * at);
  for (let g = 0; g < groups; g++) {
    const view = floatView(), first = g * share;
    view.fill(0, q >>> 2, (q >>> 2) + rows * features);
    for (let i = 0; i < share * features; i++) view[(q >>> 2) + i] = scale * query[first * features + i];
    view.fill(0, half >>> 2, (half >>> 2) + 2 * rows);
    view.fill(0, out >>> 2, (out >>> 2) + rows * width);
    view.fill(LOWEST, top >>> 2, (top >>> 2) + rows);
    const halves = new Float64Array(view.buffer, half, rows);
    for (let r = 0; r < share; r++) {
      if (shifts) view[(shift >>> 2) + r] = shifts[first + r];
      if (!sinks || sinks[first + r] === -Infinity) continue;
      view[(top >>> 2) + r] = sinks[first + r];
      halves[r] = 0.5;
    }
    if (relative) view.set(relative.subarray(first * count, (first + share) * count), bias >>> 2);
    for (let at = from; at < to; ) {
      const page = Math.floor(at / pageSize), inside = at % pageSize, n = Math.min(pageSize - inside, to - at), row = g * pageSize + inside;
      k.f32_attention_decode(
        q, rows, features, keyPage(page) + 4 * row * features, valuePage(page) + 4 * row * width, width, n, top, half, out, softCap, shifts ? 1 : 0, shift, relative ? bias + 4 * (to - 1 - at) : 0, count, scores,
        at + n < to && pageSize >= 64 ? keyPage(page + 1) + 4 * g * pageSize * features : 0,
      );
      at += n;
    }
    if (shifts) view.fill(1, by >>> 2, (by >>> 2) + rows);
    else k.f32_attention_finish(top, half, share, by, total);
    for (let r = 0; r < share; r++) {
      const f = view[(by >>> 2) + r], start = (out >>> 2) + r * width, target = (first + r) * width;
      for (let e = 0; e < width; e++) output[target + e] = f * view[start + e];
      logSumExp[first + r] = shifts ? NaN : view[(total >>> 2) + r];
    }
  }
  return { output, logSumExp };
}

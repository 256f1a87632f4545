import type { Tensor } from "@logits/tensor";
import * as binary from "#wasm/attention";
import { TILE_BYTES, writeTile, type TileField } from "./attentionTile.ts";
import { family } from "./family.ts";
import { byteView, floatView, intView, scratch, wasmMemory } from "./memory.ts";
import { pointerOf } from "./owner.ts";

const kernels: () => Kernels = /* @__PURE__ */ family<Kernels>("attention", binary);

interface Kernels {
  f32_attention_stage(x: number, rows: number, cols: number, scale: number, y: number): void;
  f32_attention_pack8(x: number, rows: number, cols: number, to: number): void;
  f32_attention_pack_rows(x: number, rows: number, cols: number, to: number): void;
  f32_attention_pack_columns(x: number, rows: number, cols: number, to: number, step: number): void;
  f32_attention_pack_columns8(x: number, rows: number, cols: number, to: number): void;
  f32_attention_begin(panels: number, start: number, sink: number, max: number, half: number, out: number, outBytes: number): void;
  f32_attention_tile(call: number): void;
  f32_attention_rows(out: number, outBytes: number, by: number, rows: number, cols: number, y: number): void;
  f32_attention_finish(max: number, half: number, rows: number, by: number, total: number): void;
  f32_attention_gradient(call: number): void;
  readonly PANEL_ROWS: WebAssembly.Global;
}

/** Queries of a block, and keys of a tile (assembly/attention.ts). */
const BLOCK = 64, KEYS = 192;
/** Bytes of the scores of 8 queries over a tile. */
const PANEL = (KEYS + 6) * 32;
/** The maximum of no scores. */
const LOWEST = -3.4028234663852886e38;

/** Rows over the keys for [B, H, T], keys next to each other: how far it is, in elements, from one batch item, head and query to the next; 0 where all share. */
export interface Strided<Data> {
  readonly data: Data;
  readonly strides: readonly [batch: number, head: number, query: number];
}

/** Lists of keys for blocks of queries, on top of the queries' own intervals. */
export interface AttentionBlocks {
  /** Query i is in block floor((i + offset) / size), which the lists have. */
  readonly size: number;
  readonly offset: number;
  /** One for all heads, or one for each: the queries of block n see the keys [from[r], to[r]) for r in [offsets[n], offsets[n + 1]), in ascending order and apart. */
  readonly lists: readonly { readonly offsets: Int32Array; readonly from: Int32Array; readonly to: Int32Array }[];
}

/** The letters of a problem: H a multiple of G. */
export interface AttentionSizes {
  /** B. */
  readonly batch: number;
  /** H. */
  readonly heads: number;
  /** G, heads of keys and values: query head h reads floor(h G / H). */
  readonly groups: number;
  /** T. */
  readonly queries: number;
  /** S. */
  readonly keys: number;
  /** D. */
  readonly features: number;
  /** E. */
  readonly width: number;
}

/** Attention with everything checked and filled in by the caller. */
export interface AttentionProblem {
  readonly sizes: AttentionSizes;
  /** float32 [B, H, T, D], whatever axes the tensor has; ordinary or resident. */
  readonly query: Tensor<"float32">;
  /** float32 [B, G, S, D]. */
  readonly key: Tensor<"float32">;
  /** float32 [B, G, S, E]. */
  readonly value: Tensor<"float32">;
  readonly scale: number;
  /** s = softCap tanh(s / softCap) before any bias; 0: none. */
  readonly softCap: number;
  /** [H]: P = sigmoid(s + shifts[h]) instead of a softmax. */
  readonly shifts?: Float32Array | undefined;
  /** [H]: the score of a key without a value; -Infinity: none. */
  readonly sinks?: Float32Array | undefined;
  /** Query i sees the keys [from[i], to[i]): [B, T], or [T] for all. */
  readonly from: Int32Array;
  readonly to: Int32Array;
  /** What blocks of queries see; tiles that are in no list are not touched. Default everything. */
  readonly blocks?: AttentionBlocks | undefined;
  /** float32 [H, T + S - 1]: to the score of query i and key j the element i - j + S - 1 is added. */
  readonly relative?: Float32Array | undefined;
  /** Added to the scores. */
  readonly bias?: Strided<Float32Array> | undefined;
  /** 1 = takes part. */
  readonly mask?: Strided<Uint8Array> | undefined;
}

/** What attention returns. */
export interface AttentionResult {
  /** [B, H, T, E]. */
  readonly output: Float32Array;
  /** [B, H, T]: the log of the sum of exp(score), the sink's with it; of a sigmoid, which has none, NaN. */
  readonly logSumExp: Float32Array;
}

/** Gradients of sum(upstream x output) + sum(upstreamTotal x logSumExp). */
export interface AttentionGradients extends AttentionResult {
  readonly query: Float32Array;
  readonly key: Float32Array;
  readonly value: Float32Array;
  /** [H, T + S - 1], of `relative`; empty without it. */
  readonly relative: Float64Array;
  /** As long as the data of `bias`; empty without it. */
  readonly bias: Float32Array;
  /** [H], of `shifts`; empty without it. */
  readonly shifts: Float64Array;
  /** [B, H, T]: sum over E of upstream and output, less upstreamTotal: what exp(sink - logSumExp) is multiplied with, and its sign turned, for the gradient of a sink. */
  readonly delta: Float64Array;
}

/** Addresses within one block of scratch, each on a cache line. */
function plan(sizes: Record<string, number>): { readonly bytes: number; readonly at: Record<string, number> } {
  const at: Record<string, number> = {};
  let bytes = 0;
  for (const [name, size] of Object.entries(sizes)) {
    at[name] = bytes;
    bytes += (size + 63) & ~63;
  }
  return { bytes, at };
}

/** Bytes from one panel of columns to the next, for `rows` rows. */
const columnBytes = (rows: number, height: number): number => 4 * rows * height + 128;

/**
 * Where the block of queries that is worked on together, and begins at `first`, ends: after 64 queries, or with its block of the lists.
 *
 * @param problem - with or without `blocks`
 * @param first - a query below T
 * @returns the query after the last, at most T
 * @example
 *   for (let first = 0; first < queries; first = blockEnd(problem, first)) visit(first, blockEnd(problem, first));
 * Source: folklore.
 */
export function blockEnd({ sizes: { queries }, blocks }: AttentionProblem, first: number): number {
  const own = blocks ? (Math.floor((first + blocks.offset) / blocks.size) + 1) * blocks.size - blocks.offset : queries;
  return Math.min(queries, own, first + BLOCK);
}

/**
 * The keys that the lists give to the block of queries which begins at `first`; without lists all.
 *
 * @param problem - with or without `blocks`
 * @param head - a query head
 * @param first - a query below T
 * @returns runs [low, high) in ascending order
 * @example
 *   runsOf(problem, 0, 0); // [[0, keys]] without lists
 * Source: folklore.
 */
export function runsOf({ sizes: { keys }, blocks }: AttentionProblem, head: number, first: number): readonly (readonly [low: number, high: number])[] {
  if (!blocks) return [[0, keys]];
  const { lists, size, offset } = blocks, { offsets, from, to } = lists[lists.length > 1 ? head : 0], n = Math.floor((first + offset) / size);
  return Array.from({ length: offsets[n + 1] - offsets[n] }, (_, r) => [from[offsets[n] + r], to[offsets[n] + r]] as const);
}

/** What a pass holds while it walks over heads and blocks of queries. */
class Pass {
  readonly problem: AttentionProblem;
  readonly sizes: AttentionSizes;
  /** Rows of a panel, as the kernel has them. */
  readonly height: number;
  readonly at: Record<string, number>;
  readonly pointers: readonly [query: number, key: number, value: number];
  readonly outBytes: number;
  readonly queryBytes: number;
  readonly valueBytes: number;
  readonly keyBytes: number;
  readonly panels: number;
  readonly word: number;

  constructor(where: string, problem: AttentionProblem, gradient: boolean) {
    const { sizes } = problem, { queries, keys, features, width } = sizes;
    this.problem = problem;
    this.sizes = sizes;
    this.height = kernels().PANEL_ROWS.value as number;
    const { height } = this, padded = Math.ceil(keys / height) * height, columns = (n: number): number => Math.ceil(n / height);
    this.pointers = [pointerOf(where, "query", problem.query), pointerOf(where, "key", problem.key), pointerOf(where, "value", problem.value)];
    this.panels = Math.min(BLOCK, Math.ceil(queries / 8) * 8) / 8;
    const block = 8 * this.panels, [, keyAt, valueAt] = this.pointers;
    this.outBytes = 32 * (width + 8);
    this.queryBytes = 32 * (features + 8);
    this.valueBytes = columnBytes(keys, height);
    this.keyBytes = this.valueBytes;
    const only = (wanted: boolean, bytes: number): number => (wanted ? bytes : 0);
    const eight = (n: number): number => (n + 7) & ~7;
    const { bytes, at } = plan({
      call: TILE_BYTES,
      stagedKey: only(keyAt === 0, 4 * keys * features), stagedValue: only(valueAt === 0, 4 * keys * width),
      keys: 4 * padded * features, values: columns(width) * this.valueBytes,
      from: 4 * block, to: 4 * block, given: 4 * block * features, staged: 4 * block * features, queries: 4 * block * features,
      scores: (gradient ? this.panels : 1) * PANEL, max: 4 * block, half: 8 * block, out: this.panels * this.outBytes, by: 4 * block, total: 4 * block, rows: 4 * block * Math.max(width, features),
      relative: only(problem.relative !== undefined, 4 * (queries + keys + 16)), bias: only(problem.bias !== undefined, 4 * block * keys), mask: only(problem.mask !== undefined, block * keys),
      ...(gradient && {
        upstreamStaged: 4 * block * width, upstream: 4 * block * width, valueRows: 4 * padded * width, keyColumns: columns(features) * this.keyBytes, delta: 4 * block,
        gradients: this.panels * PANEL, slopes: only(problem.softCap > 0, PANEL), queryGradient: this.panels * this.queryBytes,
        queryColumns: (eight(features) / 8) * (32 * block + 128), upstreamColumns: (eight(width) / 8) * (32 * block + 128),
        keyGradient: 4 * (keys + KEYS) * eight(features), valueGradient: 4 * (keys + KEYS) * eight(width),
        relativeGradient: only(problem.relative !== undefined, 8 * (queries + keys + 16)), biasGradient: only(problem.bias !== undefined, 4 * block * keys), shift: 8, bounds: 8 * this.panels,
      }),
    });
    const base = scratch(bytes);
    for (const name of Object.keys(at)) at[name] += base;
    this.at = at;
    this.word = at.call >>> 2;
    this.write({
      features, width, keys: at.keys, values: at.values, valueBytes: this.valueBytes, from: at.from, to: at.to, queries: at.queries, scores: at.scores, max: at.max, half: at.half, out: at.out, outBytes: this.outBytes,
      relative: 0, bias: 0, biasBytes: 0, mask: 0, maskBytes: 0, cap: problem.softCap, sigmoid: problem.shifts ? 1 : 0, shift: 0,
      relativeGradient: 0, biasGradient: 0, biasGradientBytes: 0, shiftGradient: 0,
    });
  }

  write(fields: Partial<Record<TileField, number>>): void {
    writeTile(floatView(), intView(), this.word, fields);
  }

  /** The address of rows of an argument, copied unless it is resident. */
  place(which: 0 | 1 | 2, from: number, count: number, staged: number): number {
    if (this.pointers[which] !== 0) return this.pointers[which] + 4 * from;
    const { data } = [this.problem.query, this.problem.key, this.problem.value][which];
    floatView().set(data.subarray(from, from + count), staged >>> 2);
    return staged;
  }

  /** Keys and values of one batch item and key head. */
  placeKeys(item: number): readonly [key: number, value: number] {
    const { keys, features, width } = this.sizes, { at } = this, k = kernels();
    const key = this.place(1, item * keys * features, keys * features, at.stagedKey), value = this.place(2, item * keys * width, keys * width, at.stagedValue);
    k.f32_attention_pack_rows(key, keys, features, at.keys);
    k.f32_attention_pack_columns(value, keys, width, at.values, this.valueBytes);
    return [key, value];
  }

  /** What one query head has of its own. */
  placeHead(head: number): void {
    const { relative, shifts } = this.problem, { queries, keys } = this.sizes;
    if (relative) {
      const size = queries + keys - 1, start = this.at.relative >>> 2, view = floatView();
      view.set(relative.subarray(head * size, (head + 1) * size), start);
      view.fill(0, start + size, start + size + 8);
    }
    if (shifts) this.write({ shift: shifts[head] });
  }

  /** Queries [first, first + rows) of one batch item and head: scaled and packed; bias and mask. */
  placeBlock(batch: number, head: number, first: number, rows: number): void {
    const { problem, at } = this, { heads, queries, keys, features } = this.sizes, k = kernels();
    const panels = Math.ceil(rows / 8), row = (batch * heads + head) * queries + first;
    const given = this.place(0, row * features, rows * features, at.given);
    k.f32_attention_stage(given, rows, features, problem.scale, at.staged);
    k.f32_attention_pack8(at.staged, 8 * panels, features, at.queries);
    this.write({ panels, rows });
    const copy = <Data extends Float32Array | Uint8Array>({ data, strides }: Strided<Data>, to: Data, offset: number): number => {
      const from = batch * strides[0] + head * strides[1];
      if (strides[2] === 0) to.set(data.subarray(from, from + keys), offset);
      else to.set(data.subarray(from + first * strides[2], from + (first + rows) * strides[2]), offset);
      return strides[2];
    };
    if (problem.bias) this.write({ biasBytes: 4 * copy(problem.bias, floatView(), at.bias >>> 2) });
    if (problem.mask) this.write({ maskBytes: copy(problem.mask, byteView(), at.mask) });
  }

  /** Which of the keys [low, high) the queries see. Returns the keys [from, to) that any of them sees. */
  placeRange(batch: number, first: number, rows: number, low: number, high: number): readonly [from: number, to: number] {
    const { problem, at } = this, { queries, keys } = this.sizes, ints = intView(), a = at.from >>> 2, b = at.to >>> 2, start = problem.from.length > queries ? batch * queries + first : first;
    let least = keys, most = 0;
    for (let i = 0, padded = (rows + 7) & ~7; i < padded; i++) {
      const of = start + Math.min(i, rows - 1), from = Math.max(low, problem.from[of]), to = Math.min(high, problem.to[of]);
      ints[a + i] = from;
      ints[b + i] = to;
      if (from >= to) continue;
      if (from < least) least = from;
      if (to > most) most = to;
    }
    return [least, most];
  }

  /** Addresses that move with the tile. */
  atTile(first: number, tile: number, more?: Partial<Record<TileField, number>>): void {
    const { at, problem } = this, { keys, features } = this.sizes;
    this.write({
      first: tile, count: Math.min(KEYS, keys - tile), keys: at.keys + 4 * tile * features, relative: problem.relative ? at.relative + 4 * (first - tile + keys - 1) : 0,
      bias: problem.bias ? at.bias + 4 * tile : 0, mask: problem.mask ? at.mask + tile : 0, ...more,
    });
  }
}

/**
 * Attention over tiles of keys: scores are never held for more than 8 queries and 192 keys.
 *
 *   s[i, j] = softCap tanh(scale q[i] . k[j] / softCap) + relative[i - j] + bias[i, j];   P = exp(s) / sum_j exp(s), or sigmoid(s + shift);   output = P v
 *
 * The tiles stand at fixed keys, so that a query's result has the same bits whichever queries surround it. A query that sees no key gives 0 and -Infinity (with a sink: its score).
 *
 * @param where - for messages
 */
export function attentionForward(where: string, problem: AttentionProblem): AttentionResult {
  const { sizes } = problem, { batch, heads, groups, queries, keys, width } = sizes, { shifts, sinks } = problem;
  const output = new Float32Array(batch * heads * queries * width), logSumExp = new Float32Array(batch * heads * queries);
  const sinkOf = (head: number): number => (sinks ? sinks[head] : -Infinity);
  if (output.length === 0 || keys === 0) {
    for (let i = 0; i < logSumExp.length; i++) logSumExp[i] = shifts ? NaN : sinkOf(Math.floor(i / queries) % heads);
    return { output, logSumExp };
  }
  const pass = new Pass(where, problem, false), { at } = pass, k = kernels(), share = heads / groups;
  for (let item = 0; item < batch * groups; item++) {
    pass.placeKeys(item);
    const b = Math.floor(item / groups);
    for (let head = (item % groups) * share, stop = head + share; head < stop; head++) {
      const sink = sinkOf(head);
      pass.placeHead(head);
      for (let first = 0, end = 0; first < queries; first = end) {
        end = blockEnd(problem, first);
        const rows = end - first, panels = Math.ceil(rows / 8);
        pass.placeBlock(b, head, first, rows);
        k.f32_attention_begin(panels, sink === -Infinity ? LOWEST : sink, sink === -Infinity ? 0 : 1, at.max, at.half, at.out, pass.outBytes);
        for (const [low, high] of runsOf(problem, head, first)) {
          const [from, to] = pass.placeRange(b, first, rows, low, high);
          for (let tile = Math.floor(from / KEYS) * KEYS; tile < to; tile += KEYS) {
            pass.atTile(first, tile);
            k.f32_attention_tile(at.call);
          }
        }
        const row = (b * heads + head) * queries + first, view = floatView();
        if (shifts) {
          view.fill(1, at.by >>> 2, (at.by >>> 2) + 8 * panels);
          view.fill(NaN, at.total >>> 2, (at.total >>> 2) + rows);
        } else k.f32_attention_finish(at.max, at.half, rows, at.by, at.total);
        k.f32_attention_rows(at.out, pass.outBytes, at.by, rows, width, at.rows);
        output.set(view.subarray(at.rows >>> 2, (at.rows >>> 2) + rows * width), row * width);
        logSumExp.set(view.subarray(at.total >>> 2, (at.total >>> 2) + rows), row);
      }
    }
  }
  return { output, logSumExp };
}

/**
 * The same, and its gradients, from scores that are made again tile by tile.
 *
 *   dv = P' u;   dP = u v';   dS = P (dP - delta), delta[i] = u[i] . output[i] - upstreamTotal[i]  (sigmoid: P (1 - P) dP);   dq = scale dS k;   dk = scale dS' q
 *
 * @param where - for messages
 * @param upstream - u, [B, H, T, E]
 * @param upstreamTotal - [B, H, T]; not of a sigmoid
 */
export function attentionGradient(where: string, problem: AttentionProblem, upstream: Float32Array, upstreamTotal?: Float32Array): AttentionGradients {
  const result = attentionForward(where, problem), { output, logSumExp } = result;
  const { sizes } = problem, { batch, heads, groups, queries, keys, features, width } = sizes, { shifts, relative, bias } = problem;
  const delta = new Float64Array(batch * heads * queries);
  if (!shifts) {
    for (let i = 0; i < delta.length; i++) {
      let sum = upstreamTotal ? -upstreamTotal[i] : 0;
      for (let at = i * width, end = at + width; at < end; at++) sum += upstream[at] * output[at];
      delta[i] = sum;
    }
  }
  const made = {
    ...result, delta, query: new Float32Array(batch * heads * queries * features), key: new Float32Array(batch * groups * keys * features), value: new Float32Array(batch * groups * keys * width),
    relative: new Float64Array(relative ? relative.length : 0), bias: new Float32Array(bias ? bias.data.length : 0), shifts: new Float64Array(shifts ? heads : 0),
  };
  if (output.length === 0 || keys === 0) return made;
  const pass = new Pass(where, problem, true), { at } = pass, k = kernels(), share = heads / groups, keyStride = (features + 7) & ~7, valueStride = (width + 7) & ~7;
  pass.write({
    upstream: at.upstream, keyColumns: at.keyColumns, keyBytes: pass.keyBytes, total: at.total, delta: at.delta, gradients: at.gradients, slopes: at.slopes, queryGradient: at.queryGradient, queryBytes: pass.queryBytes,
    queryColumns: at.queryColumns, upstreamColumns: at.upstreamColumns, keyStride, valueStride, shiftGradient: shifts ? at.shift : 0, bounds: at.bounds,
  });
  const shiftSum = (): Float64Array => new Float64Array(wasmMemory().buffer, at.shift, 1);
  for (let item = 0; item < batch * groups; item++) {
    const [key, value] = pass.placeKeys(item), b = Math.floor(item / groups);
    k.f32_attention_pack_rows(value, keys, width, at.valueRows);
    k.f32_attention_pack_columns(key, keys, features, at.keyColumns, pass.keyBytes);
    byteView().fill(0, at.keyGradient, at.keyGradient + 4 * (keys + KEYS) * keyStride);
    byteView().fill(0, at.valueGradient, at.valueGradient + 4 * (keys + KEYS) * valueStride);
    for (let head = (item % groups) * share, stop = head + share; head < stop; head++) {
      pass.placeHead(head);
      shiftSum().fill(0);
      if (relative) byteView().fill(0, at.relativeGradient, at.relativeGradient + 8 * (queries + keys + 16));
      for (let first = 0, end = 0; first < queries; first = end) {
        end = blockEnd(problem, first);
        const rows = end - first, panels = Math.ceil(rows / 8), row = (b * heads + head) * queries + first, view = floatView();
        pass.placeBlock(b, head, first, rows);
        view.set(upstream.subarray(row * width, (row + rows) * width), at.rows >>> 2);
        k.f32_attention_stage(at.rows, rows, width, 1, at.upstreamStaged);
        k.f32_attention_pack8(at.upstreamStaged, 8 * panels, width, at.upstream);
        k.f32_attention_pack_columns8(at.upstreamStaged, 8 * panels, width, at.upstreamColumns);
        k.f32_attention_pack_columns8(at.staged, 8 * panels, features, at.queryColumns);
        view.fill(0, at.total >>> 2, (at.total >>> 2) + 8 * panels);
        view.fill(0, at.delta >>> 2, (at.delta >>> 2) + 8 * panels);
        // A query that sees nothing has no probabilities, whatever finite total they are measured from.
        if (!shifts) for (let i = 0; i < rows; i++) view[(at.total >>> 2) + i] = logSumExp[row + i] === -Infinity ? 0 : logSumExp[row + i];
        view.set(delta.subarray(row, row + rows), at.delta >>> 2);
        byteView().fill(0, at.queryGradient, at.queryGradient + panels * pass.queryBytes);
        const biasStride = bias ? bias.strides[2] : 0;
        if (bias) view.fill(0, at.biasGradient >>> 2, (at.biasGradient >>> 2) + (biasStride ? rows * biasStride : keys));
        for (const [low, high] of runsOf(problem, head, first)) {
          const [from, to] = pass.placeRange(b, first, rows, low, high);
          for (let tile = Math.floor(from / KEYS) * KEYS; tile < to; tile += KEYS) {
            pass.atTile(first, tile, {
              valueRows: at.valueRows + 4 * tile * width, keyGradient: at.keyGradient + 4 * tile * keyStride, valueGradient: at.valueGradient + 4 * tile * valueStride,
              relativeGradient: relative ? at.relativeGradient + 8 * (first - tile + keys - 1) : 0, biasGradient: bias ? at.biasGradient + 4 * tile : 0, biasGradientBytes: 4 * biasStride,
            });
            k.f32_attention_gradient(at.call);
          }
        }
        view.fill(problem.scale, at.by >>> 2, (at.by >>> 2) + 8 * panels);
        k.f32_attention_rows(at.queryGradient, pass.queryBytes, at.by, rows, features, at.rows);
        made.query.set(view.subarray(at.rows >>> 2, (at.rows >>> 2) + rows * features), row * features);
        if (bias) {
          const to = b * bias.strides[0] + head * bias.strides[1] + first * biasStride, start = at.biasGradient >>> 2, count = biasStride ? rows * biasStride : keys;
          for (let i = 0; i < count; i++) made.bias[to + i] += view[start + i];
        }
      }
      if (relative) {
        const size = queries + keys - 1, sums = new Float64Array(wasmMemory().buffer, at.relativeGradient, size);
        for (let i = 0; i < size; i++) made.relative[head * size + i] += sums[i];
      }
      if (shifts) made.shifts[head] += shiftSum()[0];
    }
    const view = floatView();
    for (let j = 0; j < keys; j++) {
      const dk = (at.keyGradient >>> 2) + j * keyStride, dv = (at.valueGradient >>> 2) + j * valueStride;
      made.key.set(view.subarray(dk, dk + features), (item * keys + j) * features);
      made.value.set(view.subarray(dv, dv + width), (item * keys + j) * width);
    }
  }
  return made;
}

import { asLengths, checkInteger, checkPositive, rangeError, watchedOptions, type TensorLike } from "@logits/tensor";
import { attention as code, softCap as softCapped } from "#wgsl";
import { BLOCK, gemm, zeros, type Matrices } from "./gemm.ts";
import type { Family, Part } from "./gpu.ts";
import { checkEither, checkGpuTensor, type GpuTensor } from "./gpuTensor.ts";
import { checkFits, grid, lanesFor, shapeError } from "./rows.ts";

const FAMILY: Family = { name: "attention", code: `${code} ${softCapped}`, reads: 3, writes: 4, rows: true };

/** Options of attention: those of `@logits/attention` that the GPU takes. */
export interface AttentionOptions {
  /** What q . k is multiplied with. Default 1 / sqrt(D). */
  readonly scale?: number;
  /** A query sees no key behind its own position. Default false. */
  readonly causal?: boolean;
  /** W: a query at position p sees the keys j with |p - j| < W; with `causal` the last W, its own included. Default all. */
  readonly windowSize?: number;
  /** Position of query 0 among the keys. Default S - T, so that the last query stands at the last key. */
  readonly queryOffset?: number;
  /** int32 [B], an ordinary tensor: keys from lengths[b] on are padding and seen by nobody. */
  readonly lengths?: TensorLike;
  /** c: scores become c tanh(s / c). Default none. */
  readonly softCap?: number;
  /** float32 [H], ordinary or on the GPU: a key without a value with this score. */
  readonly sinks?: TensorLike | GpuTensor;
  /** Sinks of 0: weights exp(s) / (1 + sum exp(s)). Default false. */
  readonly softmaxOne?: boolean;
}

/** What attention returns. */
export type AttentionOutput = {
  /** float32 [B, H, T, E]; as many axes as the query has. */
  readonly output: GpuTensor<"float32">;
  /** float32 [B, H, T]: log of the sum of exp(score) of the keys that take part, the sink with them; -Infinity where there are none. */
  readonly logSumExp: GpuTensor<"float32">;
};

/** Options of attention.withGrad. */
export interface AttentionGradientOptions extends AttentionOptions {
  /** Gradient of the loss in the output, float32, of its shape; on the GPU, or ordinary. */
  readonly upstream: TensorLike | GpuTensor;
  /** Gradient of the loss in logSumExp, float32, of its shape. Default 0. */
  readonly upstreamLogSumExp?: TensorLike | GpuTensor;
}

/** What attention.withGrad returns. */
export interface AttentionWithGrad extends AttentionOutput {
  readonly grads: {
    /** Of the shapes of the arguments. */
    readonly query: GpuTensor<"float32">;
    readonly key: GpuTensor<"float32">;
    readonly value: GpuTensor<"float32">;
    /** [H], of `sinks`, where they were given. */
    readonly sinks?: GpuTensor<"float32">;
  };
}

function run(where: string, query: GpuTensor, key: GpuTensor, value: GpuTensor, given: AttentionOptions & Partial<AttentionGradientOptions>, gradient: boolean): AttentionWithGrad {
  const [[batch, heads, queries, features], [keyBatch, groups, keys, keyFeatures], [valueBatch, valueGroups, valueKeys, width]] = ([["query", query, "D"], ["key", key, "D"], ["value", value, "E"]] as const).map(([name, x, letter]) => {
    checkGpuTensor(where, name, x, query);
    const { shape } = x;
    if (shape.length < 2 || shape.length > 4) throw shapeError(where, name, `[T, ${letter}], [H, T, ${letter}] or [B, H, T, ${letter}]`, x);
    return [...new Array<number>(4 - shape.length).fill(1), ...shape];
  });
  if (features < 1) throw rangeError(where, "query", "with D >= 1", `[${query.shape.join(", ")}]`);
  if (keyBatch !== batch || keyFeatures !== features || groups < 1 || heads % groups !== 0) throw shapeError(where, "key", `[${batch}, Hkv, S, ${features}] ([B, Hkv, S, D]) with Hkv a divisor of ${heads}`, key);
  if (valueBatch !== batch || valueGroups !== groups || valueKeys !== keys || width < 1) throw shapeError(where, "value", `[${batch}, ${groups}, ${keys}, E] ([B, Hkv, S, E])`, value);
  const { options, refuseUnread } = watchedOptions(where, given), { scale = 1 / Math.sqrt(features), causal = false, windowSize, queryOffset: offset = keys - queries, lengths, softCap, sinks, softmaxOne = false } = options;
  if (!Number.isFinite(scale)) throw rangeError(where, "scale", "finite", `${scale}`);
  if (softCap !== undefined) checkPositive(where, "softCap", softCap);
  if (sinks !== undefined && softmaxOne) throw rangeError(where, "softmaxOne", "or `sinks`", "both");
  checkInteger(where, "queryOffset", offset, -2147483648, 2147483647);
  if (windowSize !== undefined) checkInteger(where, "windowSize", windowSize, 1, 2147483647);
  const until = lengths === undefined ? undefined : asLengths(where, "lengths", lengths, batch, keys);
  const { gpu } = query, { reach } = gpu, lead = query.shape.slice(0, -1);
  checkFits(where, "key", keys, reach, "keys");
  const [given1, given2] = gradient ? [options.upstream, options.upstreamLogSumExp] : [];
  refuseUnread();
  const checked = [sinks ?? new Float32Array(heads).fill(softmaxOne ? 0 : -Infinity), given1, given2].map((x, i) => (i === 0 || (gradient && (i === 1 || x !== undefined)) ? checkEither(where, ["sinks", "upstream", "upstreamLogSumExp"][i], x as TensorLike, query, [[heads], [...lead, width], lead][i]) : undefined));
  const [sink, upstream, total] = checked.map((x) => x && gpu.tensor(x)) as [GpuTensor, GpuTensor | undefined, GpuTensor | undefined];

  // Which keys [from, to) each query sees, for all batch items or for each.
  const own = until ? batch : 1, step = until ? queries : 0, pairs = new Int32Array(2 * own * queries);
  for (let b = 0, at = 0; b < own; b++) {
    for (let t = 0; t < queries; t++, at += 2) {
      const p = t + offset, to = Math.min(until ? until[b] : keys, causal ? p + 1 : keys, windowSize === undefined ? keys : p + windowSize);
      pairs[at] = windowSize === undefined ? 0 : Math.min(Math.max(0, p - windowSize + 1), keys);
      pairs[at + 1] = Math.max(0, to);
    }
  }
  const ranges = gpu.tensor(pairs, "int32"), one = gpu.tensor([1]);
  // The query heads that share a key head lie next to each other: their queries are rows of one matrix.
  const items = batch * groups, share = heads / groups, height = share * queries, all = items * height;
  const most = Math.max(1, Math.min(Math.floor(Math.min(BLOCK, reach) / Math.max(1, keys)), Math.floor(reach / 2)));
  const rowsAtATime = most >= height ? height : most >= queries ? most - (most % queries) : most, itemsAtATime = Math.max(1, Math.floor(most / Math.max(1, height)));
  const inputs = [query, key, value, sink, ranges, one, ...(upstream ? [upstream] : []), ...(total ? [total] : [])];
  const size = Math.min(itemsAtATime, items) * rowsAtATime * keys;
  const tile = gpu.result(where, "float32", [size], inputs), other = gpu.result(where, "float32", [gradient ? size : 1], inputs), slopes = gpu.result(where, "float32", [gradient ? all : 1], inputs);
  inputs.push(tile, other, slopes);
  const output = keys > 0 ? gpu.result(where, "float32", [...lead, width], inputs) : zeros(gpu, where, [...lead, width], inputs), logSumExp = gpu.result(where, "float32", lead, inputs);
  const grads = gradient ? { query: zeros(gpu, where, query.shape, inputs), key: zeros(gpu, where, key.shape, inputs), value: zeros(gpu, where, value.shape, inputs) } : undefined;

  for (let item = 0; item < (height > 0 ? items : 0); item += itemsAtATime) {
    const n = Math.min(itemsAtATime, items - item), b = Math.floor(item / groups), batches = Math.floor((item + n - 1) / groups) - b + 1;
    for (let row = 0, rows = 0; row < height; row += rows) {
      // Less than a head's queries end where they do.
      const from = row % queries, first = item * height + row;
      rows = Math.min(rowsAtATime, rowsAtATime < queries ? queries - from : height - row);
      const some = Math.min(rows, queries), at = b * step + from, range: Part = { slot: ranges.slot, at: 2 * at, count: 2 * ((batches - 1) * step + some) };
      let low = keys, high = 0;
      for (let i = range.at; i < range.at + range.count; i += 2) {
        if (pairs[i] >= pairs[i + 1]) continue;
        low = Math.min(low, pairs[i]);
        high = Math.max(high, pairs[i + 1]);
      }
      // Where nobody sees anything, one key of weight 0 makes the output.
      if (low >= high) [low, high] = [0, Math.min(1, keys)];
      const cols = high - low, lanes = lanesFor(keys), sums = { add: true };
      const ofRows = (x: GpuTensor, length: number): Matrices => ({ slot: x.slot, at: x.offset + first * length, item: height * length, row: length, col: 1 });
      const ofKeys = (x: GpuTensor, length: number): Matrices => ({ slot: x.slot, at: x.offset + (item * keys + low) * length, item: keys * length, row: length, col: 1 });
      const transposed = (x: Matrices): Matrices => ({ ...x, row: x.col, col: x.row }), ofTile = (x: GpuTensor): Matrices => ({ slot: x.slot, at: 0, item: rows * cols, row: cols, col: 1 });
      const part = (x: GpuTensor): Part => ({ slot: x.slot, at: x.offset + first, count: n * rows }), block = (x: GpuTensor): Part => ({ slot: x.slot, at: 0, count: Math.max(1, Math.min(x.size, n * rows * cols)) });
      gemm(gpu, where, ofRows(query, features), transposed(ofKeys(key, features)), ofTile(tile), [n, rows, cols, features]);
      if (gradient) gemm(gpu, where, ofRows(upstream!, width), transposed(ofKeys(value, width)), ofTile(other), [n, rows, cols, width]);
      const parts = [range, { slot: sink.slot, at: sink.offset, count: heads }, total ? part(total) : range, block(tile), block(other), part(logSumExp), gradient ? part(slopes) : block(slopes)];
      gpu.dispatch(where, FAMILY, { LANES: lanes, MODE: gradient ? (total ? 2 : 1) : 0 }, parts, [n * rows, cols, first, low, queries, heads, step], [scale, softCap ?? 0], grid(gpu, Math.ceil((n * rows * lanes) / 256)));
      if (cols === 0) continue;
      gemm(gpu, where, ofTile(tile), ofKeys(value, width), ofRows(output, width), [n, rows, width, cols]);
      if (!grads) continue;
      gemm(gpu, where, transposed(ofTile(tile)), ofRows(upstream!, width), ofKeys(grads.value, width), [n, cols, width, rows], sums);
      gemm(gpu, where, transposed(ofTile(other)), ofRows(query, features), ofKeys(grads.key, features), [n, cols, features, rows], sums);
      gemm(gpu, where, ofTile(other), ofKeys(key, features), ofRows(grads.query, features), [n, rows, features, cols]);
    }
  }
  let ofSinks: GpuTensor<"float32"> | undefined;
  if (grads && sinks !== undefined) {
    const each = heads * queries, ones = { slot: one.slot, at: 0, row: 0, col: 0 }, perQuery = zeros(gpu, where, [each], inputs);
    ofSinks = zeros(gpu, where, [heads], [...inputs, perQuery]);
    if (all > 0) {
      gemm(gpu, where, ones, { slot: slopes.slot, at: 0, row: each, col: 1 }, { slot: perQuery.slot, at: 0, row: 0 }, [1, 1, each, batch]);
      gemm(gpu, where, { slot: perQuery.slot, at: 0, row: queries, col: 1 }, ones, { slot: ofSinks.slot, at: 0, row: 1 }, [1, heads, 1, queries]);
    }
    perQuery.dispose();
  }
  for (const x of inputs.slice(3)) x.dispose();
  return { output, logSumExp, grads: grads && { ...grads, ...(ofSinks && { sinks: ofSinks }) } } as AttentionWithGrad;
}

/**
 * Attention of queries over keys and values on the GPU, exact, a block of queries at a time: at most 16 MiB of scores, whatever T and S (one query's, where these are more).
 *
 *   s[i, j] = softCap tanh(scale q[i] . k[j] / softCap);   output[i] = sum_j P[i, j] v[j],   P = softmax over j of s
 *
 * Keys that a query does not see have the weight 0 exactly, and keys that no query of a block sees are not touched. Query head h reads key head floor(h Hkv / H) without copies. `attention.withGrad(query, key, value,
 * { upstream, ... })` also gives the exact gradients; scores are made again, none is kept.
 *
 * @param query - on the GPU, float32 [B, H, T, D], or without B, or without B and H
 * @param key - on the GPU, float32 [B, Hkv, S, D], Hkv a divisor of H
 * @param value - on the GPU, float32 [B, Hkv, S, E]
 * @param options - `scale`, `causal`, `windowSize`, `queryOffset`, `lengths`, `softCap`, `sinks`, `softmaxOne`
 * @returns `output` and `logSumExp`. A query that sees no key, and S = 0: output 0, logSumExp -Infinity (with a sink: its score). NaN or +Infinity among the scores of a query: NaN. A key that nobody sees must be finite
 *   all the same. T = 0 and B = 0: empty
 * @throws RangeError for shapes that do not fit, options that contradict each other, tensors of two devices; TypeError for a tensor outside the GPU, and for options that the GPU does not take (biases, masks, documents,
 *   ranges, other normalisers): use attention of `@logits/attention` on what `read()` gives
 * @example
 *   const { output } = attention(gpu.tensor([[1, 0]]), gpu.tensor([[1, 0], [0, 1]]), gpu.tensor([[1], [2]]), { scale: 1 });
 *   await output.read(); // 1.2689
 * Source: Vaswani et al., "Attention Is All You Need", NeurIPS 2017; Rabe and Staats, "Self-attention Does Not Need O(n^2) Memory", 2021, for blocks of queries.
 */
export const attention: {
  (query: GpuTensor, key: GpuTensor, value: GpuTensor, options?: AttentionOptions): AttentionOutput;
  /** The same with gradients for query, key, value and sinks. */
  withGrad(query: GpuTensor, key: GpuTensor, value: GpuTensor, options: AttentionGradientOptions): AttentionWithGrad;
} = /* @__PURE__ */ Object.assign(
  (query: GpuTensor, key: GpuTensor, value: GpuTensor, options: AttentionOptions = {}): AttentionOutput => {
    const { output, logSumExp } = run("attention", query, key, value, options, false);
    return { output, logSumExp };
  },
  { withGrad: (query: GpuTensor, key: GpuTensor, value: GpuTensor, options: AttentionGradientOptions): AttentionWithGrad => run("attention.withGrad", query, key, value, options, true) },
);

import type { AttentionBlocks, AttentionProblem, Strided } from "@logits/core-wasm/attention";
import { log } from "@logits/statistics";
import { asFloat32, asInt32, asMask, checkInteger, checkPositive, lastingData, rangeError, type TensorLike } from "@logits/tensor";
import { four, headsOf } from "./heads.ts";
import type { KeyBlocks } from "./keyBlocks.ts";
import type { RowNormalizer } from "./rowNormalizer.ts";
import type { PositionBias } from "./positionBias.ts";

/** Which keys a query may see, what is added to its scores and how they become weights. All that is given applies together. */
export interface AttentionOptions {
  /** What q . k is multiplied with. Default 1 / sqrt(D). */
  readonly scale?: number;
  /** A query sees no key behind its own position. Default false. */
  readonly causal?: boolean;
  /** W: a query at position p sees the keys j with |p - j| < W; with `causal` the last W, its own included. Default all. */
  readonly windowSize?: number;
  /** Position of query 0 among the keys: query i stands at i + queryOffset. Default S - T, so that the last query stands at the last key. */
  readonly queryOffset?: number;
  /** int32 [B]: keys from lengths[b] on are padding and seen by nobody. */
  readonly lengths?: TensorLike;
  /** int32 [S] or [B, S]: the document of each key, each document in one piece; a query sees the keys of the document in which it stands. */
  readonly documents?: TensorLike;
  /** int32 [T] or [B, T] each: query i sees the keys [from[i], to[i]). For blocks, prefixes and halos. */
  readonly ranges?: { readonly from: TensorLike; readonly to: TensorLike };
  /** Lists of keys for blocks of queries: `blockList`, `stridedBlocks`, `fixedBlocks`, `haloBlocks`; one for all heads, or one for each. Keys that are in no list cost nothing. */
  readonly blocks?: KeyBlocks | readonly KeyBlocks[];
  /** 0 or 1 [S], [T, S], [H, T, S] or [B, H, T, S], an axis of length 1 serves for all: 1 = the query may see the key. */
  readonly mask?: TensorLike;
  /** float32, shaped as `mask`: added to the scores. -Infinity hides a key. */
  readonly bias?: TensorLike;
  /** A bias by distance: `alibi`, `kerple`, `t5Bias`. */
  readonly positionBias?: PositionBias;
  /** c: scores become c tanh(s / c) before any bias. Default none. */
  readonly softCap?: number;
  /** "softmax"; "sigmoid": each weight is 1 / (1 + exp(-(s + sigmoidBias))), rows do not sum to 1; or one of `@logits/attention/normalizers`, which works on whole rows of scores. Default "softmax". */
  readonly normalizer?: "softmax" | "sigmoid" | RowNormalizer;
  /** c, by distance as a position bias: weights become P c(i + queryOffset - j) after the normaliser, one of `@logits/attention/normalizers` (which has a softmax too). Default 1. */
  readonly positionWeights?: PositionBias;
  /** A number or float32 [H]. Default -log S. */
  readonly sigmoidBias?: number | TensorLike;
  /** float32 [H]: a key without a value with this score, learned. 0 everywhere is softmax-one. Only with "softmax". */
  readonly sinks?: TensorLike;
  /** Sinks of 0: weights exp(s) / (1 + sum exp(s)). Default false. */
  readonly softmaxOne?: boolean;
}

/** A checked call. */
export interface Prepared {
  readonly problem: AttentionProblem;
  /** Axes of the output before E: [B, H, T], [H, T] or [T]. */
  readonly lead: readonly number[];
  readonly positionBias: PositionBias | undefined;
  /** Where a normaliser of whole rows does the work, and what it multiplies the weights with, [H, T + S - 1] as `relative`. */
  readonly rows: RowNormalizer | undefined;
  readonly factors: Float32Array | undefined;
  readonly biasShape: readonly number[];
  /** Position of query 0. */
  readonly offset: number;
}

function strided<Data>(where: string, argument: string, shape: readonly number[], data: Data, [batch, heads, queries, keys]: readonly number[]): Strided<Data> {
  const axes = [batch, heads, queries, keys], own = shape.length <= 4 ? four(shape) : [];
  if (shape.length === 0 || own.length === 0 || own[3] !== keys || own.some((size, i) => size !== axes[i] && size !== 1)) {
    throw rangeError(where, argument, `of shape [${axes.join(", ")}] ([B, H, T, S]), leading axes left out or 1`, `[${shape.join(", ")}]`);
  }
  const step = (axis: number): number => (own[axis] === 1 ? 0 : own.slice(axis + 1).reduce((product, size) => product * size, 1));
  return { data, strides: [step(0), step(1), step(2)] };
}

function perHead(where: string, argument: string, x: TensorLike, heads: number): Float32Array {
  const made = asFloat32(where, argument, x);
  if (made.shape.length !== 1 || made.size !== heads) throw rangeError(where, argument, `of shape [${heads}] ([H])`, `[${made.shape.join(", ")}]`);
  return lastingData(made);
}

/** Rows of integers for [B, T] or [T] (`size` instead of T). */
function integerRows(where: string, argument: string, x: TensorLike, batch: number, size: number, letter: string): { readonly data: Int32Array; readonly rows: number } {
  const { data, shape } = asInt32(where, argument, x);
  if (shape[shape.length - 1] !== size || shape.length > 2 || (shape.length === 2 && shape[0] !== batch)) throw rangeError(where, argument, `of shape [${size}] or [${batch}, ${size}] ([${letter}] or [B, ${letter}])`, `[${shape.join(", ")}]`);
  return { data, rows: shape.length === 2 ? batch : 1 };
}

/** Checks a call and turns causal, window, lengths, documents and ranges into one interval of keys for each query. */
export function prepare(where: string, q: TensorLike, k: TensorLike, v: TensorLike, options: AttentionOptions): Prepared {
  const { query, key, value, sizes } = headsOf(where, q, k, v), { batch, heads, queries, keys, features } = sizes;
  const { scale = 1 / Math.sqrt(features), softCap, normalizer = "softmax", sinks, softmaxOne = false, sigmoidBias, positionBias, positionWeights, queryOffset: offset = keys - queries } = options;
  if (!Number.isFinite(scale)) throw rangeError(where, "scale", "finite", `${scale}`);
  if (softCap !== undefined) checkPositive(where, "softCap", softCap);
  const rows = typeof normalizer === "string" ? undefined : normalizer, named = rows ? rows.name : normalizer as string;
  if (rows ? typeof rows.forward !== "function" : normalizer !== "softmax" && normalizer !== "sigmoid") throw rangeError(where, "normalizer", '"softmax", "sigmoid" or one of @logits/attention/normalizers', named);
  const sigmoid = normalizer === "sigmoid";
  if (sigmoid && (sinks !== undefined || softmaxOne)) throw rangeError(where, sinks === undefined ? "softmaxOne" : "sinks", "with a softmax", "a sigmoid", "A sigmoid's rows are not normalised");
  if (rows && (sinks !== undefined || softmaxOne)) throw rangeError(where, sinks === undefined ? "softmaxOne" : "sinks", 'with normalizer "softmax"', `the row normaliser ${named}`);
  if (!sigmoid && sigmoidBias !== undefined) throw rangeError(where, "sigmoidBias", 'with normalizer "sigmoid"', named);
  if (positionWeights && !rows) throw rangeError(where, "positionWeights", "with a normaliser of @logits/attention/normalizers", `"${named}"`);
  if (positionWeights && positionWeights.heads !== heads) throw rangeError(where, "positionWeights", `of ${heads} heads`, `${positionWeights.heads}`);
  if (sinks !== undefined && softmaxOne) throw rangeError(where, "softmaxOne", "or `sinks`", "both");
  if (positionBias && positionBias.heads !== heads) throw rangeError(where, "positionBias", `of ${heads} heads`, `${positionBias.heads}`);
  checkInteger(where, "queryOffset", offset, -2147483648, 2147483647);
  const axes = [batch, heads, queries, keys], mask = options.mask === undefined ? undefined : asMask(where, "mask", options.mask), bias = options.bias === undefined ? undefined : asFloat32(where, "bias", options.bias);
  const shifts = !sigmoid ? undefined : typeof sigmoidBias === "number" || sigmoidBias === undefined ? new Float32Array(heads).fill(sigmoidBias ?? -log(Math.max(1, keys))) : perHead(where, "sigmoidBias", sigmoidBias, heads);
  return {
    lead: query.shape.slice(0, -1), positionBias, rows, factors: positionWeights && keys > 0 && queries > 0 ? relativeOf(positionWeights, queries, keys, offset) : undefined, biasShape: bias ? bias.shape : [], offset,
    problem: {
      sizes, query, key, value, scale, softCap: softCap ?? 0, shifts, sinks: softmaxOne ? new Float32Array(heads) : sinks === undefined ? undefined : perHead(where, "sinks", sinks, heads),
      ...intervals(where, options, batch, queries, keys, offset), blocks: options.blocks && listsOf(where, options.blocks, heads, queries, keys, offset), relative: positionBias && keys > 0 && queries > 0 ? relativeOf(positionBias, queries, keys, offset) : undefined,
      mask: mask && strided(where, "mask", mask.shape, lastingData(mask), axes), bias: bias && strided(where, "bias", bias.shape, lastingData(bias), axes),
    },
  };
}

function listsOf(where: string, given: KeyBlocks | readonly KeyBlocks[], heads: number, queries: number, keys: number, offset: number): AttentionBlocks {
  const all = Array.isArray(given) ? (given as readonly KeyBlocks[]) : [given as KeyBlocks], { size } = all[0] ?? {};
  if (Array.isArray(given) && all.length !== heads) throw rangeError(where, "blocks", `one list, or ${heads} (H)`, `${all.length}`);
  checkInteger(where, "blocks.size", size, 1, 2147483647);
  const lists = all.map((list, h) => {
    const named = (field: string): string => (all.length > 1 ? `blocks[${h}].${field}` : `blocks.${field}`);
    if (list.size !== size) throw rangeError(where, named("size"), `${size} as of the first list`, `${list.size}`);
    const [offsets, from, to] = (["offsets", "from", "to"] as const).map((field) => {
      const made = asInt32(where, named(field), list[field]);
      if (made.shape.length !== 1) throw rangeError(where, named(field), "of one axis", `shape [${made.shape.join(", ")}]`);
      return lastingData(made);
    });
    const runs = from.length, ends = offsets.length - 1;
    if (to.length !== runs) throw rangeError(where, named("to"), `of shape [${runs}] as from`, `[${to.length}]`);
    if (ends < 0 || offsets[0] !== 0 || offsets[ends] !== runs || offsets.some((at, n) => n > 0 && at < offsets[n - 1])) throw rangeError(where, named("offsets"), `ascending from 0 to ${runs}, the length of from`, `[${offsets.join(", ")}]`);
    if (queries > 0 && (offset < 0 || offset + queries > ends * size)) throw rangeError(where, named("offsets"), `for the blocks of all queries, at positions [${offset}, ${offset + queries})`, `${ends} blocks of ${size}`);
    for (let n = 0; n < ends; n++) {
      for (let r = offsets[n]; r < offsets[n + 1]; r++) {
        if (from[r] < (r > offsets[n] ? to[r - 1] : 0) || to[r] < from[r]) throw rangeError(where, named("from"), "ascending and apart within a block of queries", `[${from[r]}, ${to[r]}) at index ${r}${r > offsets[n] ? ` after [${from[r - 1]}, ${to[r - 1]})` : ""}`);
      }
    }
    return { offsets, from: from.map((j) => Math.min(j, keys)), to: to.map((j) => Math.min(j, keys)) };
  });
  return { size, offset, lists };
}

function relativeOf({ heads, value }: PositionBias, queries: number, keys: number, offset: number): Float32Array {
  const size = queries + keys - 1, out = new Float32Array(heads * size);
  for (let h = 0; h < heads; h++) for (let r = 0; r < size; r++) out[h * size + r] = value(h, r - keys + 1 + offset);
  return out;
}

function intervals(where: string, { causal = false, windowSize, lengths, documents, ranges }: AttentionOptions, batch: number, queries: number, keys: number, offset: number): { from: Int32Array; to: Int32Array } {
  if (windowSize !== undefined) checkInteger(where, "windowSize", windowSize, 1, 2147483647);
  const until = lengths === undefined ? undefined : asInt32(where, "lengths", lengths);
  if (until && (until.shape.length !== 1 || until.size !== batch)) throw rangeError(where, "lengths", `of shape [${batch}] ([B])`, `[${until.shape.join(", ")}]`);
  if (until) for (let b = 0; b < batch; b++) if (until.data[b] < 0 || until.data[b] > keys) throw rangeError(where, "lengths", `in [0, ${keys}]`, `${until.data[b]} at index ${b}`);
  const pieces = documents === undefined ? undefined : documentPieces(where, documents, batch, keys);
  if (pieces && queries > 0 && (offset < 0 || offset + queries > keys)) throw rangeError(where, "documents", "with every query at the position of a key", `queries at [${offset}, ${offset + queries}) of ${keys} keys`);
  const first = ranges && integerRows(where, "ranges.from", ranges.from, batch, queries, "T"), last = ranges && integerRows(where, "ranges.to", ranges.to, batch, queries, "T");
  const rows = until || (pieces && pieces.rows > 1) || (first && first.rows > 1) || (last && last.rows > 1) ? batch : 1;
  const from = new Int32Array(rows * queries), to = new Int32Array(rows * queries);
  for (let b = 0, at = 0; b < rows; b++) {
    for (let i = 0; i < queries; i++, at++) {
      const position = i + offset;
      let low = 0, high = until ? until.data[b] : keys;
      if (causal) high = Math.min(high, position + 1);
      if (windowSize !== undefined) {
        low = Math.max(low, position - windowSize + 1);
        high = Math.min(high, position + windowSize);
      }
      if (pieces) {
        const of = (pieces.rows > 1 ? b * keys : 0) + position;
        low = Math.max(low, pieces.from[of]);
        high = Math.min(high, pieces.to[of]);
      }
      if (first) low = Math.max(low, first.data[first.rows > 1 ? at : i]);
      if (last) high = Math.min(high, last.data[last.rows > 1 ? at : i]);
      from[at] = Math.min(low, keys);
      to[at] = Math.max(high, 0);
    }
  }
  return { from, to };
}

/** For each key the interval of its document. */
function documentPieces(where: string, documents: TensorLike, batch: number, keys: number): { readonly from: Int32Array; readonly to: Int32Array; readonly rows: number } {
  const { data, rows } = integerRows(where, "documents", documents, batch, keys, "S"), from = new Int32Array(rows * keys), to = new Int32Array(rows * keys);
  for (let b = 0; b < rows; b++) {
    const seen = new Set<number>();
    for (let j = 0; j < keys; ) {
      const id = data[b * keys + j];
      let end = j + 1;
      while (end < keys && data[b * keys + end] === id) end++;
      if (seen.has(id)) throw rangeError(where, "documents", "with each document in one piece", `document ${id} again at key ${j}`, "Give a `mask` instead");
      seen.add(id);
      from.fill(j, b * keys + j, b * keys + end);
      to.fill(end, b * keys + j, b * keys + end);
      j = end;
    }
  }
  return { from, to, rows };
}

import { sigmoid } from "@logits/statistics";
import { Tensor, asFloat32, asInt32, asMask, checkInteger, checkShape, rangeError, type TensorLike } from "@logits/tensor";
import { attentionWithin } from "../attention.ts";
import type { AttentionOptions } from "../options.ts";
import { emptyValues } from "./attentionReceived.ts";

/** Options of attentionSink. */
export interface AttentionSinkOptions extends AttentionOptions {
  /** The key that may be a sink. Default 0. */
  readonly sink?: number;
  /** A query rests in the sink where the sink's share is above this. Default 0.3. */
  readonly threshold?: number;
}

/** What attentionSink returns. */
export interface AttentionSink {
  /** float32 [B, H, T]: the sink's score less the log-sum-exp of everything else that the query sees; -Infinity where it does not see the sink, +Infinity where it sees nothing else. */
  readonly gap: Tensor<"float32">;
  /** float32 [B, H, T]: the sink's weight, sigmoid(gap). */
  readonly share: Tensor<"float32">;
  /** float32 [B, H]: the part of the queries that rest in the sink; 0 for no queries. A head near 1 is dormant. */
  readonly rate: Tensor<"float32">;
  /** float32 [B, Hkv]: the length of the sink's value over the mean length of all values; near 0 where resting there changes nothing; NaN where all values are 0. */
  readonly drain: Tensor<"float32">;
}

/**
 * Whether heads rest in an attention sink: the sink's share of each query, the gap of its score to all others, the rate of queries that rest there, and how small its value is (value drain). A head is dormant on a text
 * where its rate is near 1, active where it is not.
 *
 *   gap[i] = s[i, sink] - log sum_{j != sink} exp(s[i, j]),   share = sigmoid(gap),   rate = mean_i 1[share[i] > threshold],   drain = |v_sink| / mean_j |v_j|
 *
 * The gap is exact where the share rounds to 1. Two attentions, the one with the sink's key alone, memory linear in length. What a learned sink or softmax-one takes counts as "everything else".
 *
 * @param query - float32 [B, H, T, D], or without B, or without B and H
 * @param key - float32 [B, Hkv, S, D]
 * @param value - float32 [B, Hkv, S, E]
 * @param options - those of `attention` but sigmoids; `sink`, `threshold`
 * @returns `gap`, `share`, `rate`, `drain`, without the axes that the query lacks (`rate` and `drain` of one head: shape []). NaN among the scores of a query: NaN, and it does not rest
 * @throws RangeError for shapes that do not fit, a sink outside [0, S), a threshold outside [0, 1], and normalizers that are no softmax
 * @example
 *   attentionSink([[2], [2]], [[3], [0]], [[0], [4]], { scale: 1 }).gap.data; // 6, 6
 * Source: Guo et al., "Active-Dormant Attention Heads: Mechanistically Demystifying Extreme-Token Phenomena in LLMs", 2024 (value drain, dormant heads); Gu et al., "When Attention Sink Emerges in Language Models", ICLR 2025 (sink rate, 0.3).
 */
export function attentionSink(query: TensorLike, key: TensorLike, value: TensorLike, options: AttentionSinkOptions = {}): AttentionSink {
  const where = "attentionSink", { sink = 0, threshold = 0.3, ...rest } = options, { shape } = asFloat32(where, "query", query), values = asFloat32(where, "value", value), empty = emptyValues(where, key, 1), keys = empty.shape[empty.shape.length - 2];
  if (rest.normalizer !== undefined && rest.normalizer !== "softmax") throw rangeError(where, "normalizer", '"softmax"', typeof rest.normalizer === "string" ? rest.normalizer : "another");
  checkShape(where, "value", values, [...empty.shape.slice(0, -1), "E"]);
  checkInteger(where, "sink", sink, 0, keys - 1);
  if (!(threshold >= 0 && threshold <= 1)) throw rangeError(where, "threshold", "in [0, 1]", `${threshold}`);
  const mask = rest.mask === undefined ? new Tensor("uint8", [keys], new Uint8Array(keys).fill(1)) : asMask(where, "mask", rest.mask), others = new Tensor("uint8", mask.shape, mask.data.map((bit, at) => (at % keys === sink ? 0 : bit)));
  const all = attentionWithin(where, query, key, empty, { ...rest, mask: others }).logSumExp, { sinks: _, softmaxOne: __, ...without } = rest;
  const alone = attentionWithin(where, query, key, empty, { ...without, ranges: only(where, sink, shape[shape.length - 2], rest.ranges) }).logSumExp, queries = shape[shape.length - 2], lead = shape.slice(0, -1);
  const gap = alone.data.map((score, at) => (score === -Infinity ? -Infinity : score - all.data[at])), share = gap.map((g) => sigmoid(g));
  const rate = new Float32Array(lead.slice(0, -1).reduce((a, b) => a * b, 1));
  for (let at = 0; at < share.length; at++) if (share[at] > threshold) rate[Math.floor(at / queries)]++;
  if (queries > 0) for (let h = 0; h < rate.length; h++) rate[h] /= queries;
  return { gap: new Tensor("float32", lead, gap), share: new Tensor("float32", lead, share), rate: new Tensor("float32", lead.slice(0, -1), rate), drain: drainOf(values, keys, sink) };
}

/** The ranges that leave the sink alone, where a query may see it. */
function only(where: string, sink: number, queries: number, ranges: AttentionOptions["ranges"]): { readonly from: TensorLike; readonly to: TensorLike } {
  if (ranges === undefined) return { from: new Int32Array(queries).fill(sink), to: new Int32Array(queries).fill(sink + 1) };
  const from = asInt32(where, "ranges.from", ranges.from), to = asInt32(where, "ranges.to", ranges.to);
  return { from: new Tensor("int32", from.shape, from.data.map((x) => Math.max(x, sink))), to: new Tensor("int32", to.shape, to.data.map((x) => Math.min(x, sink + 1))) };
}

function drainOf({ data, shape }: Tensor<"float32">, keys: number, sink: number): Tensor<"float32"> {
  const width = shape[shape.length - 1], lead = shape.slice(0, -2), out = new Float32Array(lead.reduce((a, b) => a * b, 1));
  for (let g = 0; g < out.length; g++) {
    let total = 0, own = 0;
    for (let j = 0; j < keys; j++) {
      let square = 0;
      for (let e = 0; e < width; e++) square += data[(g * keys + j) * width + e] * data[(g * keys + j) * width + e];
      const length = Math.sqrt(square);
      total += length;
      if (j === sink) own = length;
    }
    out[g] = (own * keys) / total;
  }
  return new Tensor("float32", lead, out);
}

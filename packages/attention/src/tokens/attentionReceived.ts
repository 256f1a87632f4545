import { Tensor, asFloat32, checkShape, lastingData, rangeError, type TensorLike } from "@logits/tensor";
import { gradientsWithin } from "../attention.ts";
import type { AttentionOptions } from "../options.ts";

/** Options of attentionReceived. */
export interface AttentionReceivedOptions extends AttentionOptions {
  /** float32 of the query's shape without D: how much each query counts. Default 1. */
  readonly weights?: TensorLike;
}

/** Values of zeros [..., S, width] for the keys: what a value's gradient is does not depend on the value. */
export function emptyValues(where: string, key: TensorLike, width: number): Tensor<"float32"> {
  const { shape } = asFloat32(where, "key", key);
  if (shape.length < 2 || shape.length > 4) throw rangeError(where, "key", "of shape [S, D], [Hkv, S, D] or [B, Hkv, S, D]", `[${shape.join(", ")}]`);
  const own = [...shape.slice(0, -1), width];
  return new Tensor("float32", own, new Float32Array(own.reduce((a, b) => a * b, 1)));
}

/**
 * How much attention each key receives, without its matrix of T times S weights: what a cache evicts by (H2O, SnapKV), and what a token is worth to the others.
 *
 *   received[j] = sum_i weights[i] P[i, j],   P the weights of `attention` under the same options; over the query heads that read the key head
 *
 * The sum over queries is the gradient in the values of attention whose upstream is the weights of the queries, so it takes that engine's memory, linear in length. For one head each, give every query head a key head. For the votes
 * of the last W queries (SnapKV) give those queries: with `causal` they stand at the end of the keys.
 *
 * @param query - float32 [B, H, T, D], or without B, or without B and H
 * @param key - float32 [B, Hkv, S, D]
 * @param options - those of `attention`, and `weights`
 * @returns float32 [B, Hkv, S], with the leading axes of `key`. With softmax and weights of 1 it sums to H / Hkv T over S where every query sees a key. T = 0: zeros. NaN among the scores of a query: NaN for the keys it sees
 * @throws RangeError for shapes that do not fit, and options that contradict each other
 * @example
 *   attentionReceived([[9, 0], [9, 0]], [[9, 0], [0, 9]]).data; // 2, 0.0000...
 * Source: Zhang et al., "H2O: Heavy-Hitter Oracle for Efficient Generative Inference of Large Language Models", NeurIPS 2023; Li et al., "SnapKV", NeurIPS 2024, for the window. The gradient: folklore.
 */
export function attentionReceived(query: TensorLike, key: TensorLike, options: AttentionReceivedOptions = {}): Tensor<"float32"> {
  const where = "attentionReceived", { weights, ...rest } = options, lead = asFloat32(where, "query", query).shape.slice(0, -1), value = emptyValues(where, key, 1);
  const given = weights === undefined ? undefined : asFloat32(where, "weights", weights);
  if (given) checkShape(where, "weights", given, lead);
  const upstream = new Tensor("float32", [...lead, 1], given ? lastingData(given) : new Float32Array(lead.reduce((a, b) => a * b, 1)).fill(1));
  return new Tensor("float32", value.shape.slice(0, -1), gradientsWithin(where, query, key, value, { ...rest, upstream }).grads.value.data);
}

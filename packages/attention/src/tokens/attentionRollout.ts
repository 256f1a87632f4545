import { Tensor, asFloat32, rangeError, type TensorLike } from "@logits/tensor";
import { gradientsWithin } from "../attention.ts";
import type { AttentionOptions } from "../options.ts";
import { emptyValues } from "./attentionReceived.ts";

/** The self-attention of one layer. */
export interface RolloutLayer {
  /** float32 [H, T, D]. */
  readonly query: TensorLike;
  /** float32 [Hkv, T, D]. */
  readonly key: TensorLike;
  /** Those of the layer's `attention`. */
  readonly options?: AttentionOptions;
}

/** Where a rollout starts. */
export interface RolloutOptions {
  /** float32 [T] or [R, T]: how much each token after the last layer counts, for example 1 for the class token and 0 for the others; R questions at once. */
  readonly start: TensorLike;
  /** The share of a token that a layer passes by its attention, in [0, 1]. Default 0.5. */
  readonly residual?: number;
}

/**
 * Attention rollout: how much of each input token stands in the tokens after the last layer, if every layer mixed tokens by the mean of its heads and half of each token passed it by.
 *
 *   r <- residual r + (1 - residual) mean_h A_h^T r,   from the last layer to the first
 *
 * Exactly the rows of the product of the matrices residual I + (1 - residual) mean_h A_h that `start` asks for, without making any of them: memory is linear in T.
 *
 * @param layers - from the first to the last; all of one T
 * @param options - `start`, `residual`
 * @returns float32 [T] or [R, T], as `start`. With softmax the sum of `start` is kept where every query sees a key. No layers: `start`
 * @throws RangeError for layers that are not [H, T, D] and [Hkv, T, D] of one T, and a residual outside [0, 1]
 * @example
 *   attentionRollout([{ query: [[[0], [0]]], key: [[[0], [0]]] }], { start: [1, 0] }).data; // 0.75, 0.25
 * Source: Abnar and Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020, section 3.
 */
export function attentionRollout(layers: readonly RolloutLayer[], options: RolloutOptions): Tensor<"float32"> {
  const where = "attentionRollout", start = asFloat32(where, "start", options.start), { residual = 0.5 } = options;
  if (start.shape.length < 1 || start.shape.length > 2) throw rangeError(where, "start", "of shape [T] or [R, T]", `[${start.shape.join(", ")}]`);
  if (!(residual >= 0 && residual <= 1)) throw rangeError(where, "residual", "in [0, 1]", `${residual}`);
  const tokens = start.shape[start.shape.length - 1], asked = start.shape.length === 2 ? start.shape[0] : 1;
  let relevance = Float32Array.from(start.data);
  if (asked === 0) return new Tensor("float32", start.shape, relevance);
  for (let l = layers.length - 1; l >= 0; l--) {
    const { query, key, options: own = {} } = layers[l];
    const heads = [query, key].map((x, i) => {
      const { shape } = asFloat32(where, `layers[${l}].${i === 0 ? "query" : "key"}`, x);
      if (shape.length !== 3 || shape[1] !== tokens) throw rangeError(where, `layers[${l}].${i === 0 ? "query" : "key"}`, `of shape [${i === 0 ? "H" : "Hkv"}, ${tokens}, D]`, `[${shape.join(", ")}]`);
      return shape[0];
    });
    const upstream = new Float32Array(heads[0] * tokens * asked);
    for (let h = 0; h < heads[0]; h++) for (let i = 0; i < tokens; i++) for (let r = 0; r < asked; r++) upstream[(h * tokens + i) * asked + r] = relevance[r * tokens + i];
    const { data } = gradientsWithin(`${where}: in \`layers[${l}]\``, query, key, emptyValues(where, key, asked), { ...own, upstream: new Tensor("float32", [heads[0], tokens, asked], upstream) }).grads.value;
    relevance = relevance.map((before, at) => {
      let sum = 0;
      for (let h = 0; h < heads[1]; h++) sum += data[(h * tokens + (at % tokens)) * asked + Math.floor(at / tokens)];
      return residual * before + ((1 - residual) * sum) / heads[0];
    });
  }
  return new Tensor("float32", start.shape, relevance);
}

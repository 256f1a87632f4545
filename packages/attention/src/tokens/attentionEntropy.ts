import { exp } from "@logits/statistics";
import { Tensor, asFloat32, rangeError, type TensorLike } from "@logits/tensor";
import { attention } from "../attention.ts";
import type { AttentionOptions } from "../options.ts";

/** Which keys a query may see; nothing that is added to its scores. */
export type AttentionEntropyOptions = Pick<AttentionOptions, "scale" | "causal" | "windowSize" | "queryOffset" | "lengths" | "documents" | "ranges" | "mask" | "sinks" | "softmaxOne">;

/** What attentionEntropy.withGrad returns. */
export interface AttentionEntropyWithGrad {
  readonly entropy: Tensor<"float32">;
  /** Of the shapes of the arguments. Sinks count as constants. */
  readonly grads: { readonly query: Tensor<"float32">; readonly key: Tensor<"float32"> };
}

const ADDED = ["bias", "positionBias", "positionWeights", "softCap", "normalizer", "sigmoidBias"] as const;

/** H = L - E[s], and E[s] = scale q . E[k]: one attention whose values are the keys. */
function parts(where: string, query: TensorLike, key: TensorLike, options: AttentionEntropyOptions): { readonly entropy: Float32Array; readonly sink: Float64Array; readonly scale: number; readonly q: Tensor<"float32">; readonly lead: readonly number[]; readonly mean: Float32Array } {
  for (const name of ADDED) if ((options as AttentionOptions)[name] !== undefined) throw rangeError(where, name, "left out", "one", "The mean score is found from the mean key, which knows nothing of what is added");
  const q = asFloat32(where, "query", query), { shape } = q, width = shape[shape.length - 1], { scale = 1 / Math.sqrt(width), sinks, softmaxOne = false } = options;
  const { output, logSumExp } = attention(query, key, key, options), heads = shape.length > 2 ? shape[shape.length - 3] : 1, queries = shape[shape.length - 2];
  const learned = sinks === undefined ? undefined : asFloat32(where, "sinks", sinks).data, sink = new Float64Array(logSumExp.size);
  const entropy = logSumExp.data.map((total, at) => {
    if (total === -Infinity) return 0;
    let dot = 0;
    for (let f = 0; f < width; f++) dot += q.data[at * width + f] * output.data[at * width + f];
    const score = softmaxOne ? 0 : learned === undefined ? -Infinity : learned[Math.floor(at / queries) % heads];
    // The sink's share of the mean score.
    sink[at] = score === -Infinity ? 0 : score * exp(score - total);
    return Math.max(0, total - scale * dot - sink[at]);
  });
  return { entropy, sink, scale, q, lead: shape.slice(0, -1), mean: output.data };
}

function forward(query: TensorLike, key: TensorLike, options: AttentionEntropyOptions = {}): Tensor<"float32"> {
  const { entropy, lead } = parts("attentionEntropy", query, key, options);
  return new Tensor("float32", [...lead], entropy);
}

function withGrad(query: TensorLike, key: TensorLike, options: AttentionEntropyOptions & { readonly upstream: TensorLike }): AttentionEntropyWithGrad {
  const where = "attentionEntropy.withGrad", { upstream, ...rest } = options, { entropy, sink, scale, q, lead, mean } = parts(where, query, key, rest), given = asFloat32(where, "upstream", upstream), width = q.shape[q.shape.length - 1];
  if (given.shape.length !== lead.length || lead.some((n, i) => n !== given.shape[i])) throw rangeError(where, "upstream", `of shape [${lead.join(", ")}]`, `[${given.shape.join(", ")}]`);
  const through = { ...rest, upstream: new Tensor("float32", q.shape, q.data.map((x, at) => -scale * given.data[Math.floor(at / width)] * x)), upstreamLogSumExp: new Tensor("float32", [...lead], given.data.map((u, at) => u * (1 + sink[at]))) };
  const { grads } = attention.withGrad(query, key, key, through);
  return {
    entropy: new Tensor("float32", [...lead], entropy),
    grads: {
      query: new Tensor("float32", q.shape, grads.query.data.map((g, at) => g - scale * given.data[Math.floor(at / width)] * mean[at])),
      key: new Tensor("float32", grads.key.shape, grads.key.data.map((g, at) => g + grads.value.data[at])),
    },
  };
}

/**
 * The entropy of each query's attention, in nats, without its weights: log Z less the mean score.
 *
 *   H[i] = L[i] - sum_j P[i, j] s[i, j],   and sum_j P[i, j] s[i, j] = scale q[i] . sum_j P[i, j] k[j]
 *
 * One attention whose values are the keys, memory linear in length. A sink counts as one more thing that may be attended to. `attentionEntropy.withGrad(query, key, { upstream, ... })` also gives the exact gradients in query and
 * key, by one backward pass of attention.
 *
 * @param query - float32 [B, H, T, D], or without B, or without B and H
 * @param key - float32 [B, Hkv, S, D]
 * @param options - those of `attention` that hide keys, `scale`, and sinks; biases, soft cap and sigmoids are refused
 * @returns float32 [B, H, T], in [0, log S] (with a sink log (S + 1)) but for rounding; 0 where a query sees one key or none. NaN among the scores of a query: NaN
 * @throws RangeError for shapes that do not fit, and for `bias`, `positionBias`, `softCap`, `normalizer` or `sigmoidBias`
 * @example
 *   attentionEntropy([[0, 0]], [[1, 2], [3, 4], [5, 6]]).item(); // 1.0986... = log 3
 * Source: folklore (the entropy of a Gibbs distribution). Zhai et al., "Stabilizing Transformer Training by Preventing Attention Entropy Collapse", ICML 2023, watch it.
 */
export const attentionEntropy: {
  (query: TensorLike, key: TensorLike, options?: AttentionEntropyOptions): Tensor<"float32">;
  /** The same with gradients in query and key. */
  withGrad(query: TensorLike, key: TensorLike, options: AttentionEntropyOptions & { readonly upstream: TensorLike }): AttentionEntropyWithGrad;
} = /* @__PURE__ */ Object.assign(forward, { withGrad });

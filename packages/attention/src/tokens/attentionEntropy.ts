import { softmaxGrad } from "@logits/core-wasm/rows";
import { logSoftmax } from "@logits/core-wasm/softmax";
import { exp } from "@logits/statistics";
import { Tensor, asFloat32, checkShape, lastingData, rangeError, type TensorLike } from "@logits/tensor";
import { attentionWithin, gradientsWithin } from "../attention.ts";
import { rowNormalizer, type Rows } from "../normalizers/rowNormalizer.ts";
import type { AttentionOptions } from "../options.ts";
import { emptyValues } from "./attentionReceived.ts";

/** Those of `attention` with a softmax; sinks and softmax-one only where nothing changes the scores (`bias`, `positionBias`, `softCap`). */
export type AttentionEntropyOptions = Omit<AttentionOptions, "normalizer" | "positionWeights" | "sigmoidBias">;

/** What attentionEntropy.withGrad returns. */
export interface AttentionEntropyWithGrad {
  readonly entropy: Tensor<"float32">;
  /** Of the shapes of the arguments. Sinks count as constants. */
  readonly grads: { readonly query: Tensor<"float32">; readonly key: Tensor<"float32"> };
}

/** Each log-probability with its probability, 0 where that is 0. */
const paired = (logs: Rows, f: (p: number, logarithm: number, at: number) => number): Rows => new Tensor("float32", logs.shape, logs.data.map((l, at) => (l === -Infinity ? 0 : f(exp(l), l, at))));

/** Weights -P log P: their sum is the entropy, whatever was added to the scores. */
const entropyRows = /* @__PURE__ */ rowNormalizer({
  name: "entropy",
  weights: (scores) => paired(logSoftmax(scores), (p, l) => -p * l),
  gradient(scores, _weights, upstream) {
    const logs = logSoftmax(scores);
    return softmaxGrad(paired(logs, (p) => p), paired(logs, (_p, l, at) => -upstream.data[at] * (l + 1)));
  },
});

/** Whether the scores are those of q and k alone, so that the mean score is that of the mean key. */
function alone(where: string, options: AttentionEntropyOptions): boolean {
  for (const name of ["normalizer", "positionWeights", "sigmoidBias"] as const) if ((options as AttentionOptions)[name] !== undefined) throw rangeError(where, name, "left out", "one", "Entropy is that of a softmax");
  const { bias, positionBias, softCap, sinks, softmaxOne } = options, own = bias === undefined && positionBias === undefined && softCap === undefined;
  if (!own && (sinks !== undefined || softmaxOne)) throw rangeError(where, sinks === undefined ? "softmaxOne" : "sinks", "without `bias`, `positionBias` and `softCap`", "with one");
  return own;
}

/** Values of 1. */
function ones(where: string, key: TensorLike): Tensor<"float32"> {
  const value = emptyValues(where, key, 1);
  value.data.fill(1);
  return value;
}

/** H = L - E[s], and E[s] = scale q . E[k]: one attention whose values are the keys. */
function parts(where: string, query: TensorLike, key: TensorLike, options: AttentionEntropyOptions): { readonly entropy: Float32Array; readonly sink: Float64Array; readonly scale: number; readonly q: Tensor<"float32">; readonly lead: readonly number[]; readonly mean: Float32Array } {
  const q = asFloat32(where, "query", query), { shape } = q, width = shape[shape.length - 1], { scale = 1 / Math.sqrt(width), sinks, softmaxOne = false } = options;
  const { output, logSumExp } = attentionWithin(where, query, key, key, options), heads = shape.length > 2 ? shape[shape.length - 3] : 1, queries = shape[shape.length - 2];
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
  const where = "attentionEntropy";
  if (!alone(where, options)) {
    const { output, logSumExp } = attentionWithin(where, query, key, ones(where, key), { ...options, normalizer: entropyRows });
    return new Tensor("float32", logSumExp.shape, output.data);
  }
  const { entropy, lead } = parts(where, query, key, options);
  return new Tensor("float32", [...lead], entropy);
}

function withGrad(query: TensorLike, key: TensorLike, options: AttentionEntropyOptions & { readonly upstream: TensorLike }): AttentionEntropyWithGrad {
  const where = "attentionEntropy.withGrad", { upstream, ...rest } = options, own = alone(where, rest), given = asFloat32(where, "upstream", upstream), wanted = asFloat32(where, "query", query).shape.slice(0, -1);
  checkShape(where, "upstream", given, wanted);
  if (!own) {
    const { output, grads: { query: ofQuery, key: ofKey } } = gradientsWithin(where, query, key, ones(where, key), { ...rest, normalizer: entropyRows, upstream: new Tensor("float32", [...wanted, 1], lastingData(given)) });
    return { entropy: new Tensor("float32", wanted, output.data), grads: { query: ofQuery, key: ofKey } };
  }
  const { entropy, sink, scale, q, lead, mean } = parts(where, query, key, rest), width = q.shape[q.shape.length - 1];
  const through = { ...rest, upstream: new Tensor("float32", q.shape, q.data.map((x, at) => -scale * given.data[Math.floor(at / width)] * x)), upstreamLogSumExp: new Tensor("float32", [...lead], given.data.map((u, at) => u * (1 + sink[at]))) };
  const { grads } = gradientsWithin(where, query, key, key, through);
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
 * One attention whose values are the keys, memory linear in length; with `bias`, `positionBias` or `softCap`, of which the mean key knows nothing, 64 whole rows of weights at a time. A sink counts as one more thing that may be
 * attended to. `attentionEntropy.withGrad(query, key, { upstream, ... })` also gives the exact gradients in query and key.
 *
 * @param query - float32 [B, H, T, D], or without B, or without B and H
 * @param key - float32 [B, Hkv, S, D]
 * @param options - those of `attention` with a softmax; sinks and softmax-one without biases and soft cap
 * @returns float32 [B, H, T], in [0, log S] (with a sink log (S + 1)) but for rounding; 0 where a query sees one key or none. NaN among the scores of a query: NaN
 * @throws RangeError for shapes that do not fit, for other normalizers, and for sinks beside what changes the scores
 * @example
 *   attentionEntropy([[0, 0]], [[1, 2], [3, 4], [5, 6]]).item(); // 1.0986... = log 3
 * Source: folklore (the entropy of a Gibbs distribution). Zhai et al., "Stabilizing Transformer Training by Preventing Attention Entropy Collapse", ICML 2023, watch it.
 */
export const attentionEntropy: {
  (query: TensorLike, key: TensorLike, options?: AttentionEntropyOptions): Tensor<"float32">;
  /** The same with gradients in query and key. */
  withGrad(query: TensorLike, key: TensorLike, options: AttentionEntropyOptions & { readonly upstream: TensorLike }): AttentionEntropyWithGrad;
} = /* @__PURE__ */ Object.assign(forward, { withGrad });

import { attentionForward, attentionGradient } from "@logits/core-wasm/attention";
import { exp } from "@logits/statistics";
import { Tensor, asFloat32, checkShape, lastingData, rangeError, type TensorLike } from "@logits/tensor";
import { prepare, type AttentionOptions } from "./options.ts";
import type { PositionBias } from "./positionBias.ts";

/** What attention returns. */
export interface AttentionOutput {
  /** float32 [B, H, T, E]; as many axes as the query has. */
  readonly output: Tensor<"float32">;
  /** float32 [B, H, T]: log of the sum of exp(score) of the keys that take part, the sink with them; -Infinity where there are none. NaN with another normaliser than "softmax", which has none. */
  readonly logSumExp: Tensor<"float32">;
}

/** Options of attention.withGrad. */
export interface AttentionGradientOptions extends AttentionOptions {
  /** Gradient of the loss in the output, float32, of its shape. */
  readonly upstream: TensorLike;
  /** Gradient of the loss in logSumExp, float32, of its shape. Only with normalizer "softmax". Default 0. */
  readonly upstreamLogSumExp?: TensorLike;
}

/** What attention.withGrad returns. */
export interface AttentionWithGrad extends AttentionOutput {
  readonly grads: {
    /** Of the shapes of the arguments. */
    readonly query: Tensor<"float32">;
    readonly key: Tensor<"float32">;
    readonly value: Tensor<"float32">;
    /** Of `bias`, where it was given, summed over the axes that it serves. */
    readonly bias?: Tensor<"float32">;
    /** Of the parameters of `positionBias`, where it was given. */
    readonly positionBias?: Tensor<"float32">;
    /** Of the parameters of `positionWeights`, where it was given. */
    readonly positionWeights?: Tensor<"float32">;
    /** [H], of `sinks`, where they were given. */
    readonly sinks?: Tensor<"float32">;
    /** [H], with normalizer "sigmoid". */
    readonly sigmoidBias?: Tensor<"float32">;
  };
}

/** `attention` inside another function, which messages name. */
export function attentionWithin(where: string, query: TensorLike, key: TensorLike, value: TensorLike, options: AttentionOptions): AttentionOutput {
  const { problem, lead, rows, factors } = prepare(where, query, key, value, options), { output, logSumExp } = rows ? rows.forward(problem, factors) : attentionForward(where, problem);
  return { output: new Tensor("float32", [...lead, problem.sizes.width], output), logSumExp: new Tensor("float32", [...lead], logSumExp) };
}

/** `attention.withGrad` inside another function, which messages name. */
export function gradientsWithin(where: string, query: TensorLike, key: TensorLike, value: TensorLike, options: AttentionGradientOptions): AttentionWithGrad {
  const { problem, lead, positionBias, rows, factors, biasShape, offset } = prepare(where, query, key, value, options);
  const { shifts, sinks, sizes: { heads, queries, keys, width } } = problem;
  const shaped = (argument: string, x: TensorLike, shape: readonly number[]): Float32Array => {
    const made = asFloat32(where, argument, x);
    checkShape(where, argument, made, shape);
    return lastingData(made);
  };
  const upstream = shaped("upstream", options.upstream, [...lead, width]), total = options.upstreamLogSumExp === undefined ? undefined : shaped("upstreamLogSumExp", options.upstreamLogSumExp, lead);
  if ((shifts || rows) && total) throw rangeError(where, "upstreamLogSumExp", 'with normalizer "softmax"', rows ? `the row normaliser ${rows.name}` : "a sigmoid");
  const through = rows?.gradient(problem, upstream, factors), made = through ?? attentionGradient(where, problem, upstream, total), like = ({ shape }: Tensor, data: Float32Array): Tensor<"float32"> => new Tensor("float32", shape, data);
  const grads: { -readonly [Name in keyof AttentionWithGrad["grads"]]: AttentionWithGrad["grads"][Name] } = { query: like(problem.query, made.query), key: like(problem.key, made.key), value: like(problem.value, made.value) };
  if (problem.bias) grads.bias = new Tensor("float32", biasShape, made.bias);
  const ofDistances = (given: PositionBias, by: Float64Array): Tensor<"float32"> => {
    const { parameters } = given, sums = new Float64Array(parameters.size), size = queries + keys - 1;
    for (let at = 0; at < by.length; at++) if (by[at] !== 0) given.addGradient(Math.floor(at / size), (at % size) - keys + 1 + offset, by[at], sums);
    return new Tensor("float32", parameters.shape, Float32Array.from(sums));
  };
  if (positionBias) grads.positionBias = ofDistances(positionBias, made.relative);
  if (options.positionWeights && through) grads.positionWeights = ofDistances(options.positionWeights, through.factors);
  if (sinks && options.sinks !== undefined) {
    const sums = new Float64Array(heads);
    // The sink's probability times (0 - delta): it has no value.
    for (let at = 0; at < made.delta.length; at++) {
      const head = Math.floor(at / queries) % heads;
      if (sinks[head] !== -Infinity) sums[head] -= exp(sinks[head] - made.logSumExp[at]) * made.delta[at];
    }
    grads.sinks = new Tensor("float32", [heads], Float32Array.from(sums));
  }
  if (shifts) grads.sigmoidBias = new Tensor("float32", [heads], Float32Array.from(made.shifts));
  return { output: new Tensor("float32", [...lead, width], made.output), logSumExp: new Tensor("float32", [...lead], made.logSumExp), grads };
}

/**
 * Attention of queries over keys and values, exact, over tiles: memory grows with T + S, not with T S.
 *
 *   s[i, j] = softCap tanh(scale q[i] . k[j] / softCap) + positionBias(i + queryOffset - j) + bias[i, j];   output[i] = sum_j P[i, j] v[j],   P = softmax over j of s, sigmoid(s + sigmoidBias), or what another normaliser makes of row i
 *
 * Keys that a query does not see have the weight 0 exactly; lists of `blocks` that hold no key for a tile skip it. Query head h reads key head floor(h Hkv / H): grouped and multi-query heads need no copies. The result of a query has the same bits whichever queries are
 * computed with it (not so with a normaliser of whole rows): a prompt in chunks gives what it gives whole. `attention.withGrad(query, key, value, { upstream, ... })` also gives the exact gradients; scores are made again, none is kept.
 *
 * @param query - float32 [B, H, T, D], or without B, or without B and H
 * @param key - float32 [B, Hkv, S, D], Hkv a divisor of H; ordinary or resident
 * @param value - float32 [B, Hkv, S, E]
 * @param options - what is seen, biases, normaliser
 * @returns `output` and `logSumExp`. A query that sees no key, and S = 0: output 0, logSumExp -Infinity (with a sink: its score). NaN or +Infinity among the scores of a query: NaN. A key that nobody sees must be finite
 *   all the same. T = 0 and B = 0: empty
 * @throws RangeError for shapes that do not fit, and options that contradict each other
 * @example
 *   attention([[1, 0]], [[1, 0], [0, 1]], [[1], [2]], { scale: 1 }).output.item(); // 1.2689...
 * Source: Vaswani et al., "Attention Is All You Need", NeurIPS 2017; Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018; Dao et al., "FlashAttention", NeurIPS 2022, and Dao, "FlashAttention-2",
 * ICLR 2024, for tiles and the backward pass; Ramapuram et al., "Theory, Analysis, and Best Practices for Sigmoid Self-Attention", ICLR 2025, for the sigmoid and its bias.
 */
export const attention: {
  (query: TensorLike, key: TensorLike, value: TensorLike, options?: AttentionOptions): AttentionOutput;
  /** The same with gradients for query, key, value, bias, the parameters of positionBias and positionWeights, sinks and sigmoidBias. */
  withGrad(query: TensorLike, key: TensorLike, value: TensorLike, options: AttentionGradientOptions): AttentionWithGrad;
} = /* @__PURE__ */ Object.assign(
  (query: TensorLike, key: TensorLike, value: TensorLike, options: AttentionOptions = {}) => attentionWithin("attention", query, key, value, options),
  { withGrad: (query: TensorLike, key: TensorLike, value: TensorLike, options: AttentionGradientOptions) => gradientsWithin("attention.withGrad", query, key, value, options) },
);

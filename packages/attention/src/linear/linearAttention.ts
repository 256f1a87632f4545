import { Tensor, asFloat32, checkShape, lastingData, type TensorLike } from "@logits/tensor";
import { Group, emptyState } from "./chunks.ts";
import { prepareLinear, type LinearAttentionOptions, type LinearCall } from "./problem.ts";

/** What linearAttention returns. */
export interface LinearAttentionOutput {
  /** float32 [B, H, T, E]; as many axes as the query has. */
  readonly output: Tensor<"float32">;
  /** float32 [B, H, T]: sum of the scores scale phi(q) . phi(k), with their gates, over the keys that a query sees, before normalising; 0 where it sees none. */
  readonly rowSum: Tensor<"float32">;
}

/** Options of linearAttention.withGrad. */
export interface LinearAttentionGradientOptions extends LinearAttentionOptions {
  /** Gradient of the loss in the output, float32, of its shape. */
  readonly upstream: TensorLike;
}

/** What linearAttention.withGrad returns. */
export interface LinearAttentionWithGrad extends LinearAttentionOutput {
  readonly grads: {
    /** Of the shapes of the arguments. */
    readonly query: Tensor<"float32">;
    readonly key: Tensor<"float32">;
    readonly value: Tensor<"float32">;
    /** Of `logGates`, where they were given; 0 for a gate of 0 (-Infinity), which lets nothing pass. */
    readonly logGates?: Tensor<"float32">;
    /** [H], of `countPower`, where it was given as a tensor. */
    readonly countPower?: Tensor<"float32">;
  };
}

const lead = ({ queryShape }: LinearCall): readonly number[] => queryShape.slice(0, -1);

function forward(query: TensorLike, key: TensorLike, value: TensorLike, options: LinearAttentionOptions = {}): LinearAttentionOutput {
  const call = prepareLinear("linearAttention", query, key, value, options), { batch, groups, heads, queries, features, width } = call.problem, sums = new Float64Array(batch * heads * queries), raw = new Float32Array(sums.length * width);
  const own = (heads / groups) * queries;
  for (let item = 0; item < batch * groups; item++) {
    const group = new Group(call.problem, Math.floor(item / groups), item % groups, emptyState(features, width)), results = raw.subarray(item * own * width, (item + 1) * own * width), totals = sums.subarray(item * own, (item + 1) * own);
    group.forward(emptyState(features, width), results, totals, false);
    group.normalize(results, totals);
  }
  return { output: new Tensor("float32", [...lead(call), width], raw), rowSum: new Tensor("float32", lead(call), new Float32Array(sums)) };
}

function withGrad(query: TensorLike, key: TensorLike, value: TensorLike, options: LinearAttentionGradientOptions): LinearAttentionWithGrad {
  const where = "linearAttention.withGrad", call = prepareLinear(where, query, key, value, options), { problem: p, gateShape } = call, { batch, groups, heads, queries, keys, features, width } = p;
  const up = asFloat32(where, "upstream", options.upstream), shape = [...lead(call), width];
  checkShape(where, "upstream", up, shape);
  const sums = new Float64Array(batch * heads * queries), raw = new Float32Array(sums.length * width), output = new Float32Array(raw.length);
  const byQuery = new Float32Array(p.query.length), byKey = new Float32Array(p.key.length), byValue = new Float32Array(p.value.length), byGates = p.gates && new Float32Array(p.gates.data.length), powers = call.powerGiven ? new Float64Array(heads) : undefined;
  const own = (heads / groups) * queries, above = lastingData(up);
  for (let item = 0; item < batch * groups; item++) {
    const part = <Numbers extends Float32Array | Float64Array>(x: Numbers, size: number): Numbers => x.subarray(item * size, (item + 1) * size) as Numbers;
    const group = new Group(p, Math.floor(item / groups), item % groups, emptyState(features, width)), end = emptyState(features, width), results = part(raw, own * width), totals = part(sums, own), normalized = part(output, own * width);
    group.forward(end, results, totals, true);
    normalized.set(results);
    group.normalize(normalized, totals);
    group.backward(end, results, totals, part(above, own * width), { query: part(byQuery, own * p.size), key: part(byKey, keys * p.size), value: part(byValue, keys * width), gates: byGates && p.gates && part(byGates, keys * p.gates.width), powers });
  }
  return {
    output: new Tensor("float32", shape, output), rowSum: new Tensor("float32", lead(call), new Float32Array(sums)),
    grads: {
      query: new Tensor("float32", call.queryShape, byQuery), key: new Tensor("float32", call.keyShape, byKey), value: new Tensor("float32", call.valueShape, byValue),
      ...(byGates && gateShape && { logGates: new Tensor("float32", gateShape, byGates) }), ...(powers && { countPower: new Tensor("float32", [heads], new Float32Array(powers)) }),
    },
  };
}

/**
 * Attention with scores phi(q) . phi(k) in time linear in the length: a state of F x E numbers instead of T x S scores.
 *
 *   a[i, j] = scale phi(q[i]) . (exp(sum_{j < m <= i} logGates[m]) phi(k[j])),   Z[i] = sum_j a[i, j],   output[i] = sum_j (beta[i] a[i, j] - gamma[i]) v[j]
 *
 * over the n[i] keys that a query sees, with beta and gamma by `normalize`: "sum" 1 / Z and 0; "none" 1 and 0; "count" n^-countPower and 0; "magnitude" (MALA) 1 / n + 1 / Z and Z / n^2. Causal sums run over chunks: scores
 * inside a chunk, the state of what came before from chunk to chunk, in float64. `linearAttention.withGrad(query, key, value, { upstream, ... })` also gives the exact gradients.
 *
 * @param query - float32 [B, H, T, D], or without B, or without B and H
 * @param key - float32 [B, Hkv, S, D], Hkv a divisor of H: query head h reads key head floor(h Hkv / H)
 * @param value - float32 [B, Hkv, S, E]
 * @param options - feature map, normalisation, gates, what is seen
 * @returns `output` and `rowSum`. A query that sees no key, S = 0, and Z = 0 (below 2^-126) where Z divides: output 0 and gradient 0. Padding behind `lengths` is never read. NaN goes where the sums take it; NaN and infinities in a
 *   value with causal to all queries from its chunk on. T = 0 and B = 0: empty
 * @throws RangeError for shapes that do not fit, log gates above 0, and options that contradict each other
 * @example
 *   linearAttention([[1, 0]], [[1, 0], [0, 1]], [[1], [2]], { featureMap: "identity" }).output.item(); // 1
 * Source: Katharopoulos et al., "Transformers are RNNs", ICML 2020; Yang et al., "Gated Linear Attention Transformers with Hardware-Efficient Training", ICML 2024, for gates and chunks; Fan et al., "Rectifying Magnitude
 * Neglect in Linear Attention", ICCV 2025; Mongaras et al., "Cottention", 2024, for cosines and the power of the count.
 */
export const linearAttention: {
  (query: TensorLike, key: TensorLike, value: TensorLike, options?: LinearAttentionOptions): LinearAttentionOutput;
  /** The same with gradients for query, key, value, logGates and countPower. */
  withGrad(query: TensorLike, key: TensorLike, value: TensorLike, options: LinearAttentionGradientOptions): LinearAttentionWithGrad;
} = /* @__PURE__ */ Object.assign(forward, { withGrad });

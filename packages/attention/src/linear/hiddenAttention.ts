import { exp } from "@logits/statistics";
import { Tensor, asFloat32, type TensorLike } from "@logits/tensor";
import { mapped, prepareLinear, type LinearAttentionOptions } from "./problem.ts";
import { emptyScale, rowScale } from "./rowScale.ts";

/**
 * The matrix of weights that linear attention and gated recurrences apply without forming it: for looking at, for rollout and attribution, and as their quadratic form.
 *
 *   W[i, j] = beta[i] scale phi(q[i]) . (exp(sum_{j < m <= i} logGates[m]) phi(k[j])) - gamma[i],   linearAttention(query, key, value).output[i] = sum_j W[i, j] value[j]
 *
 * Gates are multiplied over each stretch j < m <= i, in float64: no quotient of two products that have both run to 0. A selective scan has such a matrix for each of its channels: heads = channels, query = C, key = delta B,
 * logGates = delta A (the page has the program).
 *
 * @param query - float32 [B, H, T, D], or without B, or without B and H
 * @param key - float32 [B, Hkv, S, D]
 * @param options - as of linearAttention; there are no chunks
 * @returns float32 [B, H, T, S]; 0 for keys that a query does not see and for rows without a scale. Entries may be negative with signed features and with normalize "magnitude"
 * @throws RangeError as linearAttention
 * @example
 *   hiddenAttention([[1], [1]], [[1], [1]], { featureMap: "identity", normalize: "none", logGates: [0, Math.log(0.5)] }); // [[1, 0], [0.5, 1]]
 * Source: Ali, Zimerman, Wolf, "The Hidden Attention of Mamba Models", 2024; Zimerman, Ali, Wolf, "A Unified Implicit Attention Formulation for Gated-Linear Recurrent Sequence Models", ICLR 2025.
 */
export function hiddenAttention(query: TensorLike, key: TensorLike, options: Omit<LinearAttentionOptions, "chunkSize"> = {}): Tensor<"float32"> {
  const where = "hiddenAttention", k = asFloat32(where, "key", key), rows = [...k.shape.slice(0, -1), 1], call = prepareLinear(where, query, k, new Tensor("float32", rows, new Float32Array(rows.reduce((a, b) => a * b, 1))), options);
  const { batch, heads, groups, queries, keys, features, size, map, scale: by, gates, lengths, causal, normalize, powers } = call.problem, out = new Float32Array(batch * heads * queries * keys);
  const factor = gates && new Float64Array(gates.data.length), scores = new Float64Array(keys), weights = new Float64Array(features), scale = emptyScale();
  if (gates && factor) for (let at = 0; at < factor.length; at++) factor[at] = exp(gates.data[at]);
  const q = mapped(where, map, new Tensor("float32", [batch * heads * queries, size], call.problem.query), features), phi = mapped(where, map, new Tensor("float32", [batch * groups * keys, size], call.problem.key), features);
  for (let head = 0; head < batch * heads; head++) {
    const b = Math.floor(head / heads), group = b * groups + Math.floor(((head % heads) * groups) / heads), length = lengths[b];
    for (let i = 0; i < queries; i++) {
      const row = head * queries + i, seen = causal ? Math.min(length, Math.max(0, i + keys - queries + 1)) : length;
      for (let f = 0; f < features; f++) weights[f] = by * q[row * features + f];
      let sum = 0;
      for (let j = seen - 1; j >= 0; j--) {
        const token = group * keys + j;
        let score = 0;
        for (let f = 0; f < features; f++) score += weights[f] * phi[token * features + f];
        sum += scores[j] = score;
        if (gates && factor) for (let f = 0; f < features; f++) weights[f] = factor[gates.width === 1 ? token : token * features + f] === 0 ? 0 : weights[f] * factor[gates.width === 1 ? token : token * features + f];
      }
      if (rowScale(normalize, sum, seen, powers ? powers[head % heads] : 0, scale)) for (let j = 0; j < seen; j++) out[row * keys + j] = scale.beta * scores[j] - scale.gamma;
    }
  }
  return new Tensor("float32", [...call.queryShape.slice(0, -1), keys], out);
}

import { matmul } from "@logits/core-wasm/gemm";
import { softmaxGrad } from "@logits/core-wasm/rows";
import { softmax } from "@logits/core-wasm/softmax";
import { Tensor, asFloat32, checkShape, rangeError, type TensorLike } from "@logits/tensor";

/** Options of slotAttention. */
export interface SlotAttentionOptions {
  /** What q . k is multiplied with. Default 1 / sqrt(D). */
  readonly scale?: number;
  /** Added to each weight before it is divided by the slot's sum. Default 1e-8. */
  readonly epsilon?: number;
}

/** What slotAttention returns. */
export interface SlotAttention {
  /** float32 [..., K, E]: what each slot reads. */
  readonly updates: Tensor<"float32">;
  /** float32 [..., K, N]: which slot each input belongs to; sums to 1 over the slots. */
  readonly attention: Tensor<"float32">;
}

/** What slotAttention.withGrad returns. */
export interface SlotAttentionWithGrad extends SlotAttention {
  readonly grads: { readonly slots: Tensor<"float32">; readonly keys: Tensor<"float32">; readonly values: Tensor<"float32"> };
}

interface Made extends SlotAttention {
  readonly slots: Tensor<"float32">;
  readonly keys: Tensor<"float32">;
  readonly values: Tensor<"float32">;
  /** Attention plus epsilon, divided by the slot's sum. */
  readonly weights: Tensor<"float32">;
  readonly sums: Float64Array;
  readonly scale: number;
}

function run(where: string, slots: TensorLike, keys: TensorLike, values: TensorLike, options: SlotAttentionOptions): Made {
  const q = asFloat32(where, "slots", slots), k = asFloat32(where, "keys", keys), v = asFloat32(where, "values", values);
  if (q.shape.length < 2 || q.shape[q.shape.length - 1] < 1) throw rangeError(where, "slots", "of shape [..., K, D], D >= 1", `[${q.shape.join(", ")}]`);
  const lead = q.shape.slice(0, -2), [count, width] = q.shape.slice(-2), inputs = k.shape[k.shape.length - 2];
  const fits = (x: Tensor, last?: number): boolean => x.shape.length === q.shape.length && lead.every((n, i) => n === x.shape[i]) && x.shape[x.shape.length - 2] === inputs && (last === undefined || x.shape[x.shape.length - 1] === last);
  if (!fits(k, width)) throw rangeError(where, "keys", `of shape [${[...lead, "N", width].join(", ")}] ([..., N, D])`, `[${k.shape.join(", ")}]`);
  if (!fits(v)) throw rangeError(where, "values", `of shape [${[...lead, inputs, "E"].join(", ")}] ([..., N, E])`, `[${v.shape.join(", ")}]`);
  const { scale = 1 / Math.sqrt(width), epsilon = 1e-8 } = options;
  if (!Number.isFinite(scale)) throw rangeError(where, "scale", "finite", `${scale}`);
  if (!(epsilon >= 0 && epsilon < Infinity)) throw rangeError(where, "epsilon", "a finite number >= 0", `${epsilon}`);
  const logits = matmul(q, k, { transposeB: true });
  for (let at = 0; at < logits.size; at++) logits.data[at] *= scale;
  const attention = logits.size === 0 ? logits : softmax(logits, { axis: -2 }), sums = new Float64Array(inputs === 0 ? 0 : logits.size / inputs);
  for (let at = 0; at < logits.size; at++) sums[Math.floor(at / inputs)] += attention.data[at] + epsilon;
  const weights = new Tensor("float32", [...lead, count, inputs], attention.data.map((a, at) => (a + epsilon) / sums[Math.floor(at / inputs)]));
  return { slots: q, keys: k, values: v, weights, sums, scale, attention, updates: matmul(weights, v) };
}

function forward(slots: TensorLike, keys: TensorLike, values: TensorLike, options: SlotAttentionOptions = {}): SlotAttention {
  const { updates, attention } = run("slotAttention", slots, keys, values, options);
  return { updates, attention };
}

function withGrad(slots: TensorLike, keys: TensorLike, values: TensorLike, options: SlotAttentionOptions & { readonly upstream: TensorLike }): SlotAttentionWithGrad {
  const where = "slotAttention.withGrad", { slots: q, keys: k, values: v, weights, sums, scale, attention, updates } = run(where, slots, keys, values, options), upstream = asFloat32(where, "upstream", options.upstream), { shape } = updates;
  checkShape(where, "upstream", upstream, shape);
  const above = matmul(upstream, v, { transposeB: true }), inputs = k.shape[k.shape.length - 2];
  for (let row = 0; row < sums.length; row++) {
    let mean = 0;
    for (let n = row * inputs; n < (row + 1) * inputs; n++) mean += weights.data[n] * above.data[n];
    for (let n = row * inputs; n < (row + 1) * inputs; n++) above.data[n] = (above.data[n] - mean) / sums[row];
  }
  const each = above.size === 0 ? above : softmaxGrad(attention, above, { axis: -2 });
  for (let at = 0; at < each.size; at++) each.data[at] *= scale;
  return { updates, attention, grads: { slots: matmul(each, k), keys: matmul(each, q, { transposeA: true }), values: matmul(weights, upstream, { transposeA: true }) } };
}

/**
 * One round of slot attention: slots compete for the inputs, and each reads the weighted mean of what it won.
 *
 *   A[k, n] = softmax over the slots k of scale q[k] . key[n],   W[k, n] = (A[k, n] + epsilon) / sum_m (A[k, m] + epsilon),   updates[k] = sum_n W[k, n] value[n]
 *
 * Softmax runs over the slots, not over the inputs as in attention: an input that one slot takes is lost to the others. The updates go into the slots' recurrent cell, and the next round begins; the linear maps, norms and the cell are
 * yours. `slotAttention.withGrad(slots, keys, values, { upstream, ... })` also gives the exact gradients of the updates. Memory K N.
 *
 * @param slots - q, float32 [..., K, D]
 * @param keys - float32 [..., N, D]
 * @param values - float32 [..., N, E]
 * @param options - `scale`, `epsilon`
 * @returns `updates` float32 [..., K, E] and `attention` A, float32 [..., K, N]. N = 0: updates 0. One slot: the mean of the values. NaN in a key: NaN for all slots
 * @throws RangeError for shapes that do not fit, a scale that is not finite, and a negative epsilon
 * @example
 *   slotAttention([[9], [-9]], [[9], [-9], [9]], [[1], [2], [3]]).updates.data; // 2, 2
 * Source: Locatello et al., "Object-Centric Learning with Slot Attention", NeurIPS 2020, algorithm 1.
 */
export const slotAttention: {
  (slots: TensorLike, keys: TensorLike, values: TensorLike, options?: SlotAttentionOptions): SlotAttention;
  /** The same with the gradients of the updates. */
  withGrad(slots: TensorLike, keys: TensorLike, values: TensorLike, options: SlotAttentionOptions & { readonly upstream: TensorLike }): SlotAttentionWithGrad;
} = /* @__PURE__ */ Object.assign(forward, { withGrad });

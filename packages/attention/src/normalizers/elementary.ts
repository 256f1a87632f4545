import { entmax15 as entmax15Rows, entmax15Grad, softmax as softmaxRows, softmaxGrad, sparsemax as sparsemaxRows, sparsemaxGrad } from "@logits/core-wasm";
import { Tensor } from "@logits/tensor";
import type { RowNormalizer } from "../rowNormalizer.ts";
import { rowNormalizer, type Rows } from "./rowNormalizer.ts";

/**
 * Softmax over whole rows: what "softmax" gives, for `positionWeights`, which the tiles do not have. logSumExp is NaN.
 *
 *   P = exp(s) / sum_j exp(s)
 *
 * @example
 *   attention(q, k, v, { normalizer: softmax, positionWeights: toeplitz(table) });
 * Source: Vaswani et al., "Attention Is All You Need", NeurIPS 2017.
 */
export const softmax: RowNormalizer = /* @__PURE__ */ rowNormalizer({ name: "softmax", weights: (scores) => softmaxRows(scores), gradient: (_scores, weights, upstream) => softmaxGrad(weights, upstream) });

/**
 * Sparsemax: the point of the simplex nearest to the scores; rows sum to 1, and keys far below the best have the weight 0 exactly.
 *
 *   P = max(s - tau, 0),   tau such that the row sums to 1
 *
 * Special values: a query whose scores hold NaN or +Infinity gives NaN.
 *
 * @example
 *   attention(q, k, v, { normalizer: sparsemax });
 * Source: Martins and Astudillo, "From Softmax to Sparsemax", ICML 2016.
 */
export const sparsemax: RowNormalizer = /* @__PURE__ */ rowNormalizer({ name: "sparsemax", weights: (scores) => sparsemaxRows(scores), gradient: (_scores, weights, upstream) => sparsemaxGrad(weights, upstream) });

/**
 * Entmax with alpha = 1.5, between softmax and sparsemax; rows sum to 1, with exact zeros.
 *
 *   P = max(s / 2 - tau, 0)^2,   tau such that the row sums to 1
 *
 * Special values: a query whose scores hold NaN or +Infinity gives NaN.
 *
 * @example
 *   attention(q, k, v, { normalizer: entmax15 });
 * Source: Correia, Niculae, Martins, "Adaptively Sparse Transformers", EMNLP 2019; Peters, Niculae, Martins, "Sparse Sequence-to-Sequence Models", ACL 2019.
 */
export const entmax15: RowNormalizer = /* @__PURE__ */ rowNormalizer({ name: "entmax15", weights: (scores) => entmax15Rows(scores), gradient: (_scores, weights, upstream) => entmax15Grad(weights, upstream) });

/** f of each element; at / N is its row. */
function mapped({ shape, data }: Rows, f: (x: number, at: number, row: number) => number): Rows {
  const out = new Float32Array(data.length), [rows, count] = shape;
  for (let i = 0, at = 0; i < rows; i++) for (let c = 0; c < count; c++, at++) out[at] = f(data[at], at, i);
  return new Tensor("float32", shape, out);
}

/**
 * ReLU attention: the positive scores, over the number n of keys that the query sees. Rows sum to anything, and to 0 where no score is positive: such a head is dormant without a sink.
 *
 *   P = max(s, 0) / n
 *
 * Special values: NaN gives NaN, +Infinity an infinite or NaN output, for that query alone.
 *
 * @example
 *   attention(q, k, v, { normalizer: relu });
 * Source: Wortsman, Lee, Gilmer, Kornblith, "Replacing softmax with ReLU in Vision Transformers", 2023; Guo et al., "Active-Dormant Attention Heads", 2024, section 3, where it leaves no attention sinks.
 */
export const relu: RowNormalizer = /* @__PURE__ */ rowNormalizer({
  name: "relu",
  weights: (scores, seen) => mapped(scores, (s, _at, row) => (s <= 0 ? 0 : s / seen[row])),
  gradient: (scores, _weights, upstream, seen) => mapped(scores, (s, at, row) => (s <= 0 ? 0 : upstream.data[at] / seen[row])),
});

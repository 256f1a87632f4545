import { checkPositive, defineLoss, rangeError, type Loss, type Tensor, type TensorLike } from "@logits/tensor";
import { crossEntropyRow } from "../pairs/rows.ts";
import { sidedPass, sidedPlan, sidesOf, similarityOf, type SidedLossOptions } from "../pairs/sidedLoss.ts";
import { floats } from "../shaped.ts";

/** Options of `infoNceLoss` and `multipleNegativesRankingLoss`. */
export interface InfoNceLossOptions extends SidedLossOptions {
  /** T, above 0. Default 0.07 for `infoNceLoss`, 0.05 for `multipleNegativesRankingLoss`. */
  readonly temperature?: number;
  /** Whether the keys of other queries are negatives; false: only the keys beyond the N-th (a queue). Default true. */
  readonly inBatch?: boolean;
  /** float32 [N, M], finite and not negative: how much of the target each key is, in place of its own key alone (a momentum model's answer). */
  readonly targets?: TensorLike;
}

/** A loss of queries and keys with the gradients of both. */
export type InfoNceLoss = Loss<[queries: TensorLike, keys: TensorLike], InfoNceLossOptions, { readonly grads: { readonly queries: Tensor<"float32">; readonly keys: Tensor<"float32"> } }>;

const infoNce = (name: string, usual: number): InfoNceLoss =>
  defineLoss(name, 2, (where, [queries, keys]: [TensorLike, TensorLike], options: InfoNceLossOptions) => {
    const { temperature = usual, inBatch = true, targets } = options, similarity = similarityOf(where, options), sides = sidesOf(where, ["queries", "keys"], queries, keys, options, true), { rows, columns, left, right } = sides;
    checkPositive(where, "temperature", temperature);
    const m = right.shape[0], t = targets === undefined ? undefined : floats(where, "targets", targets, [left.shape[0], m]);
    const q = new Float64Array(columns.length), d = new Uint8Array(columns.length).fill(1);
    if (!inBatch) d.fill(0, 0, rows.length);
    return sidedPlan(sides, (values, coefficients) => sidedPass(sides, similarity, (i, s, coefficient) => {
      if (t) {
        for (let j = 0; j < q.length; j++) {
          q[j] = t.data[rows[i] * m + columns[j]];
          if (!(q[j] >= 0 && q[j] < Infinity)) throw rangeError(where, "targets", "finite and not negative", `${q[j]} at row ${rows[i]}, column ${columns[j]}`);
        }
      } else {
        q[i] = 1;
        if (i > 0) q[i - 1] = 0;
      }
      if (!inBatch) {
        d[i] = 1;
        if (i > 0) d[i - 1] = 0;
      }
      return crossEntropyRow(s, 1 / temperature, q, d, coefficient);
    }, values, coefficients), (a, b) => ({ grads: { queries: a, keys: b } }));
  });

/**
 * InfoNCE: each query must find its own key among all keys.
 *
 *   loss[i] = -log exp(cos(q_i, k_i) / T) / sum_{j in D(i)} exp(cos(q_i, k_j) / T)
 *
 * Keys beyond the N-th are further negatives (mined ones, a queue). With `inBatch: false` D(i) is k_i and those alone: MoCo. With `targets` the value is sum_j targets[i, j] of the same with k_j in place of k_i.
 *
 * @param queries - float32 [N, F], F at least 1
 * @param keys - float32 [M, F], M at least N; key i belongs to query i
 * @param options - `temperature`, `inBatch`, `targets`, `similarity`; `reduction` over queries, `weight`, `where` [N]: a query that takes no part takes its key along
 * @returns float32 [N] ("none") or []; `grads.queries` [N, F], `grads.keys` [M, F]. A key without other keys: 0. Where the keys come from another encoder (a queue, a momentum encoder) their gradient is simply not used
 * @throws RangeError for other shapes, a temperature that is not above 0, targets that are negative or not finite
 * @example
 *   infoNceLoss([[1, 0], [0, 1]], [[1, 0], [0, 1]], { temperature: 1 }); // log(1 + 1 / e)
 * Source: van den Oord, Li, Vinyals, "Representation Learning with Contrastive Predictive Coding", 2018, equation 4; He et al., "Momentum Contrast for Unsupervised Visual Representation Learning", CVPR 2020, equation 1.
 */
export const infoNceLoss: InfoNceLoss = /* @__PURE__ */ infoNce("infoNceLoss", 0.07);

/**
 * Multiple negatives ranking loss of sentence embeddings: InfoNCE with the scale 20 of sentence-transformers. Hard negatives follow the N positives among the candidates.
 *
 *   loss[i] = -log exp(20 cos(a_i, c_i)) / sum_j exp(20 cos(a_i, c_j))
 *
 * @param queries - float32 [N, F], the anchors
 * @param keys - float32 [M, F], M at least N; candidate i belongs to anchor i, those beyond the N-th to nobody
 * @param options - as for `infoNceLoss`; `temperature` is 1 / scale
 * @returns float32 [N] ("none") or []; `grads.queries`, `grads.keys`
 * @throws RangeError for other shapes, a temperature that is not above 0
 * @example
 *   multipleNegativesRankingLoss([[1, 0]], [[1, 0], [0, 1]]); // log(1 + exp(-20))
 * Source: Henderson et al., "Efficient Natural Language Response Suggestion for Smart Reply", 2017, section 4.4.
 */
export const multipleNegativesRankingLoss: InfoNceLoss = /* @__PURE__ */ infoNce("multipleNegativesRankingLoss", 0.05);

import { checkVectors, similarityPass } from "@logits/core-wasm/similarity";
import { Tensor, asMask, checkPositive, defineLoss, rangeError, rowWeights, type Loss, type LossOptions, type TensorLike } from "@logits/tensor";
import { takingPart } from "../labelled.ts";
import { crossEntropyRow } from "../pairs/rows.ts";
import { floats, shaped } from "../shaped.ts";

/** Options of `weightedContrastiveLoss`. */
export interface WeightedContrastiveLossOptions extends LossOptions {
  /** T, above 0. Default 0.1. */
  readonly temperature?: number;
  /** uint8 [N, N], 1 = column j stands in the denominator of row i: leaves out false negatives that a guide model or a graph names. Default all. The diagonal never stands there. */
  readonly candidates?: TensorLike;
}

/**
 * Contrastive loss with any weights between rows: overlap of label sets, edges of a graph, similarity of a guide.
 *
 *   loss[i] = -sum_{j != i} a_ij log exp(cos(z_i, z_j) / T) / sum_{k in D(i)} exp(cos(z_i, z_k) / T) / sum_{j != i} a_ij
 *
 * Weights of 1 for equal labels give `supConLoss`.
 *
 * @param embeddings - float32 [N, F], F at least 1; cosines are taken
 * @param affinities - float32 [N, N], finite and not negative; the diagonal is not read
 * @param options - `temperature`, `candidates`; `reduction` over rows, `weight`, `where` [N]: a row that takes no part is nobody's partner
 * @returns float32 [N] ("none") or []; `grad` [N, F]. A row without a positive weight, or without a candidate, has the value 0 and is left out of the mean
 * @throws RangeError for other shapes, weights that are negative or not finite
 * @example
 *   weightedContrastiveLoss([[1, 0], [1, 0], [0, 1]], [[0, 1, 0], [1, 0, 0], [0, 0, 0]], { temperature: 1 }); // log(e + 1) - 1
 * Source: Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020, equation 2, with weights; Zhang et al., "Use All The Labels", CVPR 2022, for weights by overlap.
 */
export const weightedContrastiveLoss: Loss<[embeddings: TensorLike, affinities: TensorLike], WeightedContrastiveLossOptions> = /* @__PURE__ */ defineLoss("weightedContrastiveLoss", 2, (where, [embeddings, affinities]: [TensorLike, TensorLike], options: WeightedContrastiveLossOptions) => {
  const { temperature = 0.1, candidates } = options, z = checkVectors(where, "embeddings", embeddings), [n, features] = z.shape, a = floats(where, "affinities", affinities, [n, n]), mask = candidates === undefined ? undefined : shaped(where, "candidates", asMask(where, "candidates", candidates), [n, n]);
  checkPositive(where, "temperature", temperature);
  const share = rowWeights(where, n, options), rows = takingPart(n, share), weights = new Float32Array(n), masses = new Float64Array(n);
  for (const i of rows) {
    let open = 0;
    for (const j of rows) {
      if (i === j) continue;
      const v = a.data[i * n + j];
      if (!(v >= 0 && v < Infinity)) throw rangeError(where, "affinities", "finite and not negative", `${v} at row ${i}, column ${j}`);
      masses[i] += v;
      open += mask ? mask.data[i * n + j] : 1;
    }
    if (masses[i] > 0 && open > 0) weights[i] = share ? share[i] : 1;
  }
  const q = new Float64Array(rows.length), d = new Uint8Array(rows.length);
  return {
    shape: [n],
    weights,
    pass(coefficients) {
      const values = new Float64Array(n);
      const grads = similarityPass({ data: z.data, rows }, undefined, features, "cosine", (k, s) => {
        const i = rows[k];
        if (weights[i] === 0) return void s.fill(0);
        rows.forEach((j, at) => {
          q[at] = i === j ? 0 : a.data[i * n + j] / masses[i];
          d[at] = i === j ? 0 : mask ? mask.data[i * n + j] : 1;
        });
        values[i] = crossEntropyRow(s, 1 / temperature, q, d, coefficients?.[i]);
      }, coefficients !== undefined);
      return { values, gradients: () => ({ grad: new Tensor("float32", z.shape, grads!.left) }) };
    },
  };
});

import { checkVectors, expRow, similarityPass } from "@logits/core-wasm/similarity";
import { log } from "@logits/statistics";
import { Tensor, defineLoss, rangeError, rowWeights, type Loss, type LossOptions, type TensorLike } from "@logits/tensor";
import { takingPart } from "../labelled.ts";

/** Options of `uniformityLoss`. */
export interface UniformityLossOptions extends LossOptions {
  /** t, in (0, 20]: beyond it the exponentials of far pairs leave float32. Default 2. */
  readonly sharpness?: number;
}

/**
 * Uniformity: log of the mean Gaussian potential over all pairs of rows on the unit sphere.
 *
 *   loss = log mean_{i != j} exp(-t |z_i - z_j|^2), all at length 1
 *
 * @param embeddings - float32 [N, F], F at least 1
 * @param options - `sharpness` t; `reduction` of this one value, `weight` [1], `where` [N]: rows that take part
 * @returns float32 [1] ("none") or [], in [-4 t, 0]; `grad` [N, F]. Fewer than two rows: 0
 * @throws RangeError for other shapes, a sharpness outside (0, 20]
 * @example
 *   uniformityLoss([[1, 0], [0, 1]]); // -4
 * Source: Wang, Isola, "Understanding Contrastive Representation Learning through Alignment and Uniformity on the Hypersphere", ICML 2020, section 4.1.
 */
export const uniformityLoss: Loss<[embeddings: TensorLike], UniformityLossOptions> = /* @__PURE__ */ defineLoss("uniformityLoss", 1, (where, [embeddings]: [TensorLike], options: UniformityLossOptions) => {
  const { sharpness = 2 } = options, z = checkVectors(where, "embeddings", embeddings), [n, features] = z.shape;
  if (!(sharpness > 0 && sharpness <= 20)) throw rangeError(where, "sharpness", "in (0, 20]", `${sharpness}`);
  const { rows, weights } = batchWeights(where, n, options, 2), pairs = rows.length * (rows.length - 1);
  return {
    shape: [1],
    weights,
    pass(coefficients) {
      let total = 0;
      const grads = weights[0] === 0 ? undefined : similarityPass({ data: z.data, rows }, undefined, features, "cosine", (i, s) => {
        s[i] = -Infinity;
        total += expRow(s, 2 * sharpness, 1);
      }, coefficients !== undefined);
      const scale = coefficients && total > 0 ? (2 * sharpness * coefficients[0]) / total : 0;
      return {
        values: Float64Array.of(weights[0] === 0 ? 0 : log(total / pairs)),
        gradients: () => ({ grad: new Tensor("float32", z.shape, grads ? grads.left.map((g) => scale * g) : new Float32Array(z.size)) }),
      };
    },
  };
});

/** The rows of a loss with one value that take part by `where` [N], and the weight [1] of the value: 0 where fewer than `least` do. */
export function batchWeights(where: string, n: number, options: LossOptions, least: number): { rows: number[]; weights: Float32Array } {
  const rows = takingPart(n, rowWeights(where, n, { where: options.where })), weight = rowWeights(where, 1, { weight: options.weight });
  return { rows, weights: Float32Array.of(rows.length < least ? 0 : weight ? weight[0] : 1) };
}

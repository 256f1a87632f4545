import { expRow } from "@logits/core-wasm/similarity";
import { exp } from "@logits/statistics";
import { pairLoss, type PairLoss, type PairLossOptions } from "../pairs/pairLoss.ts";
import { checkRange } from "../range.ts";

/** Options of `cacrLoss`. */
export interface CacrLossOptions extends PairLossOptions {
  /** t+: how much more far positives count, at least 0. Default 1. */
  readonly positiveSharpness?: number;
  /** t-: how much more near negatives count, at least 0. Default 1. */
  readonly negativeSharpness?: number;
}

/**
 * Contrastive attraction and contrastive repulsion: far positives are pulled harder, near negatives pushed harder.
 *
 *   loss[i] = sum_p a_p c_ip - sum_n b_n c_in,   c_ij = |z_i - z_j|^2 on the unit sphere,   a = softmax_p(t+ c_ip),   b = softmax_n(-t- c_in)
 *
 * The gradient is that of the formula, through the weights too.
 *
 * @param embeddings - float32 [N, F], F at least 1; taken to length 1
 * @param labels - int32 [N], any integers: which sample or class a row belongs to
 * @param options - `positiveSharpness` t+, `negativeSharpness` t-; `references` with `referenceLabels`; `reduction` over rows, `weight`, `where`, `ignoreIndex`
 * @returns float32 [N] ("none") or [], in [-4, 4]; `grad` [N, F]. A row without a positive or without a negative has the value 0 and is left out of the mean
 * @throws RangeError for other shapes, a sharpness that is negative or infinite
 * @example
 *   cacrLoss([[1, 0], [1, 0], [0, 1], [0, 1]], [0, 0, 1, 1]); // 0 - 2
 * Source: Zheng et al., "Contrastive Attraction and Contrastive Repulsion for Representation Learning", TMLR 2023.
 */
export const cacrLoss: PairLoss<CacrLossOptions> = /* @__PURE__ */ pairLoss("cacrLoss", "cosine", ({ positiveSharpness = 1, negativeSharpness = 1 }, { rowLabels, columnLabels, self, positives }, where) => {
  checkRange(where, "positiveSharpness", positiveSharpness, 0);
  checkRange(where, "negativeSharpness", negativeSharpness, 0);
  const m = columnLabels.length, kept = new Float32Array(m);
  return {
    counts: (i) => positives(i) > 0 && m - positives(i) > (self ? 1 : 0),
    row(i, s, coefficient) {
      const places: number[] = [];
      let top = -Infinity, low = Infinity, attraction = 0, repulsion = 0, mass = 0;
      kept.set(s);
      for (let j = 0; j < m; j++) {
        if (columnLabels[j] === rowLabels[i]) {
          if (!(self && i === j)) {
            places.push(j);
            if (!(s[j] >= low)) low = s[j];
          }
          s[j] = -Infinity;
        } else if (!(s[j] <= top)) top = s[j];
      }
      const cost = (j: number): number => 2 - 2 * kept[j], sum = expRow(s, 2 * negativeSharpness, top);
      for (let j = 0; j < m; j++) if (s[j] !== 0) repulsion += (s[j] / sum) * cost(j);
      const weights = places.map((j) => exp(2 * positiveSharpness * (low - kept[j])));
      for (const weight of weights) mass += weight;
      places.forEach((j, p) => (attraction += (weights[p] / mass) * cost(j)));
      if (coefficient !== undefined) {
        const a = 2 * coefficient, k = a / sum;
        for (let j = 0; j < m; j++) if (s[j] !== 0) s[j] *= k * (1 - negativeSharpness * (cost(j) - repulsion));
        places.forEach((j, p) => (s[j] = (-a * weights[p] * (1 + positiveSharpness * (cost(j) - attraction))) / mass));
      }
      return attraction - repulsion;
    },
  };
});

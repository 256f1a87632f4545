import { checkPositive } from "@logits/tensor";
import { pairLoss, type PairLoss, type PairLossOptions } from "../pairs/pairLoss.ts";
import { crossEntropyRow } from "../pairs/rows.ts";

/** Options of `supConLoss`. */
export interface SupConLossOptions extends PairLossOptions {
  /** T, above 0. Default 0.1. */
  readonly temperature?: number;
}

/**
 * Supervised contrastive loss: every other row of the same label is a positive, every other row stands in the denominator (the L_out of the paper).
 *
 *   loss[i] = -1/|P(i)| sum_{p in P(i)} log exp(cos(z_i, z_p) / T) / sum_{k != i} exp(cos(z_i, z_k) / T)
 *
 * @param embeddings - float32 [N, F], F at least 1; cosines are taken, so lengths do not matter
 * @param labels - int32 [N], any integers
 * @param options - `temperature`; `references` with `referenceLabels` (constants in the columns); `reduction` over anchors, `weight`, `where` and `ignoreIndex`: a row that takes no part is neither anchor nor partner
 * @returns float32 [N] ("none") or []; `grad` [N, F]. A row without a positive has the value 0 and is left out of the mean; it stays a negative of the others. NaN in a row that takes part: NaN
 * @throws RangeError for other shapes, a temperature that is not above 0
 * @example
 *   supConLoss([[1, 0], [1, 0], [0, 1]], [0, 0, 1], { temperature: 1 }); // log(e + 1) - 1
 * Source: Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020, equation 2.
 */
export const supConLoss: PairLoss<SupConLossOptions> = /* @__PURE__ */ pairLoss("supConLoss", "cosine", ({ temperature = 0.1 }, { rowLabels, columnLabels, self, positives }, where) => {
  checkPositive(where, "temperature", temperature);
  const m = columnLabels.length, q = new Float64Array(m), d = new Uint8Array(m).fill(1);
  let last = 0;
  return {
    counts: (i) => positives(i) > 0,
    row(i, s, coefficient) {
      const label = rowLabels[i], share = 1 / positives(i);
      for (let j = 0; j < m; j++) q[j] = columnLabels[j] === label ? share : 0;
      if (self) {
        d[last] = 1;
        q[i] = d[i] = 0;
        last = i;
      }
      return crossEntropyRow(s, 1 / temperature, q, d, coefficient);
    },
  };
});

import { expRow } from "@logits/core-wasm/similarity";
import { exp, log } from "@logits/statistics";
import { checkPositive } from "@logits/tensor";
import { pairLoss, type PairLoss, type PairLossOptions } from "../pairs/pairLoss.ts";
import { checkRange, checkShare } from "../range.ts";

/** Options of `hardNegativeContrastiveLoss`. */
export interface HardNegativeContrastiveLossOptions extends PairLossOptions {
  /** T, above 0. Default 0.5. */
  readonly temperature?: number;
  /** Concentration on hard negatives, at least 0: 0 weighs all alike. Default 1. */
  readonly beta?: number;
  /** The share of negatives that are positives in truth, in [0, 1). Default 0.1. */
  readonly tauPlus?: number;
}

/**
 * Contrastive loss with negatives weighted by their similarity, and corrected for the positives among them.
 *
 *   loss[i] = 1/|P(i)| sum_p log(1 + G_p / e_p),   e = exp(cos / T),   G_p = max((R - tauPlus N e_p) / (1 - tauPlus), N exp(-1 / T)),   R = N sum_n e_n^(1 + beta) / sum_n e_n^beta   (N negatives n)
 *
 * `beta` 0 is the debiased loss of Chuang et al.; with `tauPlus` 0 as well NT-Xent. The gradient is that of the formula, through the weights too, as in the authors' code.
 *
 * @param embeddings - float32 [N, F], F at least 1; cosines are taken
 * @param labels - int32 [N], any integers: which sample a row is a view of
 * @param options - `temperature`, `beta`, `tauPlus`; `references` with `referenceLabels`; `reduction` over rows, `weight`, `where`, `ignoreIndex`
 * @returns float32 [N] ("none") or []; `grad` [N, F]. A row without a positive or without a negative has the value 0 and is left out of the mean. Where G is at its lower limit its gradient is 0
 * @throws RangeError for other shapes, options outside their ranges
 * @example
 *   hardNegativeContrastiveLoss([[1, 0], [1, 0], [0, 1], [0, 1]], [0, 0, 1, 1], { temperature: 1, tauPlus: 0, beta: 0 }); // log(1 + 2 / e)
 * Source: Robinson et al., "Contrastive Learning with Hard Negative Samples", ICLR 2021, equations 3 to 5; Chuang et al., "Debiased Contrastive Learning", NeurIPS 2020.
 */
export const hardNegativeContrastiveLoss: PairLoss<HardNegativeContrastiveLossOptions> = /* @__PURE__ */ pairLoss("hardNegativeContrastiveLoss", "cosine", ({ temperature = 0.5, beta = 1, tauPlus = 0.1 }, { rowLabels, columnLabels, self, positives }, where) => {
  checkPositive(where, "temperature", temperature);
  checkRange(where, "beta", beta, 0);
  checkShare(where, "tauPlus", tauPlus);
  const m = columnLabels.length, kept = new Float32Array(m), light = new Float32Array(m), scale = 1 / temperature, count = (i: number): number => m - positives(i) - (self ? 1 : 0);
  return {
    counts: (i) => positives(i) > 0 && count(i) > 0,
    row(i, s, coefficient) {
      const places: number[] = [], own: number[] = [], n = count(i);
      let top = -Infinity, value = 0, total = 0;
      for (let j = 0; j < m; j++) {
        if (columnLabels[j] === rowLabels[i]) {
          if (!(self && i === j)) {
            places.push(j);
            own.push(s[j]);
          }
          s[j] = -Infinity;
        } else if (!(s[j] <= top)) top = s[j];
      }
      // Sums of e^beta and e^(1 + beta), both relative to the largest negative.
      kept.set(s);
      const lightSum = expRow(s, beta * scale, top);
      light.set(s);
      s.set(kept);
      const heavySum = expRow(s, (1 + beta) * scale, top), ratio = (n * heavySum) / lightSum, floor = n * exp(-scale * (1 + top));
      const slopes = own.map((v) => {
        // e_p and G_p relative to the largest negative; G_p / e_p = (R / e_p - tauPlus N) / (1 - tauPlus) where the limit does not hold.
        const inverse = exp(scale * (top - v)), free = (ratio * inverse - tauPlus * n) / (1 - tauPlus), least = floor * inverse, limited = !(free >= least), g = limited ? least : free;
        // g is at least N exp(-2 / T).
        value += log(1 + g);
        if (!limited) total += inverse / ((1 + g) * (1 - tauPlus));
        // d log(1 + g) / d (scale s_p): g falls with e_p only through the division.
        return -(limited ? least : (ratio * inverse) / (1 - tauPlus)) / (1 + g);
      });
      const share = 1 / places.length;
      if (coefficient !== undefined) {
        const a = coefficient * scale * share, b = (a * total * n) / lightSum, mean = heavySum / lightSum;
        for (let j = 0; j < m; j++) s[j] = b * ((1 + beta) * s[j] - beta * mean * light[j]);
        places.forEach((j, p) => (s[j] = a * slopes[p]));
      }
      return value * share;
    },
  };
});

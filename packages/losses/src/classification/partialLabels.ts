import { exp, log, log1p } from "@logits/statistics";
import { asMask, defineLoss, scoreRows, type Loss, type RowLossOptions, type TensorLike } from "@logits/tensor";
import { rowPlan } from "../rowLoss.ts";
import { targetRows } from "../targetRows.ts";

/** -log of the sum of p over the classes of a set; `pull` gets its derivative. Near 1 what is outside keeps the digits, near 0 the logarithms do. */
export function setNegativeLog(inside: (c: number) => boolean, p: Float64Array, logP: Float64Array, pull: Float64Array, times = 1): number {
  let top = -Infinity, outside = 0, sum = 0;
  for (let c = 0; c < p.length; c++) {
    if (!inside(c)) outside += p[c];
    else if (!(logP[c] <= top)) top = logP[c];
  }
  if (top === -Infinity) return Infinity;
  for (let c = 0; c < p.length; c++) if (inside(c)) sum += exp(logP[c] - top);
  for (let c = 0; c < p.length; c++) if (inside(c)) pull[c] -= (times * exp(logP[c] - top)) / sum;
  return times * (outside < 0.5 ? -log1p(-outside) : -top - log(sum));
}

/**
 * Cross-entropy of rows of which only candidates for the label are known: one of them is true, and which is not said.
 *
 *   loss = -log sum_{c in candidates} p[c];   gradient = p - p restricted to the candidates, divided by its sum
 *
 * @param logits - float32 [B, C] or [B, ..., C]; -Infinity = impossible class
 * @param candidates - uint8, the shape of the logits, 1 = may be the label. One candidate: cross-entropy; all: 0
 * @param options - those of every loss, `axis`
 * @returns float32 [B], [B, ...] ("none") or []; +Infinity where no candidate is possible, or there is none. `withGrad`: `grad`, the shape of the logits
 * @throws RangeError for another shape, candidates other than 0 and 1, weights or a mask that are none
 * @example
 *   partialLabelLoss([[0, 0, 0]], [[1, 0, 1]]); // -log (2 / 3) = 0.4055
 * Source: Jin and Ghahramani, "Learning with Multiple Labels", NeurIPS 2002; as a loss of networks: Feng et al., "Provably Consistent Partial-Label Learning", NeurIPS 2020, equation 8.
 */
export const partialLabelLoss: Loss<[logits: TensorLike, candidates: TensorLike], RowLossOptions> = /* @__PURE__ */ defineLoss("partialLabelLoss", 2, (where, [logits, candidates], options) => {
  const rows = scoreRows(where, "logits", logits, options), { classes } = rows, inside = targetRows(where, "candidates", asMask(where, "candidates", candidates), rows, options).z.data;
  return rowPlan(where, rows, (row, p, logP, pull) => setNegativeLog((c) => inside[row * classes + c] === 1, p, logP, pull));
});

import { type TensorLike, rangeError } from "@logits/tensor";
import { sortOrder } from "./sortOrder.ts";
import { asFloat64 } from "./values.ts";

/**
 * P-values adjusted for the false discovery rate: rejecting where the adjusted value is at most q keeps the expected share of false rejections at or below q.
 *
 *   adjusted_(i) = min over j >= i of min(1, m p_(j) / j),   p_(1) <= ... <= p_(m)
 *
 * For p-values that are independent or positively dependent (conformal p-values that share their calibration rows are).
 *
 * @param pValues - shape [m], in [0, 1], any TensorLike, float64 kept (float32 would move a p-value across the level)
 * @returns float64 [m], in the order of the arguments; equal p-values get equal results; m = 0: empty
 * @throws RangeError if a p-value is outside [0, 1] or NaN, with its index
 * @example benjaminiHochberg([0.01, 0.04, 0.03, 0.5]) // 0.04, 0.0533, 0.0533, 0.5
 * Source: Benjamini and Hochberg, JRSS B 57 (1995); Benjamini and Yekutieli, Annals of Statistics 29 (2001); conformal p-values: Bates et al., Annals of Statistics 51 (2023).
 */
export function benjaminiHochberg(pValues: TensorLike): Float64Array {
  const p = asFloat64("benjaminiHochberg", "pValues", pValues);
  for (let i = 0; i < p.length; i++) if (!(p[i] >= 0 && p[i] <= 1)) throw rangeError("benjaminiHochberg", "pValues", "in [0, 1]", `${p[i]} at index ${i}`);
  const order = sortOrder(p), adjusted = new Float64Array(p.length);
  for (let rank = p.length, least = 1; rank > 0; rank--) {
    const i = order[rank - 1];
    adjusted[i] = least = Math.min(least, (p.length * p[i]) / rank);
  }
  return adjusted;
}

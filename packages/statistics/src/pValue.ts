import { type TensorLike, rangeError } from "@logits/tensor";
import { asOrderable } from "./values.ts";

/**
 * P-value of a value among N reference values, high values being extreme: (1 + number of reference values >= value) / (N + 1).
 *
 * Valid (P(p <= a) <= a) when the value and the reference are exchangeable: a conformal p-value, or a permutation test's.
 *
 * @param reference - shape [N], any TensorLike, float64 kept
 * @param value - number
 * @returns p in [1 / (N + 1), 1]; 1 for an empty reference; ties count as extreme
 * @throws RangeError if an argument is NaN, with its index
 * @example empiricalPValue([1, 2, 3, 4], 3.5) // 0.4
 * Source: Phipson and Smyth, "Permutation p-values should never be zero", SAGMB 9 (2010).
 */
export function empiricalPValue(reference: TensorLike, value: number): number {
  const values = asOrderable("empiricalPValue", "reference", reference);
  if (value !== value) throw rangeError("empiricalPValue", "value", "a number", "NaN");
  let extreme = 1;
  for (let i = 0; i < values.length; i++) if (values[i] >= value) extreme++;
  return extreme / (values.length + 1);
}

import { asFloat32, rangeError, type TensorLike } from "@logits/tensor";

/**
 * The number that parts values into two classes of the least variance within them.
 *
 *   threshold = argmax_t n_low n_high (mean_high - mean_low)^2,    low: values <= t, high: values > t
 *
 * Over all values, not over the bins of a histogram; t is a value of the lower class, of equals the smallest. It always parts, also where there is one class only: `stableThreshold` can find nothing, a `Threshold` from normal
 * maps promises a rate.
 *
 * @param values - float32 of any shape, at least one, no NaN
 * @returns the threshold; where all values are equal, that value, which none exceeds. Infinite values are a class of their own
 * @throws RangeError for no values, NaN (named)
 * @example
 *   otsuThreshold([1, 2, 1, 9, 8]); // 2
 * Source: Otsu, "A Threshold Selection Method from Gray-Level Histograms", IEEE Transactions on Systems, Man, and Cybernetics 9 (1979).
 */
export function otsuThreshold(values: TensorLike): number {
  const where = "otsuThreshold", x = asFloat32(where, "values", values);
  if (x.size === 0) throw rangeError(where, "values", "at least one", "none");
  const bad = x.data.findIndex((value) => value !== value);
  if (bad >= 0) throw rangeError(where, "values", "without NaN", `NaN at index ${bad}`);
  const sorted = x.data.slice().sort(), n = sorted.length, first = sorted[0], last = sorted[n - 1];
  if (first === last) return first;
  if (last === Infinity || first === -Infinity) {
    // An infinite mean is infinitely far from any other.
    return first === -Infinity ? first : sorted[sorted.indexOf(Infinity) - 1];
  }
  let total = 0;
  for (let i = 0; i < n; i++) total += sorted[i] - first;
  let low = 0, best = -1, threshold = first;
  for (let i = 0; i + 1 < n; i++) {
    low += sorted[i] - first;
    if (sorted[i] === sorted[i + 1]) continue;
    const count = i + 1, between = count * (n - count) * ((total - low) / (n - count) - low / count) ** 2;
    if (between > best) [best, threshold] = [between, sorted[i]];
  }
  return threshold;
}

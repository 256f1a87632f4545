import { exp, log } from "@logits/statistics";
import { asFloat32, asInt32, checkShape, rangeError, type TensorLike } from "@logits/tensor";

/** Options of `tiedRankingLogProb`. */
export interface TiedRankingOptions {
  /** How likely ties are: delta[k] for k + 2 items together, not negative. None = no ties. Default [1]: of two, as likely as for items of equal score each of the two orders. */
  readonly delta?: readonly number[];
}

/**
 * log-probability of a ranking with ties, by the Davidson-Luce model: each place goes to a set of items at once.
 *
 *   p = product over places of f(S) / sum over sets T of the items that are left, |T| <= D, of f(T),   f(T) = delta_|T| (product of exp(scores))^(1 / |T|),   delta_1 = 1
 *
 * Without ties and with delta = [] it is `PlackettLuce.logProb`.
 *
 * @param scores - float32 [N], finite
 * @param ranks - int32 [N]: the place of each item, 0 first; items with the same number tie. Numbers count by their order only
 * @param options - `delta` ([1])
 * @returns log p; -Infinity for a tie of more items than delta has
 * @throws RangeError for another shape, scores that are not finite, a delta that is negative or not finite
 * @example
 *   tiedRankingLogProb([0, 0], [0, 0]); // delta 1: p = 1 / 3
 * Source: Firth, Kosmidis, Turner, "Davidson-Luce model for multi-item choice with ties", 2019 (arXiv:1909.07123).
 */
export function tiedRankingLogProb(scores: TensorLike, ranks: TensorLike, { delta = [1] }: TiedRankingOptions = {}): number {
  const where = "tiedRankingLogProb", s = asFloat32(where, "scores", scores), r = asInt32(where, "ranks", ranks);
  checkShape(where, "scores", s, ["N"]);
  if (r.size !== s.size) throw rangeError(where, "ranks", `of shape [${s.size}]`, `[${r.shape.join(", ")}]`);
  const bad = s.data.findIndex((x) => !Number.isFinite(x)), odd = delta.findIndex((d) => !(d >= 0 && d < Infinity));
  if (bad >= 0) throw rangeError(where, "scores", "finite", `${s.data[bad]} at index ${bad}`);
  if (odd >= 0) throw rangeError(where, "delta", "finite and not negative", `${delta[odd]} at index ${odd}`);
  const weightOf = (size: number): number => (size === 1 ? 1 : (delta[size - 2] ?? 0));
  let left = Array.from(s.data.keys()), total = 0;
  while (left.length > 0) {
    const first = left.reduce((least, j) => Math.min(least, r.data[j]), Infinity), top = left.reduce((most, j) => Math.max(most, s.data[j]), -Infinity), chosen = left.filter((j) => r.data[j] === first);
    // f has the degree 1 in exp(scores): all of them over the largest.
    let sum = 0;
    for (let k = 1; k <= Math.min(delta.length + 1, left.length); k++) if (weightOf(k) > 0) sum += weightOf(k) * elementary(left.map((j) => exp((s.data[j] - top) / k)), k);
    total += log(weightOf(chosen.length)) + chosen.reduce((mean, j) => mean + (s.data[j] - top) / chosen.length, 0) - log(sum);
    left = left.filter((j) => r.data[j] !== first);
  }
  return total;
}

/** The sum over sets of k of the products of their elements. */
function elementary(x: readonly number[], k: number): number {
  const sums = new Float64Array(k + 1);
  sums[0] = 1;
  for (const v of x) for (let d = k; d > 0; d--) sums[d] += v * sums[d - 1];
  return sums[k];
}

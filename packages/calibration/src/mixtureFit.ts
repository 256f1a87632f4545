import type { Steps } from "@logits/tensor";

/** Weights of a mixture with fixed components. */
export interface MixtureOptimum {
  readonly weights: Float64Array;
  /** How far the mean log-likelihood can be below the best, in nats: max_k mean_n q_nk / sum_j w_j q_nj - 1. */
  readonly gap: number;
  readonly iterations: number;
}

/** Elements between two pauses. */
const PIECE = 131072;

/**
 * Maximises mean_n log sum_k w_k q[n, k] / scale[k] over the simplex by expectation-maximisation: w_k <- mean_n of the share of component k. The problem is concave: the largest component
 * of the gradient says how much can be gained at most.
 *
 * Source: Dempster, Laird, Rubin, J. R. Statist. Soc. B 39 (1977); for the bound Boyd and Vandenberghe, Convex Optimization (2004), 5.1 (the gap of a concave function on the simplex).
 */
export function* fitMixture(q: Float32Array | Float64Array, scale: ArrayLike<number>, start: ArrayLike<number>, tolerance: number, maxIterations: number): Steps<MixtureOptimum> {
  const k = scale.length, n = q.length / k, weights = Float64Array.from(start), factors = new Float64Array(k), sums = new Float64Array(k);
  const piece = Math.max(1, Math.floor(PIECE / k));
  for (let iterations = 0; ; iterations++) {
    for (let j = 0; j < k; j++) factors[j] = weights[j] > 0 ? weights[j] / scale[j] : 0;
    sums.fill(0);
    for (let first = 0; first < n; first += piece) {
      addShares(q, first, Math.min(n, first + piece), factors, sums);
      yield iterations / (iterations + 20);
    }
    let gap = 0, total = 0;
    for (let j = 0; j < k; j++) gap = Math.max(gap, scale[j] > 0 ? sums[j] / (n * scale[j]) - 1 : 0);
    if (gap <= tolerance || iterations === maxIterations) return { weights, gap, iterations };
    for (let j = 0; j < k; j++) total += weights[j] = scale[j] > 0 ? (factors[j] * sums[j]) / n : 0;
    for (let j = 0; j < k; j++) weights[j] /= total;
  }
}

/** Adds q[n, k] / sum_j factors_j q[n, j] of rows to `sums`: a loop of its own, which the engine compiles better than one in a generator. */
function addShares(q: Float32Array | Float64Array, first: number, end: number, factors: Float64Array, sums: Float64Array): void {
  const k = factors.length;
  for (let at = first * k; at < end * k; at += k) {
    let total = 0;
    for (let j = 0; j < k; j++) total += q[at + j] * factors[j];
    if (!(total > 0)) continue; // a row whose components have all died out tells nothing any more
    const inverse = 1 / total;
    for (let j = 0; j < k; j++) sums[j] += q[at + j] * inverse;
  }
}

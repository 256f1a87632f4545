import { exp, log } from "@logits/statistics";

/** Sets of items at most, over all places. */
export const SUBSETS = 262144;

/**
 * -sum_y p(y) log q(y) over rankings of `places` items: the sum over the sets of items that are already ranked of their probability times the cross-entropy of the next choice; `undefined` where there are
 * more than `SUBSETS` such sets.
 */
export function stages(p: Float64Array, q: Float64Array, places: number): number | undefined {
  const able = Array.from(p.keys()).filter((j) => p[j] > -Infinity);
  let sets = 0, binomial = 1, total = 0;
  for (let k = 0; k < places; k++) {
    sets += binomial;
    if (sets > SUBSETS) return undefined;
    binomial *= (able.length - k) / (k + 1);
  }
  // By the ranked items, ascending.
  let level = new Map([["", { ranked: [] as readonly number[], probability: 1 }]]);
  for (let k = 0; k < places; k++) {
    const next: typeof level = new Map();
    for (const { ranked, probability } of level.values()) {
      const left = able.filter((j) => !ranked.includes(j)), chances = choice(p, left), logZ = logSum(q, ranked);
      total += probability * left.reduce((sum, j, i) => sum + (chances[i] === 0 ? 0 : chances[i] * (logZ - q[j])), 0);
      if (k === places - 1) continue;
      left.forEach((j, i) => {
        const set = [...ranked, j].sort((a, b) => a - b), key = set.join();
        next.set(key, { ranked: set, probability: (next.get(key)?.probability ?? 0) + probability * chances[i] });
      });
    }
    level = next;
  }
  return total;
}

/** The softmax over the items that are left. */
function choice(p: Float64Array, left: readonly number[]): Float64Array {
  const top = left.reduce((a, j) => Math.max(a, p[j]), -Infinity), weights = Float64Array.from(left, (j) => exp(p[j] - top)), sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((w) => w / sum);
}

/** The logarithm of the sum over the items that are not ranked. */
function logSum(q: Float64Array, ranked: readonly number[]): number {
  const left = q.filter((_, j) => !ranked.includes(j)), top = left.reduce((a, x) => Math.max(a, x), -Infinity);
  return top === -Infinity ? top : top + log(left.reduce((sum, x) => sum + exp(x - top), 0));
}

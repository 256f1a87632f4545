import type { ChainModel } from "../chainModel.ts";

/** Probability of every labelling by enumeration, float64: start + emissions + transitions + end, over labels that the constraint accepts. */
export function enumerateLabellings({ transitions, start, end, labels: C, constraint }: ChainModel, emissions: readonly (readonly number[])[]): { labels: number[]; probability: number }[] {
  const T = emissions.length, out: { labels: number[]; weight: number }[] = [];
  for (let code = 0; code < C ** T; code++) {
    const labels = Array.from({ length: T }, (_, t) => Math.floor(code / C ** t) % C);
    const q = labels.reduce((state, y) => (constraint && state >= 0 ? constraint.next[state * C + y] : state), constraint?.start ?? 0);
    const score = labels.reduce((sum, y, t) => sum + emissions[t][y] + (t > 0 ? transitions[labels[t - 1] * C + y] : start[y]), end[labels[T - 1]]);
    if (q >= 0 && (!constraint || constraint.accepting[q] === 1)) out.push({ labels, weight: Math.exp(score) });
  }
  const total = out.reduce((sum, { weight }) => sum + weight, 0);
  return out.filter(({ weight }) => weight > 0).map(({ labels, weight }) => ({ labels, probability: weight / total })).sort((a, b) => b.probability - a.probability);
}

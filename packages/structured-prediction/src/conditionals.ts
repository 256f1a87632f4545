import type { ChainSums } from "@logits/core-wasm/chains";
import { exp, log } from "@logits/statistics";
import { runSteps } from "@logits/tensor";
import type { ChainStates } from "./chainModel.ts";
import { forwardMessages, type StateRows } from "./messages.ts";

/** How likely each state is, and each state before a given one: what sampling and the probabilities of spans need. Rows are counted over all sequences. */
export interface Conditionals {
  /** P(state in row t). */
  marginal(t: number, state: number): number;
  /** P(source in row t - 1 | state in row t), of sequence b. */
  sources(b: number, t: number, state: number, visit: (source: number, p: number) => void): void;
  /** The state of row t for a uniform u, given the state of the row after it (-1: the last row). */
  draw(b: number, t: number, next: number, u: number): number;
}

/** From the marginals and the probabilities given the rows so far; where those needed the extended range, from messages in float64. */
export function conditionalsOf({ labelOf, chain: { arcs } }: ChainStates, sums: ChainSums, filtered: Float32Array, offsets: Int32Array, rowsOf: (b: number) => StateRows): Conditionals {
  const S = labelOf.length, marginals = sums.marginals!, far = sums.extended > 0;
  const messages = new Map<number, Float64Array>(), views = new Map<number, StateRows>();
  /** log P(y_t = source | rows up to t), up to a constant. */
  const logWeight = (b: number, t: number, source: number): number => {
    if (!far) return filtered[t * S + source] > 0 ? log(filtered[t * S + source]) : -Infinity;
    if (!messages.has(b)) messages.set(b, runSteps(forwardMessages(rowsOf(b), false)));
    return messages.get(b)![(t - offsets[b]) * S + source];
  };
  const sources = (b: number, t: number, state: number, visit: (source: number, p: number) => void): void => {
    if (!views.has(b)) views.set(b, rowsOf(b));
    const view = views.get(b)!, from = arcs.starts[state], to = arcs.starts[state + 1];
    const scores = new Float64Array(to - from);
    let top = -Infinity, sum = 0;
    for (let k = from; k < to; k++) top = Math.max(top, (scores[k - from] = logWeight(b, t - 1, arcs.sources[k]) + view.transition(t - offsets[b], k)));
    for (let k = 0; k < scores.length; k++) sum += scores[k] = top === -Infinity ? 0 : exp(scores[k] - top);
    for (let k = from; k < to; k++) visit(arcs.sources[k], scores[k - from] / sum);
  };
  return {
    marginal: (t, state) => marginals[t * S + state],
    sources,
    draw: (b, t, next, u) => {
      let rest = u, chosen = -1;
      const visit = (state: number, p: number): void => {
        if (rest >= 0 && p > 0) {
          chosen = state;
          rest -= p;
        }
      };
      if (next >= 0) sources(b, t + 1, next, visit);
      else {
        let total = 0;
        for (let s = 0; s < S; s++) total += marginals[t * S + s];
        for (let s = 0; s < S; s++) visit(s, marginals[t * S + s] / total);
      }
      return chosen;
    },
  };
}

/** The probability that sequence b has these labels, one or more, from row `first` on. Backwards: the probability of each state of the last label, then of the label before given what follows. */
export function spanProbability(conditionals: Conditionals, { labelOf }: ChainStates, b: number, first: number, labels: ArrayLike<number>): number {
  let weights = new Map<number, number>();
  for (let s = 0; s < labelOf.length; s++) if (labelOf[s] === labels[labels.length - 1]) weights.set(s, conditionals.marginal(first + labels.length - 1, s));
  for (let k = labels.length - 2; k >= 0; k--) {
    const before = new Map<number, number>();
    for (const [state, weight] of weights) {
      if (weight === 0) continue;
      conditionals.sources(b, first + k + 1, state, (source, p) => {
        if (labelOf[source] === labels[k]) before.set(source, (before.get(source) ?? 0) + p * weight);
      });
    }
    weights = before;
  }
  let total = 0;
  for (const weight of weights.values()) total += weight;
  return Math.min(1, total);
}

import type { ChainSums } from "@logits/core-wasm/chains";
import type { ChainModel } from "./chainModel.ts";

/** Whether the constraint and the n-grams allow the labels of these rows; `visit` sees the history before each label where there are n-grams. */
export function walk({ machine }: ChainModel, y: Int32Array, from: number, to: number, visit: (history: number, label: number) => void): boolean {
  if (!machine) return true;
  let q = machine.start;
  for (let t = from; t < to && q >= 0; t++) {
    if (machine.history) visit(machine.history[q], y[t]);
    q = machine.next[q * machine.labels + y[t]];
  }
  return q >= 0 && machine.accepting[q] === 1;
}

/** Adds to each n-gram that a label completes. */
export function addMatches({ ngrams, labels }: ChainModel, to: Float64Array, history: number, label: number, weight: number): void {
  const { starts, indices } = ngrams!.matches, at = history * labels + label;
  for (let k = starts[at]; k < starts[at + 1]; k++) to[indices[k]] += weight;
}

/** How often each label is expected after each history in sequence b, whose first row is `from`; nothing without n-grams. `sums` with marginals and counts. */
export function expectedMatches({ machine, states: { chain, labelOf, after } }: ChainModel, sums: ChainSums, b: number, from: number, visit: (history: number, label: number, expected: number) => void): void {
  if (!machine?.history) return;
  const { starts, sources } = chain.arcs, S = labelOf.length;
  for (let j = 0; j < S; j++) {
    const first = sums.marginals![from * S + j];
    if (first > 0) visit(machine.history[machine.start], labelOf[j], first);
    for (let k = starts[j]; k < starts[j + 1]; k++) visit(machine.history[after![sources[k]]], labelOf[j], sums.pairs![b * sources.length + k]);
  }
}

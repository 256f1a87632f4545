import type { ChainSums } from "@logits/core-wasm/chains";
import { pairsByLabel, unaryByLabel } from "./byLabel.ts";
import type { ChainModel } from "./chainModel.ts";
import { expectedMatches, walk } from "./matches.ts";
import type { NgramScores } from "./ngrams.ts";
import type { Sequences } from "./sequences.ts";

/** Scores that add up over a sequence: those of a chain, or rewards to be averaged. What is left out is 0. */
export interface ChainScores {
  /** float32 [N, C]. */
  readonly emissions: Float32Array | undefined;
  /** float32 [C, C]. */
  readonly transitions: Float32Array | undefined;
  /** float32 [C]. */
  readonly start: Float32Array | undefined;
  readonly end: Float32Array | undefined;
  /** float32 [N, C, C]: transitions into each row, where they differ. */
  readonly varying: Float32Array | undefined;
  readonly ngrams: NgramScores | undefined;
}

/** The score of one sequence of labels, y[from, to); -Infinity where the model does not allow it. */
export function scoreOf(model: ChainModel, { emissions, transitions, start, end, varying, ngrams }: ChainScores, y: Int32Array, from: number, to: number): number {
  const C = model.labels;
  let added = 0;
  if (!walk(model, y, from, to, (history, label) => { if (ngrams) added += ngrams.scores[history * C + label]; })) return -Infinity;
  if (from === to) return 0;
  let score = (start ? start[y[from]] : 0) + (end ? end[y[to - 1]] : 0) + added;
  for (let t = from; t < to; t++) {
    if (emissions) score += emissions[t * C + y[t]];
    if (t > from && (varying ?? transitions)) score += varying ? varying[(t * C + y[t - 1]) * C + y[t]] : transitions![y[t - 1] * C + y[t]];
  }
  return score;
}

/** The probabilities of transitions that the mean of scores asks for: row by row where the scores or the chain's own differ by row, else summed over each sequence. */
export function pairsFor({ transitions, varying }: ChainScores, byRow: boolean): "rows" | "counts" | undefined {
  if (!(transitions ?? varying)) return undefined;
  return varying || byRow ? "rows" : "counts";
}

/** The mean of a sum of scores under a chain, [B]; a score of -Infinity counts where its probability is not 0. `sums` with marginals and the pairs that `pairsFor` names. */
export function expectedScores(model: ChainModel, sequences: Sequences, sums: ChainSums, asked: "rows" | "counts" | undefined, { emissions, transitions, start, end, varying, ngrams }: ChainScores): Float64Array {
  const C = model.labels, { chain: { arcs }, labelOf } = model.states, count = arcs.sources.length, unary = unaryByLabel(model, sums.marginals!);
  const rows = asked === "rows" ? pairsByLabel(model, sums.pairs as Float32Array) : undefined, counts = asked === "counts" ? sums.pairs! : undefined;
  const times = (p: number, score: number): number => (p === 0 ? 0 : p * score);
  return sequences.each((b, from, to) => {
    let total = 0;
    if (emissions) for (let k = from * C; k < to * C; k++) total += times(unary[k], emissions[k]);
    if (to > from) for (let j = 0; j < C; j++) total += (start ? times(unary[from * C + j], start[j]) : 0) + (end ? times(unary[(to - 1) * C + j], end[j]) : 0);
    if (rows) {
      for (let t = from + 1; t < to; t++) for (let k = 0; k < C * C; k++) total += times(rows[t * C * C + k], varying ? varying[t * C * C + k] : transitions![k]);
    }
    if (counts) {
      for (let j = 0; j < labelOf.length; j++) for (let k = arcs.starts[j]; k < arcs.starts[j + 1]; k++) total += times(counts[b * count + k], transitions![labelOf[arcs.sources[k]] * C + labelOf[j]]);
    }
    if (ngrams && to > from) expectedMatches(model, sums, b, from, (history, label, p) => (total += p * ngrams.scores[history * C + label]));
    return total;
  });
}

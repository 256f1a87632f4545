import { partOf, type Steps, type Tensor } from "@logits/tensor";
import { acceptsNothing } from "./automaton.ts";
import type { ChainModel } from "./chainModel.ts";
import { backwardMessages, bestPaths, forwardMessages, type StateRows } from "./messages.ts";
import type { Sequences } from "./sequences.ts";

/** The best sequences, best first. */
export interface ChainRanking {
  /** int32 [k, ...]; -1 where there are fewer sequences. */
  readonly labels: Tensor<"int32">;
  /** float64 [k * B], rank by rank; -Infinity where there are fewer. */
  readonly score: Float64Array;
}

/** The k best sequences of each item; `impossible` makes the error of an item without one. */
export function* rankedSequences(model: ChainModel, sequences: Sequences, rowsOf: (from: number, to: number) => StateRows, k: number, impossible: (b: number) => Error): Steps<ChainRanking> {
  const n = sequences.count, labels = new Int32Array(k * n).fill(-1), score = new Float64Array(k * sequences.batch).fill(-Infinity);
  for (const [b, from, to] of sequences.items()) {
    if (from === to) {
      if (!acceptsNothing(model.constraint)) throw impossible(b);
      score[b] = 0;
      continue;
    }
    const rows = rowsOf(from, to), half = (to - from) / n / 2;
    const messages = yield* partOf(forwardMessages(rows, true), from / n, half);
    const found = yield* partOf(bestPaths(rows, messages, k), from / n + half, half);
    if (found.length === 0) throw impossible(b);
    for (const [m, { path, score: s }] of found.entries()) {
      labels.set(path, m * n + from);
      score[m * sequences.batch + b] = s;
    }
  }
  return { labels: sequences.labels(labels, [k]), score };
}

/** The score of the best sequence through each label of each row, float32 [..., T, C]. */
export function* scoresThrough({ labels: C, states: { labelOf } }: ChainModel, sequences: Sequences, rowsOf: (from: number, to: number) => StateRows): Steps<Tensor<"float32">> {
  const n = sequences.count, S = labelOf.length, out = new Float32Array(n * C).fill(-Infinity);
  for (const [, from, to] of sequences.items()) {
    if (from === to) continue;
    const rows = rowsOf(from, to), half = (to - from) / n / 2;
    const forward = yield* partOf(forwardMessages(rows, true), from / n, half), backward = yield* partOf(backwardMessages(rows), from / n + half, half);
    for (let t = 0; t < to - from; t++) {
      for (let s = 0; s < S; s++) out[(from + t) * C + labelOf[s]] = Math.max(out[(from + t) * C + labelOf[s]], forward[t * S + s] + backward[t * S + s]);
      if ((t & 4095) === 4095) yield (from + t) / n;
    }
  }
  return sequences.floats(out, [C]);
}

import { randomSource, type Steps } from "@logits/tensor";
import type { Dataset } from "./dataset.ts";
import { parameterCount } from "./objective.ts";

/** After an epoch. */
export interface Epoch {
  readonly epoch: number;
  /** Tokens whose label was wrong when their sentence came. */
  readonly mistakes: number;
}

/**
 * The averaged structured perceptron: the weights move by the difference of the features of the right and of the best sequence; their mean over all sentences is kept.
 *
 * Source: Collins, "Discriminative training methods for hidden Markov models", EMNLP 2002; the averaging by a second sum: Daume, "Practical structured learning techniques for natural language processing" (2006), figure 2.3.
 */
export function* averagedPerceptron(data: Dataset, epochs: number, seed: number, report: (epoch: Epoch) => void): Steps<Float64Array> {
  const { labels: { length: C }, offsets, gold, groups, bundles, bundleStarts, bundleAttributes, pairStarts, pairLabels } = data;
  const P = parameterCount(data), PAIRS = 2 * C + C * C, batch = offsets.length - 1;
  const w = new Float64Array(P), late = new Float64Array(P);
  const longest = offsets.reduce((most, o, b) => Math.max(most, b === 0 ? 0 : o - offsets[b - 1]), 0);
  const delta = new Float64Array(longest * C), back = new Int32Array(longest * C), path = new Int32Array(longest);
  const random = randomSource(seed);
  let count = 1;
  const move = (i: number, by: number): void => {
    w[i] += by;
    late[i] += by * count;
  };
  /** Of a token: its features with one label gain what those with another lose; pairs that are not there have no weight. */
  const shift = (t: number, to: number, from: number): void => {
    for (let g = 0; g < groups; g++) {
      const bundle = bundles[g * gold.length + t];
      for (let k = bundleStarts[bundle]; k < bundleStarts[bundle + 1]; k++) {
        const a = bundleAttributes[k];
        for (let p = pairStarts[a]; p < pairStarts[a + 1]; p++) {
          if (pairLabels[p] === to) move(PAIRS + p, 1);
          else if (pairLabels[p] === from) move(PAIRS + p, -1);
        }
      }
    }
  };
  const best = (from: number, length: number): void => {
    for (let t = 0; t < length; t++) {
      const row = t * C;
      if (t === 0) for (let c = 0; c < C; c++) delta[c] = w[c];
      else {
        for (let c = 0; c < C; c++) {
          let top = -Infinity, source = 0;
          for (let i = 0; i < C; i++) {
            const score = delta[row - C + i] + w[2 * C + i * C + c];
            if (score > top) [top, source] = [score, i];
          }
          delta[row + c] = top;
          back[row + c] = source;
        }
      }
      for (let g = 0; g < groups; g++) {
        const bundle = bundles[g * gold.length + from + t];
        for (let k = bundleStarts[bundle]; k < bundleStarts[bundle + 1]; k++) {
          const a = bundleAttributes[k];
          for (let p = pairStarts[a]; p < pairStarts[a + 1]; p++) delta[row + pairLabels[p]] += w[PAIRS + p];
        }
      }
    }
    const last = (length - 1) * C;
    let y = 0;
    for (let c = 1; c < C; c++) if (delta[last + c] + w[C + c] > delta[last + y] + w[C + y]) y = c;
    for (let t = length - 1; t >= 0; t--) {
      path[t] = y;
      y = back[t * C + y];
    }
  };
  for (let epoch = 1; epoch <= epochs; epoch++) {
    let mistakes = 0, tokens = 0;
    for (const [k, b] of random.permutation(batch).entries()) {
      const from = offsets[b], length = offsets[b + 1] - from;
      if (length > 0) {
        best(from, length);
        let wrong = 0;
        for (let t = 0; t < length; t++) {
          const y = gold[from + t];
          if (path[t] !== y) {
            wrong++;
            shift(from + t, y, path[t]);
          }
          if (t > 0 && (path[t] !== y || path[t - 1] !== gold[from + t - 1])) {
            move(2 * C + gold[from + t - 1] * C + y, 1);
            move(2 * C + path[t - 1] * C + path[t], -1);
          }
        }
        if (path[0] !== gold[from]) {
          move(gold[from], 1);
          move(path[0], -1);
        }
        if (path[length - 1] !== gold[from + length - 1]) {
          move(C + gold[from + length - 1], 1);
          move(C + path[length - 1], -1);
        }
        mistakes += wrong;
      }
      count++;
      tokens += length;
      if (tokens > 256 || k === batch - 1) {
        tokens = 0;
        yield (epoch - 1 + (k + 1) / batch) / epochs;
      }
    }
    report({ epoch, mistakes });
    if (mistakes === 0) break;
  }
  for (let i = 0; i < P; i++) w[i] -= late[i] / count;
  return w;
}

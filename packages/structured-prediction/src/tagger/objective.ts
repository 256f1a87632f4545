import { chainForwardBackward, compileChain } from "@logits/core-wasm/chains";
import type { SteppedObjective } from "@logits/optimize";
import type { Dataset } from "./dataset.ts";

/** Tokens and bundles of a piece of work: a few milliseconds. */
const TOKENS = 8192, SENTENCES = 4096, BUNDLES = 16384;

/** Where the parameters lie: start [C], end [C], transitions [C, C], a weight for each pair. */
export function parameterCount({ labels: { length: C }, pairLabels }: Dataset): number {
  return 2 * C + C * C + pairLabels.length;
}

/**
 * The negative log-likelihood of the labels under a linear chain, with its gradient, in pieces.
 *
 *   -sum_n log p(y_n | x_n) + (l2 / 2) |w|^2,   d/dw = expected counts - counts + l2 w
 *
 * Bundles are scored once, tokens add the scores of their bundles, all sentences go through the forward-backward kernels by offsets, and the differences of
 * marginals and labels go back the same way.
 */
export function crfObjective<Piece>(data: Dataset, l2: number, piece: Piece): SteppedObjective<Piece> {
  const { labels: { length: C }, offsets, groups, bundleStarts, pairCounts } = data, total = data.gold.length;
  const bundleCount = bundleStarts.length - 1, batch = offsets.length - 1, PAIRS = 2 * C + C * C;
  const scores = new Float32Array(bundleCount * C), differences = new Float64Array(bundleCount * C), emissions = new Float32Array(total * C);
  const counts = labelCounts(data);
  return function* (x, gradient) {
    const start = Float32Array.from(x.subarray(0, C)), end = Float32Array.from(x.subarray(C, 2 * C)), transitions = Float32Array.from(x.subarray(2 * C, PAIRS));
    const weights = x.subarray(PAIRS), weightGradient = gradient.subarray(PAIRS);
    let value = 0;
    for (let b = 0; b < bundleCount; b += BUNDLES) {
      scoreBundles(data, weights, b, Math.min(bundleCount, b + BUNDLES), scores);
      yield piece;
    }
    differences.fill(0);
    for (let i = 0; i < PAIRS; i++) gradient[i] = -counts[i];
    const chain = compileChain({ data: transitions, shape: [C, C] }, { start, end, structure: "dense" });
    const { starts, sources } = chain.arcs;
    try {
      emissions.fill(0);
      for (let g = 0; g < groups; g += 4) {
        for (let t = 0; t < total; t += TOKENS) {
          scoreTokens(data, scores, g, t, Math.min(total, t + TOKENS), emissions);
          yield piece;
        }
      }
      for (let first = 0; first < batch; ) {
        let last = first + 1;
        while (last < batch && offsets[last + 1] - offsets[first] <= SENTENCES) last++;
        const from = offsets[first], to = offsets[last], local = offsets.slice(first, last + 1).map((o) => o - from);
        value -= scoreOf(data, emissions, transitions, start, end, first, last);
        const { logPartition, marginals, pairs } = chainForwardBackward(chain, { data: emissions.subarray(from * C, to * C), shape: [to - from, C] }, { offsets: local, marginals: true, pairs: "counts" }) as { logPartition: Float64Array; marginals: Float32Array; pairs: Float64Array };
        for (const z of logPartition) value += z;
        addEdges(marginals, pairs, local, starts, sources, C, gradient);
        // The marginals take the place of the emissions.
        emissions.set(marginals, from * C);
        first = last;
        yield piece;
      }
      for (let g = 0; g < groups; g += 4) {
        for (let t = 0; t < total; t += TOKENS) {
          spread(data, emissions, g, t, Math.min(total, t + TOKENS), differences);
          yield piece;
        }
      }
    } finally {
      chain.dispose();
    }
    for (let p = 0; p < pairCounts.length; p++) weightGradient[p] = -pairCounts[p];
    for (let b = 0; b < bundleCount; b += BUNDLES) {
      collect(data, differences, b, Math.min(bundleCount, b + BUNDLES), weightGradient);
      yield piece;
    }
    return l2 > 0 ? value + ridge(x, l2, gradient) : value;
  };
}

// The loops stand in functions of their own: engines compile those better than loops of a generator.

/** How often labels begin, end and follow one another. */
function labelCounts({ labels: { length: C }, offsets, gold }: Dataset): Float64Array {
  const counts = new Float64Array(2 * C + C * C);
  for (let b = 0; b + 1 < offsets.length; b++) {
    if (offsets[b] === offsets[b + 1]) continue;
    counts[gold[offsets[b]]]++;
    counts[C + gold[offsets[b + 1] - 1]]++;
    for (let t = offsets[b] + 1; t < offsets[b + 1]; t++) counts[2 * C + gold[t - 1] * C + gold[t]]++;
  }
  return counts;
}

/** Scores of the bundles [from, to): sums of the weights of their pairs, in float64. */
function scoreBundles({ labels: { length: C }, bundleStarts, bundleAttributes, pairStarts, pairLabels }: Dataset, weights: Float64Array, from: number, to: number, scores: Float32Array): void {
  const row = new Float64Array(C);
  for (let b = from; b < to; b++) {
    row.fill(0);
    for (let k = bundleStarts[b]; k < bundleStarts[b + 1]; k++) {
      const a = bundleAttributes[k];
      for (let p = pairStarts[a], stop = pairStarts[a + 1]; p < stop; p++) row[pairLabels[p]] += weights[p];
    }
    for (let c = 0; c < C; c++) scores[b * C + c] = row[c];
  }
}

/**
 * Adds the scores of four bundles of each of the tokens [from, to): four at a time are loaded and stored once, and more than a few groups at a time would not fit a
 * cache.
 */
function scoreTokens({ labels: { length: C }, gold: { length: N }, bundles }: Dataset, scores: Float32Array, group: number, from: number, to: number, emissions: Float32Array): void {
  for (let t = from, at = group * N + from; t < to; t++, at++) {
    const row = t * C, i = bundles[at] * C, j = bundles[at + N] * C, k = bundles[at + 2 * N] * C, l = bundles[at + 3 * N] * C;
    for (let c = 0; c < C; c++) emissions[row + c] += scores[i + c] + scores[j + c] + (scores[k + c] + scores[l + c]);
  }
}

/** Score of the right labels of the sentences [first, last). */
function scoreOf({ labels: { length: C }, offsets, gold }: Dataset, emissions: Float32Array, transitions: Float32Array, start: Float32Array, end: Float32Array, first: number, last: number): number {
  let score = 0;
  for (let b = first; b < last; b++) {
    const begin = offsets[b], stop = offsets[b + 1];
    if (begin === stop) continue;
    score += start[gold[begin]] + end[gold[stop - 1]];
    for (let t = begin; t < stop; t++) score += emissions[t * C + gold[t]];
    for (let t = begin + 1; t < stop; t++) score += transitions[gold[t - 1] * C + gold[t]];
  }
  return score;
}

/** The gradient by start, end and transitions: expected counts. */
function addEdges(marginals: Float32Array, pairs: Float64Array, offsets: Int32Array, starts: Int32Array, sources: Int32Array, C: number, gradient: Float64Array): void {
  for (let b = 0; b + 1 < offsets.length; b++) {
    const begin = offsets[b], last = offsets[b + 1] - 1, at = b * sources.length;
    if (last < begin) continue;
    for (let c = 0; c < C; c++) {
      gradient[c] += marginals[begin * C + c];
      gradient[C + c] += marginals[last * C + c];
    }
    for (let j = 0; j < C; j++) for (let k = starts[j]; k < starts[j + 1]; k++) gradient[2 * C + sources[k] * C + j] += pairs[at + k];
  }
}

/** Marginals of the tokens [from, to) go back to four bundles of each. */
function spread({ labels: { length: C }, gold: { length: N }, bundles }: Dataset, marginals: Float32Array, group: number, from: number, to: number, differences: Float64Array): void {
  for (let t = from, at = group * N + from; t < to; t++, at++) {
    const row = t * C, i = bundles[at] * C, j = bundles[at + N] * C, k = bundles[at + 2 * N] * C, l = bundles[at + 3 * N] * C;
    for (let c = 0; c < C; c++) {
      const p = marginals[row + c];
      differences[i + c] += p;
      differences[j + c] += p;
      differences[k + c] += p;
      differences[l + c] += p;
    }
  }
}

/** What the bundles [from, to) got goes to the pairs of their attributes. */
function collect({ labels: { length: C }, bundleStarts, bundleAttributes, pairStarts, pairLabels }: Dataset, differences: Float64Array, from: number, to: number, gradient: Float64Array): void {
  for (let b = from; b < to; b++) {
    for (let k = bundleStarts[b]; k < bundleStarts[b + 1]; k++) {
      const a = bundleAttributes[k];
      for (let p = pairStarts[a], stop = pairStarts[a + 1]; p < stop; p++) gradient[p] += differences[b * C + pairLabels[p]];
    }
  }
}

/** Adds the gradient of (l2 / 2) |x|^2 and returns it. */
function ridge(x: Float64Array, l2: number, gradient: Float64Array): number {
  let square = 0;
  for (let i = 0; i < x.length; i++) {
    square += x[i] * x[i];
    gradient[i] += l2 * x[i];
  }
  return (l2 / 2) * square;
}

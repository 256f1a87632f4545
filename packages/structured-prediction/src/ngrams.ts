import { checkInteger, rangeError } from "@logits/tensor";
import type { Automaton } from "./automaton.ts";

/** Labels that follow one another, and what that adds to the score of a sequence wherever it occurs. */
export interface Ngram {
  /** One label or more. */
  readonly labels: readonly number[];
  /** -Infinity: the n-gram is impossible. */
  readonly score: number;
}

/** Scores of label n-grams of any length, as an automaton over the histories that matter: its states are the beginnings of n-grams. Made by `ngramScores`. */
export interface NgramScores {
  /** C. */
  readonly labels: number;
  readonly ngrams: readonly Ngram[];
  /** States of history; 0 is that before the first label. */
  readonly states: number;
  /** int32 [states, C]: the history after a label, -1 = impossible. */
  readonly next: Int32Array;
  /** float64 [states, C]: the sum of the scores of the n-grams that the label completes. */
  readonly scores: Float64Array;
  /** The n-grams that label y completes in state s: `indices` from starts[s * C + y] to starts[s * C + y + 1]. */
  readonly matches: { readonly starts: Int32Array; readonly indices: Int32Array };
}

interface Node {
  readonly children: Map<number, Node>;
  readonly depth: number;
  fail: Node | undefined;
  /** The n-gram that ends here; -1 = none. */
  ngram: number;
  /** Whether a longest n-gram goes through here. */
  longest: boolean;
  state: number;
}

/**
 * Scores of label n-grams for `LinearChain.compile`: a chain whose labels depend on more than the one before.
 *
 *   score(y) = ... + sum over n-grams g and rows t with y_(t - n + 1) .. y_t = g of score(g)
 *
 * Only the n-grams that are listed cost anything: the states of the recursions are the labels with the beginnings of n-grams that end there (Aho and Corasick's
 * automaton), not all C^m histories.
 *
 * @param labels - C, at least 1
 * @param ngrams - each of at least one label; no n-gram twice
 * @param options - `observedOnly`: a sequence is possible only if every m labels in a row, m the longest length, are listed (and its first labels begin a listed one). Default false
 * @throws RangeError for a label outside [0, C), an n-gram twice or without labels, a score that is NaN or +Infinity
 * @example
 *   const ngrams = ngramScores(3, [{ labels: [0, 1, 2], score: 1.5 }]);
 *   LinearChain.compile(transitions, { ngrams });
 * Source: Ye, Lee, Chieu, Wu, "Conditional random fields with high-order features for sequence labeling", NIPS 2009; Aho and Corasick, "Efficient string matching", Communications of the ACM 18 (1975).
 */
export function ngramScores(labels: number, ngrams: readonly Ngram[], options: { readonly observedOnly?: boolean } = {}): NgramScores {
  const where = "ngramScores", { observedOnly = false } = options;
  checkInteger(where, "labels", labels, 1, 0x7fffff);
  const node = (depth: number): Node => ({ children: new Map(), depth, fail: undefined, ngram: -1, longest: false, state: -1 });
  const root = node(0), most = ngrams.reduce((m, { labels: list }) => Math.max(m, list.length), 0);
  const path = (list: readonly number[], longest: boolean): Node => {
    let at = root;
    for (const y of list) {
      let child = at.children.get(y);
      if (!child) at.children.set(y, (child = node(at.depth + 1)));
      child.longest ||= longest;
      at = child;
    }
    return at;
  };
  ngrams.forEach(({ labels: list, score }, g) => {
    if (list.length === 0) throw rangeError(where, `ngrams[${g}].labels`, "of at least one label", "none");
    list.forEach((y, k) => checkInteger(where, `ngrams[${g}].labels[${k}]`, y, 0, labels - 1));
    if (!(Math.fround(score) < Infinity)) throw rangeError(where, `ngrams[${g}].score`, "finite or -Infinity", `${score}`);
    const end = path(list, list.length === most);
    if (end.ngram >= 0) throw rangeError(where, `ngrams[${g}].labels`, "that come once", `${list.join(" ")} again`);
    end.ngram = g;
    // Only after the last label of a listed n-gram can be told what may follow.
    if (observedOnly && list.length === most) path(list.slice(1), false);
  });

  // Breadth first: what a node falls back to has been finished before.
  const order = [root];
  const step = (from: Node, y: number): Node => {
    for (let at: Node | undefined = from; at; at = at.fail) {
      const child = at.children.get(y);
      if (child) return child;
    }
    return root;
  };
  for (let k = 0; k < order.length; k++) {
    for (const [y, child] of order[k].children) {
      child.fail = order[k] === root ? root : step(order[k].fail!, y);
      order.push(child);
    }
  }
  const isState = (at: Node): boolean => at === root || (observedOnly ? at.depth < most : at.children.size > 0);
  const histories = order.filter(isState);
  histories.forEach((at, s) => (at.state = s));
  const next = new Int32Array(histories.length * labels).fill(-1), scores = new Float64Array(next.length), starts = new Int32Array(next.length + 1), indices: number[] = [];
  histories.forEach((at, s) => {
    for (let y = 0; y < labels; y++) {
      const k = s * labels + y, to = step(at, y);
      let score = 0;
      for (let found: Node | undefined = to; found; found = found.fail) {
        if (found.ngram < 0) continue;
        indices.push(found.ngram);
        score += ngrams[found.ngram].score;
      }
      starts[k + 1] = indices.length;
      scores[k] = score;
      const known = !observedOnly || (to.depth === at.depth + 1 && to.longest);
      if (score === -Infinity || !known) {
        scores[k] = 0;
        continue;
      }
      let history = to;
      while (!isState(history)) history = history.fail!;
      next[k] = history.state;
    }
  });
  return { labels, ngrams: ngrams.map(({ labels: list, score }) => ({ labels: [...list], score })), states: histories.length, next, scores, matches: { starts, indices: Int32Array.from(indices) } };
}

/** The states beside the label that a chain runs over: of a constraint, of histories, or of both. */
export interface Machine extends Automaton {
  /** float64 [states, C]: what a label adds to the score. */
  readonly scores: Float64Array | undefined;
  /** The state of the histories in each state. */
  readonly history: Int32Array | undefined;
}

/** The machine of a constraint and of n-grams; undefined where there is neither. */
export function machineOf(constraint: Automaton | undefined, ngrams: NgramScores | undefined): Machine | undefined {
  if (!ngrams) return constraint && { ...constraint, scores: undefined, history: undefined };
  if (!constraint) return { labels: ngrams.labels, states: ngrams.states, start: 0, accepting: new Uint8Array(ngrams.states).fill(1), next: ngrams.next, scores: ngrams.scores, history: Int32Array.from({ length: ngrams.states }, (_, s) => s) };
  const C = ngrams.labels, found = new Map<number, number>(), pairs: [number, number][] = [], next: number[] = [], scores: number[] = [];
  const visit = (a: number, h: number): number => {
    const key = a * ngrams.states + h;
    if (!found.has(key)) found.set(key, pairs.push([a, h]) - 1);
    return found.get(key)!;
  };
  if (constraint.start >= 0) visit(constraint.start, 0);
  for (let k = 0; k < pairs.length; k++) {
    const [a, h] = pairs[k];
    for (let y = 0; y < C; y++) {
      const to = constraint.next[a * C + y], history = ngrams.next[h * C + y];
      next.push(to < 0 || history < 0 ? -1 : visit(to, history));
      scores.push(ngrams.scores[h * C + y]);
    }
  }
  return {
    labels: C, states: pairs.length, start: pairs.length > 0 ? 0 : -1, accepting: Uint8Array.from(pairs, ([a]) => constraint.accepting[a]), next: Int32Array.from(next), scores: Float64Array.from(scores), history: Int32Array.from(pairs, ([, h]) => h),
  };
}

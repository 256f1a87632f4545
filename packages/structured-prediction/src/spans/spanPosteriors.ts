import { chainForwardBackward } from "@logits/core-wasm/chains";
import { exp } from "@logits/statistics";
import { runSteps } from "@logits/tensor";
import type { ChainStates } from "../chainModel.ts";
import { forwardMessages } from "../messages.ts";

/** Which labels are of which type, and which go on with which. */
export interface SpanLabels {
  /** Type of each label, -1 outside. */
  readonly typeOf: Int32Array;
  readonly types: number;
  /** uint8 [C, C]: 1 = a span goes on. */
  readonly goesOn: Uint8Array;
}

/**
 * Exact probabilities of spans of one text, from the marginals and the probabilities of each state given the rows up to it.
 *
 * Backwards from its end, a span is the product of P(state of row t - 1 | state of row t) = filtered[t - 1, i] exp(A_ij) / sum over i: no ratio of small numbers, and no second pass.
 */
export class SpanPosteriors {
  readonly logPartition: number;
  readonly #rows: number;
  readonly #states: number;
  readonly #marginals: Float32Array;
  readonly #filtered: Float32Array;
  /** Logarithms, [N, S], where float32 does not reach. */
  readonly #far: Float64Array | undefined;
  readonly #chain: ChainStates["chain"];
  readonly #reversed: ChainStates["chain"]["reversed"];
  readonly #target: Int32Array;
  /** Of each arc: whether the span goes on through it. */
  readonly #arcGoesOn: Uint8Array;
  /** Of each state: whether a span may go on after it (0 no), and before it (0 no, 1 with some arcs, 2 with every arc). */
  readonly #after: Uint8Array;
  readonly #before: Uint8Array;
  readonly #ofType: readonly Int32Array[];
  readonly #now: Float64Array;
  readonly #next: Float64Array;

  constructor({ chain, labelOf, ...edges }: ChainStates, emissions: Float32Array, { typeOf, types, goesOn }: SpanLabels) {
    const S = (this.#states = labelOf.length), n = (this.#rows = emissions.length / S), C = typeOf.length, { arcs } = chain, { reversed } = chain;
    this.#target = new Int32Array(arcs.sources.length);
    this.#arcGoesOn = new Uint8Array(arcs.sources.length);
    this.#after = new Uint8Array(S);
    this.#before = new Uint8Array(S);
    for (let j = 0; j < S; j++) {
      let on = 0;
      for (let k = arcs.starts[j]; k < arcs.starts[j + 1]; k++) {
        this.#target[k] = j;
        if (goesOn[labelOf[arcs.sources[k]] * C + labelOf[j]] === 0) continue;
        this.#arcGoesOn[k] = this.#after[arcs.sources[k]] = 1;
        on++;
      }
      this.#before[j] = on === 0 ? 0 : on === arcs.starts[j + 1] - arcs.starts[j] ? 2 : 1;
    }
    const alike = sourcesAreAlike(chain, edges.end, this.#before);
    const sums = chainForwardBackward(chain, { data: emissions, shape: [n, S] }, { marginals: true, ...(!alike && { filtered: true }) });
    this.logPartition = sums.logPartition[0];
    this.#marginals = sums.marginals!;
    // What follows is as probable after each of the sources: it cancels.
    this.#filtered = alike ? sums.marginals! : sums.filtered!;
    this.#chain = chain;
    this.#reversed = reversed;
    if (sums.extended > 0) this.#far = runSteps(forwardMessages({ states: { chain, labelOf, ...edges }, length: n, emission: (t, s) => emissions[t * S + s], transition: (_, k) => arcs.scores[k] }, false));
    this.#ofType = Array.from({ length: types }, (_, type) => Int32Array.from(labelOf.keys()).filter((s) => typeOf[labelOf[s]] === type));
    this.#now = new Float64Array(S);
    this.#next = new Float64Array(S);
  }

  /** P(a span of this type from row `first` to row `last`). */
  probability(type: number, first: number, last: number): number {
    const states = this.#ofType[type];
    let total = this.#ends(states, last, 0);
    for (let t = last; t > first && total > 0; t--) total = this.#back(states, t, true);
    return total > 0 ? Math.min(1, first === 0 ? total : this.#back(states, first, false)) : 0;
  }

  /** Every span of probability `least` or more: `visit(type, first, last, p)`, by last row, then type, then from the longest to the shortest. */
  above(least: number, visit: (type: number, first: number, last: number, p: number) => void): void {
    const firsts: number[] = [], values: number[] = [];
    for (let last = 0; last < this.#rows; last++) {
      for (let type = 0; type < this.#ofType.length; type++) {
        const states = this.#ofType[type];
        let total = this.#ends(states, last, least);
        for (let t = last; t >= 0 && total >= least; t--) {
          const p = t === 0 ? total : this.#back(states, t, false);
          if (p >= least) {
            firsts.push(t);
            values.push(p);
          }
          total = t === 0 ? 0 : this.#back(states, t, true);
        }
        while (firsts.length > 0) visit(type, firsts.pop()!, last, Math.min(1, values.pop()!));
      }
    }
  }

  /** Weights of the states of a type in a row after which the span ends, into `now`; their sum, 0 where it is below `least`. */
  #ends(states: Int32Array, last: number, least: number): number {
    const S = this.#states, now = this.#now, marginals = this.#marginals;
    let total = 0;
    for (const s of states) total += now[s] = marginals[last * S + s];
    if (total === 0 || total < least) return 0;
    if (last + 1 === this.#rows) return total;
    const { starts, sources: targets, index } = this.#reversed;
    total = 0;
    for (const s of states) {
      if (this.#after[s] === 1 && now[s] > 0) {
        for (let r = starts[s]; r < starts[s + 1]; r++) {
          const k = index[r], p = marginals[(last + 1) * S + targets[r]];
          if (this.#arcGoesOn[k] === 0 || p === 0) continue;
          const sum = this.#into(last + 1, targets[r]);
          if (sum > 0) now[s] -= (p * this.#weight(last + 1, k)) / sum;
        }
        // Rounding of float32 marginals.
        if (now[s] < 0) now[s] = 0;
      }
      total += now[s];
    }
    return total;
  }

  /** A row back: with `on` the weights of the row before with which the span goes on, into `now`, and their sum; else the weight of those where it starts at row t. */
  #back(states: Int32Array, t: number, on: boolean): number {
    const { starts, sources } = this.#chain.arcs, now = this.#now, next = this.#next, before = this.#before;
    let total = 0;
    if (on) for (const s of states) next[s] = 0;
    for (const s of states) {
      const p = now[s];
      if (p === 0) continue;
      if (before[s] === 0 || (before[s] === 2 && !on)) {
        if (!on && before[s] === 0) total += p;
        continue;
      }
      const sum = this.#into(t, s);
      if (sum === 0) continue;
      for (let k = starts[s]; k < starts[s + 1]; k++) {
        if ((this.#arcGoesOn[k] === 1) !== on) continue;
        const part = (p * this.#weight(t, k)) / sum;
        total += part;
        if (on) next[sources[k]] += part;
      }
    }
    if (on) for (const s of states) now[s] = next[s];
    return total;
  }

  /** Weight of an arc into row t, up to a factor of its target. */
  #weight(t: number, k: number): number {
    const { arcs, weights } = this.#chain, source = (t - 1) * this.#states + arcs.sources[k];
    return this.#far === undefined ? this.#filtered[source] * weights[k] : exp(this.#far[source] + arcs.scores[k] - this.#top(t, this.#target[k]));
  }

  /** Sum of the weights of the arcs into a state of row t. */
  #into(t: number, state: number): number {
    const { arcs: { starts, sources }, weights } = this.#chain;
    let sum = 0;
    if (this.#far === undefined) {
      const filtered = this.#filtered, at = (t - 1) * this.#states;
      for (let k = starts[state]; k < starts[state + 1]; k++) sum += filtered[at + sources[k]] * weights[k];
    } else if (this.#top(t, state) > -Infinity) for (let k = starts[state]; k < starts[state + 1]; k++) sum += this.#weight(t, k);
    return sum;
  }

  #top(t: number, state: number): number {
    const { starts, sources, scores } = this.#chain.arcs, at = (t - 1) * this.#states;
    let top = -Infinity;
    for (let k = starts[state]; k < starts[state + 1]; k++) top = Math.max(top, this.#far![at + sources[k]] + scores[k]);
    return top;
  }
}

/** Whether, for each state that goes on with a span, every state before it has the same transitions and end: B- and I- of a type do, where nothing was trained. */
function sourcesAreAlike({ arcs, reversed: { starts, sources: targets, scores } }: ChainStates["chain"], end: Float32Array, before: Uint8Array): boolean {
  const same = (i: number, j: number): boolean => {
    const count = starts[i + 1] - starts[i];
    if (end[i] !== end[j] || count !== starts[j + 1] - starts[j]) return false;
    for (let k = 0; k < count; k++) if (targets[starts[i] + k] !== targets[starts[j] + k] || scores[starts[i] + k] !== scores[starts[j] + k]) return false;
    return true;
  };
  return before.every((kind, j) => {
    if (kind === 0) return true;
    for (let k = arcs.starts[j] + 1; k < arcs.starts[j + 1]; k++) if (!same(arcs.sources[arcs.starts[j]], arcs.sources[k])) return false;
    return true;
  });
}

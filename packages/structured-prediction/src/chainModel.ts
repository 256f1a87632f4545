import { compileChain, type ChainStructure, type CompiledChain } from "@logits/core-wasm/chains";
import { asFloat32, checkShape, rangeError, type TensorLike } from "@logits/tensor";
import type { Automaton } from "./automaton.ts";
import { machineOf, type Machine, type NgramScores } from "./ngrams.ts";

/** What is fixed beside the transitions. */
export interface ChainModelOptions {
  /** float32 [C]: scores of the first label. Default 0. */
  readonly start?: TensorLike;
  /** float32 [C]: scores of the last label. Default 0. */
  readonly end?: TensorLike;
  /** The sequences that are possible: all others have score -Infinity. Default every sequence. */
  readonly constraint?: Automaton;
  /** Scores of label n-grams, of `ngramScores`: labels that depend on more than the one before. Default none. */
  readonly ngrams?: NgramScores;
}

/** A state of the kernels' chain: a label, with the state of the constraint that it leads to. */
export interface ChainStates {
  readonly chain: CompiledChain;
  /** Label of each state, int32 [S]. */
  readonly labelOf: Int32Array;
  /** First score of each state and last score, float32 [S]. */
  readonly start: Float32Array;
  readonly end: Float32Array;
  /** State of the machine in each state, int32 [S]; undefined where the states are the labels. */
  readonly after?: Int32Array;
}

/**
 * Transitions of a linear chain over labels with what is fixed beside them, made ready once for many sequences: `LinearChain.compile`.
 *
 * Lives in WebAssembly memory: `dispose()` gives it back.
 */
export class ChainModel {
  /** C. */
  readonly labels: number;
  /** float32 [C * C], [from, to]. */
  readonly transitions: Float32Array;
  readonly start: Float32Array;
  readonly end: Float32Array;
  readonly constraint: Automaton | undefined;
  readonly ngrams: NgramScores | undefined;
  /** Constraint and histories of n-grams together; undefined where the recursions run over the labels themselves. */
  readonly machine: Machine | undefined;
  /** Without transitions of its own: they come row by row. */
  readonly free: boolean;
  /** The states that the recursions run over: the labels, or labels with states of the constraint. */
  readonly states: ChainStates;

  /** Use `LinearChain.compile`. */
  constructor(where: string, transitions: TensorLike | undefined, labels: number, options: ChainModelOptions) {
    this.labels = labels;
    this.free = transitions === undefined;
    this.transitions = scores(where, "transitions", transitions, labels * labels);
    this.start = scores(where, "start", options.start, labels);
    this.end = scores(where, "end", options.end, labels);
    this.constraint = options.constraint;
    if (this.constraint !== undefined && this.constraint.labels !== labels) throw rangeError(where, "constraint", `over ${labels} labels`, `one over ${this.constraint.labels}`);
    this.ngrams = options.ngrams;
    if (this.ngrams !== undefined && this.ngrams.labels !== labels) throw rangeError(where, "ngrams", `over ${labels} labels`, `some over ${this.ngrams.labels}`);
    this.machine = machineOf(this.constraint, this.ngrams);
    this.states = this.machine ? withMachine(this, this.machine) : {
      chain: compileChain({ data: this.transitions, shape: [labels, labels] }, { start: this.start, end: this.end, ...(transitions === undefined && { structure: "dense" }) }),
      labelOf: Int32Array.from({ length: labels }, (_, y) => y), start: this.start, end: this.end,
    };
    Object.freeze(this);
  }

  /** The same sequences are possible, and each has score 0. */
  flat(where: string): ChainModel {
    const { constraint, ngrams, labels } = this, zero = (x: Float32Array): Float32Array => x.map((v) => (v > -Infinity ? 0 : -Infinity));
    return new ChainModel(where, this.free ? undefined : { data: zero(this.transitions), shape: [labels, labels] }, labels, {
      start: zero(this.start), end: zero(this.end), ...(constraint && { constraint }), ...(ngrams && { ngrams: { ...ngrams, scores: new Float64Array(ngrams.scores.length) } }),
    });
  }

  /** How the kernels run through it. */
  get structure(): ChainStructure {
    return this.states.chain.structure;
  }

  /** Gives the memory back. A second call does nothing. */
  dispose(): void {
    this.states.chain.dispose();
  }
}

function scores(where: string, argument: string, given: TensorLike | undefined, size: number): Float32Array {
  if (given === undefined) return new Float32Array(size);
  const x = asFloat32(where, argument, given);
  if (x.size !== size) throw rangeError(where, argument, `of ${size} scores`, `shape [${x.shape.join(", ")}]`);
  const bad = x.data.findIndex((v) => !(v < Infinity));
  if (bad >= 0) throw rangeError(where, argument, "finite or -Infinity", `${x.data[bad]} at index ${bad}`);
  return x.data.slice();
}

/** The number of labels of square transitions. */
export function labelsOf(where: string, given: TensorLike): number {
  const x = asFloat32(where, "transitions", given);
  checkShape(where, "transitions", x, ["C", "C"]);
  if (x.shape[0] !== x.shape[1] || x.shape[0] === 0) throw rangeError(where, "transitions", "of shape [C, C] with C >= 1", `[${x.shape.join(", ")}]`);
  return x.shape[0];
}

/** States (label, state of the machine after it), in the order of labels; arcs where both allow. */
function withMachine({ labels, transitions, start, end }: ChainModel, { states, start: from, accepting, next, scores: added }: Machine): ChainStates {
  const seen = new Map<number, number>();
  const pairs: [number, number][] = [];
  const visit = (y: number, q: number): void => {
    if (q < 0 || seen.has(y * states + q)) return;
    seen.set(y * states + q, 0);
    pairs.push([y, q]);
  };
  if (from >= 0) for (let y = 0; y < labels; y++) visit(y, next[from * labels + y]);
  for (let k = 0; k < pairs.length; k++) for (let y = 0; y < labels; y++) if (transitions[pairs[k][0] * labels + y] > -Infinity) visit(y, next[pairs[k][1] * labels + y]);
  pairs.sort(([y, q], [z, r]) => y - z || q - r);
  pairs.forEach(([y, q], k) => seen.set(y * states + q, k));
  const arcs = { from: [] as number[], to: [] as number[], scores: [] as number[] };
  for (const [k, [y, q]] of pairs.entries()) {
    for (let z = 0; z < labels; z++) {
      const r = next[q * labels + z], score = transitions[y * labels + z];
      if (r < 0 || score === -Infinity) continue;
      arcs.from.push(k);
      arcs.to.push(seen.get(z * states + r)!);
      arcs.scores.push(score + (added ? added[q * labels + z] : 0));
    }
  }
  // A language without sequences of one label or more keeps one state that nothing reaches.
  const count = Math.max(1, pairs.length);
  const first = Float32Array.from({ length: count }, (_, k) => (pairs.length > 0 && next[from * labels + pairs[k][0]] === pairs[k][1] ? start[pairs[k][0]] + (added ? added[from * labels + pairs[k][0]] : 0) : -Infinity));
  const last = Float32Array.from({ length: count }, (_, k) => (pairs.length > 0 && accepting[pairs[k][1]] === 1 ? end[pairs[k][0]] : -Infinity));
  return { chain: compileChain({ states: count, ...arcs }, { start: first, end: last }), labelOf: Int32Array.from({ length: count }, (_, k) => pairs[k]?.[0] ?? 0), start: first, end: last, after: Int32Array.from({ length: count }, (_, k) => pairs[k]?.[1] ?? 0) };
}

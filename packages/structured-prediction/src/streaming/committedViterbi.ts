import { checkInteger, rangeError, readJson, type TensorLike } from "@logits/tensor";
import { acceptsNothing } from "../automaton.ts";
import type { ChainModel } from "../chainModel.ts";
import { impossibleRow } from "./chainFilter.ts";
import { checkModel, fingerprint, numberLists, numbers, toNumbers } from "./chainState.ts";
import { ChainStep } from "./chainStep.ts";

const FORMAT = "logits/committed-viterbi";

/** How long a label may wait. */
export interface CommittedViterbiOptions {
  /** The most rows that may wait for their label, 0 or more; beyond, the oldest gets that of the best path so far. Default Infinity: never. */
  readonly maxLag?: number;
}

/** What `CommittedViterbi` writes as JSON: a list for each row that waits. */
export interface CommittedViterbiJSON {
  readonly format: "logits/committed-viterbi";
  readonly version: 1;
  readonly model: number;
  /** null: no limit. */
  readonly maxLag: number | null;
  readonly rows: number;
  readonly forced: number;
  readonly shift: number;
  /** Score of the best path into each state less `shift`; null = impossible. */
  readonly scores: readonly (number | null)[];
  /** Rows that wait. */
  readonly waiting: number;
  /** State before each state, of the rows that wait but the first; -1 = none. */
  readonly back: readonly (readonly number[])[];
}

/**
 * The Viterbi recursion on a stream: a label is given out as soon as every path that may still win goes through it, so it is the label of the best sequence
 * whatever comes.
 *
 * Without `maxLag` the labels are those of `argmax` of the whole sequence. With it, a row that has waited so long gets the label of the best path so far, and paths that
 * differ there are dropped: labels stay one possible path, and `forced` counts how often that happened. Memory: S numbers a row that waits.
 *
 * Source: Bloit and Rodet, "Short-time Viterbi for online HMM decoding", ICASSP 2008; Narasimhan, Viola, Shilman, "Online decoding of Markov models under latency constraints", ICML 2006.
 */
export class CommittedViterbi {
  readonly model: ChainModel;
  /** Infinity: no limit. */
  readonly maxLag: number;
  readonly #step: ChainStep;
  #scores: Float64Array | undefined;
  #spare: Float64Array;
  #shift = 0;
  #rows = 0;
  #forced = 0;
  /** States before those of the waiting rows, without the first of them. */
  #back: Int32Array[] = [];
  /** The state of the first waiting row on the path to each state; empty where no row waits. */
  #roots: Int32Array = new Int32Array(0);

  /** @throws RangeError for a `maxLag` that is no integer from 0 up, a model without transitions of its own */
  constructor(model: ChainModel, options: CommittedViterbiOptions = {}) {
    const { maxLag = Infinity } = options;
    if (maxLag !== Infinity) checkInteger("CommittedViterbi", "maxLag", maxLag, 0, 0x7fffffff);
    this.model = model;
    this.maxLag = maxLag;
    this.#step = new ChainStep("CommittedViterbi", model);
    this.#spare = new Float64Array(this.#step.size);
  }

  /** Rows so far. */
  get rows(): number {
    return this.#rows;
  }

  /** Rows whose labels were not given out yet. */
  get waiting(): number {
    return this.#roots.length === 0 ? 0 : this.#back.length + 1;
  }

  /** How many labels `maxLag` gave out. 0: every label so far is that of the best sequence. */
  get forced(): number {
    return this.#forced;
  }

  /**
   * Takes the next row.
   *
   * @param row - float32 [C]; -Infinity = impossible
   * @returns the labels that are settled by it, int32, in order; often none
   * @throws RangeError for another shape, NaN or +Infinity, or a row that leaves no sequence possible; nothing has changed then
   */
  push(row: TensorLike): Int32Array {
    const where = "CommittedViterbi.push", S = this.#step.size, into = this.#spare, back = new Int32Array(S);
    this.#step.best(this.#scores, this.#step.row(where, row), into, back);
    let top = -Infinity;
    for (let j = 0; j < S; j++) if (into[j] > top) top = into[j];
    if (top === -Infinity) throw impossibleRow(where, this.#rows);
    for (let j = 0; j < S; j++) into[j] -= top;
    this.#shift += top;
    this.#spare = this.#scores ?? new Float64Array(S);
    this.#scores = into;
    this.#rows++;
    if (this.#roots.length === 0) this.#roots = Int32Array.from(back.keys());
    else {
      this.#back.push(back);
      this.#roots = back.map((source) => (source < 0 ? -1 : this.#roots[source]));
    }
    const labels: number[] = [];
    this.#settle(labels);
    while (this.waiting > this.maxLag) {
      const root = this.#roots[into.indexOf(0)];
      for (let j = 0; j < S; j++) if (this.#roots[j] !== root) into[j] = -Infinity;
      this.#forced++;
      this.#settle(labels);
    }
    return Int32Array.from(labels);
  }

  /** Gives out what every path that is left shares. */
  #settle(labels: number[]): void {
    const scores = this.#scores!, roots = this.#roots, back = this.#back, { labelOf } = this.model.states;
    let alive = [...scores.keys()].filter((j) => scores[j] > -Infinity);
    if (roots.length === 0 || alive.some((j) => roots[j] !== roots[alive[0]])) return;
    let at = back.length;
    for (; alive.length > 1; at--) alive = [...new Set(alive.map((j) => back[at - 1][j]))];
    const path = [alive[0]];
    for (let k = at - 1; k >= 0; k--) path.push(back[k][path[path.length - 1]]);
    for (const state of path.toReversed()) labels.push(labelOf[state]);
    // The next row waits first: its pointers lead to what was given out.
    this.#back = back.slice(at + 1);
    this.#roots = at === back.length ? new Int32Array(0) : rootsOf(scores.length, this.#back);
  }

  /**
   * The labels of the rows that wait, if the sequence ends here, and the score of the whole sequence; it can go on.
   *
   * @returns `labels`, int32; `score`, in float64: -Infinity never, 0 before the first row where no row is a sequence too
   * @throws RangeError where no sequence that agrees with the labels given out may end here
   */
  finish(): { readonly labels: Int32Array; readonly score: number } {
    const { labelOf, end } = this.model.states, scores = this.#scores;
    if (!scores && acceptsNothing(this.model.constraint)) return { labels: new Int32Array(0), score: 0 };
    let best = -1, top = -Infinity;
    if (scores) for (let j = 0; j < scores.length; j++) if (scores[j] + end[j] > top) top = scores[(best = j)] + end[j];
    if (best < 0) throw rangeError("CommittedViterbi.finish", "this", "where a sequence may end", `none of ${this.#rows} rows`, this.#forced > 0 ? "A larger maxLag keeps more paths" : undefined);
    const labels = new Int32Array(this.waiting);
    for (let k = labels.length - 1, state = best; k >= 0; k--) {
      labels[k] = labelOf[state];
      if (k > 0) state = this.#back[k - 1][state];
    }
    return { labels, score: this.#shift + top };
  }

  toJSON(): CommittedViterbiJSON {
    return {
      format: FORMAT, version: 1, model: fingerprint(this.model.states), maxLag: this.maxLag === Infinity ? null : this.maxLag, rows: this.#rows, forced: this.#forced, shift: this.#shift,
      scores: toNumbers(this.#scores ?? []), waiting: this.waiting, back: this.#back.map((list) => Array.from(list)),
    };
  }

  /** Goes on where `toJSON` was called, bit by bit. FormatError for another format or version, a state of another model, or a field that is not what it must be. */
  static fromJSON(model: ChainModel, json: unknown): CommittedViterbi {
    const fields = readJson("CommittedViterbi.fromJSON", json, FORMAT, 1, "@logits/structured-prediction");
    const limited = (json as { maxLag?: unknown }).maxLag !== null;
    const stream = new CommittedViterbi(model, limited ? { maxLag: fields.integer("maxLag", 0, 0x7fffffff) } : {});
    checkModel(fields, model.states);
    const S = stream.#step.size;
    stream.#rows = fields.integer("rows", 0, Number.MAX_SAFE_INTEGER);
    stream.#forced = fields.integer("forced", 0, stream.#rows);
    stream.#shift = fields.number("shift");
    const scores = numbers(fields, "scores", stream.#rows === 0 ? 0 : S);
    if (stream.#rows === 0) return stream;
    stream.#scores = scores;
    const waiting = fields.integer("waiting", 0, Math.min(stream.#rows, stream.maxLag)), lists = numberLists(fields, "back", S, Math.max(0, waiting - 1));
    if (lists.length !== Math.max(0, waiting - 1)) fields.fail("back", `of ${Math.max(0, waiting - 1)} rows`, `${lists.length}`);
    for (const list of lists) for (const state of list) if (!(Number.isInteger(state) && state >= -1 && state < S)) fields.fail("back", `states in [-1, ${S})`, `${state}`);
    stream.#back = lists.map((list) => Int32Array.from(list));
    stream.#roots = waiting === 0 ? new Int32Array(0) : rootsOf(S, stream.#back);
    return stream;
  }
}

/** The state of the first row on the path to each state of the last; -1 where there is none. */
function rootsOf(S: number, back: readonly Int32Array[]): Int32Array {
  const roots = Int32Array.from({ length: S }, (_, j) => j);
  for (let k = back.length - 1; k >= 0; k--) for (let j = 0; j < S; j++) if (roots[j] >= 0) roots[j] = back[k][roots[j]];
  return roots;
}

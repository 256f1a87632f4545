import { chainForwardBackward, chainViterbi, type ChainSums } from "@logits/core-wasm/chains";
import { exp, log } from "@logits/statistics";
import { Tensor, asFloat32, asMask, checkInteger, rangeError, type RandomSource, type TensorLike } from "@logits/tensor";
import type { Automaton } from "./automaton.ts";
import { ChainModel, labelsOf, type ChainModelOptions } from "./chainModel.ts";
import { intersect } from "./constraints/algebra.ts";
import { backwardMessages, bestPaths, forwardMessages, type StateRows } from "./messages.ts";
import type { NgramScores } from "./ngrams.ts";
import { Sequences, type SequenceOptions } from "./sequences.ts";
import type { StructuredDistribution } from "./structuredDistribution.ts";

/** How the sequences lie in the emissions, and transitions that differ from row to row. */
export interface GivenOptions extends SequenceOptions {
  /** float32 [..., T, C, C]: the scores of the transitions into each row, [from, to], instead of the model's; those into a first row count nothing. */
  readonly transitions?: TensorLike;
}

/** Probabilities of the parts of a sequence. */
export interface ChainMarginals {
  /** P(y_t = j), float32 [..., T, C]; 0 in padding. */
  readonly unary: Tensor<"float32">;
  /** P(y_(t-1) = i, y_t = j), float32 [..., T, C, C]; 0 in the first row of a sequence and in padding. Only where asked for. */
  readonly pairwise?: Tensor<"float32">;
}

/** Scores to be averaged: of labels, and of transitions. */
export interface ChainRewards {
  /** float32 [..., T, C]. */
  readonly emissions?: TensorLike;
  /** float32 [C, C]. */
  readonly transitions?: TensorLike;
}

/** Gradients of `logProbWithGrad` and `logPartitionWithGrad`. */
export interface ChainGradients {
  readonly emissions: Tensor<"float32">;
  /** [C, C]; [..., T, C, C] where the transitions differ from row to row. */
  readonly transitions: Tensor<"float32">;
  /** [C]. */
  readonly start: Tensor<"float32">;
  readonly end: Tensor<"float32">;
  /** [G], where the model has n-grams: of their scores. */
  readonly ngrams?: Tensor<"float32">;
}

const NAME = "LinearChain";

/**
 * The linear-chain conditional random field: p(y) = exp(score(y)) / Z over sequences of labels.
 *
 *   score(y) = start[y_0] + sum_t emissions[t, y_t] + sum_(t > 0) transitions[y_(t-1), y_t] + end[y_(T-1)], and the scores of the n-grams in y
 *
 * Transitions are [from, to]. Totals are float64 [B]; B is 1 for emissions [T, C].
 *
 * Source: Lafferty, McCallum, Pereira, "Conditional random fields", ICML 2001; Sutton and McCallum, "An introduction to conditional random fields", Foundations and Trends in Machine Learning 4 (2012), section 2.3.
 */
export class LinearChain implements StructuredDistribution<TensorLike, ChainMarginals> {
  readonly model: ChainModel;
  /** B. */
  readonly batch: number;
  /** C. */
  readonly labels: number;
  readonly #sequences: Sequences;
  /** Emissions of the model's states, float32 [N, S]. */
  readonly #emissions: Float32Array;
  readonly #transitions: Float32Array | undefined;
  #sums: ChainSums | undefined;
  #filtered: Float32Array | undefined;

  /**
   * Makes transitions ready, once for many sequences.
   *
   * @param transitions - float32 [C, C], [from, to]; -Infinity = impossible
   * @param options - `start` and `end`, float32 [C]; `constraint`; `ngrams`
   * @throws RangeError for another shape, NaN or +Infinity
   */
  static compile(transitions: TensorLike, options: ChainModelOptions = {}): ChainModel {
    return new ChainModel("LinearChain.compile", transitions, labelsOf("LinearChain.compile", transitions), options);
  }

  /**
   * A chain whose transitions differ from row to row.
   *
   * @param emissions - float32 [T, C], [B, T, C] or, with `offsets`, [N, C]
   * @param transitions - float32 [..., T, C, C]: the scores of the transitions into each row; those into a first row count nothing
   * @param options - `lengths` or `offsets`, `start` and `end`
   */
  static varying(emissions: TensorLike, transitions: TensorLike, options: SequenceOptions & Omit<ChainModelOptions, "constraint" | "ngrams"> = {}): LinearChain {
    const { start, end, ...rows } = options;
    const { shape } = asFloat32("LinearChain.varying", "emissions", emissions);
    return new LinearChain(new ChainModel("LinearChain.varying", undefined, shape[shape.length - 1] ?? 0, { ...(start !== undefined && { start }), ...(end !== undefined && { end }) }), emissions, { ...rows, transitions });
  }

  /**
   * The distribution of the labels given the emissions.
   *
   * @param model - of `LinearChain.compile`
   * @param emissions - float32 [T, C], [B, T, C] or, with `offsets`, [N, C]; -Infinity = impossible. A typed array is not copied: it must not change while the distribution is asked
   * @param options - `lengths` or `offsets`, `transitions`
   * @throws RangeError for another shape
   */
  constructor(model: ChainModel, emissions: TensorLike, options: GivenOptions = {}) {
    this.model = model;
    this.labels = model.labels;
    this.#sequences = new Sequences(NAME, emissions, model.labels, options);
    this.batch = this.#sequences.batch;
    const { rows, count } = this.#sequences, { labelOf } = model.states, C = this.labels, S = labelOf.length;
    if (model.machine === undefined) this.#emissions = rows;
    else {
      this.#emissions = new Float32Array(count * S);
      for (let t = 0, at = 0; t < count; t++) for (let s = 0; s < S; s++, at++) this.#emissions[at] = rows[t * C + labelOf[s]];
    }
    if (options.transitions !== undefined) {
      if (!model.free) throw rangeError(NAME, "transitions", "where the model has none of its own", "a compiled model", "Use LinearChain.varying");
      this.#transitions = this.#sequences.readFloats(NAME, "transitions", options.transitions, [C, C]);
    }
  }

  score(labels: TensorLike): Float64Array {
    const y = this.#sequences.read(`${NAME}.score`, "labels", labels);
    return this.#each((_, from, to) => this.#scoreOf(y, from, to));
  }

  logPartition(): Float64Array {
    return this.#run({}).logPartition.slice();
  }

  logProb(labels: TensorLike): Float64Array {
    const score = this.score(labels), logZ = this.logPartition();
    this.#checkSupport("logProb", logZ);
    return score.map((s, b) => s - logZ[b]);
  }

  /**
   * The sequence of labels with the highest score: the smallest read from its end among equals.
   *
   * @returns `labels`, int32 in the shape of the rows, -1 in padding; `score`, float64 [B]
   * @throws RangeError where no sequence has a finite score, or emissions hold NaN
   */
  argmax(): { readonly labels: Tensor<"int32">; readonly score: Float64Array } {
    const { chain, labelOf } = this.model.states;
    const { states, scores } = chainViterbi(chain, { data: this.#emissions, shape: [this.#sequences.count, labelOf.length] }, this.#rowOptions());
    this.#checkSupport("argmax", this.#withoutRows(scores));
    const labels = this.model.machine ? states.map((s) => labelOf[s]) : states;
    // Arcs hold sums of scores in float32.
    return { labels: this.#sequences.labels(labels), score: this.model.ngrams ? this.#each((_, from, to) => this.#scoreOf(labels, from, to)) : scores };
  }

  /**
   * The k best sequences, best first. `score` holds -Infinity and `labels` -1 where there are fewer.
   *
   * @returns `labels`, int32 [k, ...]; `score`, float64 [k * B], rank by rank
   */
  topK(k: number): { readonly labels: Tensor<"int32">; readonly score: Float64Array } {
    checkInteger(`${NAME}.topK`, "k", k, 1, 0x7fffffff);
    this.#checkNumbers("topK");
    const n = this.#sequences.count, labels = new Int32Array(k * n).fill(-1), score = new Float64Array(k * this.batch).fill(-Infinity);
    this.#each((b, from, to) => {
      if (from === to) {
        if (!this.#emptyAllowed) throw noSupport("topK", b);
        return (score[b] = 0);
      }
      const rows = this.#stateRows(from, to);
      const found = bestPaths(rows, forwardMessages(rows, true), k);
      if (found.length === 0) throw noSupport("topK", b);
      for (const [m, { path, score: s }] of found.entries()) {
        labels.set(path, m * n + from);
        score[m * this.batch + b] = s;
      }
      return 0;
    });
    return { labels: this.#sequences.labels(labels, [k]), score };
  }

  /**
   * Draws sequences independently: forward filtering, backward sampling.
   *
   * @returns int32 [count, ...], -1 in padding
   */
  sample(random: RandomSource, count: number): Tensor<"int32"> {
    checkInteger(`${NAME}.sample`, "count", count, 0, 0x7fffffff);
    const n = this.#sequences.count, labels = new Int32Array(count * n);
    const conditionals = this.#conditionals("sample");
    const { labelOf } = this.model.states;
    for (let m = 0; m < count; m++) {
      this.#each((b, from, to) => {
        let state = -1;
        for (let t = to - 1; t >= from; t--) {
          state = conditionals.draw(b, t, state, random.uniform());
          labels[m * n + t] = labelOf[state];
        }
        return 0;
      });
    }
    return this.#sequences.labels(labels, [count]);
  }

  /** @param options - `pairwise`: also the probabilities of transitions, row by row. Default false */
  marginals(options: { readonly pairwise?: boolean } = {}): ChainMarginals {
    const { pairwise = false } = options;
    const sums = this.#run({ marginals: true, ...(pairwise && { pairs: "rows" }) });
    this.#checkSupport("marginals", sums.logPartition);
    const C = this.labels;
    // Of what is kept for other queries the caller gets copies.
    const unary = this.#sequences.floats(this.#byLabel(sums.marginals!).slice(), [C]);
    return pairwise ? { unary, pairwise: this.#sequences.floats(this.#pairsByLabel(sums.pairs as Float32Array).slice(), [C, C]) } : { unary };
  }

  /** The score of the best sequence in which the label stands in that row: float32 [..., T, C]; -Infinity where none is possible, 0 in padding. */
  maxMarginals(): Tensor<"float32"> {
    this.#checkNumbers("maxMarginals");
    const C = this.labels, { labelOf } = this.model.states, S = labelOf.length;
    const out = new Float32Array(this.#sequences.count * C).fill(-Infinity);
    this.#each((_, from, to) => {
      if (from === to) return 0;
      const rows = this.#stateRows(from, to), forward = forwardMessages(rows, true), backward = backwardMessages(rows, true);
      for (let t = 0; t < to - from; t++) for (let s = 0; s < S; s++) out[(from + t) * C + labelOf[s]] = Math.max(out[(from + t) * C + labelOf[s]], forward[t * S + s] + backward[t * S + s]);
      return 0;
    });
    return this.#sequences.floats(out, [C]);
  }

  entropy(): Float64Array {
    const mean = this.#expected(this.#parameters()), logZ = this.logPartition();
    this.#checkSupport("entropy", logZ);
    return logZ.map((z, b) => Math.max(0, z - mean[b]));
  }

  crossEntropy(other: LinearChain): Float64Array {
    this.#checkSame("crossEntropy", other);
    const mean = this.#expected(other.#parameters()), logZ = other.logPartition();
    this.#checkSupport("crossEntropy", this.logPartition());
    other.#checkSupport("crossEntropy", logZ);
    return logZ.map((z, b) => z - mean[b]);
  }

  klDivergence(other: LinearChain): Float64Array {
    const cross = this.crossEntropy(other), own = this.entropy();
    return cross.map((c, b) => Math.max(0, c - own[b]));
  }

  /** The mean of a sum of rewards over the sequence, [B]: sum_t emissions[t, y_t] + sum_(t > 0) transitions[y_(t-1), y_t]. */
  expectation(rewards: ChainRewards): Float64Array {
    const where = `${NAME}.expectation`, C = this.labels;
    const emissions = rewards.emissions === undefined ? undefined : this.#sequences.readFloats(where, "emissions", rewards.emissions, [C]);
    let transitions: Float32Array | undefined;
    if (rewards.transitions !== undefined) {
      const x = asFloat32(where, "transitions", rewards.transitions);
      if (x.shape.join() !== `${C},${C}`) throw rangeError(where, "transitions", `of shape [${C}, ${C}]`, `[${x.shape.join(", ")}]`);
      transitions = x.data;
    }
    const mean = this.#expected({ emissions, transitions, start: undefined, end: undefined, varying: undefined, ngrams: undefined });
    this.#checkSupport("expectation", this.logPartition());
    return mean;
  }

  /** log of the number of sequences with a finite score, [B]; -Infinity where there is none. */
  logCount(): Float64Array {
    this.#checkNumbers("logCount");
    const flat = (x: Float32Array): Float32Array => x.map((v) => (v > -Infinity ? 0 : -Infinity));
    const { model } = this, C = this.labels, shape = [this.#sequences.count, model.states.labelOf.length];
    const zero = model.flat(NAME);
    try {
      return this.#withoutRows(chainForwardBackward(zero.states.chain, { data: flat(this.#emissions), shape }, { offsets: this.#sequences.offsets, extended: true, ...(this.#transitions && { transitions: { data: flat(this.#transitions), shape: [shape[0], C, C] } }) }).logPartition);
    } finally {
      zero.dispose();
    }
  }

  /**
   * The probability that a sequence has these labels from row `from` on, whatever stands elsewhere.
   *
   * @param item - which sequence, in [0, B)
   * @param from - its row, from 0
   * @param labels - one or more labels
   */
  spanProbability(item: number, from: number, labels: ArrayLike<number>): number {
    const where = `${NAME}.spanProbability`, { offsets } = this.#sequences;
    checkInteger(where, "item", item, 0, this.batch - 1);
    checkInteger(where, "from", from, 0, offsets[item + 1] - offsets[item] - 1);
    checkInteger(where, "labels.length", labels.length, 1, offsets[item + 1] - offsets[item] - from);
    for (let k = 0; k < labels.length; k++) checkInteger(where, `labels[${k}]`, labels[k], 0, this.labels - 1);
    const { labelOf } = this.model.states, first = offsets[item] + from;
    const conditionals = this.#conditionals("spanProbability");
    // Backwards: the probability of each state of the last label, then of the label before given what follows.
    let weights = new Map<number, number>();
    for (let s = 0; s < labelOf.length; s++) if (labelOf[s] === labels[labels.length - 1]) weights.set(s, conditionals.marginal(item, first + labels.length - 1, s));
    for (let k = labels.length - 2; k >= 0; k--) {
      const before = new Map<number, number>();
      for (const [state, weight] of weights) {
        if (weight === 0) continue;
        conditionals.sources(item, first + k + 1, state, (source, p) => {
          if (labelOf[source] === labels[k]) before.set(source, (before.get(source) ?? 0) + p * weight);
        });
      }
      weights = before;
    }
    let total = 0;
    for (const weight of weights.values()) total += weight;
    return Math.min(1, total);
  }

  /** The sequence with the most labels expected to be right: the label with the largest marginal in each row. With `constrained` it also is a possible sequence. */
  minimumBayesRisk(options: { readonly constrained?: boolean } = {}): Tensor<"int32"> {
    const sums = this.#run({ marginals: true });
    this.#checkSupport("minimumBayesRisk", sums.logPartition);
    const C = this.labels, unary = this.#byLabel(sums.marginals!);
    if (options.constrained ?? false) {
      const free = this.model.flat(NAME), { rows, count, offsets } = this.#sequences;
      // What is impossible stays so: a probability of 0 alone would not keep a path out.
      const rewards = unary.map((p, k) => (rows[k] > -Infinity ? p : -Infinity));
      const transitions = this.#transitions && { data: this.#transitions.map((v) => (v > -Infinity ? 0 : -Infinity)), shape: [count, C, C] };
      try {
        return new LinearChain(free, { data: rewards, shape: [count, C] }, { offsets, ...(transitions && { transitions }) }).#shaped(this.#sequences);
      } finally {
        free.dispose();
      }
    }
    const labels = new Int32Array(this.#sequences.count);
    for (let t = 0; t < labels.length; t++) for (let j = 1; j < C; j++) if (unary[t * C + j] > unary[t * C + labels[t]]) labels[t] = j;
    return this.#sequences.labels(labels);
  }

  /** log of the probability that every row has a label that is allowed: [B]. `allowed` is a mask, uint8 [..., T, C], 1 = allowed. */
  logProbOfAny(allowed: TensorLike): Float64Array {
    const logZ = this.logPartition();
    this.#checkSupport("logProbOfAny", logZ);
    return this.#masked("logProbOfAny", allowed).logPartition().map((z, b) => Math.min(0, z - logZ[b]));
  }

  /**
   * The probability that the labels are a sequence of a language, [B]: exp(logZ_L - logZ), in [0, 1].
   *
   * Compiles a chain for the language on each call. For many batches, or where the logarithm is wanted, compile it once and take logPartition less logPartition.
   *
   * @param language - over C labels
   * @throws RangeError for another number of labels, transitions that differ from row to row, an item without a possible sequence
   */
  massOf(language: Automaton): Float64Array {
    const { transitions, start, end, constraint, ngrams } = this.model, C = this.labels, where = `${NAME}.massOf`;
    if (language.labels !== C) throw rangeError(where, "language", `over ${C} labels`, `one over ${language.labels}`);
    if (this.#transitions) throw rangeError(where, "language", "with transitions that are the same in each row", "a chain of LinearChain.varying");
    const total = this.logPartition();
    this.#checkSupport("massOf", total);
    const model = new ChainModel(where, { data: transitions, shape: [C, C] }, C, { start, end, constraint: constraint === undefined ? language : intersect(constraint, language), ...(ngrams && { ngrams }) });
    try {
      const within = new LinearChain(model, { data: this.#sequences.rows, shape: [this.#sequences.count, C] }, { offsets: this.#sequences.offsets }).logPartition();
      return within.map((z, b) => Math.min(1, exp(z - total[b])));
    } finally {
      model.dispose();
    }
  }

  /** logProb with its gradients: the indicator of the labels less the marginals, times `upstream` [B] (default 1). */
  logProbWithGrad(labels: TensorLike, options: { readonly upstream?: TensorLike } = {}): { readonly value: Float64Array; readonly grads: ChainGradients } & { readonly grads: Record<string, Tensor<"float32">> } {
    const y = this.#sequences.read(`${NAME}.logProbWithGrad`, "labels", labels);
    const upstream = this.#upstream("logProbWithGrad", options.upstream);
    // The pass that gives the marginals gives log Z too: it goes before whatever asks for that alone.
    const gradients = this.#gradients("logProbWithGrad", upstream.map((u) => -u));
    const value = this.logProb(labels);
    const C = this.labels;
    this.#each((b, from, to) => {
      for (let t = from; t < to; t++) {
        gradients.emissions[t * C + y[t]] += upstream[b];
        if (t > from) gradients.transitions[(this.#transitions ? t * C * C : 0) + y[t - 1] * C + y[t]] += upstream[b];
      }
      if (to > from) {
        gradients.start[y[from]] += upstream[b];
        gradients.end[y[to - 1]] += upstream[b];
      }
      this.#walk(y, from, to, (_, history, label) => this.#addMatches(gradients.ngrams, history, label, upstream[b]));
      return 0;
    });
    return { value, grads: this.#asTensors(gradients) };
  }

  /** logPartition with its gradients: the marginals, times `upstream` [B] (default 1). */
  logPartitionWithGrad(options: { readonly upstream?: TensorLike } = {}): { readonly value: Float64Array; readonly grads: ChainGradients } {
    const upstream = this.#upstream("logPartitionWithGrad", options.upstream);
    const gradients = this.#gradients("logPartitionWithGrad", upstream);
    return { value: this.logPartition(), grads: this.#asTensors(gradients) };
  }

  /** logProbOfAny with its gradients: marginals among the allowed less marginals, times `upstream` [B] (default 1). */
  logProbOfAnyWithGrad(allowed: TensorLike, options: { readonly upstream?: TensorLike } = {}): { readonly value: Float64Array; readonly grads: ChainGradients } {
    const where = "logProbOfAnyWithGrad", upstream = this.#upstream(where, options.upstream);
    const masked = this.#masked(where, allowed), own = this.#gradients(where, upstream.map((u) => -u)), among = masked.#gradients(where, upstream);
    const logZ = this.logPartition(), value = masked.logPartition().map((z, b) => Math.min(0, z - logZ[b]));
    for (const name of ["emissions", "transitions", "start", "end", "ngrams"] as const) among[name].forEach((v, k) => (own[name][k] += v));
    return { value, grads: this.#asTensors(own) };
  }

  #upstream(where: string, given: TensorLike | undefined): Float64Array {
    if (given === undefined) return new Float64Array(this.batch).fill(1);
    const x = asFloat32(`${NAME}.${where}`, "upstream", given);
    if (x.size !== this.batch) throw rangeError(`${NAME}.${where}`, "upstream", `of shape [${this.batch}]`, `[${x.shape.join(", ")}]`);
    return Float64Array.from(x.data);
  }

  #asTensors({ emissions, transitions, start, end, ngrams }: Gradients): ChainGradients & Record<string, Tensor<"float32">> {
    const C = this.labels, of = (x: Float64Array): Float32Array => Float32Array.from(x);
    return {
      emissions: this.#sequences.floats(of(emissions), [C]),
      transitions: this.#transitions ? this.#sequences.floats(of(transitions), [C, C]) : new Tensor("float32", [C, C], of(transitions)),
      start: new Tensor("float32", [C], of(start)), end: new Tensor("float32", [C], of(end)),
      ...(this.model.ngrams && { ngrams: new Tensor("float32", [ngrams.length], of(ngrams)) }),
    };
  }

  /** sum_b weights[b] times the gradient of log Z of item b, in float64. */
  #gradients(where: string, weights: Float64Array): Gradients {
    const C = this.labels, { chain, labelOf } = this.model.states, arcs = chain.arcs.sources.length;
    const sums = this.#run({ marginals: true, pairs: this.#transitions ? "rows" : "counts" });
    this.#checkSupport(where, sums.logPartition);
    const emissions = Float64Array.from(this.#byLabel(sums.marginals!)), transitions = new Float64Array(this.#transitions ? this.#sequences.count * C * C : C * C), start = new Float64Array(C), end = new Float64Array(C), ngrams = new Float64Array(this.model.ngrams?.ngrams.length ?? 0);
    this.#each((b, from, to) => {
      const weight = weights[b];
      const edges = to > from ? C : 0;
      for (let j = 0; j < edges; j++) {
        start[j] += weight * emissions[from * C + j];
        end[j] += weight * emissions[(to - 1) * C + j];
      }
      for (let k = from * C; k < to * C; k++) emissions[k] *= weight;
      if (this.#transitions) for (let k = from * C * C; k < to * C * C; k++) transitions[k] = weight * sums.pairs![k];
      else for (let j = 0; j < labelOf.length; j++) for (let k = chain.arcs.starts[j]; k < chain.arcs.starts[j + 1]; k++) transitions[labelOf[chain.arcs.sources[k]] * C + labelOf[j]] += weight * sums.pairs![b * arcs + k];
      this.#expectedMatches(sums, b, from, to, (history, label, p) => this.#addMatches(ngrams, history, label, weight * p));
      return 0;
    });
    return { emissions, transitions, start, end, ngrams };
  }

  /** The same distribution, where only allowed labels are possible. */
  #masked(where: string, allowed: TensorLike): LinearChain {
    const C = this.labels, mask = asMask(`${NAME}.${where}`, "allowed", allowed);
    const of = this.#sequences.readFloats(`${NAME}.${where}`, "allowed", { data: Float32Array.from(mask.data), shape: mask.shape }, [C]);
    const rows = this.#sequences.rows.map((v, k) => (of[k] === 1 ? v : -Infinity));
    const masked = new LinearChain(this.model, { data: rows, shape: [this.#sequences.count, C] }, { offsets: this.#sequences.offsets, ...(this.#transitions && { transitions: { data: this.#transitions, shape: [this.#sequences.count, C, C] } }) });
    return masked;
  }

  #shaped(sequences: Sequences): Tensor<"int32"> {
    return sequences.labels(this.argmax().labels.data);
  }

  #rowOptions(): { offsets: Int32Array; transitions?: TensorLike } {
    const { offsets, count } = this.#sequences;
    return { offsets, ...(this.#transitions && { transitions: { data: this.#transitions, shape: [count, this.labels, this.labels] } }) };
  }

  /** The kernels' answer; what was computed is kept. */
  #run(options: { marginals?: boolean; pairs?: "counts" | "rows" }): ChainSums {
    const kept = this.#sums;
    const enough = kept && (!options.marginals || kept.marginals) && (!options.pairs || (options.pairs === "rows" ? kept.pairs instanceof Float32Array : kept.pairs instanceof Float64Array));
    if (enough) return kept;
    const { chain, labelOf } = this.model.states;
    const sums = chainForwardBackward(chain, { data: this.#emissions, shape: [this.#sequences.count, labelOf.length] }, { ...this.#rowOptions(), ...options });
    this.#withoutRows(sums.logPartition);
    return (this.#sums = sums);
  }

  /** Whether the constraint allows the sequence without labels. */
  get #emptyAllowed(): boolean {
    const { constraint } = this.model;
    return constraint === undefined || (constraint.start >= 0 && constraint.accepting[constraint.start] === 1);
  }

  /** Totals of the kernels, in place: they know states after a label; the sequence without one is for the constraint to allow. */
  #withoutRows(totals: Float64Array): Float64Array {
    if (!this.#emptyAllowed) this.#each((b, from, to) => (from === to ? (totals[b] = -Infinity) : 0));
    return totals;
  }

  #each(f: (b: number, from: number, to: number) => number): Float64Array {
    const { offsets } = this.#sequences;
    return Float64Array.from({ length: this.batch }, (_, b) => f(b, offsets[b], offsets[b + 1]));
  }

  #scoreOf(y: Int32Array, from: number, to: number): number {
    let added = 0;
    const { ngrams } = this.model;
    if (!this.#walk(y, from, to, (_, history, label) => (added += ngrams!.scores[history * this.labels + label]))) return -Infinity;
    if (from === to) return 0;
    const { transitions, start, end } = this.model, C = this.labels, { rows } = this.#sequences;
    let score = start[y[from]] + end[y[to - 1]] + added;
    for (let t = from; t < to; t++) {
      score += rows[t * C + y[t]];
      if (t > from) score += this.#transitions ? this.#transitions[(t * C + y[t - 1]) * C + y[t]] : transitions[y[t - 1] * C + y[t]];
    }
    return score;
  }

  /** Whether the constraint and the n-grams allow the labels of these rows; `visit` sees the history before each label where there are n-grams. */
  #walk(y: Int32Array, from: number, to: number, visit: (t: number, history: number, label: number) => void): boolean {
    const { machine } = this.model;
    if (!machine) return true;
    let q = machine.start;
    for (let t = from; t < to && q >= 0; t++) {
      if (machine.history) visit(t, machine.history[q], y[t]);
      q = machine.next[q * machine.labels + y[t]];
    }
    return q >= 0 && machine.accepting[q] === 1;
  }

  /** Adds to each n-gram that a label completes. */
  #addMatches(to: Float64Array, history: number, label: number, weight: number): void {
    const { starts, indices } = this.model.ngrams!.matches, at = history * this.labels + label;
    for (let k = starts[at]; k < starts[at + 1]; k++) to[indices[k]] += weight;
  }

  /** How often each label is expected after each history in an item; nothing without n-grams. `sums` with marginals and counts. */
  #expectedMatches(sums: ChainSums, b: number, from: number, to: number, visit: (history: number, label: number, expected: number) => void): void {
    const { machine, states: { chain, labelOf, after } } = this.model;
    if (!machine?.history || from === to) return;
    const { starts, sources } = chain.arcs, S = labelOf.length;
    for (let j = 0; j < S; j++) {
      const first = sums.marginals![from * S + j];
      if (first > 0) visit(machine.history[machine.start], labelOf[j], first);
      for (let k = starts[j]; k < starts[j + 1]; k++) visit(machine.history[after![sources[k]]], labelOf[j], sums.pairs![b * sources.length + k]);
    }
  }

  #stateRows(from: number, to: number): StateRows {
    const { states } = this.model, S = states.labelOf.length, { scores, sources, starts } = states.chain.arcs, emissions = this.#emissions, varying = this.#transitions, C = this.labels;
    const target = new Int32Array(varying ? sources.length : 0);
    if (varying) for (let j = 0; j < C; j++) target.fill(j, starts[j], starts[j + 1]);
    return {
      states, length: to - from,
      emission: (t, s) => emissions[(from + t) * S + s],
      transition: varying ? (t, k) => varying[((from + t) * C + sources[k]) * C + target[k]] : (_, k) => scores[k],
    };
  }

  #byLabel(x: Float32Array): Float32Array {
    if (this.model.machine === undefined) return x;
    const { labelOf } = this.model.states, C = this.labels, out = new Float32Array(this.#sequences.count * C);
    for (let t = 0, at = 0; t < this.#sequences.count; t++) for (let s = 0; s < labelOf.length; s++, at++) out[t * C + labelOf[s]] += x[at];
    return out;
  }

  #pairsByLabel(x: Float32Array): Float32Array {
    if (this.model.machine === undefined) return x;
    const { labelOf } = this.model.states, S = labelOf.length, C = this.labels, out = new Float32Array(this.#sequences.count * C * C);
    for (let t = 0, at = 0; t < this.#sequences.count; t++) for (let i = 0; i < S; i++) for (let j = 0; j < S; j++, at++) out[(t * C + labelOf[i]) * C + labelOf[j]] += x[at];
    return out;
  }

  #parameters(): Parameters {
    const { transitions, start, end } = this.model;
    return { emissions: this.#sequences.rows, transitions: this.#transitions ? undefined : transitions, start, end, varying: this.#transitions, ngrams: this.model.ngrams };
  }

  /** The mean of a sum of scores under this distribution, [B]; a score of -Infinity counts where its probability is not 0. */
  #expected({ emissions, transitions, start, end, varying, ngrams }: Parameters): Float64Array {
    const C = this.labels, { chain, labelOf } = this.model.states, arcs = chain.arcs.sources.length;
    const rows = varying !== undefined || (transitions !== undefined && this.#transitions !== undefined);
    const sums = this.#run({ marginals: true, ...((transitions ?? varying) && { pairs: rows ? "rows" : "counts" }) });
    const unary = this.#byLabel(sums.marginals!), pairs = rows ? this.#pairsByLabel(sums.pairs as Float32Array) : sums.pairs;
    const times = (p: number, score: number): number => (p === 0 ? 0 : p * score);
    return this.#each((b, from, to) => {
      let total = 0;
      if (emissions) for (let k = from * C; k < to * C; k++) total += times(unary[k], emissions[k]);
      if (to > from) for (let j = 0; j < C; j++) total += (start ? times(unary[from * C + j], start[j]) : 0) + (end ? times(unary[(to - 1) * C + j], end[j]) : 0);
      if (rows) {
        for (let t = from + 1; t < to; t++) for (let k = 0; k < C * C; k++) total += times(pairs![t * C * C + k], varying ? varying[t * C * C + k] : transitions![k]);
      } else if (transitions) {
        for (let j = 0; j < labelOf.length; j++) for (let k = chain.arcs.starts[j]; k < chain.arcs.starts[j + 1]; k++) total += times(pairs![b * arcs + k], transitions[labelOf[chain.arcs.sources[k]] * C + labelOf[j]]);
      }
      if (ngrams) this.#expectedMatches(sums, b, from, to, (history, label, p) => (total += p * ngrams.scores[history * C + label]));
      return total;
    });
  }

  /** Of queries that an item without a possible sequence does not stop. */
  #checkNumbers(method: string): void {
    const logZ = this.logPartition();
    if (logZ.some(Number.isNaN)) this.#checkSupport(method, logZ.map((z) => (Number.isNaN(z) ? z : 0)));
  }

  #checkSupport(method: string, totals: Float64Array): void {
    const b = totals.findIndex((z) => !(z > -Infinity));
    if (b < 0) return;
    if (Number.isNaN(totals[b])) throw rangeError(`${NAME}.${method}`, "emissions", "finite or -Infinity", `NaN or +Infinity in batch item ${b}`);
    throw noSupport(method, b);
  }

  #checkSame(method: string, other: LinearChain): void {
    if (other.labels !== this.labels || other.#sequences.offsets.join() !== this.#sequences.offsets.join()) throw rangeError(`${NAME}.${method}`, "other", `over ${this.labels} labels and sequences of the same lengths`, `one over ${other.labels} labels`);
    if (other.model.ngrams !== undefined && other.model.ngrams !== this.model.ngrams) throw rangeError(`${NAME}.${method}`, "other", "without n-grams or with the same ones", "one with other n-grams");
    if (other.model.constraint !== undefined && other.model.constraint !== this.model.constraint) throw rangeError(`${NAME}.${method}`, "other", "without a constraint or with the same one", "one with another constraint");
  }

  /** How likely each state is, and each state before a given one: what sampling and spans need. */
  #conditionals(method: string): Conditionals {
    const sums = this.#run({ marginals: true });
    this.#checkSupport(method, sums.logPartition);
    const { states } = this.model, { chain } = states, { arcs } = chain, S = states.labelOf.length, { offsets, count } = this.#sequences;
    const marginals = sums.marginals!;
    if (this.#filtered === undefined) this.#filtered = chainForwardBackward(chain, { data: this.#emissions, shape: [count, S] }, { ...this.#rowOptions(), filtered: true }).filtered!;
    const filtered = this.#filtered, far = sums.extended > 0;
    const messages = new Map<number, Float64Array>();
    const rowsOf = (b: number): StateRows => this.#stateRows(offsets[b], offsets[b + 1]);
    const views = new Map<number, StateRows>();
    /** log P(y_t = source | rows up to t), up to a constant. */
    const logWeight = (b: number, t: number, source: number): number => {
      if (!far) return filtered[t * S + source] > 0 ? log(filtered[t * S + source]) : -Infinity;
      if (!messages.has(b)) messages.set(b, forwardMessages(rowsOf(b), false));
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
      marginal: (_, t, state) => marginals[t * S + state],
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
}

interface Parameters {
  readonly emissions: Float32Array | undefined;
  readonly transitions: Float32Array | undefined;
  readonly start: Float32Array | undefined;
  readonly end: Float32Array | undefined;
  readonly varying: Float32Array | undefined;
  readonly ngrams: NgramScores | undefined;
}

type Gradients = Record<"emissions" | "transitions" | "start" | "end" | "ngrams", Float64Array>;

interface Conditionals {
  /** P(state in row t), rows counted over all sequences. */
  marginal(b: number, t: number, state: number): number;
  /** P(source in row t - 1 | state in row t). */
  sources(b: number, t: number, state: number, visit: (source: number, p: number) => void): void;
  /** The state of row t for a uniform u, given the state of the row after it (-1: the last row). */
  draw(b: number, t: number, next: number, u: number): number;
}

function noSupport(method: string, b: number): RangeError {
  return rangeError(`${NAME}.${method}`, "emissions", "with a label sequence that has a finite score", `none in batch item ${b}`);
}

import { chainForwardBackward, chainViterbi, type ChainSums } from "@logits/core-wasm/chains";
import { exp } from "@logits/statistics";
import { asFloat32, asMask, checkInteger, checkShape, lastingData, rangeError, runSteps, runStepsAsync, type LongWorkOptions, type RandomSource, type Steps, type Tensor, type TensorLike } from "@logits/tensor";
import { acceptsNothing, type Automaton } from "./automaton.ts";
import { rankedSequences, scoresThrough, type ChainRanking } from "./bestSequences.ts";
import { pairsByLabel, unaryByLabel } from "./byLabel.ts";
import { GradientSums, type ChainGradients } from "./chainGradients.ts";
import { ChainModel, labelsOf, type ChainModelOptions } from "./chainModel.ts";
import { expectedScores, pairsFor, scoreOf, type ChainScores } from "./chainScores.ts";
import { conditionalsOf, spanProbability, type Conditionals } from "./conditionals.ts";
import { intersect } from "./constraints/algebra.ts";
import { stateRows, type StateRows } from "./messages.ts";
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

const NAME = "LinearChain";

/** The function that a chain is a part of, as messages name it. */
export interface ChainCaller {
  readonly where: string;
  /** [B]: which batch item of that function each is. */
  readonly items: ArrayLike<number>;
  /** What is called `allowed` here. */
  readonly allowed: string;
}

let within: (caller: ChainCaller, model: ChainModel, emissions: TensorLike, options: GivenOptions) => LinearChain;
/** A chain inside another function, which messages name. */
export const chainWithin = (caller: ChainCaller, model: ChainModel, emissions: TensorLike, options: GivenOptions): LinearChain => within(caller, model, emissions, options);

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
  /** What messages name, where it is not the query. */
  #caller: ChainCaller | undefined;
  /** The argument whose fault it is that nothing is possible. */
  #argument = "emissions";
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
    const y = this.#sequences.read(this.#at("score"), "labels", labels);
    return this.#scoresOf(y);
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
    return { labels: this.#sequences.labels(labels), score: this.model.ngrams ? this.#scoresOf(labels) : scores };
  }

  /**
   * The k best sequences, best first. `score` holds -Infinity and `labels` -1 where there are fewer.
   *
   * @returns `labels`, int32 [k, ...]; `score`, float64 [k * B], rank by rank
   */
  topK(k: number): ChainRanking {
    return runSteps(this.#topK("topK", k));
  }

  /** `topK` with pauses, at least every 16 ms but for the forward pass: the same bits. Rejects with the reason of `signal`. */
  async topKAsync(k: number, options: LongWorkOptions = {}): Promise<ChainRanking> {
    return runStepsAsync(this.#topK("topKAsync", k), options);
  }

  *#topK(method: string, k: number): Steps<ChainRanking> {
    checkInteger(this.#at(method), "k", k, 1, 0x7fffffff);
    this.#checkNumbers(method);
    return yield* rankedSequences(this.model, this.#sequences, (from, to) => this.#rows(from, to), k, (b) => this.#noSupport(method, b));
  }

  /**
   * Draws sequences independently: forward filtering, backward sampling.
   *
   * @returns int32 [count, ...], -1 in padding
   */
  sample(random: RandomSource, count: number): Tensor<"int32"> {
    checkInteger(this.#at("sample"), "count", count, 0, 0x7fffffff);
    const n = this.#sequences.count, labels = new Int32Array(count * n);
    const conditionals = this.#conditionals("sample");
    const { labelOf } = this.model.states;
    for (let m = 0; m < count; m++) {
      this.#sequences.each((b, from, to) => {
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
    const unary = this.#sequences.floats(unaryByLabel(this.model, sums.marginals!).slice(), [C]);
    return pairwise ? { unary, pairwise: this.#sequences.floats(pairsByLabel(this.model, sums.pairs as Float32Array).slice(), [C, C]) } : { unary };
  }

  /** The score of the best sequence in which the label stands in that row: float32 [..., T, C]; -Infinity where none is possible, 0 in padding. */
  maxMarginals(): Tensor<"float32"> {
    return runSteps(this.#maxMarginals("maxMarginals"));
  }

  /** `maxMarginals` with pauses, at least every 16 ms but for the forward pass: the same bits. Rejects with the reason of `signal`. */
  async maxMarginalsAsync(options: LongWorkOptions = {}): Promise<Tensor<"float32">> {
    return runStepsAsync(this.#maxMarginals("maxMarginalsAsync"), options);
  }

  *#maxMarginals(method: string): Steps<Tensor<"float32">> {
    this.#checkNumbers(method);
    return yield* scoresThrough(this.model, this.#sequences, (from, to) => this.#rows(from, to));
  }

  entropy(): Float64Array {
    const mean = this.#expected(this.#scores()), logZ = this.logPartition();
    this.#checkSupport("entropy", logZ);
    return logZ.map((z, b) => Math.max(0, z - mean[b]));
  }

  crossEntropy(other: LinearChain): Float64Array {
    this.#checkSame("crossEntropy", other);
    const mean = this.#expected(other.#scores()), logZ = other.logPartition();
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
    const where = this.#at("expectation"), C = this.labels;
    const emissions = rewards.emissions === undefined ? undefined : this.#sequences.readFloats(where, "emissions", rewards.emissions, [C]);
    let transitions: Float32Array | undefined;
    if (rewards.transitions !== undefined) {
      const x = asFloat32(where, "transitions", rewards.transitions);
      checkShape(where, "transitions", x, [C, C]);
      transitions = lastingData(x);
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
    const where = this.#at("spanProbability"), { offsets } = this.#sequences;
    checkInteger(where, "item", item, 0, this.batch - 1);
    checkInteger(where, "from", from, 0, offsets[item + 1] - offsets[item] - 1);
    checkInteger(where, "labels.length", labels.length, 1, offsets[item + 1] - offsets[item] - from);
    for (let k = 0; k < labels.length; k++) checkInteger(where, `labels[${k}]`, labels[k], 0, this.labels - 1);
    return spanProbability(this.#conditionals("spanProbability"), this.model.states, item, offsets[item] + from, labels);
  }

  /** The sequence with the most labels expected to be right: the label with the largest marginal in each row. With `constrained` it also is a possible sequence. */
  minimumBayesRisk(options: { readonly constrained?: boolean } = {}): Tensor<"int32"> {
    const sums = this.#run({ marginals: true });
    this.#checkSupport("minimumBayesRisk", sums.logPartition);
    const C = this.labels, unary = unaryByLabel(this.model, sums.marginals!);
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
    return runSteps(this.#massOf("massOf", language));
  }

  /** `massOf` with pauses between sequences: the same bits. Rejects with the reason of `signal`. */
  async massOfAsync(language: Automaton, options: LongWorkOptions = {}): Promise<Float64Array> {
    return runStepsAsync(this.#massOf("massOfAsync", language), options);
  }

  *#massOf(method: string, language: Automaton): Steps<Float64Array> {
    const { transitions, start, end, constraint, ngrams } = this.model, C = this.labels, where = this.#at(method);
    if (language.labels !== C) throw rangeError(where, "language", `over ${C} labels`, `one over ${language.labels}`);
    if (this.#transitions) throw rangeError(where, "language", "with transitions that are the same in each row", "a chain of LinearChain.varying");
    const total = this.logPartition();
    this.#checkSupport(method, total);
    yield 0;
    const model = new ChainModel(where, { data: transitions, shape: [C, C] }, C, { start, end, constraint: constraint === undefined ? language : intersect(constraint, language), ...(ngrams && { ngrams }) });
    try {
      const mass = new Float64Array(this.batch), { rows } = this.#sequences;
      for (const [b, from, to] of this.#sequences.items()) {
        mass[b] = Math.min(1, exp(new LinearChain(model, { data: rows.subarray(from * C, to * C), shape: [to - from, C] }).logPartition()[0] - total[b]));
        yield (b + 1) / this.batch;
      }
      return mass;
    } finally {
      model.dispose();
    }
  }

  /** logProb with its gradients: the indicator of the labels less the marginals, times `upstream` [B] (default 1). */
  logProbWithGrad(labels: TensorLike, options: { readonly upstream?: TensorLike } = {}): { readonly value: Float64Array; readonly grads: ChainGradients } & { readonly grads: Record<string, Tensor<"float32">> } {
    const y = this.#sequences.read(this.#at("logProbWithGrad"), "labels", labels);
    const upstream = this.#upstream("logProbWithGrad", options.upstream);
    // The pass that gives the marginals gives log Z too: it goes before whatever asks for that alone.
    const gradients = this.#gradients("logProbWithGrad", upstream.map((u) => -u)), value = this.logProb(labels);
    gradients.addLabels(y, upstream);
    return { value, grads: gradients.tensors() };
  }

  /** logPartition with its gradients: the marginals, times `upstream` [B] (default 1). */
  logPartitionWithGrad(options: { readonly upstream?: TensorLike } = {}): { readonly value: Float64Array; readonly grads: ChainGradients } {
    const upstream = this.#upstream("logPartitionWithGrad", options.upstream);
    const gradients = this.#gradients("logPartitionWithGrad", upstream);
    return { value: this.logPartition(), grads: gradients.tensors() };
  }

  /** logProbOfAny with its gradients: marginals among the allowed less marginals, times `upstream` [B] (default 1). */
  logProbOfAnyWithGrad(allowed: TensorLike, options: { readonly upstream?: TensorLike } = {}): { readonly value: Float64Array; readonly grads: ChainGradients } {
    const where = "logProbOfAnyWithGrad", upstream = this.#upstream(where, options.upstream);
    const masked = this.#masked(where, allowed), own = this.#gradients(where, upstream.map((u) => -u)), among = masked.#gradients(where, upstream);
    const logZ = this.logPartition(), value = masked.logPartition().map((z, b) => Math.min(0, z - logZ[b]));
    own.add(among);
    return { value, grads: own.tensors() };
  }

  #upstream(where: string, given: TensorLike | undefined): Float64Array {
    if (given === undefined) return new Float64Array(this.batch).fill(1);
    const x = asFloat32(this.#at(where), "upstream", given);
    if (x.size !== this.batch) throw rangeError(this.#at(where), "upstream", `of shape [${this.batch}]`, `[${x.shape.join(", ")}]`);
    return Float64Array.from(x.data);
  }

  /** sum_b weights[b] times the gradient of log Z of item b, in float64. */
  #gradients(where: string, weights: Float64Array): GradientSums {
    const sums = this.#run({ marginals: true, pairs: this.#transitions ? "rows" : "counts" });
    this.#checkSupport(where, sums.logPartition);
    return new GradientSums(this.model, this.#sequences, this.#transitions !== undefined, sums, unaryByLabel(this.model, sums.marginals!), weights);
  }

  /** The same distribution, where only allowed labels are possible. */
  #masked(where: string, allowed: TensorLike): LinearChain {
    const C = this.labels, mask = asMask(this.#at(where), "allowed", allowed);
    const of = this.#sequences.readFloats(this.#at(where), "allowed", { data: Float32Array.from(mask.data), shape: mask.shape }, [C]);
    const rows = this.#sequences.rows.map((v, k) => (of[k] === 1 ? v : -Infinity));
    const masked = new LinearChain(this.model, { data: rows, shape: [this.#sequences.count, C] }, { offsets: this.#sequences.offsets, ...(this.#transitions && { transitions: { data: this.#transitions, shape: [this.#sequences.count, C, C] } }) });
    masked.#caller = this.#caller;
    masked.#argument = this.#caller?.allowed ?? "allowed";
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

  /** Totals of the kernels, in place: they know states after a label; the sequence without one is for the constraint to allow. */
  #withoutRows(totals: Float64Array): Float64Array {
    if (!acceptsNothing(this.model.constraint)) this.#sequences.each((b, from, to) => (from === to ? (totals[b] = -Infinity) : 0));
    return totals;
  }

  #rows(from: number, to: number): StateRows {
    return stateRows(this.model.states, this.#emissions, this.#transitions, from, to);
  }

  #scoresOf(y: Int32Array): Float64Array {
    const scores = this.#scores();
    return this.#sequences.each((_, from, to) => scoreOf(this.model, scores, y, from, to));
  }

  #scores(): ChainScores {
    const { transitions, start, end, ngrams } = this.model;
    return { emissions: this.#sequences.rows, transitions: this.#transitions ? undefined : transitions, start, end, varying: this.#transitions, ngrams };
  }

  #expected(scores: ChainScores): Float64Array {
    const pairs = pairsFor(scores, this.#transitions !== undefined);
    return expectedScores(this.model, this.#sequences, this.#run({ marginals: true, ...(pairs && { pairs }) }), pairs, scores);
  }

  /** Of queries that an item without a possible sequence does not stop. */
  #checkNumbers(method: string): void {
    const logZ = this.logPartition();
    if (logZ.some(Number.isNaN)) this.#checkSupport(method, logZ.map((z) => (Number.isNaN(z) ? z : 0)));
  }

  #at(method: string): string {
    return this.#caller?.where ?? `${NAME}.${method}`;
  }

  #item(b: number): number {
    return this.#caller?.items[b] ?? b;
  }

  #noSupport(method: string, b: number): RangeError {
    return rangeError(this.#at(method), this.#argument, "with a label sequence that has a finite score", `none in batch item ${this.#item(b)}`);
  }

  #checkSupport(method: string, totals: Float64Array): void {
    const b = totals.findIndex((z) => !(z > -Infinity));
    if (b < 0) return;
    if (Number.isNaN(totals[b])) throw rangeError(this.#at(method), "emissions", "finite or -Infinity", `NaN or +Infinity in batch item ${this.#item(b)}`);
    throw this.#noSupport(method, b);
  }

  #checkSame(method: string, other: LinearChain): void {
    if (other.labels !== this.labels || other.#sequences.offsets.join() !== this.#sequences.offsets.join()) throw rangeError(this.#at(method), "other", `over ${this.labels} labels and sequences of the same lengths`, `one over ${other.labels} labels`);
    if (other.model.ngrams !== undefined && other.model.ngrams !== this.model.ngrams) throw rangeError(this.#at(method), "other", "without n-grams or with the same ones", "one with other n-grams");
    if (other.model.constraint !== undefined && other.model.constraint !== this.model.constraint) throw rangeError(this.#at(method), "other", "without a constraint or with the same one", "one with another constraint");
  }

  /** How likely each state is, and each state before a given one: what sampling and spans need. */
  #conditionals(method: string): Conditionals {
    const sums = this.#run({ marginals: true });
    this.#checkSupport(method, sums.logPartition);
    const { states } = this.model, { offsets, count } = this.#sequences;
    this.#filtered ??= chainForwardBackward(states.chain, { data: this.#emissions, shape: [count, states.labelOf.length] }, { ...this.#rowOptions(), filtered: true }).filtered!;
    return conditionalsOf(states, sums, this.#filtered, offsets, (b) => this.#rows(offsets[b], offsets[b + 1]));
  }

  static {
    within = (caller, model, emissions, options) => {
      const chain = new LinearChain(model, emissions, options);
      chain.#caller = caller;
      return chain;
    };
  }
}

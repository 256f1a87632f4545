import { log } from "@logits/statistics";
import {
  Tensor, asFloat32, asInt32, checkInteger, checkProbabilities, checkShape, rangeError, readJson, runSteps, runStepsAsync, tensorToJSON, type LongWorkOptions, type RandomSource, type Steps, type TensorJSON, type TensorLike,
} from "@logits/tensor";
import { ChainModel } from "../chainModel.ts";
import { LinearChain } from "../linearChain.ts";
import { Sequences, type SequenceOptions } from "../sequences.ts";
import { baumWelch, type BaumWelchOptimum } from "./baumWelch.ts";
import type { HiddenMarkovParameters, Observed } from "./expectedCounts.ts";

const FORMAT = "logits/hidden-markov-model", NAME = "HiddenMarkovModel";

/** What every fit of a hidden Markov model takes. */
export interface HiddenMarkovFitOptions extends SequenceOptions {
  /** Added to every count, 0 or more; of `fit`, to those that the start has above 0. Default 0: maximum likelihood. */
  readonly smoothing?: number;
}

/** When expectation-maximisation stops. */
export interface BaumWelchOptions extends HiddenMarkovFitOptions {
  /** Stops when an iteration gains no more than this, in nats a row. Default 1e-7. */
  readonly tolerance?: number;
  /** Default 1000. */
  readonly maxIterations?: number;
}

/** Where expectation-maximisation starts. */
export interface HiddenMarkovStart {
  /** Starts here: parameters that are 0 stay 0. */
  readonly from?: HiddenMarkovModel;
  /** Draws starts: states that stay more often than not, symbols about as often as they are. A fit may still end at a saddle or a poor maximum: ask for several. */
  readonly random?: RandomSource;
  /** How many starts to draw; the best fit is kept. Default 1. */
  readonly restarts?: number;
}

/** What `HiddenMarkovModel` writes as JSON. */
export interface HiddenMarkovModelJSON {
  readonly format: "logits/hidden-markov-model";
  readonly version: 1;
  readonly initial: TensorJSON;
  readonly transitions: TensorJSON;
  readonly emissions: TensorJSON;
  readonly n: number;
  readonly objective: readonly number[];
}

/**
 * A hidden Markov model: states that follow one another with fixed probabilities, each giving one observation. What it says about observations is a `LinearChain`.
 *
 *   P(y, o) = initial[y_0] emissions[y_0, o_0] product_(t > 0) transitions[y_(t-1), y_t] emissions[y_t, o_t]
 *
 * Observations are symbols, or rows of log-likelihoods log p(o_t | state) that come from elsewhere (Gaussians, a network): then `emissions` is empty.
 * Which state is which is arbitrary: a fit without known states may number them in any order.
 *
 * Source: Rabiner, "A tutorial on hidden Markov models and selected applications in speech recognition", Proceedings of the IEEE 77 (1989); Baum, Petrie, Soules, Weiss, Annals of Mathematical Statistics 41 (1970).
 */
export class HiddenMarkovModel {
  /** C. */
  readonly states: number;
  /** V; 0 where log-likelihoods are given. */
  readonly symbols: number;
  /** float32 [C]. */
  readonly initial: Tensor<"float32">;
  /** float32 [C, C], [from, to]. */
  readonly transitions: Tensor<"float32">;
  /** float32 [C, V]. */
  readonly emissions: Tensor<"float32">;
  /** Rows of the fit; 0 without one. */
  readonly n: number;
  /** The log-likelihood of the rows of the fit (with `smoothing`, plus smoothing times the sum of the logarithms of the parameters): at the start, and after every iteration. Of `fitSupervised`: one number, of observations and states together. */
  readonly objective: readonly number[];
  #model: ChainModel | undefined;
  #scores: Float32Array | undefined;

  private constructor(where: string, fields: { initial: Tensor<"float32">; transitions: Tensor<"float32">; emissions: Tensor<"float32">; n: number; objective: readonly number[] }) {
    this.states = fields.initial.size;
    this.symbols = fields.emissions.size / Math.max(1, this.states);
    this.initial = fields.initial;
    this.transitions = fields.transitions;
    this.emissions = fields.emissions;
    this.n = fields.n;
    this.objective = Object.freeze([...fields.objective]);
    const C = this.states;
    if (C === 0) throw rangeError(where, "initial", "of at least one state", "shape [0]");
    checkShape(where, "transitions", this.transitions, [C, C]);
    checkShape(where, "emissions", this.emissions, [C, "V"]);
    checkProbabilities(where, "initial", this.initial, C);
    checkProbabilities(where, "transitions", this.transitions, C);
    if (this.symbols > 0) checkProbabilities(where, "emissions", this.emissions, this.symbols);
    Object.freeze(this);
  }

  /** Iterations of the fit. */
  get iterations(): number {
    return this.objective.length - (this.objective.length > 0 ? 1 : 0);
  }

  /** What the last iteration gained, in nats a row: at most the tolerance. 0 without iterations. */
  get gain(): number {
    return this.iterations === 0 ? 0 : (this.objective[this.iterations] - this.objective[this.iterations - 1]) / this.n;
  }

  /**
   * A model whose probabilities are known.
   *
   * @param parameters - `initial` float32 [C], `transitions` float32 [C, C], `emissions` float32 [C, V] (none: log-likelihoods are given); rows sum to 1
   * @throws RangeError for another shape, or rows that are no probabilities
   */
  static of(parameters: { readonly initial: TensorLike; readonly transitions: TensorLike; readonly emissions?: TensorLike }): HiddenMarkovModel {
    const where = `${NAME}.of`, copy = (name: string, given: TensorLike): Tensor<"float32"> => { const x = asFloat32(where, name, given); return new Tensor("float32", [...x.shape], x.data.slice()); };
    const initial = copy("initial", parameters.initial);
    return new HiddenMarkovModel(where, {
      initial, transitions: copy("transitions", parameters.transitions), emissions: parameters.emissions === undefined ? new Tensor("float32", [initial.size, 0], new Float32Array(0)) : copy("emissions", parameters.emissions), n: 0, objective: [],
    });
  }

  /**
   * Fits all parameters to symbols whose states are not known, by Baum and Welch's expectation-maximisation: every iteration raises the likelihood, to a local maximum.
   *
   * @param observations - int32 [T], [B, T] with `lengths`, or [N] with `offsets`; symbols in [0, V), -1 = not observed
   * @param options - `states` C, `symbols` V; `from` or `random` with `restarts`; `smoothing`, `tolerance`, `maxIterations`; `lengths` or `offsets`
   * @returns the fitted object. A state that the data never need keeps the row that it had; a parameter of 0 in `from` stays 0
   * @throws RangeError for no rows, another shape, a symbol outside [-1, V), a sequence that `from` gives probability 0, neither `from` nor `random`; ConvergenceError after `maxIterations`
   * @example
   *   HiddenMarkovModel.fit(rolls, { states: 2, symbols: 6, random: randomSource(1, 0), restarts: 5 });
   */
  static fit(observations: TensorLike, options: BaumWelchOptions & HiddenMarkovStart & { readonly states: number; readonly symbols: number }): HiddenMarkovModel {
    return runSteps(fitSteps(`${NAME}.fit`, observations, options, HiddenMarkovModel.#fromOptimum));
  }

  /** `fit` with pauses at least every 16 ms: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(observations: TensorLike, options: BaumWelchOptions & HiddenMarkovStart & LongWorkOptions & { readonly states: number; readonly symbols: number }): Promise<HiddenMarkovModel> {
    return runStepsAsync(fitSteps(`${NAME}.fitAsync`, observations, options, HiddenMarkovModel.#fromOptimum), options);
  }

  /**
   * Fits `initial` and `transitions` where the log-likelihoods of what was observed are given for each state: of Gaussians, of a network, of anything.
   *
   * @param logLikelihoods - float32 [T, C], [B, T, C] with `lengths`, or [N, C] with `offsets`: log p(o_t | state), up to a constant a row; -Infinity = impossible, zeros = not observed
   * @param options - `from` (default: all probabilities equal); `smoothing`, `tolerance`, `maxIterations`; `lengths` or `offsets`
   * @throws RangeError as `fit`, and for NaN or +Infinity (its row is named); ConvergenceError after `maxIterations`
   */
  static fitTransitions(logLikelihoods: TensorLike, options: BaumWelchOptions & Pick<HiddenMarkovStart, "from"> = {}): HiddenMarkovModel {
    return runSteps(HiddenMarkovModel.#transitionSteps(`${NAME}.fitTransitions`, logLikelihoods, options));
  }

  /** `fitTransitions` with pauses, at least every 16 ms: the same bits. Rejects with the reason of `signal`. */
  static async fitTransitionsAsync(logLikelihoods: TensorLike, options: BaumWelchOptions & Pick<HiddenMarkovStart, "from"> & LongWorkOptions = {}): Promise<HiddenMarkovModel> {
    const { signal, onProgress } = options;
    return runStepsAsync(HiddenMarkovModel.#transitionSteps(`${NAME}.fitTransitionsAsync`, logLikelihoods, options), { ...(signal && { signal }), ...(onProgress && { onProgress }) });
  }

  static *#transitionSteps(where: string, logLikelihoods: TensorLike, options: BaumWelchOptions & Pick<HiddenMarkovStart, "from">): Steps<HiddenMarkovModel> {
    const sequences = new Sequences(where, logLikelihoods, options.from?.states, options), C = sequences.width, { rows, offsets } = sequences;
    const bad = rows.findIndex((v) => !(v < Infinity));
    if (bad >= 0) throw rangeError(where, "logLikelihoods", "finite or -Infinity", `${rows[bad]} in row ${Math.floor(bad / C)}`);
    const settings = checkedSettings(where, options, sequences.count);
    if (options.from && options.from.symbols > 0) throw rangeError(where, "from", "a model of given log-likelihoods", `one of ${options.from.symbols} symbols`);
    const start = options.from ? parametersOf(options.from) : { initial: new Float64Array(C).fill(1 / C), transitions: new Float64Array(C * C).fill(1 / C), emissions: new Float64Array(0) };
    return HiddenMarkovModel.#fromOptimum(where, yield* baumWelch(where, start, { offsets, symbols: undefined, scores: rows }, settings), sequences.count);
  }

  /**
   * Fits all parameters to symbols whose states are known: shares of counts.
   *
   * @param observations - int32, as of `fit`
   * @param labels - int32, the same shape: the state of each row, in [0, C)
   * @param options - `states` C, `symbols` V; `smoothing` (default 0); `lengths` or `offsets`
   * @throws RangeError for no rows, another shape, a symbol or state out of range; without smoothing also where a state has no transition or no symbol to count: it is named
   */
  static fitSupervised(observations: TensorLike, labels: TensorLike, options: HiddenMarkovFitOptions & { readonly states: number; readonly symbols: number }): HiddenMarkovModel {
    const where = `${NAME}.fitSupervised`, { states: C, symbols: V } = options;
    checkInteger(where, "states", C, 1, 0x7fff);
    checkInteger(where, "symbols", V, 1, 0xffffff);
    const seen = observed(where, observations, options, V), known = observed(where, labels, options, C, "labels", 0);
    if (seen.rows.length !== known.rows.length || seen.sequences.shape.join() !== known.sequences.shape.join()) throw rangeError(where, "labels", "in the shape of the observations", `[${known.sequences.shape.slice().join(", ")}]`);
    const { smoothing } = checkedSettings(where, options, seen.rows.length);
    const counts = { initial: new Float64Array(C), transitions: new Float64Array(C * C), emissions: new Float64Array(C * V) }, { offsets } = seen.sequences;
    for (let b = 0; b + 1 < offsets.length; b++) {
      for (let t = offsets[b]; t < offsets[b + 1]; t++) {
        const y = known.rows[t];
        if (t === offsets[b]) counts.initial[y]++;
        else counts.transitions[known.rows[t - 1] * C + y]++;
        if (seen.rows[t] >= 0) counts.emissions[y * V + seen.rows[t]]++;
      }
    }
    let total = 0;
    const shares = (name: keyof typeof counts, rows: number): Float64Array => {
      const width = counts[name].length / rows, out = new Float64Array(counts[name].length);
      for (let r = 0; r < rows; r++) {
        const row = counts[name].subarray(r * width, (r + 1) * width), sum = row.reduce((a, v) => a + v + smoothing, 0);
        if (sum === 0) throw rangeError(where, "labels", `with ${name === "transitions" ? "a row after one of" : "a symbol in"} every state`, `none of state ${r}`, "Pass smoothing above 0");
        row.forEach((v, k) => {
          const p = (out[r * width + k] = (v + smoothing) / sum);
          if (v + smoothing > 0) total += (v + smoothing) * log(p);
        });
      }
      return out;
    };
    const parameters = { initial: shares("initial", 1), transitions: shares("transitions", C), emissions: shares("emissions", C) };
    return HiddenMarkovModel.#fromOptimum(where, { parameters, logLikelihood: total, objective: [total] }, seen.rows.length);
  }

  static #fromOptimum(this: void, where: string, { parameters, objective }: BaumWelchOptimum, n: number): HiddenMarkovModel {
    const C = parameters.initial.length, of = (shape: number[], x: Float64Array): Tensor<"float32"> => new Tensor("float32", shape, Float32Array.from(x));
    return new HiddenMarkovModel(where, { initial: of([C], parameters.initial), transitions: of([C, C], parameters.transitions), emissions: of([C, parameters.emissions.length / C], parameters.emissions), n, objective });
  }

  /** The chain of the states: logarithms of `initial` and `transitions`. Made at the first call; `dispose()` gives its memory back. */
  get model(): ChainModel {
    return (this.#model ??= LinearChain.compile(new Tensor("float32", this.transitions.shape, logarithms(this.transitions.data)), { start: logarithms(this.initial.data) }));
  }

  /** Gives the memory of `model` back; it is made anew when it is asked for again. */
  dispose(): void {
    this.#model?.dispose();
    this.#model = undefined;
  }

  /**
   * log P(o_t | state) of symbols: what `given` and streams such as `ChainFilter` take.
   *
   * @param observations - int32 [...]; symbols in [0, V), -1 = not observed: zeros
   * @returns float32 [..., C]
   * @throws RangeError for a symbol outside [-1, V), or where log-likelihoods are given
   */
  emissionScores(observations: TensorLike): Tensor<"float32"> {
    const where = `${NAME}.emissionScores`, x = asInt32(where, "observations", observations);
    if (this.symbols === 0) throw rangeError(where, "this", "a model of symbols", "one of given log-likelihoods", "They are the scores");
    const bad = x.data.findIndex((v) => !(v >= -1 && v < this.symbols));
    if (bad >= 0) throw symbolError(where, "observations", -1, this.symbols, x.data[bad], bad);
    return this.#scoresOf(x);
  }

  #scoresOf(x: Tensor<"int32">): Tensor<"float32"> {
    const C = this.states, V = this.symbols, out = new Float32Array(x.size * C);
    const table = (this.#scores ??= logarithms(this.emissions.data));
    for (let t = 0; t < x.size; t++) {
      const v = x.data[t];
      if (v >= 0 && v < V) for (let c = 0; c < C; c++) out[t * C + c] = table[c * V + v];
    }
    return new Tensor("float32", [...x.shape, C], out);
  }

  /**
   * The distribution of the states given what was observed: `logPartition` is the log-likelihood, `argmax` the best states, `marginals` their probabilities.
   *
   * @param observations - int32 as of `fit`, or float32 log-likelihoods as of `fitTransitions`
   * @param options - `lengths` or `offsets`
   * @throws RangeError for another shape, a symbol outside [-1, V)
   */
  given(observations: TensorLike, options: SequenceOptions = {}): LinearChain {
    if (this.symbols === 0) return new LinearChain(this.model, observations, options);
    const { x } = observed(`${NAME}.given`, observations, options, this.symbols);
    return new LinearChain(this.model, this.#scoresOf(x), options);
  }

  /**
   * Draws states and, where the model has them, symbols.
   *
   * @returns `labels` int32 [T]; `observations` int32 [T], -1 where log-likelihoods are given
   */
  sample(random: RandomSource, length: number): { readonly labels: Tensor<"int32">; readonly observations: Tensor<"int32"> } {
    checkInteger(`${NAME}.sample`, "length", length, 0, 0x7fffffff);
    const C = this.states, V = this.symbols, labels = new Int32Array(length), observations = new Int32Array(length).fill(-1);
    const draw = (p: Float32Array): number => {
      let u = random.uniform() * p.reduce((a, v) => a + v, 0), chosen = -1;
      for (let k = 0; k < p.length && u >= 0; k++) {
        if (p[k] > 0) {
          chosen = k;
          u -= p[k];
        }
      }
      return chosen;
    };
    for (let t = 0; t < length; t++) {
      labels[t] = draw(t === 0 ? this.initial.data : this.transitions.data.subarray(labels[t - 1] * C, (labels[t - 1] + 1) * C));
      if (V > 0) observations[t] = draw(this.emissions.data.subarray(labels[t] * V, (labels[t] + 1) * V));
    }
    return { labels: new Tensor("int32", [length], labels), observations: new Tensor("int32", [length], observations) };
  }

  toJSON(): HiddenMarkovModelJSON {
    return { format: FORMAT, version: 1, initial: tensorToJSON(this.initial), transitions: tensorToJSON(this.transitions), emissions: tensorToJSON(this.emissions), n: this.n, objective: [...this.objective] };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): HiddenMarkovModel {
    const where = `${NAME}.fromJSON`, fields = readJson(where, json, FORMAT, 1, "@logits/structured-prediction");
    const initial = fields.tensor("initial", "float32", 1), transitions = fields.tensor("transitions", "float32", 2), emissions = fields.tensor("emissions", "float32", 2), C = initial.size;
    for (const [name, x, width] of [["initial", initial, C], ["transitions", transitions, C], ["emissions", emissions, emissions.shape[1]]] as const) {
      if (x.size !== (name === "initial" ? 1 : C) * width || C === 0) fields.fail(name, `of ${C} states`, `shape [${x.shape.join(", ")}]`);
      for (let row = 0; row < (width > 0 ? x.size / width : 0); row++) {
        const p = x.data.subarray(row * width, (row + 1) * width);
        if (!(p.every((v) => v >= 0) && Math.abs(p.reduce((a, v) => a + v, 0) - 1) <= 0.01)) fields.fail(name, "of probabilities", `another row ${row}`);
      }
    }
    const objective = fields.value("objective");
    if (!Array.isArray(objective) || !objective.every((v) => typeof v === "number" && Number.isFinite(v))) return fields.fail("objective", "a list of finite numbers", "something else");
    return new HiddenMarkovModel(where, { initial, transitions, emissions, n: fields.integer("n", 0, Number.MAX_SAFE_INTEGER), objective: objective as number[] });
  }
}

function* fitSteps(where: string, observations: TensorLike, options: BaumWelchOptions & HiddenMarkovStart & { readonly states: number; readonly symbols: number }, made: (where: string, optimum: BaumWelchOptimum, n: number) => HiddenMarkovModel): Steps<HiddenMarkovModel> {
  const { states: C, symbols: V, from, random, restarts = 1 } = options;
  checkInteger(where, "states", C, 1, 0x7fff);
  checkInteger(where, "symbols", V, 1, 0xffffff);
  checkInteger(where, "restarts", restarts, 1, 0x7fffffff);
  const { rows, sequences } = observed(where, observations, options, V), settings = checkedSettings(where, options, rows.length);
  if (!from === !random) throw rangeError(where, "options", "with either `from` or `random`", from ? "both" : "neither");
  if (from && (from.states !== C || from.symbols !== V)) throw rangeError(where, "from", `of ${C} states and ${V} symbols`, `one of ${from.states} and ${from.symbols}`);
  const data: Observed = { offsets: sequences.offsets, symbols: rows, scores: undefined };
  let best: BaumWelchOptimum | undefined;
  for (let n = 0; n < (from ? 1 : restarts); n++) {
    const steps = baumWelch(where, from ? parametersOf(from) : drawn(random!, rows, C, V), data, settings);
    let step = steps.next();
    for (; !step.done; step = steps.next()) yield (n + step.value) / (from ? 1 : restarts);
    const found = step.value;
    if (!best || found.objective[found.objective.length - 1] > best.objective[best.objective.length - 1]) best = found;
  }
  return made(where, best!, rows.length);
}

function checkedSettings(where: string, { smoothing = 0, tolerance = 1e-7, maxIterations = 1000 }: BaumWelchOptions, rows: number): { smoothing: number; tolerance: number; maxIterations: number } {
  if (rows === 0) throw rangeError(where, "observations", "with at least one row", "none");
  if (!(smoothing >= 0 && smoothing < Infinity)) throw rangeError(where, "smoothing", "a finite number from 0 up", `${smoothing}`);
  if (!(tolerance >= 0 && tolerance < Infinity)) throw rangeError(where, "tolerance", "a finite number from 0 up", `${tolerance}`);
  checkInteger(where, "maxIterations", maxIterations, 1, 0x7fffffff);
  return { smoothing, tolerance, maxIterations };
}

/** Symbols in the shape that came, and their rows without padding, checked. */
function observed(where: string, given: TensorLike, options: SequenceOptions, symbols: number, argument = "observations", least = -1): { x: Tensor<"int32">; rows: Int32Array; sequences: Sequences } {
  const x = asInt32(where, argument, given), rank = x.shape.length, want = options.offsets !== undefined ? 1 : options.lengths !== undefined ? 2 : rank;
  if ((rank !== 1 && rank !== 2) || rank !== want) throw rangeError(where, argument, options.offsets !== undefined ? "of shape [N] with offsets" : options.lengths !== undefined ? "of shape [B, T] with lengths" : "of shape [T] or [B, T]", `[${x.shape.join(", ")}]`);
  const sequences = new Sequences(where, new Tensor("float32", [...x.shape, 1], Float32Array.from(x.data)), 1, { ...(options.lengths !== undefined && { lengths: options.lengths }), ...(options.offsets !== undefined && { offsets: options.offsets }) });
  const bad = sequences.rows.findIndex((v) => !(v >= least && v < symbols));
  if (bad >= 0) throw symbolError(where, argument, least, symbols, sequences.rows[bad], bad);
  return { x, rows: Int32Array.from(sequences.rows), sequences };
}

function symbolError(where: string, argument: string, least: number, symbols: number, got: number, row: number): RangeError {
  return rangeError(where, argument, `in [${least}, ${symbols})`, `${got} in row ${row}`);
}

function logarithms(x: Float32Array): Float32Array {
  return x.map((p) => log(p));
}

/** float32 probabilities as float64, rows summing to 1. */
function parametersOf(model: HiddenMarkovModel): HiddenMarkovParameters {
  const rows = (x: Float32Array, width: number): Float64Array => normalised(Float64Array.from(x), width);
  return { initial: rows(model.initial.data, model.states), transitions: rows(model.transitions.data, model.states), emissions: rows(model.emissions.data, model.symbols) };
}

/** Initial states uniform on the simplex; transitions too, half of them replaced by staying (without that, many starts end at the saddle where all states are alike); symbols about as often as they are, in proportions that differ by state. */
function drawn(random: RandomSource, rows: Int32Array, C: number, V: number): HiddenMarkovParameters {
  const often = new Float64Array(V).fill(1);
  for (const v of rows) if (v >= 0) often[v]++;
  const exponentials = (n: number): Float64Array => Float64Array.from({ length: n }, () => -log(random.uniform()));
  const transitions = normalised(exponentials(C * C), C).map((p, k) => (p + (k % (C + 1) === 0 ? 1 : 0)) / 2);
  return { initial: normalised(exponentials(C), C), transitions, emissions: normalised(exponentials(C * V).map((v, k) => v * often[k % V]), V) };
}

function normalised(x: Float64Array, width: number): Float64Array {
  for (let at = 0; at < x.length; at += width) {
    let sum = 0;
    for (let k = at; k < at + width; k++) sum += x[k];
    for (let k = at; k < at + width; k++) x[k] /= sum;
  }
  return x;
}

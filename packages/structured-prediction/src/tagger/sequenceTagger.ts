import { chainForwardBackward, chainViterbi } from "@logits/core-wasm/chains";
import { Tensor, describe, message, rangeError, runSteps, runStepsAsync, typeError, type Steps } from "@logits/tensor";
import type { ChainModel } from "../chainModel.ts";
import { LinearChain } from "../linearChain.ts";
import { AttributeScores } from "./attributeScores.ts";
import type { Columns, LabelledSentence } from "./conll.ts";
import { readCrfSuite } from "./crfsuite.ts";
import type { FeatureFunction, Features } from "./dataset.ts";
import { DEFAULT_TEMPLATES } from "./defaultTemplates.ts";
import { GivenScores } from "./givenScores.ts";
import { ModelFile, writeModel } from "./modelFile.ts";
import { FeatureTemplates } from "./templates.ts";
import { train, type TaggerProgress, type TrainingOptions, type TrainingSummary } from "./training.ts";

/** Options of `SequenceTagger.fit`. */
export interface TaggerOptions extends TrainingOptions {
  /** Templates as text or parsed, or a function. Default `DEFAULT_TEMPLATES`. */
  readonly features?: string | FeatureTemplates | FeatureFunction;
  /** Stops the fit; it throws the signal's reason. */
  readonly signal?: AbortSignal;
  /** Called after each step. */
  readonly onProgress?: (progress: TaggerProgress) => void;
}

/** Where the attributes of a model come from that does not hold templates. */
export interface ReadOptions {
  /** As in `fit`. A model with templates of its own takes none. */
  readonly features?: string | FeatureTemplates | FeatureFunction;
}

/** A sequence of labels with its score. */
export interface TaggedSequence {
  readonly labels: readonly string[];
  readonly score: number;
}

const NAME = "SequenceTagger";

/** The constructor, for `fitSteps`. */
let make: (file: ModelFile, features: Features, training: TrainingSummary) => SequenceTagger;

/**
 * A trained tagger: a linear-chain CRF, or a perceptron over the same chain, whose emissions are sums of weights of sparse attributes.
 *
 *   score(y | x) = start[y_0] + sum_t sum_(a of token t) w[a, y_t] + sum_(t > 0) transitions[y_(t-1), y_t] + end[y_(T-1)]
 *
 * Tokens are words, or the columns of each; templates or a function make their attributes. An attribute that training has not seen adds nothing. A sentence without
 * tokens has no labels. Lives on the bytes of its model, and its transitions in WebAssembly memory, which `dispose()` gives back.
 *
 * Source: Lafferty, McCallum, Pereira, "Conditional random fields", ICML 2001; Sha and Pereira, "Shallow parsing with conditional random fields", NAACL 2003; Collins, EMNLP 2002.
 */
export class SequenceTagger {
  /** C names, in the order in which training met them. */
  readonly labels: readonly string[];
  /** Whether the scores are those of a distribution: `crf`; those of a `perceptron` rank labels, and its marginals are no probabilities to rely on. */
  readonly kind: "crf" | "perceptron";
  /** Where attributes come from. */
  readonly features: FeatureTemplates | FeatureFunction;
  /** How the fit ended; undefined where the tagger was read. */
  readonly training: TrainingSummary | undefined;
  readonly #file: ModelFile;
  readonly #model: ChainModel;
  readonly #ids: ReadonlyMap<string, number>;
  readonly #scores: AttributeScores | GivenScores;

  private constructor(file: ModelFile, features: Features, training: TrainingSummary | undefined) {
    this.#file = file;
    this.labels = file.labels;
    this.kind = file.kind;
    this.features = features;
    this.training = training;
    const C = file.labels.length;
    this.#model = LinearChain.compile({ data: file.transitions, shape: [C, C] }, { start: file.start, end: file.end });
    this.#ids = new Map(file.labels.map((name, y) => [name, y]));
    this.#scores = features instanceof FeatureTemplates ? new AttributeScores(file, features) : new GivenScores(file, features);
    Object.freeze(this);
  }

  /**
   * Learns from labelled sentences.
   *
   *   minimise -sum_n log p(y_n | x_n) + l1 sum |w| + l2 sum w^2 / 2
   *
   * @param sentences - tokens with labels, B of them; one without tokens counts nothing
   * @param options - `features`, `method`, `l1`, `l2`, `minCount`, `pairs`, `maxIterations`, `tolerance`, `epochs`, `seed`, `signal`, `onProgress`
   * @returns a tagger; its `training` says how the fit ended
   * @throws RangeError without a token, with fewer than two labels, a sentence with another number of labels than of tokens, an option out of range or of another method; FormatError for templates that are none
   * @example
   *   SequenceTagger.fit([{ tokens: ["the", "dog"], labels: ["DET", "NOUN"] }]).tag(["the", "cat"]);
   */
  static fit(sentences: readonly LabelledSentence[], options: TaggerOptions = {}): SequenceTagger {
    return runSteps(fitSteps(`${NAME}.fit`, sentences, options));
  }

  /** `fit` with pauses, at least every 16 ms where vectors are short: the same bits. Rejects with the reason of `signal`. */
  static async fitAsync(sentences: readonly LabelledSentence[], options: TaggerOptions = {}): Promise<SequenceTagger> {
    return runStepsAsync(fitSteps(`${NAME}.fitAsync`, sentences, options), options.signal ? { signal: options.signal } : {});
  }

  /**
   * A tagger on the bytes of a model: they are read in place and must not change.
   *
   * @param bytes - what `toBytes` wrote; copied only where they do not begin at a multiple of 4
   * @param options - `features`, where the model was fitted with a function
   * @throws FormatError for bytes that are no model, of another version, cut off or changed
   */
  static fromBytes(bytes: Uint8Array, options: ReadOptions = {}): SequenceTagger {
    const where = `${NAME}.fromBytes`, file = new ModelFile(where, bytes);
    if (file.templates === undefined) return new SequenceTagger(file, featuresOf(where, options), undefined);
    if (options.features !== undefined) throw rangeError(where, "features", "only for a model without templates", "a model with templates");
    return new SequenceTagger(file, FeatureTemplates.parse(file.templates), undefined);
  }

  /**
   * A tagger from a model of CRFsuite (first order, as `crfsuite learn` and python-crfsuite write it).
   *
   * @param bytes - the model file
   * @param options - `features`: what makes the attributes that the model was trained on; CRFsuite does not store it. Scaling values of attributes are 1
   * @throws FormatError for bytes that are no such model or are damaged
   * Source: Okazaki, CRFsuite (chokkan.org/software/crfsuite), format "lCRF" version 100.
   */
  static fromCrfSuite(bytes: Uint8Array, options: ReadOptions): SequenceTagger {
    const where = `${NAME}.fromCrfSuite`, features = featuresOf(where, options);
    const { labels, attributes, states, transitions } = readCrfSuite(where, bytes), C = labels.length;
    const matrix = new Float32Array(C * C);
    for (const { from, to, weight } of transitions) matrix[from * C + to] = weight;
    const sorted = [...states].sort((a, b) => a.attribute - b.attribute || a.label - b.label), starts = new Uint32Array(attributes.length + 1);
    for (const { attribute } of sorted) starts[attribute + 1]++;
    for (let a = 0; a < attributes.length; a++) starts[a + 1] += starts[a];
    const written = writeModel({
      templates: features instanceof FeatureTemplates ? features.text : undefined, labels, attributes, start: new Float32Array(C), end: new Float32Array(C), transitions: matrix,
      pairStarts: starts, pairLabels: sorted.map(({ label }) => label), weights: Float32Array.from(sorted, ({ weight }) => weight), kind: "crf",
    });
    return new SequenceTagger(new ModelFile(where, written), features, undefined);
  }

  /** The model as bytes, which `fromBytes` reads. Templates go with it, a function does not. */
  toBytes(): Uint8Array {
    return this.#file.bytes.slice();
  }

  /** The most probable labels, [T]: the smallest of equals, read from the end. */
  tag(tokens: readonly (string | Columns)[]): string[] {
    return this.tagAll([tokens])[0];
  }

  /** `tag` of many sentences in one call. */
  tagAll(sentences: readonly (readonly (string | Columns)[])[]): string[][] {
    const { emissions, offsets } = this.#emissionsOf(`${NAME}.tagAll`, sentences), C = this.labels.length;
    const { states } = chainViterbi(this.#model.states.chain, { data: emissions, shape: [emissions.length / C, C] }, { offsets });
    return sentences.map((_, b) => {
      const names = new Array<string>(offsets[b + 1] - offsets[b]);
      for (let t = 0; t < names.length; t++) names[t] = this.labels[states[offsets[b] + t]];
      return names;
    });
  }

  /** P(y_t = c | x), float32 [T, C], in the order of `labels`. */
  marginals(tokens: readonly (string | Columns)[]): Tensor<"float32"> {
    const emissions = this.emissions(tokens);
    return new Tensor("float32", emissions.shape, chainForwardBackward(this.#model.states.chain, emissions, { marginals: true }).marginals!);
  }

  /** The k best sequences of labels, best first; fewer where there are not so many. */
  topK(tokens: readonly (string | Columns)[], k: number): TaggedSequence[] {
    const { labels, score } = this.distribution(tokens).topK(k), T = tokens.length;
    const count = score.findIndex((s) => s === -Infinity);
    return Array.from({ length: count < 0 ? k : count }, (_, m) => ({ labels: Array.from(labels.data.subarray(m * T, (m + 1) * T), (y) => this.labels[y]), score: score[m] }));
  }

  /** The score of labels, and the log of their probability; both -Infinity with a label that training has not seen. */
  score(tokens: readonly (string | Columns)[], labels: readonly string[]): { readonly score: number; readonly logProb: number } {
    if (labels.length !== tokens.length) throw rangeError(`${NAME}.score`, "labels", `one for each of ${tokens.length} tokens`, `${labels.length}`);
    const y = labels.map((name) => this.#ids.get(name) ?? -1);
    if (y.includes(-1)) return { score: -Infinity, logProb: -Infinity };
    const p = this.distribution(tokens), given = Int32Array.from(y);
    return { score: p.score(given)[0], logProb: p.logProb(given)[0] };
  }

  /** The distribution of the labels, for every other query: samples, entropies, probabilities of spans. */
  distribution(tokens: readonly (string | Columns)[]): LinearChain {
    return new LinearChain(this.#model, this.emissions(tokens));
  }

  /** Sums of the weights of each token's attributes, float32 [T, C]. */
  emissions(tokens: readonly (string | Columns)[]): Tensor<"float32"> {
    const { emissions } = this.#emissionsOf(`${NAME}.emissions`, [tokens]);
    return new Tensor("float32", [tokens.length, this.labels.length], emissions);
  }

  /** What was learned: each attribute with each label that it has a weight with. */
  *weights(): Generator<{ readonly attribute: string; readonly label: string; readonly weight: number }, void, void> {
    const { pairStarts, pairLabels, weights, attributes } = this.#file;
    for (let a = 0; a < attributes; a++) {
      const attribute = this.#file.nameOf(a);
      for (let p = pairStarts[a]; p < pairStarts[a + 1]; p++) yield { attribute, label: this.labels[pairLabels[p]], weight: weights[p] };
    }
  }

  /** The score of a label after another; 0 of labels that training has not seen. */
  transition(from: string, to: string): number {
    const i = this.#ids.get(from), j = this.#ids.get(to);
    return i === undefined || j === undefined ? 0 : this.#file.transitions[i * this.labels.length + j];
  }

  /** Gives the memory back. A second call does nothing. */
  dispose(): void {
    this.#model.dispose();
  }

  #emissionsOf(where: string, sentences: readonly (readonly (string | Columns)[])[]): { emissions: Float32Array; offsets: Int32Array } {
    const C = this.labels.length;
    const offsets = new Int32Array(sentences.length + 1);
    sentences.forEach((tokens, b) => {
      if (!Array.isArray(tokens)) throw new TypeError(message(where, sentences.length === 1 ? "tokens" : `sentences[${b}]`, "an array of tokens", typeof tokens));
      offsets[b + 1] = offsets[b] + tokens.length;
    });
    const emissions = new Float32Array(offsets[sentences.length] * C);
    for (let b = 0; b < sentences.length; b++) this.#scores.write(where, sentences.length === 1 ? "tokens" : `sentences[${b}]`, sentences[b], emissions, offsets[b] * C);
    return { emissions, offsets };
  }

  static {
    make = (file, features, training) => new SequenceTagger(file, features, training);
  }
}

function* fitSteps(where: string, sentences: readonly LabelledSentence[], options: TaggerOptions): Steps<SequenceTagger> {
  const { signal, onProgress } = options, features = options.features === undefined ? FeatureTemplates.parse(DEFAULT_TEMPLATES) : featuresOf(where, options);
  signal?.throwIfAborted();
  const steps = train(where, sentences, features, options, (progress) => onProgress?.(progress));
  let step = steps.next();
  for (; !step.done; step = steps.next()) {
    yield step.value;
    signal?.throwIfAborted();
  }
  const { data: { labels, attributes, pairStarts, pairLabels }, weights, summary } = step.value, C = labels.length, PAIRS = 2 * C + C * C;
  // Weights that are 0 are not stored, nor attributes without another.
  const names: string[] = [], starts: number[] = [0], kept: number[] = [], values: number[] = [];
  for (let a = 0; a < attributes.length; a++) {
    for (let p = pairStarts[a]; p < pairStarts[a + 1]; p++) {
      const w = Math.fround(weights[PAIRS + p]);
      if (w === 0) continue;
      kept.push(pairLabels[p]);
      values.push(w);
    }
    if (kept.length === starts[starts.length - 1]) continue;
    names.push(attributes[a]);
    starts.push(kept.length);
  }
  const bytes = writeModel({
    templates: features instanceof FeatureTemplates ? features.text : undefined, labels, attributes: names,
    start: Float32Array.from(weights.subarray(0, C)), end: Float32Array.from(weights.subarray(C, 2 * C)), transitions: Float32Array.from(weights.subarray(2 * C, PAIRS)),
    pairStarts: starts, pairLabels: kept, weights: Float32Array.from(values), kind: summary.method === "averaged-perceptron" ? "perceptron" : "crf",
  });
  return make(new ModelFile(where, bytes), features, summary);
}

function featuresOf(where: string, { features }: ReadOptions): Features {
  if (typeof features === "string") return FeatureTemplates.parse(features);
  if (features instanceof FeatureTemplates || typeof features === "function") return features;
  throw typeError(where, "features", "templates or a function", describe(features));
}

import { chainViterbi } from "@logits/core-wasm/chains";
import { asFloat32, asInt32, asMask, checkInteger, checkPositive, lastingData, rangeError, Tensor, type TensorLike } from "@logits/tensor";
import { acceptsNothing, type Automaton } from "../automaton.ts";
import { ChainModel } from "../chainModel.ts";
import { LinearChain } from "../linearChain.ts";
import type { Alignment } from "./alignment.ts";
import { checkedBiases, type TransitionBiases } from "./biases.ts";
import { DecodedSpans } from "./decodedSpans.ts";
import { allowed, continues, tagsOf, type SpanScheme, type TagOptions, type Tags } from "./tags.ts";

/** What a decoder knows beside the labels. */
export interface SpanDecoderOptions extends TagOptions {
  /** float32 [C, C], [from, to]: transitions of a trained CRF; what the scheme forbids stays impossible. Default 0. */
  readonly transitions?: TensorLike;
  /** float32 [C]: scores of the first label. Default 0. */
  readonly start?: TensorLike;
  /** float32 [C]: scores of the last label. Default 0. */
  readonly end?: TensorLike;
  /** Scores by kind of transition, added to the transitions. */
  readonly biases?: TransitionBiases;
  /** A further constraint beside the scheme: how many spans, how long, which words. */
  readonly constraint?: Automaton;
  /** What token scores are divided by, > 0: calibration of a classifier that was trained token by token. Default 1. */
  readonly temperature?: number;
}

/** What is known about the tokens of one text. */
export interface DecodeOptions {
  /** Of `alignTokens`: text, offsets, and which tokens stand for text. */
  readonly alignment?: Alignment;
  /** int32 [T, 2]: UTF-16 offsets [start, end) of each token, where there is no alignment. */
  readonly offsets?: TensorLike;
  /** uint8 [T], 1 = takes part. Special tokens and padding do not: their rows are not read, and the chain goes from the token before to the token after. */
  readonly where?: TensorLike;
  /** int32 [T]: the word of each token, not decreasing. Then each word has one label, scored at its first token, and spans hold whole words. */
  readonly words?: TensorLike;
}

const NAME = "SpanDecoder";

/**
 * Turns scores of tokens into spans, with the exact probability of each: the distribution over the label sequences that the tag scheme allows.
 *
 *   p(y) = exp(sum_t logits[t, y_t] / temperature + sum_(t > 0) transitions[y_(t-1), y_t] + biases) / Z   for y of the scheme, else 0
 *
 * Compiled once for many texts. Lives in WebAssembly memory: `dispose()` gives it back.
 *
 * Source: Lafferty, McCallum, Pereira, "Conditional random fields", ICML 2001; the biases: openai/privacy-filter, 2026.
 */
export class SpanDecoder {
  /** Names, in the order of the logits. */
  readonly labels: readonly string[];
  readonly scheme: SpanScheme;
  readonly types: readonly string[];
  readonly temperature: number;
  /** The chain over the labels. */
  readonly model: ChainModel;
  readonly #tags: Tags;
  /** uint8 [C, C]: 1 = a span goes on. */
  readonly #goesOn: Uint8Array;

  /**
   * @param labels - C names: a mark, a hyphen and a type; with scheme IO types alone
   * @param options - `scheme`, `outside` ("O"), `transitions`, `start`, `end`, `biases`, `constraint`, `temperature` (1)
   * @throws RangeError for labels that are not of the scheme, scores of another shape, a temperature that is not positive
   * @example
   *   const decoder = new SpanDecoder(["O", "B-PER", "I-PER"]);
   */
  constructor(labels: readonly string[], options: SpanDecoderOptions = {}) {
    const { biases = {}, temperature = 1, constraint } = options;
    this.#tags = tagsOf(NAME, labels, options);
    checkPositive(NAME, "temperature", temperature);
    this.labels = Object.freeze([...labels]);
    this.scheme = this.#tags.scheme;
    this.types = Object.freeze([...this.#tags.types]);
    this.temperature = temperature;
    const C = labels.length, own = ownScores(options.transitions, "transitions", C * C), bias = biasesOf(this.#tags, checkedBiases(NAME, biases));
    this.#goesOn = Uint8Array.from({ length: C * C }, (_, k) => (continues(this.#tags, Math.floor(k / C), k % C) ? 1 : 0));
    const transitions = Float32Array.from({ length: C * C }, (_, k) => (allowed(this.#tags, Math.floor(k / C), k % C) ? own[k] + bias(Math.floor(k / C), k % C) : -Infinity));
    const edge = (scores: Float32Array, legal: (y: number) => boolean): TensorLike => ({ data: scores.map((s, y) => (legal(y) ? s : -Infinity)), shape: [C] });
    this.model = new ChainModel(NAME, { data: transitions, shape: [C, C] }, C, {
      start: edge(ownScores(options.start, "start", C), (y) => allowed(this.#tags, -1, y)),
      end: edge(ownScores(options.end, "end", C), (y) => allowed(this.#tags, y, -1)), ...(constraint && { constraint }),
    });
    Object.freeze(this);
  }

  /**
   * Decodes one text: the most probable labels, and what spans they hold. Probabilities are computed when they are asked for; the logits must not change until then.
   *
   * @param logits - float32 [T, C]; -Infinity = impossible
   * @param options - `alignment` or `offsets`, `where`, `words`
   * @throws RangeError for another shape, NaN or +Infinity, or where no labelling is possible
   * @example
   *   for (const { type, text, probability } of decoder.decode(logits, { alignment })) console.log(type, text, probability);
   */
  decode(logits: TensorLike, options: DecodeOptions = {}): DecodedSpans {
    const where = `${NAME}.decode`, rows = tokenRows(where, logits, this.labels.length, options);
    const { temperature, model } = this, { labelOf } = model.states, S = labelOf.length, C = this.labels.length, n = rows.tokens?.length ?? rows.count;
    let emissions = rows.tokens === undefined ? rows.data : new Float32Array(n * C);
    if (rows.tokens) for (let r = 0; r < n; r++) emissions.set(rows.data.subarray(rows.tokens[r] * C, rows.tokens[r] * C + C), r * C);
    if (temperature !== 1) emissions = emissions.map((v) => v / temperature);
    if (model.constraint) {
      const gathered = new Float32Array(n * S);
      for (let t = 0, at = 0; t < n; t++) for (let s = 0; s < S; s++) gathered[at++] = emissions[t * C + labelOf[s]];
      const { states, scores } = n === 0 ? { states: new Int32Array(0), scores: Float64Array.of(acceptsNothing(model.constraint) ? 0 : -Infinity) } : best(where, model, rows, gathered);
      return this.#decoded(where, rows, emissions, gathered, states.map((s) => labelOf[s]), scores[0]);
    }
    const { states, scores } = best(where, model, rows, emissions);
    return this.#decoded(where, rows, emissions, emissions, states, scores[0]);
  }

  /** Gives the memory back. A second call does nothing. */
  dispose(): void {
    this.model.dispose();
  }

  #decoded(where: string, rows: TokenRows, byLabel: Float32Array, byState: Float32Array, path: Int32Array, score: number): DecodedSpans {
    if (!(score > -Infinity)) throw rangeError(where, "logits", `with a labelling that ${this.scheme}${this.model.constraint ? " and the constraint allow" : " allows"}`, "none with a finite score");
    const tags = this.#tags, C = this.labels.length;
    return new DecodedSpans({
      tags, labels: this.labels, model: this.model, rows, emissions: byState, path, score, chain: () => new LinearChain(this.model, { data: byLabel, shape: [byLabel.length / C, C] }),
      goesOn: this.#goesOn,
    });
  }
}

/** The tokens that take part. */
export interface TokenRows {
  /** T. */
  readonly count: number;
  /** float32 [T, C]. */
  readonly data: Float32Array;
  /** Token of each row; undefined where every token is one. */
  readonly tokens: Int32Array | undefined;
  /** The token after the last one of each row's word; undefined where a row is one token. */
  readonly ends: Int32Array | undefined;
  /** UTF-16 offsets of each token. */
  readonly start: Int32Array | undefined;
  readonly end: Int32Array | undefined;
  readonly text: string | undefined;
}

function tokenRows(where: string, logits: TensorLike, C: number, { alignment, offsets, where: mask, words }: DecodeOptions): TokenRows {
  const x = asFloat32(where, "logits", logits);
  if (x.shape.length !== 2 || x.shape[1] !== C) throw rangeError(where, "logits", `of shape [T, ${C}]`, `[${x.shape.join(", ")}]`, x.shape.length === 3 ? "Take one text: logits.row(b)" : undefined);
  const T = x.shape[0];
  if (alignment !== undefined && offsets !== undefined) throw rangeError(where, "offsets", "alone", "an alignment too");
  const sized = (name: string, got: number): void => {
    if (got !== T) throw rangeError(where, name, `for ${T} tokens`, `${got}`);
  };
  let start = alignment?.start, end = alignment?.end;
  if (alignment) sized("alignment", alignment.start.length);
  if (offsets !== undefined) {
    const o = asInt32(where, "offsets", offsets);
    if (o.size !== 2 * T) throw rangeError(where, "offsets", `of shape [${T}, 2]`, `[${o.shape.join(", ")}]`);
    start = new Int32Array(T);
    end = new Int32Array(T);
    for (let t = 0; t < T; t++) [start[t], end[t]] = [o.data[2 * t], o.data[2 * t + 1]];
  }
  const part = mask === undefined ? alignment?.where : asMask(where, "where", mask).data;
  if (part) sized("where", part.length);
  const word = words === undefined ? undefined : asInt32(where, "words", words).data;
  if (word) sized("words", word.length);
  let tokens: Int32Array | undefined, ends: Int32Array | undefined;
  if (word || part?.includes(0)) {
    const list: number[] = [], last: number[] = [];
    for (let t = 0, previous = -1; t < T; t++) {
      if (part && part[t] === 0) continue;
      if (word && previous >= 0 && word[t] < word[previous]) throw rangeError(where, "words", "not decreasing", `${word[t]} after ${word[previous]} at index ${t}`);
      if (word && previous >= 0 && word[t] === word[previous]) last[last.length - 1] = t + 1;
      else {
        list.push(t);
        last.push(t + 1);
      }
      previous = t;
    }
    tokens = Int32Array.from(list);
    ends = Int32Array.from(last);
  }
  // A resident tensor's data moves when memory grows, and probabilities are computed later.
  const data = lastingData(x);
  return { count: T, data, tokens, ends, start, end, text: alignment?.text };
}

/** The best path; numbers that are none are told by their token. */
function best(where: string, { states: { chain, labelOf } }: ChainModel, { tokens, data, count }: TokenRows, emissions: Float32Array): ReturnType<typeof chainViterbi> {
  try {
    return chainViterbi(chain, { data: emissions, shape: [emissions.length / labelOf.length, labelOf.length] });
  } catch (error) {
    const C = data.length / count;
    for (const t of tokens ?? Array.from({ length: count }, (_, k) => k)) {
      const bad = data.subarray(t * C, (t + 1) * C).find((v) => !(v < Infinity));
      if (bad !== undefined) throw rangeError(where, "logits", "finite or -Infinity", `${bad} in row ${t}`);
    }
    throw error;
  }
}

function ownScores(given: TensorLike | undefined, argument: string, size: number): Float32Array {
  if (given === undefined) return new Float32Array(size);
  const x = asFloat32(NAME, argument, given);
  if (x.size !== size) throw rangeError(NAME, argument, `of ${size} scores`, `shape [${x.shape.join(", ")}]`);
  return lastingData(x);
}

function biasesOf(tags: Tags, b: Required<TransitionBiases>): (from: number, to: number) => number {
  return (from, to) => {
    if (continues(tags, from, to)) return tags.marks[to] === "E" ? b.insideToEnd : b.insideToContinue;
    const outside = tags.typeOf[to] < 0;
    if (tags.typeOf[from] < 0) return outside ? b.backgroundStay : b.backgroundToStart;
    return outside ? b.endToBackground : b.endToStart;
  };
}

/** One window of a long text. */
export interface TokenWindow {
  /** Token of the text that the window's first row stands for. */
  readonly from: number;
  /** float32 [W, C]. */
  readonly logits: TensorLike;
}

/**
 * Token scores of a long text from the windows that a model saw: one row for each token, so that one chain decodes the whole text and no span is cut at the edge of a window.
 *
 * @param windows - in any order; together they cover tokens 0 to the last without a gap
 * @param options - `rule`: "centre" (default) takes a token's row from the window in which it is farthest from an edge that is not one of the text, the one that comes
 *   before among equals; "mean" averages its rows, each less its largest entry
 * @returns float32 [T, C]
 * @throws RangeError for no window, another width, a token that no window covers
 * @example
 *   decoder.decode(mergeWindows([{ from: 0, logits: first }, { from: 384, logits: second }]));
 */
export function mergeWindows(windows: readonly TokenWindow[], options: { readonly rule?: "centre" | "mean" } = {}): Tensor<"float32"> {
  const where = "mergeWindows", { rule = "centre" } = options;
  if (windows.length === 0) throw rangeError(where, "windows", "with at least one window", "none");
  if (rule !== "centre" && rule !== "mean") throw rangeError(where, "rule", `"centre" or "mean"`, JSON.stringify(rule));
  let T = 0, C = 0;
  const parts = windows.map(({ from, logits }, w) => {
    checkInteger(where, `windows[${w}].from`, from, 0, 0x7fffffff);
    const x = asFloat32(where, `windows[${w}].logits`, logits);
    if (x.shape.length !== 2 || (w > 0 && x.shape[1] !== C)) throw rangeError(where, `windows[${w}].logits`, w > 0 ? `of shape [W, ${C}], as the first window` : "of shape [W, C]", `[${x.shape.join(", ")}]`);
    C = x.shape[1];
    T = Math.max(T, from + x.shape[0]);
    return { from, rows: x.shape[0], data: x.data };
  });
  const out = new Float32Array(T * C), depth = new Int32Array(T).fill(-1), count = new Int32Array(T), far = 0x7fffffff;
  for (const { from, rows, data } of parts) {
    for (let r = 0; r < rows; r++) {
      const t = from + r, near = Math.min(from === 0 ? far : r, from + rows === T ? far : rows - 1 - r), row = data.subarray(r * C, r * C + C);
      count[t]++;
      if (rule === "mean") {
        let top = -Infinity;
        for (const v of row) top = Math.max(top, v);
        for (let c = 0; c < C; c++) out[t * C + c] += row[c] - (top === -Infinity ? 0 : top);
      } else if (near > depth[t]) {
        depth[t] = near;
        out.set(row, t * C);
      }
    }
  }
  const gap = count.indexOf(0);
  if (gap >= 0) throw rangeError(where, "windows", `that cover tokens 0 to ${T - 1}`, `none over token ${gap}`);
  if (rule === "mean") for (let t = 0; t < T; t++) if (count[t] > 1) for (let c = 0; c < C; c++) out[t * C + c] /= count[t];
  return new Tensor("float32", [T, C], out);
}

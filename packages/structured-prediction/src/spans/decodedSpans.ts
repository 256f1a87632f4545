import { exp } from "@logits/statistics";
import { checkInteger, rangeError } from "@logits/tensor";
import type { ChainModel } from "../chainModel.ts";
import type { LinearChain } from "../linearChain.ts";
import type { DecodedSpan, Span } from "./span.ts";
import type { TokenRows } from "./spanDecoder.ts";
import { SpanPosteriors } from "./spanPosteriors.ts";
import type { Tags } from "./tags.ts";

/** What a decoder hands over. */
export interface Decoded {
  readonly tags: Tags;
  readonly labels: readonly string[];
  readonly model: ChainModel;
  readonly rows: TokenRows;
  /** float32 [N, S], by state. */
  readonly emissions: Float32Array;
  /** Best labels, int32 [N]. */
  readonly path: Int32Array;
  readonly score: number;
  /** uint8 [C, C]: 1 = a span goes on. */
  readonly goesOn: Uint8Array;
  chain(): LinearChain;
}

/** One labelling among the best. */
export interface LabellingOfSpans {
  readonly spans: readonly DecodedSpan[];
  /** Probability of the whole labelling. */
  readonly probability: number;
}

const NAME = "DecodedSpans";

/**
 * The spans of one text, as typed arrays, and the distribution that they come from. Made by `SpanDecoder.decode`.
 *
 * Probabilities are exact under the decoder's chain: a span's probability is that of exactly this span, not of its tokens one by one. They are computed at their first use, and need the decoder not
 * to be disposed until then.
 *
 *   P(span [a, b) of type k) = P(a span of type k starts at a, goes on up to b - 1 and ends there)
 */
export class DecodedSpans implements Iterable<DecodedSpan> {
  /** Number of spans. */
  readonly size: number;
  /** First token of each span, and the one after its last; int32 [size]. */
  readonly from: Int32Array;
  readonly to: Int32Array;
  /** Index of each span's type among the decoder's `types`; int32 [size]. */
  readonly type: Int32Array;
  /** Label of each token, int32 [T]; -1 where a token takes no part, or is not the first of its word. */
  readonly labels: Int32Array;
  /** Score of the labelling. */
  readonly score: number;
  readonly #d: Decoded;
  readonly #first: Int32Array;
  readonly #last: Int32Array;
  #posteriors: SpanPosteriors | undefined;
  #probability: Float64Array | undefined;

  /** Use `SpanDecoder.decode`. */
  constructor(decoded: Decoded) {
    this.#d = decoded;
    const { path, rows, tags: { typeOf } } = decoded, C = decoded.labels.length;
    const found = runs(path, typeOf, decoded.goesOn, C);
    this.size = found.length / 2;
    this.#first = new Int32Array(this.size);
    this.#last = new Int32Array(this.size);
    this.type = new Int32Array(this.size);
    for (let s = 0; s < this.size; s++) {
      this.#first[s] = found[2 * s];
      this.#last[s] = found[2 * s + 1];
      this.type[s] = typeOf[path[found[2 * s]]];
    }
    const { tokens, ends } = rows;
    this.from = tokens ? this.#first.map((r) => tokens[r]) : this.#first;
    this.to = ends ? this.#last.map((r) => ends[r]) : this.#last.map((r) => r + 1);
    if (tokens) {
      this.labels = new Int32Array(rows.count).fill(-1);
      for (let r = 0; r < tokens.length; r++) this.labels[tokens[r]] = path[r];
    } else this.labels = path;
    this.score = decoded.score;
    Object.freeze(this);
  }

  /** P of each span, float64 [size]. */
  get probability(): Float64Array {
    if (this.#probability === undefined) {
      const probability = new Float64Array(this.size), posteriors = this.size > 0 ? this.#prepared() : undefined;
      for (let s = 0; s < this.size; s++) probability[s] = posteriors!.probability(this.type[s], this.#first[s], this.#last[s]);
      this.#probability = probability;
    }
    return this.#probability;
  }

  /** Probability of the whole labelling. */
  get labellingProbability(): number {
    return this.#d.path.length === 0 ? 1 : exp(Math.min(0, this.score - this.#prepared().logPartition));
  }

  /** The spans as objects, in the order of the text. */
  toArray(): DecodedSpan[] {
    return Array.from({ length: this.size }, (_, s) => this.#span(this.type[s], this.#first[s], this.#last[s], this.probability[s]));
  }

  [Symbol.iterator](): Iterator<DecodedSpan> {
    return this.toArray()[Symbol.iterator]();
  }

  /**
   * Probability that exactly this span is among the labels, whether or not it was decoded.
   *
   * @param span - its type and its tokens [from, to)
   * @returns 0 to 1; 0 where the scheme knows no such span, or `to` cuts a word
   * @throws RangeError for a type that is none, or tokens outside of the text
   */
  probabilityOf(span: Pick<Span, "type" | "from" | "to">): number {
    const where = `${NAME}.probabilityOf`, { tags: { types }, rows: { count, tokens, ends }, path } = this.#d;
    const type = types.indexOf(span.type);
    if (type < 0) throw rangeError(where, "span.type", `one of ${types.join(", ")}`, JSON.stringify(span.type));
    checkInteger(where, "span.from", span.from, 0, count - 1);
    checkInteger(where, "span.to", span.to, span.from + 1, count);
    if (!tokens || !ends) return this.#prepared().probability(type, span.from, span.to - 1);
    const first = tokens.indexOf(span.from), last = ends.indexOf(span.to);
    return first < 0 || last < first || last >= path.length ? 0 : this.#prepared().probability(type, first, last);
  }

  /**
   * Every span whose probability is at least `threshold`, decoded or not, in the order of their ends; of those that end together, by type and from the longest to the shortest. Above 0.5 no two of them share a token; below, they may.
   *
   * @param threshold - in (0, 1]
   * @throws RangeError for another threshold
   */
  above(threshold: number): DecodedSpan[] {
    if (!(threshold > 0 && threshold <= 1)) throw rangeError(`${NAME}.above`, "threshold", "in (0, 1]", `${threshold}`);
    const out: DecodedSpan[] = [];
    if (this.#d.path.length > 0) this.#prepared().above(threshold, (type, first, last, p) => out.push(this.#span(type, first, last, p)));
    return out;
  }

  /**
   * The k best labellings with their spans, best first; fewer where there are not so many. Spans carry their own probability.
   *
   * @param k - an integer from 1 up
   */
  alternatives(k: number): LabellingOfSpans[] {
    checkInteger(`${NAME}.alternatives`, "k", k, 1, 0x7fffffff);
    const n = this.#d.path.length, C = this.#d.labels.length;
    if (n === 0) return [{ spans: [], probability: 1 }];
    const { labels, score } = this.#d.chain().topK(k), { logPartition } = this.#prepared();
    const out: LabellingOfSpans[] = [];
    for (let m = 0; m < k && score[m] > -Infinity; m++) {
      const path = labels.data.subarray(m * n, (m + 1) * n), found = runs(path, this.#d.tags.typeOf, this.#d.goesOn, C), spans: DecodedSpan[] = [];
      for (let s = 0; s < found.length; s += 2) {
        const type = this.#d.tags.typeOf[path[found[s]]];
        spans.push(this.#span(type, found[s], found[s + 1], this.#prepared().probability(type, found[s], found[s + 1])));
      }
      out.push({ spans, probability: exp(Math.min(0, score[m] - logPartition)) });
    }
    return out;
  }

  #span(type: number, first: number, last: number, probability: number): DecodedSpan {
    const { tags: { types }, rows: { tokens, ends, start, end, text } } = this.#d;
    const from = tokens ? tokens[first] : first, to = ends ? ends[last] : last + 1;
    const span = { type: types[type], from, to, probability };
    if (!start || !end) return span;
    return { ...span, start: start[from], end: end[to - 1], ...(text !== undefined && { text: text.slice(start[from], end[to - 1]) }) };
  }

  #prepared(): SpanPosteriors {
    const { model: { states }, emissions, tags: { typeOf, types }, goesOn } = this.#d;
    return (this.#posteriors ??= new SpanPosteriors(states, emissions, { typeOf, types: types.length, goesOn }));
  }
}

/** First and last row of each span of a path, one after another. */
function runs(path: Int32Array, typeOf: Int32Array, goesOn: Uint8Array, C: number): Int32Array {
  let count = 0;
  for (let t = 0; t < path.length; t++) if (typeOf[path[t]] >= 0 && (t === 0 || goesOn[path[t - 1] * C + path[t]] === 0)) count++;
  const out = new Int32Array(2 * count);
  for (let t = 0, at = -2; t < path.length; t++) {
    if (typeOf[path[t]] < 0) continue;
    if (t === 0 || goesOn[path[t - 1] * C + path[t]] === 0) out[(at += 2)] = t;
    out[at + 1] = t;
  }
  return out;
}

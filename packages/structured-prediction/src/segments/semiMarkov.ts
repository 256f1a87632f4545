import type { SegmentSequence } from "@logits/core-wasm/segments";
import { exp } from "@logits/statistics";
import { asFloat32, asInt32, checkInteger, lastingData, rangeError, Tensor, type RandomSource, type TensorLike } from "@logits/tensor";
import { Sequences, type SequenceOptions } from "../sequences.ts";
import type { StructuredDistribution } from "../structuredDistribution.ts";
import { SegmentItem } from "./segmentItem.ts";
import { SegmentModel, checkScores, type SegmentModelOptions } from "./segmentModel.ts";
import { bestScores, bestSegmentation, bestSegmentations } from "./segmentPaths.ts";
import { SegmentPosteriors, logPartitionOf } from "./segmentPosteriors.ts";
import type { Segment } from "./segments.ts";

/** How the sequences lie in the contents, and scores of places. */
export interface SemiMarkovOptions extends SequenceOptions {
  /** float32 [..., T, C]: of segments that begin at a position. Default 0. */
  readonly starts?: TensorLike;
  /** float32 [..., T, C]: of segments whose last position it is. Default 0. */
  readonly ends?: TensorLike;
  /** float32 [..., T, D, C]: of segments by last position, length - 1 and label. Default 0. Not with a tail. */
  readonly segmentScores?: TensorLike;
}

/** Probabilities of places. */
export interface SegmentMarginals {
  /** P(the segment at a position has this label), float32 [..., T, C]; 0 in padding. */
  readonly unary: Tensor<"float32">;
  /** P(a segment of this label begins at a position), float32 [..., T, C]. */
  readonly starts: Tensor<"float32">;
  /** P(a segment of this label has its last position there), float32 [..., T, C]. */
  readonly ends: Tensor<"float32">;
  /** P(a segment), float32 [..., T, D, C], by last position, length - 1 and label. Only where asked for. */
  readonly segments?: Tensor<"float32">;
}

/** A segment with its probability. */
export interface ProbableSegment extends Segment {
  /** Which sequence, in [0, B). */
  readonly item: number;
  readonly probability: number;
}

/** Gradients by the parameters of a semi-Markov model. */
export interface SegmentGradients {
  /** Shape of the contents. */
  readonly content: Tensor<"float32">;
  /** [D, C]. */
  readonly durations: Tensor<"float32">;
  /** [C, C]. */
  readonly transitions: Tensor<"float32">;
  /** [C]. */
  readonly start: Tensor<"float32">;
  /** [C]. */
  readonly end: Tensor<"float32">;
  /** [C], where the model has a tail. */
  readonly tail?: Tensor<"float32">;
  /** Where such scores were given. */
  readonly starts?: Tensor<"float32">;
  readonly ends?: Tensor<"float32">;
  readonly segmentScores?: Tensor<"float32">;
}

/** Sums over the parts of segmentations, in float64: weights or probabilities. */
interface Parts {
  readonly content: Float64Array;
  readonly durations: Float64Array;
  readonly transitions: Float64Array;
  readonly start: Float64Array;
  readonly end: Float64Array;
  readonly tail: Float64Array;
  readonly starts: Float64Array;
  readonly ends: Float64Array;
  readonly segments: Float64Array;
}

const NAME = "SemiMarkov";

let named: (where: string, model: SegmentModel, content: TensorLike, options: SemiMarkovOptions) => SemiMarkov;
/** A distribution inside another function, which messages name. */
export const semiMarkovWithin = (where: string, model: SegmentModel, content: TensorLike, options: SemiMarkovOptions): SemiMarkov => named(where, model, content, options);

/**
 * The semi-Markov conditional random field: a distribution over segmentations with labels.
 *
 *   score(y) = sum over segments [s, t) of label c: sum_(s <= u < t) content[u, c] + durations[t - s - 1, c] + starts[s, c] + ends[t - 1, c] + segmentScores[t - 1, t - s - 1, c]
 *            + sum over neighbours of transitions[from, to] + start[first label] + end[last label]
 *
 * A segmentation is int32 in the shape of the positions: the label at the first position of a segment, -1 at the others (and in padding); `segmentsOf` reads it. Index 0 of durations is length 1.
 * Totals are float64 [B]; B is 1 for contents [T, C]. log Z takes O(T C (C + D)) time and, beside the contents, the memory of a window of D positions.
 *
 * Source: Sarawagi, Cohen, "Semi-Markov conditional random fields for information extraction", NIPS 2004.
 */
export class SemiMarkov implements StructuredDistribution<TensorLike, SegmentMarginals> {
  readonly model: SegmentModel;
  /** B. */
  readonly batch: number;
  /** C. */
  readonly labels: number;
  readonly #sequences: Sequences;
  readonly #starts: Float32Array | undefined;
  readonly #ends: Float32Array | undefined;
  readonly #segments: Float32Array | undefined;
  readonly #items: (SegmentItem | undefined)[];
  #logZ: Float64Array | undefined;
  /** What messages name, where it is not the query. */
  #where: string | undefined;

  /**
   * Makes scores ready, once for many sequences.
   *
   * @param transitions - float32 [C, C], [from, to]; -Infinity = impossible
   * @param durations - float32 [D, C], [length - 1, label]; -Infinity = impossible
   * @param options - `start`, `end`, `tail` float32 [C]; `allowed` uint8 [D, C]
   * @throws RangeError for another shape, NaN or +Infinity
   */
  static compile(transitions: TensorLike, durations: TensorLike, options: SegmentModelOptions = {}): SegmentModel {
    return new SegmentModel(`${NAME}.compile`, transitions, durations, options);
  }

  /**
   * A distribution of segment scores alone: contents are 0.
   *
   * @param segmentScores - float32 [T, D, C] or [B, T, D, C]: [end, length - 1, label]; those that would begin before the sequence are not read
   * @param transitions - float32 [C, C]
   * @param options - `lengths`, `starts`, `ends`, `start`, `end`, `allowed`
   */
  static ofSegments(segmentScores: TensorLike, transitions: TensorLike, options: Omit<SemiMarkovOptions, "segmentScores"> & Omit<SegmentModelOptions, "tail"> = {}): SemiMarkov {
    const where = `${NAME}.ofSegments`, { shape } = asFloat32(where, "segmentScores", segmentScores), { start, end, allowed, ...rows } = options;
    if (shape.length !== 3 && shape.length !== 4) throw rangeError(where, "segmentScores", "of shape [T, D, C] or [B, T, D, C]", `[${shape.join(", ")}]`);
    const [D, C] = shape.slice(-2), lead = shape.slice(0, -2);
    const model = new SegmentModel(where, transitions, new Tensor("float32", [D, C], new Float32Array(D * C)), { ...(start !== undefined && { start }), ...(end !== undefined && { end }), ...(allowed !== undefined && { allowed }) });
    return new SemiMarkov(model, new Tensor("float32", [...lead, C], new Float32Array(lead.reduce((a, b) => a * b, 1) * C)), { ...rows, segmentScores });
  }

  /**
   * The distribution of the segmentations given the contents.
   *
   * @param model - of `SemiMarkov.compile`
   * @param content - float32 [T, C], [B, T, C] or, with `offsets`, [N, C]; -Infinity = no segment of this label holds the position. A typed array is not copied: it must not change while the distribution is asked
   * @param options - `lengths` or `offsets`, `starts`, `ends`, `segmentScores`
   * @throws RangeError for another shape, NaN or +Infinity (with its index), segment scores beside a tail
   */
  constructor(model: SegmentModel, content: TensorLike, options: SemiMarkovOptions = {}) {
    const { labels: C, longest: D } = model;
    this.model = model;
    this.labels = C;
    this.#sequences = new Sequences(NAME, content, C, options);
    this.batch = this.#sequences.batch;
    const read = (argument: string, given: TensorLike | undefined, inner: readonly number[]): Float32Array | undefined => (given === undefined ? undefined : checkScores(NAME, argument, this.#sequences.readFloats(NAME, argument, given, inner)));
    checkScores(NAME, "content", this.#sequences.rows);
    this.#starts = read("starts", options.starts, [C]);
    this.#ends = read("ends", options.ends, [C]);
    if (options.segmentScores !== undefined && model.tail) throw rangeError(NAME, "segmentScores", "with a model without a tail", "a model with one");
    this.#segments = read("segmentScores", options.segmentScores, [D, C]);
    this.#items = Array.from({ length: this.batch }, () => undefined);
  }

  score(labels: TensorLike): Float64Array {
    const y = this.#read("score", labels);
    return this.#each((item, from) => item.score(y.subarray(from, from + item.length)));
  }

  logPartition(): Float64Array {
    this.#logZ ??= this.#each((item) => logPartitionOf(this.#at("logPartition"), item));
    return this.#logZ.slice();
  }

  logProb(labels: TensorLike): Float64Array {
    const score = this.score(labels), logZ = this.logPartition();
    this.#checkSupport("logProb", logZ);
    return score.map((s, b) => s - logZ[b]);
  }

  /**
   * The segmentation with the highest score; among equals, from the end of the sequence, the smallest label, then the shortest segment.
   *
   * @returns `labels`, int32 in the shape of the positions; `score`, float64 [B]
   * @throws RangeError where no segmentation has a finite score
   */
  argmax(): { readonly labels: Tensor<"int32">; readonly score: Float64Array } {
    const { labels, score } = this.#best("argmax", 1);
    return { labels: this.#sequences.labels(labels), score };
  }

  /**
   * The k best segmentations, best first. `score` holds -Infinity and `labels` -1 where there are fewer.
   *
   * @returns `labels`, int32 [k, ...]; `score`, float64 [k * B], rank by rank
   */
  topK(k: number): { readonly labels: Tensor<"int32">; readonly score: Float64Array } {
    checkInteger(this.#at("topK"), "k", k, 1, 0x7fffffff);
    const { labels, score } = this.#best("topK", k);
    return { labels: this.#sequences.labels(labels, [k]), score };
  }

  /**
   * Draws segmentations independently: forward sums, then segments from the end.
   *
   * @returns int32 [count, ...]
   */
  sample(random: RandomSource, count: number): Tensor<"int32"> {
    checkInteger(this.#at("sample"), "count", count, 0, 0x7fffffff);
    this.#checkSupport("sample", this.logPartition());
    const n = this.#sequences.count, labels = new Int32Array(count * n).fill(-1), C = this.labels, { transitions } = this.model;
    this.#each((item, from) => {
      const { length: T, sums } = item;
      if (T === 0) return 0;
      const { alpha, sources } = new SegmentPosteriors(this.#at("sample"), item);
      for (let m = 0; m < count; m++) {
        let c = drawn(random, C, (j) => alpha[T * C + j] + item.endAt(T, j));
        for (let t = T; ; ) {
          const longest = t - item.barrier(t, c), ended = c, end = t;
          const d = 1 + drawn(random, longest, (i) => sources[(end - i - 1) * C + ended] - sums[(end - i - 1) * C + ended] + item.lengthScore(end, i + 1, ended));
          t -= d;
          labels[m * n + from + t] = c;
          if (t === 0) break;
          const s = t;
          c = drawn(random, C, (j) => alpha[s * C + j] + item.endAt(s, j) + transitions[j * C + ended]);
        }
      }
      return 0;
    });
    return this.#sequences.labels(labels, [count]);
  }

  /** @param options - `segments`: also the probabilities of single segments, [..., T, D, C]. Default false; not with a tail. `probableSegments` finds the likely ones without that memory */
  marginals(options: { readonly segments?: boolean } = {}): SegmentMarginals {
    const { segments = false } = options, where = this.#at("marginals"), C = this.labels, D = this.model.longest;
    if (segments && this.model.tail) throw rangeError(where, "segments", "false for a model with a tail", "true", "Use probableSegments");
    const { content, starts, ends, segments: each } = this.#expected("marginals", segments), rows = this.#sequences, floats = (x: Float64Array, inner: readonly number[]): Tensor<"float32"> => {
      const out = new Float32Array(x);
      for (let i = 0; i < out.length; i++) if (out[i] > 1) out[i] = 1;
      return rows.floats(out, inner);
    };
    return { unary: floats(content, [C]), starts: floats(starts, [C]), ends: floats(ends, [C]), ...(segments && { segments: floats(each, [D, C]) }) };
  }

  /** Segments with at least this probability, item by item, by their beginning, then label, then length. */
  *probableSegments(threshold: number): Generator<ProbableSegment, void, void> {
    const where = this.#at("probableSegments");
    if (!(threshold > 0 && threshold <= 1)) throw rangeError(where, "threshold", "in (0, 1]", `${threshold}`);
    this.#checkSupport("probableSegments", this.logPartition());
    const C = this.labels;
    for (let b = 0; b < this.batch; b++) {
      const item = this.#item(b), { length: T, sums, sequence: { content } } = item;
      if (T === 0) continue;
      const posteriors = new SegmentPosteriors(where, item), { sources, targets, logZ } = posteriors;
      for (let s = 0; s < T; s++) {
        for (let c = 0; c < C; c++) {
          // What is left for longer segments.
          let left = posteriors.startAt(s, c);
          for (let t = s + 1; t <= T && content[(t - 1) * C + c] > -Infinity && t - s <= item.reach(T) && left >= threshold * 0.999; t++) {
            const p = exp(sources[s * C + c] + sums[t * C + c] - sums[s * C + c] + item.lengthScore(t, t - s, c) + targets[t * C + c] - logZ);
            left -= p;
            if (p >= threshold) yield { item: b, start: s, end: t, label: c, probability: Math.min(1, p) };
          }
        }
      }
    }
  }

  entropy(): Float64Array {
    const logZ = this.logPartition(), mean = this.#meanScore("entropy", this);
    return logZ.map((z, b) => Math.max(0, z - mean[b]));
  }

  crossEntropy(other: SemiMarkov): Float64Array {
    this.#checkSame("crossEntropy", other);
    const logZ = other.logPartition();
    other.#checkSupport("crossEntropy", logZ);
    const mean = this.#meanScore("crossEntropy", other);
    return logZ.map((z, b) => z - mean[b]);
  }

  klDivergence(other: SemiMarkov): Float64Array {
    const cross = this.crossEntropy(other), own = this.entropy();
    return cross.map((c, b) => Math.max(0, c - own[b]));
  }

  /** log of the number of segmentations with a finite score, [B]; -Infinity where there is none. */
  logCount(): Float64Array {
    const flat = (x: Float32Array): Float32Array => x.map((v) => (v > -Infinity ? 0 : -Infinity)), { model } = this, { labels: C, longest: D } = model;
    const row = (x: Float32Array): Tensor<"float32"> => new Tensor("float32", [C], flat(x));
    const zero = new SegmentModel(NAME, new Tensor("float32", [C, C], flat(model.transitions)), new Tensor("float32", [D, C], flat(model.durations)), { start: row(model.start), end: row(model.end), ...(model.tail && { tail: row(model.tail) }) });
    return this.#each((item) => {
      const { content, starts, ends, segments, length } = item.sequence;
      return logPartitionOf(this.#at("logCount"), new SegmentItem(zero, { length, content: flat(content), ...(starts && { starts: flat(starts) }), ...(ends && { ends: flat(ends) }), ...(segments && { segments: flat(segments) }) }));
    });
  }

  /**
   * logProb with its gradients: what the labels hold less what is expected.
   *
   * @param labels - int32 in the shape of the positions
   * @param options - `upstream` float32 [B], a factor of each item's gradient. Default 1
   */
  logProbWithGrad(labels: TensorLike, options: { readonly upstream?: TensorLike } = {}): { readonly value: Float64Array; readonly grads: { readonly [Name in keyof SegmentGradients]: Tensor<"float32"> } & Record<string, Tensor<"float32">> } {
    const where = this.#at("logProbWithGrad"), y = this.#read("logProbWithGrad", labels), { labels: C, longest: D, tail } = this.model;
    const upstream = options.upstream === undefined ? undefined : lastingData(asFloat32(where, "upstream", options.upstream));
    if (upstream !== undefined && upstream.length !== this.batch) throw rangeError(where, "upstream", `of shape [${this.batch}]`, `[${upstream.length}]`);
    const value = this.logProb(labels);
    // An impossible segmentation has no slope.
    const weights = value.map((v, b) => (v === -Infinity ? 0 : (upstream?.[b] ?? 1)));
    const parts = this.#expected("logProbWithGrad", this.#segments !== undefined, weights.map((w) => -w));
    this.#each((item, from, b) => {
      const weight = weights[b], T = item.length;
      let previous = -1;
      for (let s = 0; s < T; ) {
        const c = y[from + s];
        let t = s + 1;
        while (t < T && y[from + t] === -1) t++;
        for (let u = s; u < t; u++) parts.content[(from + u) * C + c] += weight;
        const d = Math.min(D, t - s);
        parts.durations[(d - 1) * C + c] += weight;
        parts.tail[c] += weight * (t - s - d);
        parts.starts[(from + s) * C + c] += weight;
        parts.ends[(from + t - 1) * C + c] += weight;
        if (this.#segments && t - s <= D) parts.segments[((from + t - 1) * D + d - 1) * C + c] += weight;
        if (s === 0) parts.start[c] += weight;
        if (t === T) parts.end[c] += weight;
        if (previous >= 0) parts.transitions[previous * C + c] += weight;
        previous = c;
        s = t;
      }
      return 0;
    });
    const rows = (x: Float64Array, inner: readonly number[]): Tensor<"float32"> => this.#sequences.floats(new Float32Array(x), inner), table = (x: Float64Array, shape: readonly number[]): Tensor<"float32"> => new Tensor("float32", shape, new Float32Array(x));
    return {
      value,
      grads: {
        content: rows(parts.content, [C]), durations: table(parts.durations, [D, C]), transitions: table(parts.transitions, [C, C]), start: table(parts.start, [C]), end: table(parts.end, [C]), ...(tail && { tail: table(parts.tail, [C]) }),
        ...(this.#starts && { starts: rows(parts.starts, [C]) }), ...(this.#ends && { ends: rows(parts.ends, [C]) }), ...(this.#segments && { segmentScores: rows(parts.segments, [D, C]) }),
      },
    };
  }

  #item(b: number): SegmentItem {
    return (this.#items[b] ??= this.#itemOf(b));
  }

  #itemOf(b: number): SegmentItem {
    const { offsets, rows } = this.#sequences, { labels: C, longest: D } = this.model, from = offsets[b], to = offsets[b + 1], part = (x: Float32Array, size: number): Float32Array => x.subarray(from * size, to * size);
    const sequence: SegmentSequence = { length: to - from, content: part(rows, C), ...(this.#starts && { starts: part(this.#starts, C) }), ...(this.#ends && { ends: part(this.#ends, C) }), ...(this.#segments && { segments: part(this.#segments, D * C) }) };
    return new SegmentItem(this.model, sequence);
  }

  #each(f: (item: SegmentItem, from: number, b: number) => number): Float64Array {
    const { offsets } = this.#sequences;
    return Float64Array.from({ length: this.batch }, (_, b) => f(this.#item(b), offsets[b], b));
  }

  /** Labels that came in the shape of the positions, without padding. */
  #read(method: string, given: TensorLike): Int32Array {
    const where = this.#at(method), x = asInt32(where, "labels", given), y = Int32Array.from(this.#sequences.readFloats(where, "labels", new Tensor("float32", x.shape, Float32Array.from(x.data)), [])), { offsets } = this.#sequences;
    for (let b = 0; b < this.batch; b++) {
      for (let t = offsets[b]; t < offsets[b + 1]; t++) {
        const least = t === offsets[b] ? 0 : -1;
        if (!(y[t] >= least && y[t] < this.labels)) throw rangeError(where, "labels", `in [${least}, ${this.labels})`, `${y[t]} at position ${t - offsets[b]} of batch item ${b}`);
      }
    }
    return y;
  }

  #best(method: string, k: number): { labels: Int32Array; score: Float64Array } {
    const n = this.#sequences.count, labels = new Int32Array(k * n).fill(-1), score = new Float64Array(k * this.batch).fill(-Infinity);
    this.#each((item, from, b) => {
      const found = item.length === 0 ? [{ labels: new Int32Array(0), score: 0 }] : k === 1 ? bestSegmentation(item, bestScores(item)) : bestSegmentations(item, bestScores(item), k);
      if (found.length === 0) throw this.#noSupport(method, b);
      found.forEach(({ labels: y, score: s }, m) => {
        labels.set(y, m * n + from);
        score[m * this.batch + b] = s;
      });
      return 0;
    });
    return { labels, score };
  }

  /** sum_b weights[b] times the probabilities of the parts of item b, in float64; rows and segments item by item. */
  #expected(method: string, segments: boolean, weights?: Float64Array): Parts {
    this.#checkSupport(method, this.logPartition());
    const n = this.#sequences.count, { labels: C, longest: D } = this.model;
    const parts: Parts = {
      content: new Float64Array(n * C), durations: new Float64Array(D * C), transitions: new Float64Array(C * C), start: new Float64Array(C), end: new Float64Array(C), tail: new Float64Array(C),
      starts: new Float64Array(n * C), ends: new Float64Array(n * C), segments: new Float64Array(segments ? n * D * C : 0),
    };
    this.#each((item, from, b) => {
      if (item.length > 0) this.#addParts(method, item, from, weights?.[b] ?? 1, parts);
      return 0;
    });
    return parts;
  }

  #addParts(method: string, item: SegmentItem, from: number, weight: number, { content, durations, transitions, start, end, tail, starts, ends, segments }: Parts): void {
    const posteriors = new SegmentPosteriors(this.#at(method), item), { length: T } = item, C = this.labels;
    posteriors.addCells(weight, durations, content, segments, from);
    posteriors.beyond((u, c, p) => {
      content[(from + u) * C + c] += weight * p;
      tail[c] += weight * p;
    });
    posteriors.addPairs(weight, transitions);
    // Rows of an item are 0 before.
    const first = from * C, last = (from + T - 1) * C;
    posteriors.addBoundaries(weight, starts, ends, from);
    for (let c = 0; c < C; c++) {
      start[c] += starts[first + c];
      end[c] += ends[last + c];
    }
  }

  /** The mean of the score under `other`'s parameters, item by item. */
  #meanScore(method: string, other: SemiMarkov): Float64Array {
    this.#checkSupport(method, this.logPartition());
    const { labels: C, longest: D } = this.model, { durations, transitions, start, end, tail } = other.model;
    return this.#each((item, _, b) => {
      const { length: T } = item;
      if (T === 0) return 0;
      const parts: Parts = {
        content: new Float64Array(T * C), durations: new Float64Array(D * C), transitions: new Float64Array(C * C), start: new Float64Array(C), end: new Float64Array(C), tail: new Float64Array(C),
        starts: new Float64Array(T * C), ends: new Float64Array(T * C), segments: new Float64Array(other.#segments ? T * D * C : 0),
      };
      this.#addParts(method, item, 0, 1, parts);
      const { content, starts, ends, segments } = other.#item(b).sequence;
      return dot(parts.content, content) + dot(parts.durations, durations) + dot(parts.transitions, transitions) + dot(parts.start, start) + dot(parts.end, end) + dot(parts.tail, tail) + dot(parts.starts, starts) + dot(parts.ends, ends) + dot(parts.segments, segments);
    });
  }

  #at(method: string): string {
    return this.#where ?? `${NAME}.${method}`;
  }

  #noSupport(method: string, b: number): RangeError {
    return rangeError(this.#at(method), "content", "with a segmentation that has a finite score", `none in batch item ${b}`);
  }

  #checkSupport(method: string, totals: Float64Array): void {
    const b = totals.findIndex((z) => !(z > -Infinity));
    if (b >= 0) throw this.#noSupport(method, b);
  }

  #checkSame(method: string, other: SemiMarkov): void {
    const { labels: C, longest: D, tail } = this.model, model = other.model;
    const lengths = other.#sequences.offsets.every((from, b) => from === this.#sequences.offsets[b]) && other.batch === this.batch;
    if (model.labels !== C || model.longest !== D || (tail === undefined) !== (model.tail === undefined) || !lengths) {
      throw rangeError(this.#at(method), "other", `over ${C} labels and lengths to ${D}${tail ? " and beyond" : ""}, for sequences of the same lengths`, `one over ${model.labels} labels and lengths to ${model.longest}${model.tail ? " and beyond" : ""}${lengths ? "" : ", for sequences of other lengths"}`);
    }
  }

  static {
    named = (where, model, content, options) => {
      const made = new SemiMarkov(model, content, options);
      made.#where = where;
      return made;
    };
  }
}

/** A score of -Infinity counts where its probability is not 0. */
function dot(p: Float64Array, scores: Float32Array | undefined): number {
  let total = 0;
  if (scores) for (let i = 0; i < p.length; i++) if (p[i] !== 0) total += p[i] * scores[i];
  return total;
}

/** An index with probability proportional to exp(logWeight(i)). */
function drawn(random: RandomSource, count: number, logWeight: (i: number) => number): number {
  const weights = Float64Array.from({ length: count }, (_, i) => logWeight(i));
  let top = -Infinity, sum = 0;
  for (const w of weights) top = Math.max(top, w);
  for (let i = 0; i < count; i++) sum += weights[i] = exp(weights[i] - top);
  let left = random.uniform() * sum, last = -1;
  for (let i = 0; i < count; i++) {
    if (weights[i] === 0) continue;
    last = i;
    left -= weights[i];
    if (left < 0) return i;
  }
  return last;
}

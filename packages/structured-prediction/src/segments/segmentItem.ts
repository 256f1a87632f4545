import type { SegmentMessages, SegmentSequence } from "@logits/core-wasm/segments";
import { log } from "@logits/statistics";
import type { SegmentModel } from "./segmentModel.ts";

/** One sequence under a model, in float64: what segments score. Boundaries are 0 to T; a segment [s, t) has length t - s. */
export class SegmentItem {
  readonly model: SegmentModel;
  /** T. */
  readonly length: number;
  readonly sequence: SegmentSequence;
  /** float64 [T + 1, C]: sums of the contents before a boundary, without those that are -Infinity. */
  readonly sums: Float64Array;

  constructor(model: SegmentModel, sequence: SegmentSequence) {
    const C = model.labels, { length: T, content } = sequence, sums = new Float64Array((T + 1) * C);
    for (let k = 0; k < T * C; k++) sums[k + C] = sums[k] + (content[k] === -Infinity ? 0 : content[k]);
    this.model = model;
    this.length = T;
    this.sequence = sequence;
    this.sums = sums;
  }

  /** The longest segment that may end at `t` or, without a tail, anywhere. */
  reach(t: number): number {
    return this.model.tail ? t : Math.min(t, this.model.longest);
  }

  /** Duration and segment score of [t - d, t); contents are not in it. */
  lengthScore(t: number, d: number, c: number): number {
    const { model, sequence: { segments } } = this;
    return model.durationOf(d, c) + (segments ? segments[((t - 1) * model.longest + d - 1) * model.labels + c] : 0);
  }

  /** The first boundary from which a segment of the label may reach `t`. */
  barrier(t: number, c: number): number {
    const { sequence: { content }, model: { labels: C } } = this, least = t - this.reach(t);
    for (let u = t - 1; u >= least; u--) if (content[u * C + c] === -Infinity) return u + 1;
    return least;
  }

  /** What the label scores at the beginning of a segment at `s`, without what comes before it. */
  startAt(s: number, c: number): number {
    return (this.sequence.starts?.[s * this.model.labels + c] ?? 0) + (s === 0 ? this.model.start[c] : 0);
  }

  /** And at the end of one that ends at boundary `t`. */
  endAt(t: number, c: number): number {
    return (this.sequence.ends?.[(t - 1) * this.model.labels + c] ?? 0) + (t === this.length ? this.model.end[c] : 0);
  }

  /** The score of labels at the first positions of segments, -1 elsewhere. */
  score(labels: Int32Array): number {
    const { length: T, model: { labels: C, transitions }, sequence: { content } } = this;
    let total = 0, previous = -1;
    for (let s = 0; s < T; ) {
      const c = labels[s];
      let t = s + 1, inside = content[s * C + c];
      for (; t < T && labels[t] === -1; t++) inside += content[t * C + c];
      const score = t - s > this.reach(T) ? -Infinity : this.lengthScore(t, t - s, c);
      total += inside + score + this.startAt(s, c) + this.endAt(t, c) + (previous >= 0 ? transitions[previous * C + c] : 0);
      previous = c;
      s = t;
    }
    return total;
  }
}

/** Weights as logarithms, row by row in the order of the sequence (`reverse`: that of messages backwards, boundary T first). */
export function logsOf({ mantissas, exponents }: SegmentMessages, shifts: Float64Array, labels: number, reverse: boolean): Float64Array {
  const rows = shifts.length, out = new Float64Array(mantissas.length);
  for (let r = 0; r < rows; r++) {
    const to = (reverse ? rows - 1 - r : r) * labels, shift = shifts[r];
    for (let c = 0, k = r * labels; c < labels; c++, k++) out[to + c] = mantissas[k] === 0 ? -Infinity : log(mantissas[k]) + exponents[k] * Math.LN2 + shift;
  }
  return out;
}

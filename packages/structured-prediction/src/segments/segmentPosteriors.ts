import { segmentSums } from "@logits/core-wasm/segments";
import { exp, log, logAddExp } from "@logits/statistics";
import { logsOf, type SegmentItem } from "./segmentItem.ts";

/** Below this a probability is 0 in float32. */
const LEAST = -104;

/** log Z of one sequence: what ends at T. */
export function logPartitionOf(where: string, item: SegmentItem): number {
  const { length: T, model: { labels: C, tables } } = item;
  if (T === 0) return 0;
  const { last, shifts } = segmentSums(where, tables, item.sequence);
  return totalOf(item, Float64Array.from({ length: C }, (_, c) => (last.mantissas[c] === 0 ? -Infinity : log(last.mantissas[c]) + last.exponents[c] * Math.LN2 + shifts[T])));
}

function totalOf(item: SegmentItem, alpha: Float64Array): number {
  let top = -Infinity, sum = 0;
  const terms = alpha.map((a, c) => a + item.endAt(item.length, c));
  for (const x of terms) top = Math.max(top, x);
  if (top === -Infinity) return top;
  for (const x of terms) sum += exp(x - top);
  return top + log(sum);
}

/** Messages of one sequence, as logarithms [T + 1, C]. */
export class SegmentPosteriors {
  readonly item: SegmentItem;
  readonly logZ: number;
  /** Of segments that end at a boundary, with what comes before; the scores of ends are not in it. */
  readonly alpha: Float64Array;
  /** Of segments that begin at a boundary, with what comes before and the scores of starts. */
  readonly sources: Float64Array;
  /** Of segments that begin at a boundary, with what comes behind; the scores of starts are not in it. */
  readonly gamma: Float64Array;
  /** Of what lies behind segments that end at a boundary, with the scores of ends. */
  readonly targets: Float64Array;

  constructor(where: string, item: SegmentItem) {
    const { model: { labels: C, tables }, length: T, sequence } = item, there = segmentSums(where, tables, sequence, { keep: true }), back = segmentSums(where, tables, sequence, { keep: true, reverse: true });
    this.item = item;
    this.alpha = logsOf(there.last, there.shifts, C, false);
    this.sources = logsOf(there.first!, there.shifts, C, false);
    this.gamma = logsOf(back.last, back.shifts, C, true);
    this.targets = logsOf(back.first!, back.shifts, C, true);
    this.logZ = totalOf(item, this.alpha.subarray(T * C));
  }

  /** P(a segment of this label begins at s). */
  startAt(s: number, c: number): number {
    const k = s * this.item.model.labels + c;
    return Math.min(1, exp(this.sources[k] + this.gamma[k] - this.logZ));
  }

  /** P(a segment of this label ends at boundary t). */
  endAt(t: number, c: number): number {
    const k = t * this.item.model.labels + c;
    return Math.min(1, exp(this.alpha[k] + this.targets[k] - this.logZ));
  }

  /** P(label b ends and label c begins at boundary t), 0 < t < T. */
  pairs(visit: (t: number, from: number, to: number, p: number) => void): void {
    const { item, alpha, gamma, logZ } = this, { length: T, model: { labels: C, transitions } } = item;
    for (let t = 1; t < T; t++) {
      for (let b = 0; b < C; b++) {
        const before = alpha[t * C + b] + item.endAt(t, b) - logZ;
        if (before === -Infinity) continue;
        for (let c = 0; c < C; c++) {
          const x = before + transitions[b * C + c] + item.startAt(t, c) + gamma[t * C + c];
          if (x > LEAST) visit(t, b, c, exp(x));
        }
      }
    }
  }

  /** What may follow a segment that has reached its D-th position before boundary t: its end there or a later one. With a tail alone. */
  #tailed(): Float64Array {
    const { item, targets } = this, { length: T, model: { labels: C, tail }, sequence: { content } } = item, out = targets.slice();
    for (let t = T - 1; t >= 0; t--) for (let c = 0; c < C; c++) out[t * C + c] = logAddExp(targets[t * C + c], tail![c] + content[t * C + c] + out[(t + 1) * C + c]);
    return out;
  }

  /**
   * Adds weight P([s, s + d) is a segment of label c) to `durations` [D, C] and, where it has elements, `segments` [T, D, C] at `from`, and weight P(c at position u) to `content` [T, C] at `from`.
   * With a tail, d = D stands for the lengths from D on, and the positions beyond the D-th of a segment are left to `beyond`.
   */
  addCells(weight: number, durationSums: Float64Array, content: Float64Array, segmentSums: Float64Array, from: number): void {
    const { item, sources, targets, logZ } = this, { length: T, sums, model: { labels: C, longest: D, durations, tail }, sequence: { content: given, segments } } = item;
    const tailed = tail ? this.#tailed() : targets, bars = new Int32Array(C).fill(T), held = new Float64Array(C), own = new Float64Array(C), each = segmentSums.length > 0;
    for (let s = T - 1; s >= 0; s--) {
      for (let c = 0; c < C; c++) {
        if (given[s * C + c] === -Infinity) bars[c] = s;
        own[c] = sources[s * C + c] - sums[s * C + c] - logZ;
        held[c] = 0;
      }
      // From the longest: `held` is P(a segment of this label from s has a length of at least d).
      for (let d = Math.min(D, T - s); d > 0; d--) {
        const t = s + d, behind = d === D ? tailed : targets, row = (d - 1) * C, ends = t * C, at = (from + t - 1) * C, cell = ((t - 1) * D + d - 1) * C;
        for (let c = 0; c < C; c++) {
          let x = own[c] + durations[row + c] + sums[ends + c] + behind[ends + c];
          if (segments !== undefined) x += segments[cell + c];
          if (x > LEAST && t <= bars[c]) {
            const p = weight * exp(x);
            held[c] += p;
            durationSums[row + c] += p;
            if (each) segmentSums[from * D * C + cell + c] += p;
          }
          content[at + c] += held[c];
        }
      }
    }
  }

  /** P(position u is beyond the D-th of its segment, of label c): with a tail alone. */
  beyond(visit: (u: number, c: number, p: number) => void): void {
    const { item, sources, logZ } = this, { length: T, sums, model: { labels: C, longest: D, tail, durations }, sequence: { content } } = item;
    if (!tail) return;
    const tailed = this.#tailed(), open = new Float64Array(C).fill(-Infinity), bars = new Int32Array(C);
    for (let u = 1; u < T; u++) {
      for (let c = 0; c < C; c++) {
        if (content[(u - 1) * C + c] === -Infinity) bars[c] = u;
        const s = u - D, fresh = s >= bars[c] ? sources[s * C + c] + sums[u * C + c] - sums[s * C + c] + durations[(D - 1) * C + c] : -Infinity;
        open[c] = logAddExp(u > D ? open[c] + tail[c] + content[(u - 1) * C + c] : -Infinity, fresh);
        const x = open[c] + tail[c] + content[u * C + c] + tailed[(u + 1) * C + c] - logZ;
        if (x > LEAST) visit(u, c, exp(x));
      }
    }
  }
}

import { segmentPairs, segmentShares, segmentSums, type SegmentMessages, type SegmentSums, type SegmentWeights } from "@logits/core-wasm/segments";
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

/** Powers of two from 2^-1100 to 2^1000. */
const POWERS = /* @__PURE__ */ powers();
function powers(): Float64Array {
  const out = new Float64Array(2101);
  out[1100] = 1;
  for (let k = 1101; k <= 2100; k++) out[k] = out[k - 1] * 2;
  for (let k = 1099; k >= 0; k--) out[k] = out[k + 1] / 2;
  return out;
}

/** The exponent of a weight of 0. */
const ZERO = -1073741824;

/** Weights row by row in the order of the sequence (`reverse`: messages backwards, boundary T first), times exp(by) where that is given for each. */
function weightsOf({ mantissas, exponents }: SegmentMessages, labels: number, rows: number, reverse: boolean, by?: (row: number, label: number) => number): SegmentWeights {
  const out = { mantissas: new Float32Array(rows * labels), exponents: new Int32Array(rows * labels).fill(ZERO) }, total = mantissas.length / labels;
  for (let r = 0; r < rows; r++) {
    for (let c = 0, k = (reverse ? total - 1 - r : r) * labels, to = r * labels; c < labels; c++, k++, to++) {
      const factor = by ? by(r, c) : 0;
      if (mantissas[k] === 0 || factor === -Infinity) continue;
      const power = Math.round(factor * Math.LOG2E);
      out.mantissas[to] = mantissas[k] * (factor === 0 ? 1 : exp(factor - power * Math.LN2));
      out.exponents[to] = exponents[k] + power;
    }
  }
  return out;
}

/** Messages of one sequence. */
export class SegmentPosteriors {
  readonly item: SegmentItem;
  readonly logZ: number;
  readonly #there: SegmentSums;
  readonly #back: SegmentSums;
  readonly #logs = new Map<string, Float64Array>();

  constructor(where: string, item: SegmentItem) {
    const { model: { labels: C, tables }, length: T, sequence } = item, row = (x: Float32Array | Int32Array): Float32Array | Int32Array => x.subarray(T * C);
    this.#there = segmentSums(where, tables, sequence, { keep: true });
    this.#back = segmentSums(where, tables, sequence, { keep: true, reverse: true });
    this.item = item;
    const m = row(this.#there.last.mantissas), e = row(this.#there.last.exponents);
    this.logZ = totalOf(item, Float64Array.from(m, (v, c) => (v === 0 ? -Infinity : log(v) + e[c] * Math.LN2 + this.#there.shifts[T])));
  }

  /** Log-weights [T + 1, C] of segments that end at a boundary, with what comes before; the scores of ends are not in it. */
  get alpha(): Float64Array {
    return this.#logsOf("alpha", this.#there, "last", false);
  }

  /** Of segments that begin at a boundary, with what comes before and the scores of starts. */
  get sources(): Float64Array {
    return this.#logsOf("sources", this.#there, "first", false);
  }

  /** Of what lies behind segments that end at a boundary, with the scores of ends. */
  get targets(): Float64Array {
    return this.#logsOf("targets", this.#back, "first", true);
  }

  #logsOf(name: string, sums: SegmentSums, which: "first" | "last", reverse: boolean): Float64Array {
    let logs = this.#logs.get(name);
    if (logs === undefined) this.#logs.set(name, (logs = logsOf(sums[which]!, sums.shifts, this.item.model.labels, reverse)));
    return logs;
  }

  /** log of the factor of a product of weights forwards and backwards at a boundary, over Z. */
  #factor(t: number): number {
    return this.#there.shifts[t] + this.#back.shifts[this.item.length - t] - this.logZ;
  }

  /** P(a segment of this label begins at s). */
  startAt(s: number, c: number): number {
    const out = new Float64Array(this.item.model.labels);
    this.#boundary(1, s, this.#there.first!, this.#back.last, out, 0);
    return out[c];
  }

  /** Adds weight P(a segment of label c begins at s) to starts [T, C] at `from`, and weight P(one ends at s) to ends [T, C]. */
  addBoundaries(weight: number, starts: Float64Array, ends: Float64Array, from: number): void {
    const { model: { labels: C }, length: T } = this.item;
    for (let t = 0; t < T; t++) {
      this.#boundary(weight, t, this.#there.first!, this.#back.last, starts, (from + t) * C);
      this.#boundary(weight, t + 1, this.#there.last, this.#back.first!, ends, (from + t) * C);
    }
  }

  /** Products of weights forwards and backwards at a boundary, over Z. */
  #boundary(weight: number, t: number, there: SegmentMessages, back: SegmentMessages, out: Float64Array, to: number): void {
    const { model: { labels: C }, length: T } = this.item, z = this.#factor(t), power = Math.round(z * Math.LOG2E), scale = weight * exp(z - power * Math.LN2);
    for (let c = 0, i = t * C, j = (T - t) * C; c < C; c++, i++, j++) {
      const m = there.mantissas[i] * back.mantissas[j];
      if (m > 0) out[to + c] += scale * m * POWERS[Math.max(-1100, Math.min(1000, there.exponents[i] + back.exponents[j] + power)) + 1100];
    }
  }

  /** Adds weight P(label b ends and label c begins) at all boundaries to sums [C, C]. */
  addPairs(weight: number, sums: Float64Array): void {
    const { item } = this, { length: T, model: { labels: C, tables }, sequence: { starts, ends } } = item;
    const before = weightsOf(this.#there.last, C, T, false, ends && ((t, b) => (t === 0 ? -Infinity : item.endAt(t, b)))), behind = weightsOf(this.#back.last, C, T, true, (t, c) => this.#factor(t) + (starts ? starts[t * C + c] : 0));
    const inner = ({ mantissas, exponents }: SegmentWeights): SegmentWeights => ({ mantissas: mantissas.subarray(C), exponents: exponents.subarray(C) });
    segmentPairs(tables, inner(before), inner(behind), sums, weight);
  }

  /** What may follow a segment that has reached its D-th position before boundary t: its end there or a later one. With a tail alone. */
  #tailed(): Float64Array {
    const { item, targets } = this, { length: T, model: { labels: C, tail }, sequence: { content } } = item, out = targets.slice();
    for (let t = T - 1; t >= 0; t--) for (let c = 0; c < C; c++) out[t * C + c] = logAddExp(targets[t * C + c], tail![c] + content[t * C + c] + out[(t + 1) * C + c]);
    return out;
  }

  /**
   * Adds weight P([s, s + d) is a segment of label c) to `durations` [D, C] and, where it has elements, `cells` [T, D, C] at `from`, and weight P(c at position u) to `content` [T, C] at `from`.
   * With a tail, d = D stands for the lengths from D on, and the positions beyond the D-th of a segment are left to `beyond`.
   */
  addCells(weight: number, durationSums: Float64Array, content: Float64Array, cells: Float64Array, from: number): void {
    const { item, logZ } = this, { length: T, sums, model: { labels: C, longest: D, durations, tail, tables }, sequence: { content: given, segments } } = item;
    if (segments === undefined && cells.length === 0) {
      const { shifts } = this.#there, back = this.#back.shifts;
      const own = weightsOf(this.#there.first!, C, T, false, (s, c) => shifts[s] - sums[s * C + c] - logZ), behind = weightsOf(this.#back.first!, C, T + 1, true, (t, c) => back[T - t] + sums[t * C + c]);
      let last = behind;
      if (tail) {
        const logs = this.#tailed();
        last = weightsOf({ mantissas: new Float32Array(logs.length).fill(1), exponents: new Int32Array(logs.length) }, C, T + 1, false, (t, c) => logs[t * C + c] + sums[t * C + c]);
      }
      segmentShares(tables, item.sequence, own, behind, last, { lengths: durationSums, content: from > 0 || content.length > T * C ? content.subarray(from * C, (from + T) * C) : content, weight });
      return;
    }
    const { sources, targets } = this;
    const tailed = tail ? this.#tailed() : targets, bars = new Int32Array(C).fill(T), held = new Float64Array(C), own = new Float64Array(C), each = cells.length > 0;
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
            if (each) cells[from * D * C + cell + c] += p;
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

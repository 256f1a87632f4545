import { rangeError } from "@logits/tensor";
import * as binary from "#wasm/segments";
import { family } from "./family.ts";
import { floatView, intView, scratch, wasmMemory } from "./memory.ts";

export const kernels: () => {
  f32_segments_weights(z: number, m: number, e: number, count: number): void;
  f32_segments_blocks(p: number): number;
  f32_segments_rows(p: number): number;
  f32_segments_shares(p: number): void;
  f32_segments_pairs(um: number, ue: number, vm: number, ve: number, am: number, ae: number, sums: number, count: number, labels: number, width: number): void;
  f32_intervals_forward(p: number): number;
  f32_intervals_skip(skip: number, vm: number, ve: number, at: number, atE: number, bytes: number): number;
  f32_intervals_backward(p: number): void;
} = /* @__PURE__ */ family("segments", binary);

/** Bytes of a block of positions. */
const BLOCK = 524288;
/** The exponent of a weight of 0. */
const ZERO = -1073741824;
/** Binary digits that the weights of one table may span. */
const SPAN = 58;

/** Scores of segments that do not depend on the position. */
export interface SegmentScores {
  /** C. */
  readonly labels: number;
  /** D. */
  readonly longest: number;
  /** float32 [D, C]. */
  readonly durations: Float32Array;
  /** float32 [C, C], [from, to]. */
  readonly transitions: Float32Array;
  /** float32 [C]. */
  readonly start: Float32Array;
  /** float32 [C]. */
  readonly end: Float32Array;
  /** float32 [C]: lengths beyond D score durations[D - 1] and this for each further position. */
  readonly tail?: Float32Array;
}

/** One sequence. */
export interface SegmentSequence {
  /** T, at least 1. */
  readonly length: number;
  /** float32 [T, C]. */
  readonly content: Float32Array;
  /** float32 [T, C]: of segments that begin there. */
  readonly starts?: Float32Array;
  /** float32 [T, C]: of segments that end there. */
  readonly ends?: Float32Array;
  /** float32 [T, D, C]: of segments that end there, by length - 1. Not with a tail. */
  readonly segments?: Float32Array;
}

/** Weights mantissa 2^exponent exp(shift of the row), [T + 1, C] at the boundaries 0 to T. */
export interface SegmentMessages {
  readonly mantissas: Float32Array;
  readonly exponents: Int32Array;
}

/** What `segmentSums` finds. */
export interface SegmentSums {
  /** float64 [T + 1]: log of the factor of all weights at a boundary. */
  readonly shifts: Float64Array;
  /** Of segments that end at a boundary: the last row alone where messages are not kept. The scores of ends and `end` are not in it. */
  readonly last: SegmentMessages;
  /** Where they are kept: of segments that begin at a boundary, with all that comes before; not at T. */
  readonly first?: SegmentMessages;
  /** The sequence needed an exponent for each row of the window. */
  readonly extended: boolean;
}

/** Mantissas and exponents of exp(z). */
function weightsOf(z: Float32Array): { m: Float32Array; e: Int32Array } {
  const count = (z.length + 3) & ~3, at = scratch(12 * count);
  floatView().fill(-Infinity, at >>> 2, (at >>> 2) + count);
  floatView().set(z, at >>> 2);
  kernels().f32_segments_weights(at, at + 4 * count, at + 8 * count, count);
  return { m: floatView().slice((at >>> 2) + count, (at >>> 2) + count + z.length), e: intView().slice((at >>> 2) + 2 * count, (at >>> 2) + 2 * count + z.length) };
}

/** 2^k for k in [-60, 0]. */
const two = (k: number): number => 1 / (1 << Math.min(30, -k)) / (1 << Math.max(0, -k - 30));

/** Weights relative to 2^scale in float32, where they span at most SPAN binary digits. */
function linearOf({ m, e }: { m: Float32Array; e: Int32Array }): { weights: Float32Array; scale: number } | undefined {
  let top = ZERO, low = -ZERO;
  m.forEach((v, i) => {
    if (v === 0) return;
    top = Math.max(top, e[i]);
    low = Math.min(low, e[i]);
  });
  if (top === ZERO) return { weights: m, scale: 0 };
  if (top - low > SPAN) return undefined;
  return { weights: m.map((v, i) => (v === 0 ? 0 : v * two(e[i] - top))), scale: top };
}

/** Rows of `labels` elements as rows of `width`, the rest `fill`. */
function widened(x: Float32Array | Int32Array, labels: number, width: number, fill: number): Float32Array {
  const rows = x.length / labels, out = new Float32Array(rows * width).fill(fill);
  for (let r = 0; r < rows; r++) out.set(x.subarray(r * labels, (r + 1) * labels), r * width);
  return out;
}

interface Direction {
  readonly al: Float32Array | undefined;
  readonly scale: number;
  readonly am: Float32Array;
  readonly ae: Int32Array;
  readonly start: { m: Float32Array; e: Int32Array };
}

/** Scores made ready for sums, once for many sequences. */
export interface SegmentTables {
  readonly scores: SegmentScores;
  readonly width: number;
  /** [D + 14, width], longest first, between 7 rows of 0; undefined where durations are too far apart. */
  readonly linear: { readonly weights: Float32Array; readonly scale: number } | undefined;
  /** [D, width], longest first. */
  readonly rows: Float32Array;
  /** No length is impossible between others: weights that later ones leave behind do not come back. */
  readonly dense: boolean;
  readonly tail: { readonly m: Float32Array; readonly e: Int32Array; readonly lastM: Float32Array; readonly lastE: Int32Array } | undefined;
  readonly forward: Direction;
  readonly backward: Direction;
}

/**
 * Makes scores ready for `segmentSums`.
 *
 * @param scores - durations, transitions, start, end, tail: finite or -Infinity
 * @example
 *   segmentTables({ labels: 1, longest: 2, durations: Float32Array.of(0, 1), transitions: Float32Array.of(0), start: Float32Array.of(0), end: Float32Array.of(0) });
 * Source: Sarawagi, Cohen, "Semi-Markov conditional random fields for information extraction", NIPS 2004.
 */
export function segmentTables(scores: SegmentScores): SegmentTables {
  const { labels: C, longest: D, durations, transitions, start, end, tail } = scores, width = (C + 3) & ~3;
  const direction = (matrix: Float32Array, first: Float32Array): Direction => {
    const { m, e } = weightsOf(widened(matrix, C, width, -Infinity)), linear = linearOf({ m, e });
    return { al: linear?.weights, scale: linear?.scale ?? 0, am: m, ae: e, start: weightsOf(widened(first, C, width, -Infinity)) };
  };
  const ordered = new Float32Array(D * width).fill(-Infinity), last = new Float32Array(width).fill(-Infinity);
  for (let d = 0; d < D; d++) for (let c = 0; c < C; c++) if (!(tail && d === D - 1)) ordered[(D - 1 - d) * width + c] = durations[d * C + c];
  last.set(durations.subarray((D - 1) * C));
  const weights = weightsOf(ordered), linear = linearOf(weights);
  let dense = tail === undefined;
  for (let c = 0; c < C && dense; c++) {
    let found = false;
    for (let d = D - 1; d >= 0; d--) {
      const possible = durations[d * C + c] > -Infinity;
      if (found && !possible) dense = false;
      found ||= possible;
    }
  }
  let padded: Float32Array | undefined;
  if (linear) {
    padded = new Float32Array((D + 14) * width);
    padded.set(linear.weights, 7 * width);
  }
  const rho = tail && weightsOf(widened(tail, C, width, -Infinity)), final = weightsOf(last);
  const transposed = Float32Array.from({ length: C * C }, (_, k) => transitions[(k % C) * C + Math.floor(k / C)]);
  return {
    scores, width, rows: ordered, dense,
    linear: padded && { weights: padded, scale: linear!.scale },
    tail: rho && { m: rho.m, e: rho.e, lastM: final.m, lastE: final.e },
    forward: direction(transitions, start),
    backward: direction(transposed, end),
  };
}

/**
 * Sums over the segmentations of a sequence, forwards or backwards, in extended range: nothing underflows.
 *
 *   last[t, c] = sum over d of first[t - d, c] content(t - d ... t - 1, c) duration[d, c],   first[s, c] = start of s times sum over b of last[s, b] end of s - 1 transition[b, c]
 *
 * Backwards the sequence is read from its end: boundary t is what lies T - t behind, transitions are transposed, starts and ends exchanged.
 *
 * @param tables - of `segmentTables`
 * @param sequence - T positions: finite or -Infinity
 * @param options - `reverse`, `keep` all messages, `extended`: an exponent for each row of the window from the beginning
 * @returns weights at the boundaries. Positions are gone through in blocks of half a megabyte; without `keep` that and the window is all the memory
 * @throws RangeError for segment scores beside a tail
 * @example
 *   segmentSums("example", tables, { length: 2, content: Float32Array.of(0, 0) });
 * Source: Sarawagi, Cohen, NIPS 2004; Yu, "Hidden semi-Markov models", Artificial Intelligence 174 (2010), on sums in O(T C (D + C)); extended range: Ristad, Yianilos, Princeton TR-472-94.
 */
export function segmentSums(where: string, tables: SegmentTables, sequence: SegmentSequence, { reverse = false, keep = false, extended = false }: { readonly reverse?: boolean; readonly keep?: boolean; readonly extended?: boolean } = {}): SegmentSums {
  const { scores: { labels: C, longest: D }, width: W, linear, tail } = tables, { length: T, content, segments } = sequence, way = reverse ? tables.backward : tables.forward;
  if (segments && tail) throw rangeError(where, "segmentScores", "without a tail", "with one");
  const blocks = !extended && linear !== undefined && segments === undefined, row = 4 * W, history = (D + 15) & ~7;
  const starts = reverse ? sequence.ends : sequence.starts, ends = reverse ? sequence.starts : sequence.ends;
  const each = row * ((segments ? D : 0) + 8), room = Math.max(8, Math.floor(BLOCK / each) & ~7), held = Math.min(room, (T + 7) & ~7);
  const sizes = {
    p: 112, h: (history + held + 8) * row, he: (blocks ? (history + held + 8) >>> 3 : history + held) * row, table: (blocks ? D + 14 : D * (segments ? held : 1)) * row, x: held * row, g: held * row, ge: held * row,
    a: (held + 1) * row, ae: (held + 1) * row, pm: row, pe: row, al: C * row, am: C * row, at: C * row, starts: starts ? held * row : 0, ends: ends ? held * row : 0, cleared: row, work: 3 * row, shift: 8 * (held + 1), tail: tail ? 6 * row : 0,
  };
  let end = scratch(Object.values(sizes).reduce((a, b) => a + ((b + 15) & ~15), 0));
  const at = Object.fromEntries(Object.entries(sizes).map(([name, size]) => { const from = end; end += (size + 15) & ~15; return [name, from]; })) as Record<keyof typeof sizes, number>;
  const view = floatView(), ints = intView(), shifts = new Float64Array(T + 1), own = new Float64Array(wasmMemory().buffer, at.shift, held + 1);
  const put = (address: number, x: Float32Array): void => view.set(x, address >>> 2), putInts = (address: number, x: Int32Array): void => ints.set(x, address >>> 2), bump = blocks ? linear.scale : 0;
  view.fill(0, at.h >>> 2, (at.h + sizes.h) >>> 2);
  ints.fill(ZERO, at.he >>> 2, (at.he + sizes.he) >>> 2);
  view.fill(1, at.pm >>> 2, (at.pm + row) >>> 2);
  ints.fill(0, at.pe >>> 2, (at.pe + row) >>> 2);
  ints.fill(0, at.cleared >>> 2, (at.cleared + row) >>> 2);
  if (way.al) put(at.al, way.al);
  put(at.am, way.am);
  putInts(at.at, way.ae.map((e) => (e === ZERO ? e : e + bump)));
  put(at.g, way.start.m);
  putInts(at.ge, way.start.e.map((e) => (e === ZERO ? e : e + bump)));
  if (tail) {
    put(at.tail, tail.m);
    putInts(at.tail + row, tail.e);
    put(at.tail + 2 * row, tail.lastM);
    putInts(at.tail + 3 * row, tail.lastE.map((e) => (e === ZERO ? e : e - bump)));
    view.fill(0, (at.tail + 4 * row) >>> 2, (at.tail + 5 * row) >>> 2);
    ints.fill(ZERO, (at.tail + 5 * row) >>> 2, (at.tail + 6 * row) >>> 2);
  }
  if (!segments) put(at.table, blocks ? linear.weights : tables.rows);
  const kept = (rows: number): SegmentMessages => ({ mantissas: new Float32Array(rows * C), exponents: new Int32Array(rows * C).fill(ZERO) });
  const last = kept(keep ? T + 1 : 1), first = keep ? kept(T + 1) : undefined;
  const copy = (to: SegmentMessages, m: number, e: number, rows: number, base: number, less: number): void => {
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < C; c++) {
        const k = ints[(e >>> 2) + r * W + c];
        to.mantissas[(base + r) * C + c] = view[(m >>> 2) + r * W + c];
        to.exponents[(base + r) * C + c] = k < ZERO / 2 ? ZERO : k - less;
      }
    }
  };
  // A row in reading order, with padding that no maximum sees.
  const load = (address: number, x: Float32Array, t: number, pad: boolean): void => {
    const to = address >>> 2, from = (reverse ? T - 1 - t : t) * C;
    for (let c = 0; c < C; c++) view[to + c] = x[from + c];
    for (let c = C; c < W; c++) view[to + c] = pad ? x[from] : 0;
  };
  const params = at.p >>> 2;
  let flags = 0;
  for (let base = 0; base < T; base += held) {
    const count = Math.min(held, T - base);
    for (let n = 0; n < count; n++) {
      load(at.x + n * row, content, base + n, true);
      if (starts) load(at.starts + n * row, starts, base + n, false);
      // Ends of boundary s are those of the position before.
      if (ends && base + n > 0) load(at.ends + n * row, ends, base + n - 1, false);
      if (!segments) continue;
      // By row of the window, longest first: forwards of what ends here, backwards of what begins here.
      const to = (at.table >>> 2) + n * D * W, t = reverse ? T - 1 - base - n : base + n;
      for (let k = 0; k < D; k++) {
        const d = D - 1 - k, e = reverse ? t + d : t, from = (e * D + d) * C, inside = reverse ? e < T : d <= t;
        for (let c = 0; c < W; c++) view[to + k * W + c] = c < C && inside ? segments[from + c] + tables.rows[k * W + c] : -Infinity;
      }
    }
    ints.set([count, W, C, D, history, at.h, at.he, at.table, segments ? D * row : 0, at.x, at.g, at.ge, at.a, at.ae, at.pm, at.pe, at.al, at.am, at.at, way.al ? way.scale + bump : bump, Number(way.al !== undefined), starts ? at.starts : 0, ends ? at.ends : 0, at.cleared, Number(base === 0), at.work, at.shift, tail ? at.tail : 0], params);
    own[0] = shifts[base];
    flags |= blocks ? kernels().f32_segments_blocks(at.p) : kernels().f32_segments_rows(at.p);
    if (blocks && ((flags & 2) !== 0 || (flags !== 0 && !tables.dense))) return segmentSums(where, tables, sequence, { reverse, keep, extended: true });
    for (let n = 1; n <= count; n++) shifts[base + n] = own[n];
    const final = base + count === T;
    if (keep) {
      copy(first!, at.g, at.ge, count, base, bump);
      copy(last, at.a + row, at.ae + row, count, base + 1, 0);
    } else if (final) copy(last, at.a + count * row, at.ae + count * row, 1, 0, 0);
    if (final) break;
    // The window moves to the front; P becomes its mantissa, and the largest exponent leaves all weights for the shift.
    view.copyWithin(at.h >>> 2, (at.h + held * row) >>> 2, (at.h + (held + history) * row) >>> 2);
    const step = blocks ? held >>> 3 : held, rows = blocks ? history >>> 3 : history;
    ints.copyWithin(at.he >>> 2, (at.he + step * row) >>> 2, (at.he + (step + rows) * row) >>> 2);
    const a = (at.ae + held * row) >>> 2;
    let top = ZERO;
    for (let c = 0; c < C; c++) top = Math.max(top, ints[a + c]);
    if (top < ZERO / 2) top = 0;
    const lower = (address: number, by: (c: number) => number, count: number): void => { for (let k = 0, i = address >>> 2; k < count; k++, i++) ints[i] = ints[i] < ZERO / 2 ? ZERO : ints[i] - by(k % W); };
    const pe = at.pe >>> 2;
    lower(at.he, (c) => top - ints[pe + c], rows * W);
    if (tail) lower(at.tail + 5 * row, (c) => top - ints[pe + c], W);
    ints.fill(0, pe, pe + W);
    view.copyWithin(at.a >>> 2, (at.a + held * row) >>> 2, (at.a + (held + 1) * row) >>> 2);
    ints.copyWithin(at.ae >>> 2, a, a + W);
    lower(at.ae, () => top, W);
    if (keep) copy(last, at.a, at.ae, 1, base + count, 0);
    for (let c = 0; c < W; c++) ints[(at.cleared >>> 2) + c] = Math.max(0, ints[(at.cleared >>> 2) + c] - held);
    shifts[base + count] += top * Math.LN2;
  }
  return { shifts, last, ...(first && { first }), extended: !blocks };
}

/** Weights relative to Z, row by row: mantissas and exponents [rows, C]. */
export interface SegmentWeights {
  readonly mantissas: Float32Array;
  readonly exponents: Int32Array;
}

/**
 * Posteriors of a sequence's segments by length and by position, from what lies before and behind them.
 *
 * @param own - [T, C]: of segments that begin at s: all that comes before, over Z and over the contents before s
 * @param behind - [T + 1, C]: of segments that end at boundary t: all that follows, times the contents before t
 * @param last - [T + 1, C]: the same after length D; `behind` where no segment is longer
 * @param sums - `lengths` float64 [D, C] and `content` float64 [T, C], to which `weight` times the posteriors is added
 * @example
 *   segmentShares(tables, sequence, own, behind, behind, { lengths, content, weight: 1 });
 * Source: Sarawagi, Cohen, NIPS 2004, section 3.2.
 */
export function segmentShares(tables: SegmentTables, { length: T, content: given }: SegmentSequence, own: SegmentWeights, behind: SegmentWeights, last: SegmentWeights, { lengths, content, weight }: { readonly lengths: Float64Array; readonly content: Float64Array; readonly weight: number }): void {
  const { scores: { labels: C, longest: D, durations }, width: W } = tables, row = 4 * W, held = Math.min(T, Math.max(64, D)), table = weightsOf(widened(durations, C, W, -Infinity));
  const sizes = [64, held * row, held * row, (held + D) * row, (held + D) * row, (held + D) * row, (held + D) * row, D * row, D * row, D * row, (held + D) * row, held * row, row];
  let end = scratch(sizes.reduce((a, b) => a + b, 0));
  const [p, om, oe, bm, be, lm, le, dm, de, sums, covered, x, bars] = sizes.map((size) => { const address = end; end += size; return address; });
  const view = floatView(), ints = intView();
  view.set(table.m, dm >>> 2);
  ints.set(table.e, de >>> 2);
  ints.fill(0x7fffffff, bars >>> 2, (bars + row) >>> 2);
  const load = (m: number, e: number, from: SegmentWeights, first: number, rows: number): void => {
    for (let r = 0; r < rows; r++) {
      for (let c = 0, to = r * W, k = (first + r) * C; c < W; c++, to++, k++) {
        view[(m >>> 2) + to] = c < C ? from.mantissas[k] : 0;
        ints[(e >>> 2) + to] = c < C ? from.exponents[k] : ZERO;
      }
    }
  };
  for (let base = Math.floor((T - 1) / held) * held; base >= 0; base -= held) {
    const count = Math.min(held, T - base), rows = Math.min(count + D, T + 1 - base);
    load(om, oe, own, base, count);
    load(bm, be, behind, base, rows);
    load(lm, le, last, base, rows);
    for (let r = 0; r < count; r++) for (let c = 0; c < W; c++) view[(x >>> 2) + r * W + c] = c < C ? given[(base + r) * C + c] : 0;
    view.fill(0, sums >>> 2, (sums + D * row) >>> 2);
    view.fill(0, covered >>> 2, (covered + (held + D) * row) >>> 2);
    ints.set([count, W, D, T - base, om, oe, bm, be, lm, le, dm, de, sums, covered, x, bars], p >>> 2);
    kernels().f32_segments_shares(p);
    for (let d = 0; d < D; d++) for (let c = 0; c < C; c++) lengths[d * C + c] += weight * view[(sums >>> 2) + d * W + c];
    for (let r = 0; r < rows - 1; r++) for (let c = 0; c < C; c++) content[(base + r) * C + c] += weight * view[(covered >>> 2) + r * W + c];
    for (let c = 0; c < W; c++) ints[(bars >>> 2) + c] = Math.min(0x7fffffff, ints[(bars >>> 2) + c] + held);
  }
}

/**
 * Posteriors of pairs of labels of neighbouring segments.
 *
 * @param before - [R, C]: of segments that end at a boundary, with all before them
 * @param behind - [R, C]: of segments that begin there, with all that follows, over Z
 * @param sums - float64 [C, C], to which `weight` times the posteriors is added
 * @example
 *   segmentPairs(tables, before, behind, sums, 1);
 * Source: Sarawagi, Cohen, NIPS 2004, section 3.2.
 */
export function segmentPairs(tables: SegmentTables, before: SegmentWeights, behind: SegmentWeights, sums: Float64Array, weight: number): void {
  const { scores: { labels: C }, width: W, forward: { am, ae } } = tables, row = 4 * W, R = before.mantissas.length / C, held = Math.min(R, 256), sizes = [held * row, held * row, held * row, held * row, C * row, C * row, C * row];
  if (R === 0) return;
  let end = scratch(sizes.reduce((a, b) => a + b, 0));
  const [um, ue, vm, ve, tm, te, out] = sizes.map((size) => { const address = end; end += size; return address; }), view = floatView(), ints = intView();
  view.set(am, tm >>> 2);
  ints.set(ae, te >>> 2);
  for (let base = 0; base < R; base += held) {
    const count = Math.min(held, R - base);
    for (let r = 0; r < count; r++) {
      for (let c = 0, to = r * W, k = (base + r) * C; c < W; c++, to++, k++) {
        view[(um >>> 2) + to] = c < C ? before.mantissas[k] : 0;
        ints[(ue >>> 2) + to] = c < C ? before.exponents[k] : ZERO;
        view[(vm >>> 2) + to] = c < C ? behind.mantissas[k] : 0;
        ints[(ve >>> 2) + to] = c < C ? behind.exponents[k] : ZERO;
      }
    }
    view.fill(0, out >>> 2, (out + C * row) >>> 2);
    kernels().f32_segments_pairs(um, ue, vm, ve, tm, te, out, count, C, W);
    for (let b = 0; b < C; b++) for (let c = 0; c < C; c++) sums[b * C + c] += weight * view[(out >>> 2) + b * W + c];
  }
}

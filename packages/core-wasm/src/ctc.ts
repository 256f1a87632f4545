import { checkAttached, rangeError, type Tensor } from "@logits/tensor";
import * as binary from "#wasm/alignments";
import { family } from "./family.ts";
import { floatView, intView, scratch, wasmMemory } from "./memory.ts";

const kernels: () => {
  f32_ctc_frames(x: number, e: number, out: number, rows: number, cols: number, stride: number): void;
  f32_ctc_forward(x: number, out: number, labels: number, skips: number, states: number, rows: number, stride: number, blank: number, width: number): void;
  f32_ctc_backward(x: number, out: number, labels: number, skips: number, alpha: number, beta: number, after: number, g: number, shares: number, rows: number, stride: number, blank: number, width: number, scale: number, zm: number, ze: number): void;
  f32_ctc_best(x: number, out: number, labels: number, skips: number, states: number, rows: number, stride: number, blank: number, width: number): void;
} = /* @__PURE__ */ family("alignments", binary);

/** Bytes of a block of frames: more frames are gone through in blocks, forwards twice where the gradient is wanted. */
const BLOCK = 8388608;
/** The exponent of a weight of 0. */
const ZERO = -1073741824;

/** Frames and the labels that they are to spell. */
export interface CtcSequence {
  /** float32 [T, columns]. */
  readonly scores: Tensor<"float32">;
  /** Columns of the softmax, at most those of `scores`; columns behind them are weights of their own (a wildcard's). */
  readonly classes: number;
  /** int32 [S], columns other than `blank`; not checked here. */
  readonly labels: Int32Array;
  /** The column of the blank. */
  readonly blank: number;
}

/** What `ctcSums` computes beside the sum. */
export interface CtcWanted {
  /** float32 [T * columns], receives `coefficient` times the gradient of -log p: of the classes the softmax less the posteriors, of further columns minus the posteriors. */
  readonly grad?: Float32Array;
  readonly coefficient?: number;
  /** Is given the posteriors of the labels, float32 [frames, width] with label i at column i + 1, a block of frames at a time, the last first. */
  posteriors?(first: number, frames: number, width: number, shares: Float32Array): void;
}

/** A sum of weights: mantissa 2^exponent times the product over frames of 1 / sums[t]. */
export interface CtcSum {
  /** In [1, 2), or 0 where the labels cannot be spelt; NaN where a frame has no softmax. */
  readonly mantissa: number;
  readonly exponent: number;
  /** float64 [T]: of the classes' exp(score - the frame's maximum). */
  readonly sums: Float64Array;
}

/** Blocks, addresses and what is the same for all frames. */
function laid(where: string, { scores, labels }: CtcSequence, parts: number, extra: (width: number) => number) {
  const [frames, columns] = scores.shape, width = (labels.length + 5) & ~3, row = 4 * parts * (width + 4), each = 8 * columns + 16 + row + extra(width);
  const held = Math.max(1, Math.min(frames, Math.floor(BLOCK / each))), round = (bytes: number): number => (bytes + 31) & ~15;
  const sizes = [round(4 * held * columns), round(4 * held * columns), 16 * held, round(4 * width + 16), round(4 * width + 16), round((held + 1) * row), round(row), round(row), round(held * extra(width))];
  const at = scratch(sizes.reduce((a, b) => a + b, 0)), [x, e, out, names, skips, states, beta, after, shares] = sizes.map((_, i) => at + sizes.slice(0, i).reduce((a, b) => a + b, 0));
  checkAttached(where, "scores", scores);
  const ints = intView();
  ints.fill(0, names >>> 2, states >>> 2);
  ints.set(labels, (names >>> 2) + 1);
  labels.forEach((label, i) => { if (i > 0 && label !== labels[i - 1]) ints[(skips >>> 2) + 1 + i] = -1; });
  return { frames, columns, width, row, held, x, e, out, names, skips, states, beta, after, shares, blocks: Math.ceil(frames / held) };
}

/**
 * The sum over alignments of a sequence of labels to frames, with its gradient, in extended range: finite wherever the true value is.
 *
 *   p = sum over paths of product_t softmax(scores[t])[path[t]], over paths that spell the labels when repetitions are joined and blanks dropped
 *
 * @param sequence - scores, classes, labels, blank
 * @param wanted - `grad` with its `coefficient`, `posteriors`
 * @returns the sum as mantissa, exponent and the frames' sums: -log p = sum_t log sums[t] - log mantissa - exponent log 2. Within 1e-6 of float64, relative to the frames' largest differences of scores.
 *   A score more than 32,768 below its frame's largest leaves the range where the length times it passes 2^29
 * @throws RangeError for a gradient of another length
 * @example
 *   ctcSums("example", { scores, classes: 3, labels: Int32Array.of(1, 2), blank: 0 });
 * Source: Graves, Fernandez, Gomez, Schmidhuber, "Connectionist temporal classification", ICML 2006.
 */
export function ctcSums(where: string, sequence: CtcSequence, { grad, coefficient = 1, posteriors }: CtcWanted = {}): CtcSum {
  const { scores, classes, labels, blank } = sequence, S = labels.length;
  if (grad !== undefined && grad.length !== scores.size) throw rangeError(where, "grad", `of length ${scores.size}`, `${grad.length}`);
  const given = laid(where, sequence, 4, (w) => (posteriors ? 4 * w : 0)), { frames, columns, width, row, held, x, e, out, names, skips, states, beta, after, shares, blocks } = given;
  const { f32_ctc_frames, f32_ctc_forward, f32_ctc_backward } = kernels(), view = floatView(), ints = intView(), part = width + 4, sums = new Float64Array(frames), kept: Int32Array[] = [];
  // A row of states of weight 0.
  const clear = (address: number): void => {
    const at = address >>> 2;
    ints.fill(0, at, at + 4 * part);
    ints.fill(ZERO, at + part + 4, at + 2 * part);
    ints.fill(ZERO, at + 3 * part, at + 4 * part);
  };
  for (let r = 0; r <= held; r++) clear(states + r * row);
  ints.fill(0, (states + (held + 1) * row) >>> 2, ((states + (held + 1) * row) >>> 2) + 4);
  // Before the first frame nothing is spelt.
  view[(states >>> 2) + 2 * part + 4] = 1;
  ints[(states >>> 2) + 3 * part + 4] = 0;
  const sizeOf = (b: number): number => Math.min(held, frames - b * held);
  const load = (b: number): void => {
    const first = b * held, count = sizeOf(b);
    view.set(scores.data.subarray(first * columns, (first + count) * columns), x >>> 2);
    f32_ctc_frames(x, e, out, count, classes, columns);
  };
  const totals = new Float64Array(wasmMemory().buffer, out, 2 * held);
  for (let b = 0; b < blocks; b++) {
    const count = sizeOf(b);
    if (blocks > 1) kept.push(ints.slice(states >>> 2, (states + row) >>> 2));
    load(b);
    for (let r = 0; r < count; r++) sums[b * held + r] = totals[2 * r + 1];
    f32_ctc_forward(x, out, names, skips, states + row, count, columns, blank, width);
    if (b < blocks - 1) ints.copyWithin(states >>> 2, (states + count * row) >>> 2, (states + (count + 1) * row) >>> 2);
  }
  const end = (states + (frames === 0 ? 0 : sizeOf(blocks - 1)) * row) >>> 2, [lm, le, om, oe] = [view[end + 4 + S], ints[end + part + 4 + S], view[end + 2 * part + 4 + S], ints[end + 3 * part + 4 + S]];
  // Of mantissas with 24 bits, what lies 2^30 below the other does not count.
  const top = Math.max(S === 0 ? ZERO : le, oe), share = (m: number, e: number): number => (top - e > 30 ? 0 : m / (1 << (top - e))), sum = (S === 0 ? 0 : share(lm, le)) + share(om, oe);
  // In [1, 4).
  const high = sum >= 2, mantissa = sums.some((v) => !(v > 0 && v < Infinity)) ? NaN : high ? sum / 2 : sum, exponent = mantissa === 0 ? 0 : top + Number(high);
  if (grad === undefined && posteriors === undefined) return { mantissa, exponent, sums };
  if (!(mantissa > 0)) {
    grad?.fill(mantissa === 0 ? 0 : NaN);
    return { mantissa, exponent, sums };
  }
  clear(beta);
  clear(after);
  for (const address of [beta, after]) ints.fill(0, (address + row) >>> 2, ((address + row) >>> 2) + 4);
  view[(beta >>> 2) + 2 * part + 4 + S] = 1;
  ints[(beta >>> 2) + 3 * part + 4 + S] = 0;
  if (S > 0) {
    view[(beta >>> 2) + 4 + S] = 1;
    ints[(beta >>> 2) + part + 4 + S] = 0;
  }
  for (let b = blocks - 1; b >= 0; b--) {
    const first = b * held, count = sizeOf(b);
    if (blocks > 1) {
      load(b);
      ints.set(kept[b], states >>> 2);
      f32_ctc_forward(x, out, names, skips, states + row, count, columns, blank, width);
    }
    const from = e >>> 2;
    for (let r = 0; r < count; r++) {
      const scale = (2 * coefficient) / totals[2 * r + 1], at = from + r * columns;
      for (let c = at; c < at + classes; c++) view[c] *= scale;
      view.fill(0, at + classes, at + columns);
    }
    f32_ctc_backward(x, out, names, skips, states + row, beta, after, e, posteriors ? shares : 0, count, columns, blank, width, coefficient, mantissa, exponent);
    grad?.set(view.subarray(from, from + count * columns), first * columns);
    posteriors?.(first, count, width, view.subarray(shares >>> 2, (shares >>> 2) + count * width));
  }
  return { mantissa, exponent, sums };
}

/**
 * The most probable alignment: which label each frame belongs to.
 *
 * Forwards in blocks, of which the first rows are kept; backwards the blocks are gone through again, so that the memory is that of a block and of one row for each.
 *
 * @param sequence - scores, classes, labels, blank
 * @returns int32 [T], the index of the label or -1 for a blank; `undefined` where the labels cannot be spelt. At equal scores a frame stays at the later label, and at a label rather than a blank
 * @example
 *   ctcPath("example", { scores, classes: 3, labels: Int32Array.of(1, 2), blank: 0 });
 * Source: Graves et al., ICML 2006.
 */
export function ctcPath(where: string, sequence: CtcSequence): Int32Array | undefined {
  const { scores, classes, labels, blank } = sequence, S = labels.length;
  const { frames, columns, width, row, held, x, e, out, names, skips, states, blocks } = laid(where, sequence, 2, () => 0);
  const { f32_ctc_frames, f32_ctc_best } = kernels(), view = floatView(), part = width + 4, kept: Float32Array[] = [], path = new Int32Array(frames);
  view.fill(-Infinity, states >>> 2, (states + (held + 1) * row) >>> 2);
  view[(states >>> 2) + part + 4] = 0;
  const sizeOf = (b: number): number => Math.min(held, frames - b * held);
  const run = (b: number): void => {
    const first = b * held, count = sizeOf(b);
    view.set(scores.data.subarray(first * columns, (first + count) * columns), x >>> 2);
    f32_ctc_frames(x, e, out, count, classes, columns);
    f32_ctc_best(x, out, names, skips, states + row, count, columns, blank, width);
  };
  for (let b = 0; b < blocks; b++) {
    kept.push(view.slice(states >>> 2, (states + row) >>> 2));
    run(b);
    if (b < blocks - 1) view.copyWithin(states >>> 2, (states + sizeOf(b) * row) >>> 2, (states + (sizeOf(b) + 1) * row) >>> 2);
  }
  const end = (states + (frames === 0 ? 0 : sizeOf(blocks - 1)) * row) >>> 2, own = S === 0 ? -Infinity : view[end + 4 + S], last = view[end + part + 4 + S];
  if (!(Math.max(own, last) > -Infinity)) return undefined;
  // The state of the frame in hand: behind label i, or at it.
  let i = S, at = own >= last && S > 0;
  for (let b = blocks - 1; b >= 0; b--) {
    if (blocks > 1 && b < blocks - 1) {
      view.set(kept[b], states >>> 2);
      run(b);
    }
    for (let r = sizeOf(b) - 1; r >= 0; r--) {
      path[b * held + r] = at ? i - 1 : -1;
      // The row before: row r of the states, whose row 0 comes before the block.
      const before = (states + r * row) >>> 2, l = view[before + 4 + i], o = view[before + part + 4 + i];
      if (!at) at = l >= o && i > 0;
      else {
        const behind = view[before + part + 3 + i], previous = i > 1 && labels[i - 1] !== labels[i - 2] ? view[before + 3 + i] : -Infinity;
        if (l >= previous && l >= behind) continue;
        i--;
        at = previous >= behind;
      }
    }
  }
  return path;
}

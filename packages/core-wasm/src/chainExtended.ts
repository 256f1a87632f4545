import { kernels, transposed, type Arcs, type CompiledChain } from "./chain.ts";
import type { ChainSequence } from "./chainForwardBackward.ts";
import { layout } from "./chainRows.ts";
import { floatView, intView, scratch } from "./memory.ts";

const BLOCK = 4 << 20;

/** log Z of a sequence in extended range, with its marginals and pairs: about ten times the time of scaled linear space, exact to float64 wherever the scores lie. */
export function extended(chain: CompiledChain, { rows, from, to, marginals, filtered, counts, pairs }: ChainSequence): number {
  const { states: C } = chain;
  const { f64_chain_log, f64_far_weights, f64_far_forward, f64_far_dot, f64_far_backward, f64_far_arcs } = kernels();
  const { emissions, transitions } = rows;
  const length = to - from, row = 8 * C, varying = transitions ? 1 : 0;
  const arcs = varying ? everyArc(C) : chain.arcs, back = varying ? transposed(C, arcs) : chain.reversed;
  const n = arcs.sources.length;
  const held = Math.min(length, Math.max(4, Math.floor(BLOCK / (4 * row + 8 * C + varying * 40 * n + (pairs ? 8 * n : 0)))));
  const steps = varying ? held : 1;
  const parts = layout({
    numbers: 64, starts: 4 * (C + 1), sources: 4 * n, backStarts: 4 * (C + 1), backSources: 4 * n, forwardM: 8 * n * steps, forwardE: 8 * n * steps, backwardM: 8 * n * steps, backwardE: 8 * n * steps,
    bm: row, be: row, am: (held + 1) * row, ae: (held + 1) * row, xm: held * row, xe: held * row, mu: 4 * held * C, scores: 4 * Math.max(held * C, n * steps), shares: pairs ? 8 * n * held : 8 * n,
  });
  const where = parts.at(scratch(parts.bytes));
  // The row before a block lies before its rows.
  const at = { ...where, beforeM: where.am, am: where.am + row, beforeE: where.ae, ae: where.ae + row };
  const floats = floatView(), doubles = new Float64Array(floats.buffer);
  const double = (address: number, count: number): Float64Array => doubles.subarray(address >>> 3, (address >>> 3) + count);
  const weigh = (scores: Float32Array, m: number, e: number): void => {
    floats.set(scores, at.scores >>> 2);
    f64_far_weights(at.scores, scores.length, m, e);
  };
  intView().set(arcs.starts, at.starts >>> 2);
  intView().set(arcs.sources, at.sources >>> 2);
  intView().set(back.starts, at.backStarts >>> 2);
  intView().set(back.sources, at.backSources >>> 2);
  if (!varying) {
    weigh(arcs.scores, at.forwardM, at.forwardE);
    weigh(back.scores, at.backwardM, at.backwardE);
  }
  const stride = varying * n;
  const blocks = Math.ceil(length / held);
  const sizeOf = (b: number): number => Math.min(held, length - b * held);
  const kept = new Float64Array(blocks * 2 * C);
  const pass = (b: number): void => {
    const first = from + b * held, count = sizeOf(b), skip = b === 0 ? 1 : 0;
    weigh(emissions.data.subarray(first * C, (first + count) * C), at.xm, at.xe);
    if (transitions) {
      const into = new Float32Array((count - skip) * n), away = new Float32Array(into.length);
      for (let t = 0; t < count - skip; t++) {
        const matrix = (first + skip + t) * C * C;
        for (let j = 0; j < C; j++) for (let i = 0; i < C; i++) into[t * n + j * C + i] = away[t * n + i * C + j] = transitions.data[matrix + i * C + j];
      }
      weigh(into, at.forwardM, at.forwardE);
      weigh(away, at.backwardM, at.backwardE);
    }
    f64_far_forward(at.starts, at.sources, at.forwardM, at.forwardE, stride, C, at.xm, at.xe, count, skip, at.am, at.ae);
  };
  weigh(chain.start, at.beforeM, at.beforeE);
  for (let b = 0; b < blocks; b++) {
    kept.set(double(at.beforeM, C), b * 2 * C);
    kept.set(double(at.beforeE, C), b * 2 * C + C);
    pass(b);
    double(at.beforeM, C).set(double(at.am + (sizeOf(b) - 1) * row, C));
    double(at.beforeE, C).set(double(at.ae + (sizeOf(b) - 1) * row, C));
  }
  weigh(chain.end, at.bm, at.be);
  f64_far_dot(at.beforeM, at.beforeE, at.bm, at.be, C, at.numbers);
  const [mantissa] = double(at.numbers, 1);
  if (mantissa === 0) return -Infinity;
  const value = f64_chain_log(at.numbers);
  if (!Number.isFinite(value) || (!marginals && !filtered && !counts && !pairs)) return value;

  if (counts) double(at.shares, n).fill(0);
  for (let b = blocks - 1; b >= 0; b--) {
    const first = from + b * held, count = sizeOf(b), skip = b === 0 ? 1 : 0, moves = count - skip;
    if (blocks > 1) {
      double(at.beforeM, C).set(kept.subarray(b * 2 * C, b * 2 * C + C));
      double(at.beforeE, C).set(kept.subarray(b * 2 * C + C, (b + 1) * 2 * C));
      pass(b);
    }
    f64_far_backward(at.backStarts, at.backSources, at.backwardM, at.backwardE, stride, C, at.xm, at.xe, count, skip, at.am, at.ae, at.bm, at.be, at.numbers, at.mu);
    if (pairs) double(at.shares, n * moves).fill(0);
    if (counts || pairs) f64_far_arcs(at.starts, at.sources, at.forwardM, at.forwardE, stride, C, at.xm + skip * row, at.xe + skip * row, moves, at.am + skip * row, at.ae + skip * row, at.numbers, at.shares, pairs ? n : 0);
    if (pairs) {
      const shares = double(at.shares, n * moves);
      for (let t = 0; t < moves; t++) for (let j = 0; j < C; j++) for (let k = arcs.starts[j]; k < arcs.starts[j + 1]; k++) pairs[(first + skip + t) * C * C + arcs.sources[k] * C + j] = shares[t * n + k];
    }
    if (filtered) normalised(double(at.am, count * C), double(at.ae, count * C), C, filtered.subarray(first * C, (first + count) * C));
    marginals?.set(floats.subarray(at.mu >>> 2, (at.mu >>> 2) + count * C), first * C);
  }
  counts?.set(double(at.shares, n));
  return value;
}

/** Rows of mantissas and exponents, each row divided by its sum; 0 below 2^-150 of the largest. */
function normalised(m: Float64Array, e: Float64Array, C: number, out: Float32Array): void {
  const powers = new Float64Array(151);
  for (let k = 0, power = 1; k <= 150; k++, power /= 2) powers[k] = power;
  for (let row = 0; row < m.length; row += C) {
    let top = -Infinity, sum = 0;
    for (let j = row; j < row + C; j++) if (m[j] > 0) top = Math.max(top, e[j]);
    for (let j = row; j < row + C; j++) sum += out[j] = m[j] > 0 && top - e[j] <= 150 ? m[j] * powers[top - e[j]] : 0;
    for (let j = row; j < row + C; j++) out[j] /= sum;
  }
}

/** Every pair of states, by target. */
function everyArc(C: number): Arcs {
  const n = C * C;
  return { starts: Int32Array.from({ length: C + 1 }, (_, j) => j * C), sources: Int32Array.from({ length: n }, (_, k) => k % C), scores: new Float32Array(n), index: Int32Array.from({ length: n }, (_, k) => k) };
}

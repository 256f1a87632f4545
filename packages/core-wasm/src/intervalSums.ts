import { rangeError } from "@logits/tensor";
import { floatView, intView, scratch } from "./memory.ts";
import { kernels } from "./segmentSums.ts";

/** The exponent of a weight of 0. */
const ZERO = -1073741824;

/** Scores of intervals [i, j] of frames, i <= j, on parallel tracks. */
export interface IntervalProblem {
  /** T, at least 1. */
  readonly frames: number;
  /** K. */
  readonly tracks: number;
  /** float32, the first (t + 1) K elements: the scores of the intervals [i, t], i = 0 ... t, track by track. */
  scores(t: number): Float32Array;
  /** float32 [T - 1, K]: of going from a frame to the next outside of intervals. Default 0. */
  readonly skip?: Float32Array;
  /** An interval may begin where another ends. */
  readonly shared: boolean;
  /** int32 [K], in [0, T): nothing begins before this frame, and what lies before scores nothing. Default 0. */
  readonly from?: Int32Array;
}

/** What `intervalSums` computes beside the sums. */
export interface IntervalsWanted {
  /** Is given the posteriors of the intervals that end at t, float32 [t + 1, width], the last frame first. A view: read it at once. */
  posteriors?(t: number, width: number, p: Float32Array): void;
  /** Is given those of going from t to t + 1 outside of intervals, float32 [width], the last first. A view. */
  skips?(t: number, p: Float32Array): void;
}

/** Z of each track: mantissa 2^exponent. */
export interface IntervalSums {
  readonly mantissas: Float32Array;
  readonly exponents: Int32Array;
}

/**
 * Sums over the sets of intervals of each track, four tracks in the lanes, in extended range.
 *
 *   Z = sum over sets of intervals that do not overlap of exp(sum of scores of its intervals + sum of skip over the steps that none covers)
 *
 * With `shared`, an interval may begin in the frame in which another ends, and that frame may be an interval of its own between them.
 *
 * @param problem - frames, tracks, scores, skip, shared, from
 * @param wanted - `posteriors`, `skips`: then frames are gone through backwards as well
 * @returns Z of each track
 * @throws RangeError for a score that is NaN or Infinity (with its frames and track)
 * @example
 *   intervalSums("example", { frames: 2, tracks: 1, scores: () => Float32Array.of(0, 0), shared: false }); // Z = 5: none, [0, 0], [1, 1], both, [0, 1]
 * Source: Yan, Cwitkowitz, Duan, "Skipping the frame-level: event-based piano transcription with neural semi-CRFs", NeurIPS 2021; Yan, Duan, "Scoring time intervals using non-hierarchical transformer for automatic piano transcription", ISMIR 2024.
 */
export function intervalSums(where: string, { frames: T, tracks: K, scores, skip, shared, from }: IntervalProblem, { posteriors, skips }: IntervalsWanted = {}): IntervalSums {
  const W = (K + 3) & ~3, row = 4 * W, wanted = posteriors !== undefined || skips !== undefined, states = T * row;
  const sizes = [128, states, states, states, states, row, row, row, row, row, row, row, 4 * T * K + 16, wanted ? states : 0, wanted ? states : 0, wanted ? states : 0];
  let end = scratch(sizes.reduce((a, b) => a + ((b + 15) & ~15), 0));
  const [p, vm, ve, bm, be, at, atE, behind, behindE, zm, ze, steps, s, sm, se, out] = sizes.map((size) => { const address = end; end += (size + 15) & ~15; return address; });
  const view = floatView(), ints = intView(), params = p >>> 2;
  view.fill(0, at >>> 2, (at + row) >>> 2);
  ints.fill(ZERO, atE >>> 2, (atE + row) >>> 2);
  view.fill(0, (s >>> 2) + T * K, (s >>> 2) + T * K + 4);
  view.fill(0, steps >>> 2, (steps + row) >>> 2);
  const load = (t: number): void => {
    const given = scores(t), size = (t + 1) * K;
    view.set(given.length === size ? given : given.subarray(0, size), s >>> 2);
    if (t < T - 1) view.fill(0, (s >>> 2) + size, (s >>> 2) + size + 4);
    ints.set([row, 4 * K, t, s, 0, vm, ve, bm, be, sm, se, behind, behindE, at, atE, out, Number(shared), zm, ze, Number(t === T - 1)], params);
  };
  const loadSkip = (t: number): void => {
    if (skip) view.set(skip.subarray(t * K, (t + 1) * K), steps >>> 2);
    else view.fill(0, steps >>> 2, (steps >>> 2) + K);
  };
  for (let t = 0; t < T; t++) {
    if (t > 0) {
      loadSkip(t - 1);
      if (kernels().f32_intervals_skip(skip ? steps : 0, vm + (t - 1) * row, ve + (t - 1) * row, at, atE, row)) throw refused(where, "skip", skip!.subarray((t - 1) * K, t * K), (k) => `at step ${t - 1} of track ${k}`);
    }
    for (let k = 0; k < K; k++) {
      if ((from?.[k] ?? 0) !== t) continue;
      view[(at >>> 2) + k] = 1;
      ints[(atE >>> 2) + k] = 0;
    }
    load(t);
    if (kernels().f32_intervals_forward(p)) throw refused(where, "scores", scores(t).subarray(0, (t + 1) * K), (k) => `for frames ${Math.floor(k / K)} to ${t} of track ${k % K}`);
  }
  const last = (T - 1) * row, mantissas = view.slice((vm + last) >>> 2, ((vm + last) >>> 2) + K), exponents = ints.slice((ve + last) >>> 2, ((ve + last) >>> 2) + K);
  if (!wanted) return { mantissas, exponents };
  view.fill(0, sm >>> 2, (sm + states) >>> 2);
  ints.fill(ZERO, se >>> 2, (se + states) >>> 2);
  view.fill(1, at >>> 2, (at + row) >>> 2);
  ints.fill(0, atE >>> 2, (atE + row) >>> 2);
  view.fill(1, zm >>> 2, (zm + row) >>> 2);
  ints.fill(0, ze >>> 2, (ze + row) >>> 2);
  // A track without any set has posteriors 0.
  mantissas.forEach((m, k) => {
    if (m === 0) return;
    view[(zm >>> 2) + k] = m;
    ints[(ze >>> 2) + k] = exponents[k];
  });
  for (let t = T - 1; t >= 0; t--) {
    load(t);
    loadSkip(t);
    ints[params + 4] = steps;
    kernels().f32_intervals_backward(p);
    if (t < T - 1) skips?.(t, view.subarray(steps >>> 2, (steps + row) >>> 2));
    posteriors?.(t, W, view.subarray(out >>> 2, (out >>> 2) + (t + 1) * W));
  }
  return { mantissas, exponents };
}

function refused(where: string, argument: string, x: Float32Array, place: (k: number) => string): RangeError {
  const k = x.findIndex((v) => !(v < Infinity));
  return rangeError(where, argument, "finite or -Infinity", `${x[k]} ${place(k)}`);
}

import { matmul } from "@logits/core-wasm";
import { intervalSums, type IntervalProblem } from "@logits/core-wasm/segments";
import { log } from "@logits/statistics";
import { Tensor, asFloat32, asInt32, checkInteger, checkShape, lastingData, rangeError, type TensorLike } from "@logits/tensor";

/** Frames `first` to `last`, both part of it. */
export interface Interval {
  readonly first: number;
  readonly last: number;
}

/** Options of `IntervalCrf`. */
export interface IntervalOptions {
  /** float32 [T - 1, K], or [T - 1] for scores [T, T]: of going from a frame to the next outside of intervals. Default 0. */
  readonly skip?: TensorLike;
  /** Whether an interval may begin in the frame in which another ends. Default true, as in piano transcription, where a key is struck again in the frame of its release. */
  readonly sharedEndpoints?: boolean;
  /** int32 [K], in [0, T): nothing begins before this frame, and what lies before scores nothing. For windows of a long recording: where the window before has got to. Default 0. */
  readonly from?: TensorLike;
}

/** Probabilities of intervals and gaps. */
export interface IntervalMarginals {
  /** P([i, j] is an interval), float32 in the shape of the scores, [last, first]; 0 where last < first. */
  readonly intervals: Tensor<"float32">;
  /** P(no interval holds frames t and t + 1), float32 in the shape of `skip`. */
  readonly skip: Tensor<"float32">;
}

const NAME = "IntervalCrf";

/**
 * A distribution over sets of intervals that do not overlap, for each of K parallel tracks: which notes sound from when to when.
 *
 *   score(Y) = sum over [i, j] in Y of scores[j, i] + sum over steps (t, t + 1) that no interval holds of skip[t]
 *
 * [i, j] holds frames i to j and the steps between them; i = j is a note of one frame. With shared endpoints two intervals may have a frame in common as end and beginning, and that frame may be a note of its own besides.
 * Scores are [last, first] or [last, first, track], as segment scores are by their end; only first <= last is read. Totals are float64 [K].
 *
 * Source: Yan, Cwitkowitz, Duan, "Skipping the frame-level: event-based piano transcription with neural semi-CRFs", NeurIPS 2021; Yan, Duan, "Scoring time intervals using non-hierarchical transformer for automatic piano transcription", ISMIR 2024.
 */
export class IntervalCrf {
  /** T. */
  readonly frames: number;
  /** K. */
  readonly tracks: number;
  readonly sharedEndpoints: boolean;
  readonly #scores: Float32Array;
  readonly #skip: Float32Array | undefined;
  readonly #from: Int32Array | undefined;
  readonly #shape: readonly number[];
  #logZ: Float64Array | undefined;

  /**
   * Scores of intervals as scaled inner products of what a model says of their ends.
   *
   *   scores[j, i, k] = sum_e queries[k, i, e] keys[k, j, e] / sqrt(E)
   *
   * @param queries - float32 [K, T, E] or [T, E], of first frames
   * @param keys - float32 of the same shape, of last frames
   * @returns float32 [T, T, K] or [T, T]: 4 T^2 K bytes
   * @throws RangeError for another shape
   */
  static innerProducts(queries: TensorLike, keys: TensorLike): Tensor<"float32"> {
    const where = `${NAME}.innerProducts`, q = asFloat32(where, "queries", queries), k = asFloat32(where, "keys", keys), rank = q.shape.length;
    if ((rank !== 2 && rank !== 3) || q.shape[rank - 1] === 0) throw rangeError(where, "queries", "of shape [K, T, E] or [T, E]", `[${q.shape.join(", ")}]`);
    checkShape(where, "keys", k, q.shape);
    const [tracks, T, E] = rank === 2 ? [1, ...q.shape] : q.shape, out = new Float32Array(T * T * tracks), scale = 1 / Math.sqrt(E);
    for (let track = 0; track < tracks; track++) {
      const part = (x: Float32Array): Float32Array => x.slice(track * T * E, (track + 1) * T * E), turned = new Float32Array(T * E), own = part(q.data);
      for (let i = 0; i < T; i++) for (let e = 0; e < E; e++) turned[e * T + i] = own[i * E + e] * scale;
      const { data } = matmul(new Tensor("float32", [T, E], part(k.data)), new Tensor("float32", [E, T], turned));
      for (let j = 0; j < T; j++) for (let i = 0; i <= j; i++) out[(j * T + i) * tracks + track] = data[j * T + i];
    }
    return new Tensor("float32", rank === 2 ? [T, T] : [T, T, tracks], out);
  }

  /**
   * @param scores - float32 [T, T] or [T, T, K], [last, first, track]; -Infinity = impossible. A typed array is not copied: it must not change while the distribution is asked
   * @param options - `skip`, `sharedEndpoints`, `from`
   * @throws RangeError for another shape, a frame outside [0, T)
   */
  constructor(scores: TensorLike, { skip, sharedEndpoints = true, from }: IntervalOptions = {}) {
    const s = asFloat32(NAME, "scores", scores), { shape } = s, [T, second, K = 1] = shape;
    if ((shape.length !== 2 && shape.length !== 3) || T !== second || K === 0) throw rangeError(NAME, "scores", "of shape [T, T] or [T, T, K]", `[${shape.join(", ")}]`);
    this.frames = T;
    this.tracks = K;
    this.sharedEndpoints = sharedEndpoints;
    this.#shape = shape;
    this.#scores = lastingData(s);
    if (skip !== undefined) {
      const g = asFloat32(NAME, "skip", skip), want = [Math.max(0, T - 1), ...shape.slice(2)];
      checkShape(NAME, "skip", g, want);
      this.#skip = lastingData(g);
    }
    if (from !== undefined) {
      const first = asInt32(NAME, "from", from);
      if (first.size !== K) throw rangeError(NAME, "from", `of shape [${K}]`, `[${first.shape.join(", ")}]`);
      first.data.forEach((t, k) => checkInteger(NAME, `from[${k}]`, t, 0, T - 1));
      this.#from = first.data.slice();
    }
  }

  /**
   * The score of a set of intervals for each track, [K].
   *
   * @param intervals - for each track, its intervals in the order of time
   * @throws RangeError for another number of tracks, frames outside the recording or before `from`, intervals that overlap or are out of order
   */
  score(intervals: readonly (readonly Interval[])[]): Float64Array {
    this.#check("score", intervals);
    const { frames: T, tracks: K } = this;
    return Float64Array.from(intervals, (set, k) => {
      let total = 0, t = this.#from?.[k] ?? 0;
      const gap = (to: number): void => { for (; t < to; t++) total += this.#skip?.[t * K + k] ?? 0; };
      for (const { first, last } of set) {
        gap(first);
        total += this.#scores[(last * T + first) * K + k];
        t = last;
      }
      gap(T - 1);
      return total;
    });
  }

  /** log Z of each track, [K]; 0 without frames. */
  logPartition(): Float64Array {
    this.#logZ ??= this.frames === 0 ? new Float64Array(this.tracks) : this.#logs("logPartition");
    return this.#logZ.slice();
  }

  /** score - logPartition, [K]. */
  logProb(intervals: readonly (readonly Interval[])[]): Float64Array {
    const score = this.score(intervals), logZ = this.logPartition();
    this.#checkSupport("logProb", logZ);
    return score.map((s, k) => s - logZ[k]);
  }

  /**
   * The best set of intervals of each track. Among equals, from the last frame: no interval rather than one, and the one that begins first; a note of one frame only where it adds to the score.
   *
   * @returns `intervals`, those of each track in the order of time; `score`, float64 [K]
   */
  argmax(): { readonly intervals: Interval[][]; readonly score: Float64Array } {
    const { frames: T, tracks: K, sharedEndpoints: shared } = this, scores = this.#scores, intervals: Interval[][] = Array.from({ length: K }, () => []);
    if (T === 0) return { intervals, score: new Float64Array(K) };
    this.#checkSupport("argmax", this.logPartition());
    // Best before the intervals of a frame, and after them; the interval that ends there, -1: none.
    const free = new Float64Array(T * K).fill(-Infinity), best = new Float64Array(T * K), begun = new Int32Array(T * K).fill(-1), single = new Uint8Array(T * K), open = shared ? best : free;
    for (let t = 0; t < T; t++) {
      const row = t * K;
      for (let k = 0; k < K; k++) {
        if ((this.#from?.[k] ?? 0) === t) free[row + k] = 0;
        else if (t > 0) free[row + k] = best[row - K + k] + (this.#skip?.[row - K + k] ?? 0);
        best[row + k] = free[row + k];
      }
      for (let i = 0, at = t * T * K; i < t; i++) {
        for (let k = 0; k < K; k++, at++) {
          const v = open[i * K + k] + scores[at];
          if (v > best[row + k]) {
            best[row + k] = v;
            begun[row + k] = i;
          }
        }
      }
      for (let k = 0; k < K; k++) {
        const own = scores[(t * T + t) * K + k], v = (shared ? best[row + k] : free[row + k]) + own;
        if (!(v > best[row + k])) continue;
        best[row + k] = v;
        single[row + k] = 1;
        if (!shared) begun[row + k] = -1;
      }
    }
    for (let k = 0; k < K; k++) {
      // Whether the intervals of frame t may still end there, or are behind the one that begins there.
      let t = T - 1, before = false;
      while (t >= (this.#from?.[k] ?? 0)) {
        const at = t * K + k;
        if (!before && single[at] === 1) intervals[k].push({ first: t, last: t });
        const first = before ? -1 : begun[at];
        if (first >= 0 && (shared || single[at] === 0)) {
          intervals[k].push({ first, last: t });
          t = first;
          before = !shared;
        } else {
          t--;
          before = false;
        }
      }
      intervals[k].reverse();
    }
    return { intervals, score: this.score(intervals) };
  }

  /** P of every interval and of every step outside of intervals: the gradient of log Z by scores and skips. */
  marginals(): IntervalMarginals {
    return this.#marginals("marginals");
  }

  /**
   * logProb with its gradients.
   *
   * @param intervals - for each track, its intervals in the order of time
   * @param options - `upstream` float32 [K], a factor of each track's gradient. Default 1
   */
  logProbWithGrad(intervals: readonly (readonly Interval[])[], options: { readonly upstream?: TensorLike } = {}): { readonly value: Float64Array; readonly grads: { readonly scores: Tensor<"float32">; readonly skip: Tensor<"float32"> } } {
    const where = `${NAME}.logProbWithGrad`, { frames: T, tracks: K } = this, value = this.logProb(intervals);
    const upstream = options.upstream === undefined ? undefined : lastingData(asFloat32(where, "upstream", options.upstream));
    if (upstream !== undefined && upstream.length !== K) throw rangeError(where, "upstream", `of shape [${K}]`, `[${upstream.length}]`);
    // An impossible set has no slope.
    const weights = value.map((v, k) => (v === -Infinity ? 0 : (upstream?.[k] ?? 1))), { intervals: scores, skip } = this.#marginals("logProbWithGrad", weights.map((w) => -w));
    intervals.forEach((set, k) => {
      let t = this.#from?.[k] ?? 0;
      const gap = (to: number): void => { for (; t < to; t++) skip.data[t * K + k] += weights[k]; };
      for (const { first, last } of set) {
        gap(first);
        scores.data[(last * T + first) * K + k] += weights[k];
        t = last;
      }
      gap(T - 1);
    });
    return { value, grads: { scores, skip } };
  }

  /** Entropy of each track, [K], in nats. */
  entropy(): Float64Array {
    const { frames: T, tracks: K } = this, out = this.logPartition(), scores = this.#scores;
    this.#checkSupport("entropy", out);
    if (T === 0) return out;
    intervalSums(`${NAME}.entropy`, this.#problem(), {
      posteriors: (t, width, p) => { for (let i = 0; i <= t; i++) for (let k = 0; k < K; k++) if (p[i * width + k] > 0) out[k] -= p[i * width + k] * scores[(t * T + i) * K + k]; },
      skips: (t, p) => { for (let k = 0; k < K; k++) if (p[k] > 0) out[k] -= p[k] * (this.#skip?.[t * K + k] ?? 0); },
    });
    return out.map((h) => Math.max(0, h));
  }

  #problem(): IntervalProblem {
    const { frames, tracks, sharedEndpoints: shared } = this, step = frames * tracks;
    return { frames, tracks, shared, scores: (t) => this.#scores.subarray(t * step, t * step + (t + 1) * tracks), ...(this.#skip && { skip: this.#skip }), ...(this.#from && { from: this.#from }) };
  }

  #logs(method: string): Float64Array {
    const { mantissas, exponents } = intervalSums(`${NAME}.${method}`, this.#problem());
    return Float64Array.from(mantissas, (m, k) => (m === 0 ? -Infinity : log(m) + exponents[k] * Math.LN2));
  }

  #marginals(method: string, weights?: Float64Array): IntervalMarginals {
    const { frames: T, tracks: K } = this, intervals = new Float32Array(T * T * K), skip = new Float32Array(Math.max(0, T - 1) * K);
    this.#checkSupport(method, this.logPartition());
    if (T > 0) {
      intervalSums(`${NAME}.${method}`, this.#problem(), {
        posteriors: (t, width, p) => {
          for (let i = 0; i <= t; i++) for (let k = 0; k < K; k++) intervals[(t * T + i) * K + k] = weights ? weights[k] * p[i * width + k] : Math.min(1, p[i * width + k]);
        },
        skips: (t, p) => { for (let k = 0; k < K; k++) skip[t * K + k] = weights ? weights[k] * p[k] : Math.min(1, p[k]); },
      });
    }
    return { intervals: new Tensor("float32", this.#shape, intervals), skip: new Tensor("float32", [Math.max(0, T - 1), ...this.#shape.slice(2)], skip) };
  }

  #check(method: string, intervals: readonly (readonly Interval[])[]): void {
    const where = `${NAME}.${method}`, { frames: T, tracks: K, sharedEndpoints: shared } = this;
    if (intervals.length !== K) throw rangeError(where, "intervals", `of ${K} tracks`, `${intervals.length}`);
    intervals.forEach((set, k) => {
      const from = this.#from?.[k] ?? 0;
      set.forEach(({ first, last }, n) => {
        if (!(Number.isInteger(first) && Number.isInteger(last) && first >= from && first <= last && last < T)) throw rangeError(where, "intervals", `with ${from} <= first <= last < ${T}`, `[${first}, ${last}] on track ${k}`);
        const before = set[n - 1];
        if (before !== undefined && !(before.last < first || (shared && before.last === first && (before.first < before.last || first < last)))) throw rangeError(where, "intervals", `in order, ${shared ? "at most their ends" : "no frame"} shared`, `[${before.first}, ${before.last}] and [${first}, ${last}] on track ${k}`);
      });
    });
  }

  #checkSupport(method: string, totals: Float64Array): void {
    const k = totals.findIndex((z) => !(z > -Infinity));
    if (k >= 0) throw rangeError(`${NAME}.${method}`, "scores", "with a set of intervals that has a finite score", `none on track ${k}`);
  }
}

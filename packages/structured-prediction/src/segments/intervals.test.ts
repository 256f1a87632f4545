import { expectClose, expectExact, finiteDifferenceGradient, testRandom } from "@logits/testkit";
import { Tensor } from "@logits/tensor";
import { describe, expect, it } from "vitest";
import { IntervalCrf, type Interval } from "./index.ts";

const random = testRandom(95);
const floats = (shape: readonly number[], scale = 1, impossible = 0): Tensor<"float32"> => new Tensor("float32", [...shape], Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => (random.uniform() < impossible ? -Infinity : Math.fround(scale * random.normal()))));

/** Every set: a choice at each frame, of ending an interval begun there, of a note of one frame, of beginning one. */
function sets(T: number, shared: boolean, from = 0): Interval[][] {
  const out: Interval[][] = [];
  const grow = (set: Interval[]): void => {
    out.push(set);
    const last = set.at(-1);
    for (let first = from; first < T; first++) for (let end = first; end < T; end++) {
      if (last === undefined || last.last < first || (shared && last.last === first && (last.first < last.last || first < end))) grow([...set, { first, last: end }]);
    }
  };
  grow([]);
  return out;
}
const logSum = (x: number[]): number => { const top = Math.max(...x); return top === -Infinity ? top : top + Math.log(x.reduce((sum, v) => sum + Math.exp(v - top), 0)); };
function scoreOf(scores: (j: number, i: number) => number, skip: (t: number) => number, T: number, set: readonly Interval[], from = 0): number {
  let total = set.reduce((sum, { first, last }) => sum + scores(last, first), 0);
  for (let t = from; t < T - 1; t++) if (!set.some(({ first, last }) => first <= t && t < last)) total += skip(t);
  return total;
}

describe("IntervalCrf against enumeration [paper:scoring-time-intervals-using-non-hierarchical-transformer-for-automatic]", () => {
  it.each([[1, 2], [2, 3], [3, 2], [4, 5], [5, 1]])("has the sums, the best set, the marginals, the gradient and the entropy of all sets, endpoints shared and not: %i frames, %i tracks", (T, K) => {
    for (const sharedEndpoints of [true, false]) for (const impossible of [0, 0.2]) for (const starts of [false, true]) {
      const scores = floats([T, T, K], 2, impossible), skip = floats([T - 1, K], 1), from = starts ? Int32Array.from({ length: K }, () => random.integer(T)) : undefined;
      const d = new IntervalCrf(scores, { skip, sharedEndpoints, ...(from && { from }) }), best = d.argmax(), logZ = d.logPartition(), { intervals, skip: gaps } = d.marginals(), entropy = d.entropy();
      expectClose(d.score(best.intervals), best.score, { atol: 0 });
      const chosen: Interval[][] = [];
      for (let k = 0; k < K; k++) {
        const first = from?.[k] ?? 0, all = sets(T, sharedEndpoints, first), values = all.map((set) => scoreOf((j, i) => scores.at(j, i, k), (t) => skip.at(t, k), T, set, first)), want = logSum(values);
        expectClose(logZ[k], want, { atol: 3e-6 });
        expectClose(best.score[k], Math.max(...values), { atol: 1e-9 });
        const p = new Float64Array(T * T), g = new Float64Array(T - 1);
        let mean = 0;
        all.forEach((set, n) => {
          const q = Math.exp(values[n] - want);
          if (q > 0) mean += q * values[n];
          for (const { first: i, last: j } of set) p[j * T + i] += q;
          for (let t = first; t < T - 1; t++) if (!set.some((x) => x.first <= t && t < x.last)) g[t] += q;
        });
        expectClose(Array.from({ length: T * T }, (_, n) => intervals.data[n * K + k]), p, { atol: 3e-6 });
        expectClose(Array.from({ length: T - 1 }, (_, n) => gaps.data[n * K + k]), g, { atol: 3e-6 });
        expectClose(entropy[k], want - mean, { atol: 3e-5 });
        // Sets that differ have probabilities that sum to 1.
        expectClose(all.reduce((sum, set) => sum + Math.exp(d.score(Array.from({ length: K }, (_, other) => (other === k ? set : [])))[k] - logZ[k]), 0), 1, { atol: 1e-5 });
        chosen.push(all[random.integer(all.length)]);
      }
      if (impossible > 0) continue;
      const { value, grads } = d.logProbWithGrad(chosen, { upstream: Float32Array.from({ length: K }, (_, k) => 1 + k) });
      expectClose(value, d.logProb(chosen), { atol: 0 });
      const total = (x: (j: number, i: number, k: number) => number, y: (t: number, k: number) => number): number => chosen.reduce((sum, set, k) => {
        const first = from?.[k] ?? 0, value = (other: readonly Interval[]): number => scoreOf((j, i) => x(j, i, k), (t) => y(t, k), T, other, first);
        return sum + (1 + k) * (value(set) - logSum(sets(T, sharedEndpoints, first).map(value)));
      }, 0);
      if (T > 3) continue;
      expectClose(grads.scores.data, finiteDifferenceGradient((x) => total((j, i, k) => x[(j * T + i) * K + k], (t, k) => skip.at(t, k)), Float64Array.from(scores.data)), { atol: 2e-5 });
      expectClose(grads.skip.data, finiteDifferenceGradient((x) => total((j, i, k) => scores.at(j, i, k), (t, k) => x[t * K + k]), Float64Array.from(skip.data)), { atol: 2e-5 });
    }
  });
});

describe("IntervalCrf", () => {
  it("counts: with scores of 0 Z is the number of sets", () => {
    for (const sharedEndpoints of [true, false]) for (let T = 1; T <= 6; T++) expectClose(Math.exp(new IntervalCrf(floats([T, T], 0), { sharedEndpoints }).logPartition()[0]), sets(T, sharedEndpoints).length, { rtol: 1e-6 });
  });

  it("joins windows by their forced starts: what lies before is not counted", () => {
    const T = 8, scores = floats([T, T, 3]), from = [3, 0, 7], d = new IntervalCrf(scores, { from }), { intervals } = d.argmax();
    intervals.forEach((set, k) => expect(set.every(({ first }) => first >= from[k])).toBe(true));
    const alone = new IntervalCrf(new Tensor("float32", [5, 5], Float32Array.from({ length: 25 }, (_, n) => scores.at(3 + Math.floor(n / 5), 3 + (n % 5), 0))));
    expectClose(d.logPartition()[0], alone.logPartition()[0], { atol: 1e-6 });
    expect(intervals[0]).toEqual(alone.argmax().intervals[0].map(({ first, last }) => ({ first: first + 3, last: last + 3 })));
  });

  it("scores intervals by scaled inner products", () => {
    const [K, T, E] = [3, 5, 4], q = floats([K, T, E]), k = floats([K, T, E]), s = IntervalCrf.innerProducts(q, k);
    for (let track = 0; track < K; track++) for (let j = 0; j < T; j++) for (let i = 0; i <= j; i++) {
      let sum = 0;
      for (let e = 0; e < E; e++) sum += q.at(track, i, e) * k.at(track, j, e);
      expectClose(s.at(j, i, track), sum / 2, { atol: 1e-6 });
    }
    expectExact(IntervalCrf.innerProducts(q.row(0), k.row(0)).shape as number[], [T, T]);
  });

  it("finds planted notes over 400 frames on 7 tracks", () => {
    const T = 400, K = 7, scores = new Tensor("float32", [T, T, K], new Float32Array(T * T * K).fill(-3)), want: Interval[][] = [];
    for (let k = 0; k < K; k++) {
      const set: Interval[] = [];
      for (let t = random.integer(9); t < T - 40; ) {
        const last = t + random.integer(30);
        set.push({ first: t, last });
        scores.data[(last * T + t) * K + k] = 4;
        t = last + 1 + random.integer(20);
      }
      want.push(set);
    }
    for (const sharedEndpoints of [true, false]) expect(new IntervalCrf(scores, { sharedEndpoints }).argmax().intervals).toEqual(want);
  });

  it("has one set, the empty one, without frames", () => {
    const d = new IntervalCrf(floats([0, 0, 2]));
    expectExact(d.logPartition(), Float64Array.of(0, 0));
    expect(d.argmax().intervals).toEqual([[], []]);
    expectExact(d.entropy(), Float64Array.of(0, 0));
    expect(d.marginals().skip.shape).toEqual([0, 2]);
  });

  it("says what it refuses", () => {
    const d = new IntervalCrf([[0, 0], [0, 0]], { sharedEndpoints: false }), one = (first: number, last: number): Interval => ({ first, last });
    expect(() => new IntervalCrf([[0, 0]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: IntervalCrf: expected \`scores\` of shape [T, T] or [T, T, K], got [1, 2]]`);
    expect(() => new IntervalCrf([[0]], { skip: [0] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: IntervalCrf: expected \`skip\` of shape [0], got [1]]`);
    expect(() => new IntervalCrf([[0]], { from: [1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: IntervalCrf: expected \`from[0]\` an integer in [0, 0], got 1]`);
    expect(() => new IntervalCrf([[0]], { from: [0, 0] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: IntervalCrf: expected \`from\` of shape [1], got [2]]`);
    expect(() => new IntervalCrf([[NaN]]).logPartition()).toThrowErrorMatchingInlineSnapshot(`[RangeError: IntervalCrf.logPartition: expected \`scores\` finite or -Infinity, got NaN for frames 0 to 0 of track 0]`);
    expect(() => new IntervalCrf([[0, 0], [0, 0]], { skip: [-Infinity] }).argmax()).not.toThrow();
    expect(() => new IntervalCrf([[0, 0], [-Infinity, 0]], { skip: [-Infinity] }).entropy()).toThrowErrorMatchingInlineSnapshot(`[RangeError: IntervalCrf.entropy: expected \`scores\` with a set of intervals that has a finite score, got none on track 0]`);
    expect(() => d.score([])).toThrowErrorMatchingInlineSnapshot(`[RangeError: IntervalCrf.score: expected \`intervals\` of 1 tracks, got 0]`);
    expect(() => d.score([[one(1, 0)]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: IntervalCrf.score: expected \`intervals\` with 0 <= first <= last < 2, got [1, 0] on track 0]`);
    expect(() => d.score([[one(0, 1), one(1, 1)]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: IntervalCrf.score: expected \`intervals\` in order, no frame shared, got [0, 1] and [1, 1] on track 0]`);
    expect(() => new IntervalCrf([[0, 0], [0, 0]]).score([[one(1, 1), one(1, 1)]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: IntervalCrf.score: expected \`intervals\` in order, at most their ends shared, got [1, 1] and [1, 1] on track 0]`);
    expect(() => d.logProbWithGrad([[]], { upstream: [1, 2] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: IntervalCrf.logProbWithGrad: expected \`upstream\` of shape [1], got [2]]`);
    expect(() => IntervalCrf.innerProducts([1], [1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: IntervalCrf.innerProducts: expected \`queries\` of shape [K, T, E] or [T, E], got [1]]`);
    expect(() => IntervalCrf.innerProducts([[1]], [[1, 2]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: IntervalCrf.innerProducts: expected \`keys\` of shape [1, 1], got [1, 2]]`);
  });
});

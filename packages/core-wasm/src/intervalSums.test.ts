import { expectClose, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { intervalSums, type IntervalProblem } from "./intervalSums.ts";
import { intervalSetsRef } from "./intervalSums.ref.ts";

const random = testRandom(91);
const floats = (n: number, scale: number, impossible = 0): Float32Array => Float32Array.from({ length: n }, () => (random.uniform() < impossible ? -Infinity : scale * random.normal()));
const problem = (T: number, K: number, shared: boolean, scale: number, impossible = 0): IntervalProblem & { readonly all: Float32Array; readonly skip: Float32Array } => {
  const all = floats(T * T * K, scale, impossible), skip = floats((T - 1) * K, scale, impossible / 3);
  return { frames: T, tracks: K, scores: (t) => all.subarray(t * T * K, (t * T + t + 1) * K), skip, shared, all };
};
const logsOf = (p: IntervalProblem): number[] => { const { mantissas, exponents } = intervalSums("test", p); return Array.from(mantissas, (m, k) => (m === 0 ? -Infinity : Math.log(m) + exponents[k] * Math.LN2)); };
const logSum = (x: number[]): number => { const top = Math.max(...x); return top === -Infinity ? top : top + Math.log(x.reduce((sum, v) => sum + Math.exp(v - top), 0)); };

function scoreOf({ frames: T, tracks: K, skip, from }: IntervalProblem, all: Float32Array, set: readonly [number, number][], k: number): number {
  let total = 0;
  for (const [i, j] of set) total += all[(j * T + i) * K + k];
  for (let t = from?.[k] ?? 0; t < T - 1; t++) if (!set.some(([i, j]) => i <= t && t < j)) total += skip?.[t * K + k] ?? 0;
  return total;
}

/** The recursion in log space, float64. */
function recursion({ frames: T, tracks: K, skip, shared }: IntervalProblem, all: Float32Array, k: number): number {
  const v: number[] = [], open: number[] = [];
  for (let t = 0; t < T; t++) {
    const free = t === 0 ? 0 : v[t - 1] + (skip?.[(t - 1) * K + k] ?? 0), u = logSum([free, ...open.map((o, i) => o + all[(t * T + i) * K + k])]), own = all[(t * T + t) * K + k];
    v.push(shared ? u + logSum([0, own]) : logSum([u, free + own]));
    open.push(shared ? v[t] : free);
  }
  return v[T - 1];
}

describe("intervalSums [paper:scoring-time-intervals-using-non-hierarchical-transformer-for-automatic]", () => {
  it.each([[1, 1], [2, 3], [3, 5], [4, 2], [5, 4]])("agrees with the enumeration of sets, endpoints shared and not: %i frames, %i tracks", (T, K) => {
    for (const shared of [false, true]) for (const impossible of [0, 0.3]) for (const starts of [false, true]) {
      const p = { ...problem(T, K, shared, 2, impossible), ...(starts && { from: Int32Array.from({ length: K }, () => random.integer(T)) }) };
      const got = logsOf(p), posterior = new Float64Array(T * T * K), skipped = new Float64Array(Math.max(0, T - 1) * K);
      intervalSums("test", p, {
        posteriors: (t, width, q) => { for (let i = 0; i <= t; i++) for (let k = 0; k < K; k++) posterior[(t * T + i) * K + k] = q[i * width + k]; },
        skips: (t, q) => { for (let k = 0; k < K; k++) skipped[t * K + k] = q[k]; },
      });
      for (let k = 0; k < K; k++) {
        const first = p.from?.[k] ?? 0, sets = intervalSetsRef(T, shared, first), scores = sets.map((set) => scoreOf(p, p.all, set, k)), want = logSum(scores);
        expectClose(got[k], want, { atol: 3e-6, rtol: 1e-6 });
        const wantP = new Float64Array(T * T * K), wantS = new Float64Array(skipped.length);
        if (want > -Infinity) sets.forEach((set, n) => {
          const q = Math.exp(scores[n] - want);
          for (const [i, j] of set) wantP[(j * T + i) * K + k] += q;
          for (let t = first; t < T - 1; t++) if (!set.some(([i, j]) => i <= t && t < j)) wantS[t * K + k] += q;
        });
        for (let x = k; x < wantP.length; x += K) expectClose(posterior[x], wantP[x], { atol: 3e-6, label: `interval ${x} of ${T} ${K} ${shared}` });
        for (let x = k; x < wantS.length; x += K) expectClose(skipped[x], wantS[x], { atol: 3e-6, label: `skip ${x}` });
      }
    }
  });

  it.each([[60, 7, 1], [90, 5, 8], [40, 3, 300]])("agrees with the recursion in log space: %i frames, %i tracks, scores of %i", (T, K, scale) => {
    for (const shared of [false, true]) {
      const p = problem(T, K, shared, scale);
      expectClose(logsOf(p), Array.from({ length: K }, (_, k) => recursion(p, p.all, k)), { rtol: 1e-6, atol: 1e-5 });
      // Each step is covered by an interval or skipped.
      const covered = new Float64Array((T - 1) * K);
      intervalSums("test", p, {
        posteriors: (t, width, q) => { for (let i = 0; i < t; i++) for (let k = 0; k < K; k++) for (let u = i; u < t; u++) covered[u * K + k] += q[i * width + k]; },
        skips: (t, q) => { for (let k = 0; k < K; k++) covered[t * K + k] += q[k]; },
      });
      expectClose(covered, new Float64Array(covered.length).fill(1), { atol: scale < 100 ? 3e-5 : 3e-3 });
    }
  });

  it("gives impossible intervals 0 where what lies around them outweighs all sets", () => {
    // Step 1 is passed in an interval alone. [1, 2], impossible, would go between [0, 0] and [3, 3], which score `high` each; of the others each gives up one of the two, or both, and twice as much.
    // Steps of 0.2: the weight around it over Z meets every power of 2 from 2^87 to 2^519, the one that is Infinity among them.
    for (let high = 20; high <= 120; high += 0.2) {
      const scores: Readonly<Record<string, number>> = { "0 0": high, "3 3": high, "1 2": -Infinity, "0 2": -2 * high, "0 3": -2 * high, "1 3": -2 * high }, seen: Record<string, number> = {};
      const given: IntervalProblem = { frames: 4, tracks: 1, shared: false, skip: Float32Array.of(0, -Infinity, 0), scores: (t) => Float32Array.from({ length: t + 1 }, (_, i) => scores[`${i} ${t}`] ?? -3 * high) };
      intervalSums("test", given, { posteriors: (t, width, q) => { for (let i = 0; i <= t; i++) seen[`${i} ${t}`] = q[i * width]; } });
      expect(seen["1 2"], `${high}`).toBe(0);
      expectClose([seen["0 2"], seen["1 3"], seen["0 3"], seen["0 0"], seen["3 3"]], [0.5, 0.5, 0, 0.5, 0.5], { atol: 1e-4 }); // scores of 240 are rounded by 8e-6, and 20 below counts 2e-9
    }
  });

  it("names what is not a score", () => {
    const p = problem(3, 2, true, 1);
    p.all[(2 * 3 + 1) * 2 + 1] = NaN;
    expect(() => intervalSums("f", p)).toThrowErrorMatchingInlineSnapshot(`[RangeError: f: expected \`scores\` finite or -Infinity, got NaN for frames 1 to 2 of track 1]`);
    const q = problem(3, 2, true, 1);
    q.skip[2] = Infinity;
    expect(() => intervalSums("f", q)).toThrowErrorMatchingInlineSnapshot(`[RangeError: f: expected \`skip\` finite or -Infinity, got Infinity at step 1 of track 0]`);
  });
});

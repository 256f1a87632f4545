import { checkGuarantee, estimatorChecks } from "@logits/testkit";
import { randomSource } from "@logits/tensor";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { ConformalRegression, type ConformalRegressionOptions, type RegressionIntervals } from "./index.ts";
import { roundDown, roundUp } from "./rounding.ts";

// 10,000 repetitions of one promise take minutes on a busy machine.
if (process.env.LOGITS_SLOW) vi.setConfig({ testTimeout: 1_200_000 });

const repetitions = process.env.LOGITS_SLOW ? 10000 : 400;

/** y = 2 x + noise that grows with x; predictions of a model that is a little wrong, and of its spread. */
function world(rows: number, seed: number, shifted = false) {
  const random = randomSource(seed, shifted ? 1 : 0);
  const x = Float32Array.from({ length: rows }, () => (shifted ? Math.max(random.uniform(), random.uniform()) : random.uniform()));
  const y = x.map((v) => 2 * v + (0.1 + v) * (random.uniform() + random.uniform() + random.uniform() - 1.5));
  return { x, y, m: x.map((v) => 1.8 * v + 0.05), scale: x.map((v) => 0.2 + v), weights: x.map((v) => 2 * v) };
}
const pairs = (x: Float32Array) => ({ shape: [x.length, 2], data: Float32Array.from({ length: 2 * x.length }, (_, i) => 2 * x[i >> 1] + (i % 2 ? 1 : -1) * x[i >> 1] * 0.6) });
const misses = ({ low, high }: RegressionIntervals, y: Float32Array) => ({ successes: y.filter((v, i) => !(v >= low.data[i] && v <= high.data[i])).length, trials: y.length });

/** Least squares of a line without some rows. */
function line(x: Float32Array, y: Float32Array, left: (i: number) => boolean): (v: number) => number {
  let n = 0, sx = 0, sy = 0, sxx = 0, sxy = 0;
  x.forEach((v, i) => {
    if (left(i)) return;
    n++;
    sx += v;
    sy += y[i];
    sxx += v * v;
    sxy += v * y[i];
  });
  const slope = (n * sxy - sx * sy) / (n * sxx - sx * sx);
  return (v) => sy / n + slope * (v - sx / n);
}

describe("ConformalRegression", () => {
  it("agrees with the definition", () => {
    const some = fc.array(fc.tuple(fc.integer({ min: -8, max: 8 }), fc.integer({ min: -8, max: 8 })), { minLength: 1, maxLength: 30 });
    fc.assert(fc.property(some, fc.double({ min: 0.01, max: 0.99, noNaN: true }), (rows, alpha) => {
      const m = rows.map(([a]) => a), y = rows.map(([, b]) => b), n = rows.length, k = Math.ceil((n + 1) * (1 - alpha) - 1e-9);
      const nth = (list: number[], rank: number) => (rank > n ? Infinity : rank < 1 ? -Infinity : [...list].sort((a, b) => a - b)[rank - 1]);
      const of = (options: ConformalRegressionOptions, predictions: number[] | number[][], at: number[] | number[][], extra = {}) => {
        const { low, high } = ConformalRegression.fit(predictions, y, options).interval(at, { alpha, ...extra });
        return [low.data[0], high.data[0]];
      };
      const q = nth(y.map((v, i) => Math.abs(v - m[i])), k);
      expect(of({}, m, [3])).toEqual([3 - q, 3 + q]);
      const qs = nth(y.map((v, i) => Math.abs(v - m[i]) / 2 ** (i % 3)), k);
      expect(of({ method: "normalized", scale: y.map((_, i) => 2 ** (i % 3)) }, m, [3], { scale: [4] })).toEqual([3 - 4 * qs, 3 + 4 * qs]);
      const qc = nth(y.map((v, i) => Math.max(m[i] - 1 - v, v - m[i] - 2)), k);
      expect(of({ method: "cqr" }, m.map((v) => [v - 1, v + 2]), [[3, 5]])).toEqual([3 - qc, 5 + qc]);
      const at = m.map((_, i) => (i * 5) % 7), r = y.map((v, i) => Math.abs(v - m[i]));
      expect(of({ method: "jackknife+" }, m, [at])).toEqual([nth(at.map((c, i) => c - r[i]), n + 1 - k), nth(at.map((c, i) => c + r[i]), k)].map((v, i) => (k > n ? (i ? Infinity : -Infinity) : v)));
      if (n > 1) {
        const folds = m.map((_, i) => i % 2);
        expect(of({ method: "cv+", folds }, m, [[4, 6]])).toEqual([nth(folds.map((f, i) => (f ? 6 : 4) - r[i]), n + 1 - k), nth(folds.map((f, i) => (f ? 6 : 4) + r[i]), k)].map((v, i) => (k > n ? (i ? Infinity : -Infinity) : v)));
      }
    }), { seed: 4, numRuns: 200 });
  });

  it("rounds outwards, so that a row at the quantile is inside", () => {
    const random = randomSource(2);
    for (const method of ["absolute", "normalized", "cqr", "jackknife+"] as const) {
      const n = 200, { m, y, scale, x } = world(n, 5), at = method === "cqr" ? pairs(x) : m;
      const own = method === "normalized" ? { scale } : {};
      const fitted = ConformalRegression.fit(at, y, { method, ...own });
      for (let k = 1; k <= n; k += 7) {
        const alpha = 1 - k / (n + 1);
        const inside = method === "jackknife+" ? n : n - misses(fitted.interval(at, { alpha, ...own }), y).successes;
        expect(inside).toBeGreaterThanOrEqual(k);
      }
    }
    for (let i = 0; i < 2000; i++) {
      const v = (random.uniform() - 0.5) * 10 ** (60 * random.uniform() - 50);
      expect(roundUp(v)).toBeGreaterThanOrEqual(v);
      expect(roundDown(v)).toBeLessThanOrEqual(v);
      expect(Math.fround(roundUp(v))).toBe(roundUp(v));
      expect([roundUp(v), roundDown(v)]).toContain(Math.fround(v));
    }
    expect([roundUp(0), roundUp(1), roundDown(-Infinity), roundUp(1e300), roundDown(1e300), roundUp(1e-300), roundUp(-1e-300)]).toEqual([0, 1, -Infinity, Infinity, 3.4028234663852886e38, 1.401298464324817e-45, -0]);
  });

  it("has a width of its own for each row where the method says so (TorchCP's CQRR never adapts)", () => {
    const { x, m, y, scale } = world(300, 1), probe = Float32Array.of(0.1, 0.9);
    const width = (method: ConformalRegressionOptions["method"], at: Float32Array | ReturnType<typeof pairs>, test: Float32Array | ReturnType<typeof pairs>, own = {}, mine = {}) => {
      const { low, high } = ConformalRegression.fit(at, y, { method, ...own }).interval(test, mine);
      return [high.data[0] - low.data[0], high.data[1] - low.data[1]];
    };
    const [a, b] = width("absolute", m, probe);
    expect(Math.abs(a - b)).toBeLessThan(1e-6); // float32 ends
    const [c, d] = width("normalized", m, probe, { scale }, { scale: [0.3, 1.1] });
    expect(d / c).toBeGreaterThan(3.6);
    const [e, f] = width("cqr", pairs(x), pairs(probe));
    expect(f - e).toBeGreaterThan(0.9); // 1.2 (0.9 - 0.1) of the predicted quantiles
  });

  it("gives the whole line where there are too few rows or alpha is 0, and nothing at alpha 1", () => {
    for (const method of ["absolute", "jackknife+"] as const) {
      const fitted = ConformalRegression.fit([1, 2, 3], [1, 2, 4], { method }), at = method === "absolute" ? [5] : [[5, 5, 5]];
      for (const alpha of [0, 0.2]) expect([fitted.interval(at, { alpha }).low.data[0], fitted.interval(at, { alpha }).high.data[0]]).toEqual([-Infinity, Infinity]);
      const none = fitted.interval(at, { alpha: 1 });
      expect([none.low.data[0], none.high.data[0]]).toEqual([Infinity, -Infinity]);
    }
    expect(ConformalRegression.fit([1], [2]).interval({ data: new Float32Array(0), shape: [0] }).low.size).toBe(0);
  });

  const data = world(90, 3), groups = Int32Array.from({ length: 90 }, (_, i) => i % 3), folds = Int32Array.from({ length: 90 }, (_, i) => i % 5);
  const kinds: [string, ConformalRegressionOptions, object, Float32Array | { shape: number[]; data: Float32Array }, Float32Array | { shape: number[]; data: Float32Array }][] = [
    ["absolute", {}, {}, data.m, data.m],
    ["normalized, groups, weights", { method: "normalized", scale: data.scale, groups, weights: data.weights }, { scale: data.scale, groups, weights: data.weights }, data.m, data.m],
    ["cqr, groups", { method: "cqr", groups }, { groups }, pairs(data.x), pairs(data.x)],
    ["cv+", { method: "cv+", folds }, {}, data.m, { shape: [18, 5], data: data.m }],
    ["jackknife+", { method: "jackknife+" }, {}, data.m, { shape: [1, 90], data: data.m }],
  ];
  it.each(kinds.flatMap(([name, options, own, at, probe]) => estimatorChecks<ConformalRegression>({
    name, data: ["shape" in at ? at : { shape: [90], data: at }, { shape: [90], data: data.y }],
    fit: (m, y) => ConformalRegression.fit(m, y, options),
    output: (fitted) => [fitted.interval(probe, own).low, fitted.interval(probe, { alpha: 0.3, ...own }).high],
    fromJSON: ConformalRegression.fromJSON,
    rowOrder: name === "absolute" ? "exact" : "matters", // folds, groups, scales and weights go by the position of the rows
    wrongWidth: [(fitted) => fitted.interval([[1, 2, 3]], own)],
    base64: ["scores.data", "weights.data"],
  }).map((check) => ({ ...check, name: `${name}: ${check.name}` }))))("$name", ({ run }) => run());
});

describe("the promise, simulated", () => {
  const n = 49;
  it.each(["absolute", "normalized", "cqr"] as const)("%s misses alpha of the rows, not more and at most 1 / (n + 1) less", (method) => {
    checkGuarantee({
      name: method, repetitions, kind: "marginal mean", level: 0.1, slack: 1e-3,
      simulate: (seed) => {
        const a = world(n, seed), b = world(20, seed + 1e6), of = (w: typeof a) => (method === "cqr" ? pairs(w.x) : w.m);
        const fitted = ConformalRegression.fit(of(a), a.y, { method, ...(method === "normalized" && { scale: a.scale }) });
        return misses(fitted.interval(of(b), method === "normalized" ? { scale: b.scale } : {}), b.y);
      },
    });
  });

  it("groups: the rows with much noise miss no more than the others", () => {
    const groupOf = (x: Float32Array) => Int32Array.from(x, (v) => (v < 0.5 ? 0 : 1));
    for (const group of [0, 1]) {
      const simulate = (grouped: boolean) => (seed: number) => {
        const a = world(60, seed), b = world(40, seed + 1e6), test = groupOf(b.x);
        const fitted = ConformalRegression.fit(a.m, a.y, grouped ? { groups: groupOf(a.x) } : {});
        const { low, high } = fitted.interval(b.m, grouped ? { groups: test } : {});
        const rows = Array.from(test).flatMap((g, i) => (g === group ? [i] : []));
        return rows.filter((i) => !(b.y[i] >= low.data[i] && b.y[i] <= high.data[i])).length / Math.max(1, rows.length);
      };
      // About 30 rows in each group: at most 1 / 20 less than alpha.
      checkGuarantee({ name: `group ${group}`, repetitions, kind: "marginal mean", level: 0.1, slack: 0.05, simulate: simulate(true) });
      if (group === 1) expect(() => checkGuarantee({ name: "without groups", repetitions: 200, kind: "marginal mean", level: 0.1, simulate: simulate(false) })).toThrow(/promised at most 0.1/);
    }
  });

  it("weights: under another distribution of x the weighted intervals miss at most alpha, the others more", () => {
    const simulate = (weighted: boolean) => (seed: number) => {
      const a = world(99, seed), b = world(20, seed, true);
      return misses(ConformalRegression.fit(a.m, a.y, weighted ? { weights: a.weights } : {}).interval(b.m, weighted ? { weights: b.weights } : {}), b.y);
    };
    // The slack: the share of the heaviest of 100 rows.
    checkGuarantee({ name: "weighted", repetitions, kind: "marginal mean", level: 0.1, slack: 0.026, simulate: simulate(true) });
    expect(() => checkGuarantee({ name: "unweighted", repetitions: 400, kind: "marginal mean", level: 0.1, simulate: simulate(false) })).toThrow(/promised at most 0.1/);
  });

  it.each(["jackknife+", "cv+"] as const)("%s misses at most 2 alpha, and near alpha for a stable model", (method) => {
    const rows = 25, alpha = 0.1, folds = Int32Array.from({ length: rows }, (_, i) => (method === "cv+" ? i % 5 : i)), count = method === "cv+" ? 5 : rows;
    const result = checkGuarantee({
      name: method, repetitions, kind: "marginal mean", level: 2 * alpha,
      simulate: (seed) => {
        const a = world(rows, seed), b = world(10, seed + 1e6);
        const models = Array.from({ length: count }, (_, f) => line(a.x, a.y, (i) => folds[i] === f));
        const fitted = ConformalRegression.fit(a.x.map((x, i) => models[folds[i]](x)), a.y, { method, ...(method === "cv+" && { folds }) });
        return misses(fitted.interval({ shape: [10, count], data: Float32Array.from({ length: 10 * count }, (_, i) => models[i % count](b.x[Math.floor(i / count)])) }, { alpha }), b.y);
      },
    });
    // A line from 25 points is stable: within 0.03 of alpha (measured 0.10), far from both 0 and 2 alpha.
    expect(Math.abs(result.mean - alpha)).toBeLessThan(0.03);
  });
});

describe("messages", () => {
  const m = [1, 2], y = [1, 3], plain = ConformalRegression.fit(m, y), crossed = ConformalRegression.fit(m, y, { method: "cv+", folds: [0, 1] });
  it("say what is wrong", () => {
    expect(() => ConformalRegression.fit([], [])).toThrowErrorMatchingInlineSnapshot(`[RangeError: ConformalRegression.fit: expected \`targets\` with at least one row, got none]`);
    expect(() => ConformalRegression.fit([1], y)).toThrowErrorMatchingInlineSnapshot(`[RangeError: ConformalRegression.fit: expected \`predictions\` of shape [2], got [1]]`);
    expect(() => ConformalRegression.fit(m, y, { method: "cqr" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ConformalRegression.fit: expected \`predictions\` of shape [2, 2], got [2]]`);
    expect(() => ConformalRegression.fit(m, [1, NaN])).toThrowErrorMatchingInlineSnapshot(`[RangeError: ConformalRegression.fit: expected \`targets\` of finite numbers, got NaN at index 1]`);
    expect(() => ConformalRegression.fit([3e38, 0], [-3e38, 0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: ConformalRegression.fit: expected \`predictions\` whose scores float32 holds, got Infinity at row 0]`);
    expect(() => ConformalRegression.fit(m, y, { method: "abs" as "cqr" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ConformalRegression.fit: expected \`method\` "absolute" or "normalized" or "cqr" or "cv+" or "jackknife+", got abs]`);
    expect(() => ConformalRegression.fit(m, y, { method: "normalized" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ConformalRegression.fit: expected \`scale\` float32 [n], got none]`);
    expect(() => ConformalRegression.fit(m, y, { scale: m })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ConformalRegression.fit: expected \`scale\` only with "normalized", got some with "absolute"]`);
    expect(() => ConformalRegression.fit(m, y, { method: "normalized", scale: [1, 0] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ConformalRegression.fit: expected \`scale\` > 0, got 0 at index 1]`);
    expect(() => ConformalRegression.fit(m, y, { method: "cv+" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ConformalRegression.fit: expected \`folds\` int32 [n], got none]`);
    expect(() => ConformalRegression.fit(m, y, { method: "cv+", folds: [0, 0] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ConformalRegression.fit: expected \`folds\` with at least 2 folds, got 1]`);
    expect(() => ConformalRegression.fit(m, y, { method: "cv+", folds: [0] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ConformalRegression.fit: expected \`folds\` of shape [2], got [1]]`);
    expect(() => ConformalRegression.fit(m, y, { folds: [0, 1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ConformalRegression.fit: expected \`folds\` only with "cv+", got some with "absolute"]`);
    expect(() => ConformalRegression.fit(m, y, { method: "jackknife+", groups: [0, 1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ConformalRegression.fit: expected \`groups\` only with a split method, got some with "jackknife+"]`);
    expect(() => ConformalRegression.fit(m, y, { method: "jackknife+", weights: [1, 1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ConformalRegression.fit: expected \`weights\` only with a split method, got some with "jackknife+"]`);
    expect(() => plain.interval(m, { alpha: 2 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ConformalRegression.interval: expected \`alpha\` in [0, 1], got 2]`);
    expect(() => plain.interval(m, { scale: m })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ConformalRegression.interval: expected \`scale\` only with "normalized", got some with "absolute"]`);
    expect(() => plain.interval(m, { weights: m })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ConformalRegression.interval: expected \`weights\` absent, as at the fit, got some]`);
    expect(() => crossed.interval([[1]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: ConformalRegression.interval: expected \`predictions\` of shape [N, 2], got [1, 1]]`);
    expect(() => crossed.quantile(0.1)).toThrowErrorMatchingInlineSnapshot(`[RangeError: ConformalRegression.quantile: expected \`this\` fitted by a split method, got "cv+"]`);
    expect(() => plain.expectedCoverage(0)).toThrowErrorMatchingInlineSnapshot(`[RangeError: ConformalRegression.expectedCoverage: expected \`alpha\` in (0, 1), got 0]`);
    expect(() => plain.quantile(0.1, 1)).toThrowErrorMatchingInlineSnapshot(`[RangeError: ConformalRegression.quantile: expected \`group\` an integer in [0, 0], got 1]`);
    expect(() => ConformalRegression.fit(m, y, { weights: m }).quantile(0.1)).toThrowErrorMatchingInlineSnapshot(`[RangeError: ConformalRegression.quantile: expected \`this\` fitted without weights, got a weighted fit. Its quantile depends on the weight of the row]`);
    expect(() => ConformalRegression.fromJSON({ ...crossed.toJSON(), n: 3 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: ConformalRegression.fromJSON: expected \`scores\` 3 numbers, got 2]`);
  });
});

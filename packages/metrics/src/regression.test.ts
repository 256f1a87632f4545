import { checkGuarantee, expectClose, testRandom } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import fixture from "./fixtures/regression.json" with { type: "json" };
import { continuousRankedProbabilityScore, intervalCoverage, intervalScore, pinballLoss, type Estimate } from "./index.ts";

const numbers = fc.array(fc.integer({ min: -8, max: 8 }), { minLength: 1, maxLength: 20 });
const mean = (x: readonly number[]): number => x.reduce((a, b) => a + b, 0) / x.length;

describe("agree with the definition", () => {
  it("CRPS of samples: all pairs, fair and not, in any order", () => {
    fc.assert(fc.property(fc.array(fc.integer({ min: -8, max: 8 }), { minLength: 2, maxLength: 20 }), fc.integer({ min: -9, max: 9 }), fc.integer(), (x, y, seed) => {
      const m = x.length, distance = mean(x.map((v) => Math.abs(v - y)));
      let pairs = 0;
      for (const a of x) for (const b of x) pairs += Math.abs(a - b) / 2;
      // Sums of integers are exact; one division.
      expectClose(continuousRankedProbabilityScore([x], [y]).value, distance - pairs / (m * (m - 1)), { atol: 1e-14 });
      expectClose(continuousRankedProbabilityScore([x], [y], { fair: false }).value, distance - pairs / (m * m), { atol: 1e-14 });
      const order = testRandom(seed & 1023).permutation(m);
      expectClose(continuousRankedProbabilityScore([order.map((i) => x[i])], [y]).value, continuousRankedProbabilityScore([x], [y]).value, { atol: 1e-15 });
      // Twice the mean pinball loss of the sorted samples as quantiles (i + 1/2) / M.
      const quantile = x.map((_, i) => (i + 0.5) / m), sorted = [...x].sort((a, b) => a - b);
      expectClose(2 * pinballLoss([sorted], [y], { quantile }).value, continuousRankedProbabilityScore([x], [y], { fair: false }).value, { atol: 1e-13 });
    }), { seed: 41, numRuns: 200 });
  });

  it("CRPS of a normal: the integral of (F - 1)^2", () => {
    for (const { mean: center, standardDeviation, target, crps } of fixture.normal) expectClose(continuousRankedProbabilityScore({ means: [center], deviations: [standardDeviation] }, [target]).value, crps, { rtol: 1e-9 }); // quadrature
    expect(continuousRankedProbabilityScore({ means: [1], deviations: [0] }, [3]).value).toBe(2);
    expectClose(continuousRankedProbabilityScore({ means: [0], deviations: [1] }, [0]).value, (Math.SQRT2 - 1) / Math.sqrt(Math.PI), { rtol: 1e-14 });
  });

  it("interval score and pinball loss", () => {
    fc.assert(fc.property(numbers, fc.integer({ min: 1, max: 9 }), (y, tenths) => {
      const low = y.map((_, i) => (i % 5) - 3), high = low.map((l, i) => l + (i % 4)), alpha = tenths / 10;
      const want = mean(y.map((v, i) => high[i] - low[i] + (2 / alpha) * Math.max(0, low[i] - v, v - high[i])));
      expectClose(intervalScore(low, high, y, { alpha }).value, want, { rtol: 1e-14 });
      expectClose(pinballLoss(low, y, { quantile: alpha }).value, mean(y.map((v, i) => (v >= low[i] ? alpha * (v - low[i]) : (1 - alpha) * (low[i] - v)))), { rtol: 1e-13, atol: 1e-15 });
      // The score of an interval is 2 / alpha times the pinball losses of its ends.
      const both = pinballLoss(low, y, { quantile: alpha / 2 }).value + pinballLoss(high, y, { quantile: 1 - alpha / 2 }).value;
      expectClose((2 / alpha) * both, want, { rtol: 1e-12 });
    }), { seed: 42, numRuns: 200 });
    for (const { lower, upper, targets, alpha, score, coverage, width, quantiles, pinball } of fixture.intervals) {
      expectClose(intervalScore(lower, upper, targets, { alpha }).value, score, { rtol: 1e-12 });
      expect(intervalCoverage(lower, upper, targets)).toMatchObject({ value: coverage });
      expectClose(intervalCoverage(lower, upper, targets).meanWidth, width, { rtol: 1e-12 });
      const { perQuantile } = pinballLoss(lower.map((l, i) => [l, upper[i]]), targets, { quantile: quantiles });
      expectClose(perQuantile, pinball, { rtol: 1e-6 }); // predictions are float32
    }
  });
});

describe("proper: the truth has the smallest mean", () => {
  it("each", () => {
    const random = testRandom(5), y = Float64Array.from({ length: 20000 }, () => random.normal()), all = (v: number): Float64Array => y.map(() => v);
    const crps = (s: number): number => continuousRankedProbabilityScore({ means: all(0), deviations: all(s) }, y).value;
    expect(crps(1)).toBeLessThan(Math.min(crps(0.8), crps(1.25)));
    const score = (z: number): number => intervalScore(all(-z), all(z), y, { alpha: 0.1 }).value;
    expect(score(1.645)).toBeLessThan(Math.min(score(1.3), score(2)));
    const pinball = (x: number): number => pinballLoss(all(x), y, { quantile: 0.9 }).value;
    expect(pinball(1.2816)).toBeLessThan(Math.min(pinball(1), pinball(1.6)));
    expectClose(intervalCoverage(all(-1.645), all(1.645), y).value, 0.9, { atol: 4 * Math.sqrt(0.09 / 20000) }); // 4 standard errors
  });
});

describe("intervals", () => {
  const cases: Record<string, { truth: number; measure(y: Float64Array): Estimate }> = {
    coverage: { truth: 0.9, measure: (y) => intervalCoverage(y.map(() => -1.6448536269514722), y.map(() => 1.6448536269514722), y) },
    CRPS: { truth: 1 / Math.sqrt(Math.PI), measure: (y) => continuousRankedProbabilityScore({ means: y.map(() => 0), deviations: y.map(() => 1) }, y) },
    // E |Z| / 2
    pinball: { truth: Math.sqrt(2 / Math.PI) / 2, measure: (y) => pinballLoss(y.map(() => 0), y, { quantile: 0.5 }) },
    // E |Z| times 2 / alpha
    "interval score": { truth: 4 * Math.sqrt(2 / Math.PI), measure: (y) => intervalScore(y.map(() => 0), y.map(() => 0), y, { alpha: 0.5 }) },
  };
  it.each(Object.entries(cases))("%s covers", (name, { truth, measure }) => {
    checkGuarantee({
      // Normal intervals of 200 skewed scores: up to 1 % more.
      name, kind: "probability of exceeding", level: 0.06, repetitions: 400,
      simulate: (seed) => {
        const random = testRandom(seed), { interval: [low, high] } = measure(Float64Array.from({ length: 200 }, () => random.normal()));
        return truth < low || truth > high;
      },
    });
  });
});

describe("special values", () => {
  it("ends, one row, intervals without an end", () => {
    expect(intervalCoverage([0, 0, 0], [1, 1, 1], [0, 1, 1.0000001]).value).toBe(2 / 3);
    expect(intervalCoverage([-Infinity], [Infinity], [5])).toMatchObject({ value: 1, meanWidth: Infinity, n: 1, level: 0.95, convention: "rows inside their intervals, ends included" });
    expect(intervalCoverage([2], [2], [2])).toMatchObject({ value: 1, meanWidth: 0 });
    expect(intervalScore([-Infinity], [1], [0], { alpha: 0.1 })).toMatchObject({ value: Infinity, interval: [0, Infinity] });
    expect(intervalScore([0], [1], [1.5], { alpha: 0.1 })).toMatchObject({ value: 11, interval: [0, Infinity] });
    expect(pinballLoss([1], [3], { quantile: 0.9 })).toMatchObject({ value: 1.8, perQuantile: Float64Array.of(1.8), convention: "pinball loss of quantile 0.9, lower is better" });
    expect(continuousRankedProbabilityScore([[2]], [3], { fair: false })).toMatchObject({ value: 1, convention: "CRPS of 1 samples, lower is better" });
    expect(continuousRankedProbabilityScore([[1, 1], [2, 2]], [1, 2])).toMatchObject({ value: 0, interval: [0, 0] });
  });

  it("messages", () => {
    expect(() => intervalCoverage([0], [1], [])).toThrowErrorMatchingInlineSnapshot(`[RangeError: intervalCoverage: expected \`targets\` with at least one row, got none]`);
    expect(() => intervalCoverage([0, 0], [1], [1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: intervalCoverage: expected \`low\` of shape [1], got [2]]`);
    expect(() => intervalCoverage([0], [1, 2], [1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: intervalCoverage: expected \`high\` of shape [1], got [2]]`);
    expect(() => intervalCoverage([2], [1], [1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: intervalCoverage: expected \`high\` at least \`low\`, got 1 for 2 in row 0]`);
    expect(() => intervalCoverage([NaN], [1], [1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: intervalCoverage: expected \`low\` without NaN, got NaN in row 0]`);
    expect(() => intervalCoverage([0], [1], [Infinity])).toThrowErrorMatchingInlineSnapshot(`[RangeError: intervalCoverage: expected \`targets\` of finite numbers, got Infinity in row 0]`);
    expect(() => intervalCoverage([0], [1], [1], { level: 95 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: intervalCoverage: expected \`level\` in (0, 1), got 95]`);
    expect(() => intervalScore([0], [1], [1], { alpha: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: intervalScore: expected \`alpha\` in (0, 1), got 1]`);
    expect(() => pinballLoss([0], [1], { quantile: 90 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: pinballLoss: expected \`quantile\` in (0, 1), got 90]`);
    expect(() => pinballLoss([0], [1], { quantile: [] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: pinballLoss: expected \`quantile\` at least one, got none]`);
    expect(() => pinballLoss([[0, 1]], [1], { quantile: [0.1, 0.5, 0.9] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: pinballLoss: expected \`predicted\` of shape [1, 3], got [1, 2]]`);
    expect(() => pinballLoss([[0, NaN]], [1], { quantile: [0.1, 0.9] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: pinballLoss: expected \`predicted\` of finite numbers, got NaN in row 0, column 1]`);
    expect(() => continuousRankedProbabilityScore([[1]], [1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: continuousRankedProbabilityScore: expected \`samples\` at least 2 in each row, got 1]`);
    expect(() => continuousRankedProbabilityScore([[1, 2]], [1, 2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: continuousRankedProbabilityScore: expected \`samples\` of 2 rows, got 1]`);
    expect(() => continuousRankedProbabilityScore([[1, Infinity]], [1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: continuousRankedProbabilityScore: expected \`samples\` of finite numbers, got Infinity in row 0, column 1]`);
    expect(() => continuousRankedProbabilityScore({ means: [0], deviations: [-1] }, [1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: continuousRankedProbabilityScore: expected \`deviations\` at least 0, got -1 in row 0]`);
    expect(() => continuousRankedProbabilityScore({ means: [0], deviations: [1] }, [1], { fair: true })).toThrowErrorMatchingInlineSnapshot(`[RangeError: continuousRankedProbabilityScore: expected \`fair\` with samples only, got true]`);
  });
});

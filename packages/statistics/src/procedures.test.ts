import { randomSource, tensor } from "@logits/tensor";
import { expectClose, expectExact } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import fixture from "./fixtures/procedures.json" with { type: "json" };
import {
  bootstrap, bootstrapIndices, chiSquareSurvival, clopperPearson, compensatedSum, conformalQuantile, conformalRank, empiricalPValue, isotonicRegression, normalCdf, orderStatistic,
  pacOrderStatistic, pairwiseSum, pava, percentileInterval, permutationTest, quantile, ranks, regularizedBeta, regularizedGamma, sampleBeta, sampleBinomial, sampleGamma, sampleNormal,
  sortOrder, binomialTail,
} from "./index.ts";

type Fixture = { x: number[]; y: number[]; p: number[]; want: number[]; weights: number[]; rows: number[][] };
const golden = (name: string): Fixture => fixture.cases.find((entry) => entry.name === name)! as unknown as Fixture;
const message = (run: () => unknown): string => { try { run(); } catch (error) { return String(error); } return "no error"; };
const numbers = (low = -1e3): fc.Arbitrary<number[]> => fc.array(fc.oneof(fc.double({ min: low, max: 1e3, noNaN: true }), fc.integer({ min: -3, max: 3 })), { minLength: 1, maxLength: 200 });

describe("fixtures", () => {
  it("quantile is numpy's default", () => {
    const { x, p, want } = golden("quantile");
    // One product and one sum of rounding each; numpy interpolates from the nearer end.
    expectClose(p.map((q) => quantile(x, q)), want, { rtol: 4e-16, atol: 1e-16 });
  });
  it("ranks are scipy's rankdata", () => expectExact(ranks(golden("ranks").x), golden("ranks").want));
  it("pava is scikit-learn's isotonic regression", () => {
    const { y, weights, want } = golden("pava");
    // Two orders of adding up a weighted mean of at most 80 values.
    expectClose(pava(y, { weights }), want, { atol: 1e-14 });
  });
  it("isotonicRegression with ties is scikit-learn's", () => {
    const { x, y, weights, want } = golden("isotonicTies");
    const fit = isotonicRegression(x, y, { weights, direction: "decreasing" });
    expectClose(x.map((value) => fit.y[fit.x.indexOf(value)]), want, { atol: 1e-14 });
  });
  it("clopperPearson is scipy's exact interval", () => {
    for (const [k, n, confidence, low, high] of golden("clopperPearson").rows) {
      // scipy finds the ends with brentq, to 2e-12.
      expectClose(clopperPearson(k, n, confidence), [low, high], { atol: 4e-12 });
    }
  });
  it("pacOrderStatistic counts what scipy's Beta distribution says", () => {
    for (const [n, alpha, confidence, k] of golden("pacOrder").rows) {
      const answer = pacOrderStatistic(n, { alpha, confidence });
      expect(answer.attainable ? answer.k : 0, `${n} ${alpha} ${confidence}`).toBe(k);
    }
    for (const [n, k] of [[100, 2], [1000, 39], [10000, 464]]) expect(pacOrderStatistic(n, { alpha: 0.05, confidence: 0.95 })).toEqual({ attainable: true, k });
  });
});

describe("order", () => {
  it("sortOrder is stable and agrees with a comparison sort", () => {
    const check = (x: number[]): void => {
      const want = x.map((_, i) => i).sort((i, j) => x[i] - x[j] || i - j);
      expectExact(sortOrder(x), want);
    };
    fc.assert(fc.property(numbers(), check), { seed: 7, numRuns: 300 });
    check([0, -0, 0, -0, 5e-324, -5e-324, 1e308, -1e308]);
    check(Array.from({ length: 5000 }, (_, i) => ((i * 7919) % 1000) * 1e-3 - 0.5));
    expectExact(sortOrder([Infinity, 1, -Infinity, 2]), [2, 1, 3, 0]);
    expectExact(sortOrder([]), []);
    const infinite = Array.from({ length: 40 }, (_, i) => (i % 3 === 0 ? -Infinity : i % 3 === 1 ? Infinity : -i));
    expectExact(Array.from(sortOrder(infinite), (i) => infinite[i]), [...infinite].sort((a, b) => (a === b ? 0 : a - b)));
  });

  it("orderStatistic is the sorted array's element, and leaves its argument alone", () => {
    fc.assert(fc.property(numbers(), fc.nat(), (x, at) => {
      const data = Float64Array.from(x), k = (at % x.length) + 1;
      expect(orderStatistic(data, k) + 0).toBe(Float64Array.from(x).sort()[k - 1] + 0);
      expectExact(data, x);
    }), { seed: 8, numRuns: 500 });
    expect(orderStatistic(new Float64Array(100000).fill(3), 50000)).toBe(3);
    expect(orderStatistic(Float64Array.from({ length: 100001 }, (_, i) => (i < 50000 ? i : 100000 - i)), 50001)).toBe(25000);
  });

  it("quantile is between its neighbours and exact at the order statistics", () => {
    fc.assert(fc.property(numbers(), fc.double({ min: 0, max: 1, noNaN: true }), (x, p) => {
      const sorted = Float64Array.from(x).sort(), h = (x.length - 1) * p;
      const q = quantile(x, p);
      expect(q >= sorted[Math.floor(h)] && q <= sorted[Math.ceil(h)]).toBe(true);
    }), { seed: 9, numRuns: 300 });
    expect(quantile([7], 0.3)).toBe(7);
    expect(quantile([1, Infinity, Infinity], 0.75)).toBe(Infinity);
    expect(quantile([1, Infinity], 0.5)).toBe(Infinity);
    expect(quantile([-Infinity, 1], 0.5)).toBe(-Infinity);
    expect(quantile([-Infinity, Infinity], 0.5)).toBe(NaN);
    expect(quantile([-1.7e308, 1.7e308], 0.5)).toBe(0);
    expect(quantile(tensor([3, 1, 2]), 0.5)).toBe(2);
  });

  it("the conformal rank is the smallest whose coverage k / (n + 1) reaches 1 - alpha, in exact arithmetic", () => {
    for (let n = 0; n <= 300; n++) {
      for (let percent = 1; percent < 100; percent++) {
        const want = Math.max(1, Math.ceil(((n + 1) * (100 - percent)) / 100));
        expect(conformalRank(n, percent / 100), `${n} ${percent}`).toBe(want);
      }
    }
    expect(conformalQuantile([], 0.1)).toBe(Infinity);
    expect(conformalQuantile(Array.from({ length: 8 }, (_, i) => i), 0.1)).toBe(Infinity);
    expect(conformalQuantile(Array.from({ length: 9 }, (_, i) => i), 0.1)).toBe(8);
    expect(conformalQuantile([0.5, Infinity, 0.25], 0.4)).toBe(Infinity);
  });

  it("ranks sum to n (n + 1) / 2", () => {
    fc.assert(fc.property(numbers(), (x) => { expect(pairwiseSum(ranks(x))).toBe((x.length * (x.length + 1)) / 2); }), { seed: 10 });
    expectExact(ranks([]), []);
    expectExact(ranks([-0, 0, 1]), [1.5, 1.5, 3]);
  });

  it("a p-value counts ties as extreme", () => {
    expect(empiricalPValue([1, 2, 2, 3], 2)).toBe(4 / 5);
    expect(empiricalPValue([1, 2, 2, 3], Infinity)).toBe(1 / 5);
    expect(empiricalPValue([], 0)).toBe(1);
  });
});

describe("isotonic regression", () => {
  it("satisfies the optimality conditions: monotone, blocks are means, and partial sums of residuals never rise above 0", () => {
    fc.assert(fc.property(numbers(), fc.infiniteStream(fc.double({ min: 0.1, max: 5, noNaN: true })), (y, stream) => {
      const weights = y.map(() => stream.next().value);
      const fit = pava(y, { weights });
      let sum = 0;
      for (let i = 0; i < y.length; i++) {
        if (i > 0) expect(fit[i]).toBeGreaterThanOrEqual(fit[i - 1]);
        sum += weights[i] * (y[i] - fit[i]);
        // Kuhn and Tucker: partial sums of weighted residuals are >= 0 and 0 at the end of each block. 200 terms of size 5000 round to 1e-9.
        expect(sum).toBeGreaterThanOrEqual(-1e-9);
        if (i === y.length - 1 || fit[i + 1] !== fit[i]) expect(Math.abs(sum)).toBeLessThan(1e-9);
      }
    }), { seed: 11, numRuns: 300 });
  });

  it("keeps monotone sequences, averages a falling one, and mirrors", () => {
    expectExact(pava([1, 1, 2, 5]), [1, 1, 2, 5]);
    expectExact(pava([3, 2, 1]), [2, 2, 2]);
    expectExact(pava([3, 2, 1], { direction: "decreasing" }), [3, 2, 1]);
    expectExact(pava([]), []);
    const empty = isotonicRegression([], []);
    expectExact(empty.y, []);
    const fit = isotonicRegression([0, -0, 1], [2, 4, 1], { weights: [1, 3, 4] });
    expectExact(fit.x, [0, 1]);
    expectExact(fit.weights, [4, 4]);
    expectExact(fit.y, [2.25, 2.25]);
  });
});

describe("bounds", () => {
  it("Clopper-Pearson covers: exactly computed coverage is never below the confidence", () => {
    const n = 30, intervals = Array.from({ length: n + 1 }, (_, k) => clopperPearson(k, n, 0.9));
    for (let p = 0.01; p < 1; p += 0.01) {
      let coverage = 0;
      intervals.forEach(([low, high], k) => { if (low <= p && p <= high) coverage += binomialTail(k, n, p) - binomialTail(k + 1, n, p); });
      expect(coverage).toBeGreaterThanOrEqual(0.9);
    }
    expectExact(clopperPearson(0, 0, 0.95), [0, 1]);
  });

  it("the PAC order statistic is the largest that holds, and says how many rows are needed where none does", () => {
    expect(pacOrderStatistic(58, { alpha: 0.05, confidence: 0.95 })).toEqual({ attainable: false, needed: 59 });
    expect(pacOrderStatistic(59, { alpha: 0.05, confidence: 0.95 })).toEqual({ attainable: true, k: 1 });
    expect(pacOrderStatistic(0, { alpha: 0.5, confidence: 0.5 })).toEqual({ attainable: false, needed: 1 });
    expect(pacOrderStatistic(10, { alpha: 1e-300, confidence: 0.5 })).toEqual({ attainable: false, needed: Infinity });
    for (const n of [60, 333, 5000]) {
      const answer = pacOrderStatistic(n, { alpha: 0.1, confidence: 0.99 });
      if (!answer.attainable) throw new Error("attainable");
      expect(regularizedBeta(0.1, answer.k, n + 1 - answer.k)).toBeGreaterThanOrEqual(0.99);
      expect(regularizedBeta(0.1, answer.k + 1, n - answer.k)).toBeLessThan(0.99);
    }
  });
});

describe("resampling and sampling", () => {
  it("is a function of the seed", () => {
    expectExact(bootstrapIndices(5, randomSource(3)), bootstrapIndices(5, randomSource(3)));
    expect([...bootstrapIndices(8, randomSource(1))]).toMatchInlineSnapshot(`
      [
        0,
        4,
        0,
        7,
        3,
        6,
        7,
        3,
      ]
    `);
    expect([sampleNormal(randomSource(1)), sampleGamma(0.5, randomSource(1)), sampleBeta(2, 3, randomSource(1)), sampleBinomial(1000, 0.3, randomSource(1))]).toMatchInlineSnapshot(`
      [
        1.22790761611998,
        1.3814008040700863,
        0.5237545952058826,
        304,
      ]
    `);
  });

  it("bootstrap draws uniformly with replacement", () => {
    const counts = new Float64Array(10);
    bootstrap(10, (rows) => { for (const row of rows) counts[row]++; return 0; }, { random: randomSource(2), repetitions: 1000 });
    const chi = counts.reduce((sum, c) => sum + (c - 1000) ** 2 / 1000, 0);
    expect(chiSquareSurvival(chi, 9)).toBeGreaterThan(1e-4);
  });

  it("the percentile interval covers the mean of a normal sample about as often as it says", () => {
    const random = randomSource(5);
    let covered = 0;
    for (let trial = 0; trial < 200; trial++) {
      const x = Float64Array.from({ length: 40 }, () => sampleNormal(random));
      const means = bootstrap(40, (rows) => rows.reduce((sum, row) => sum + x[row], 0) / 40, { random, repetitions: 199 });
      const [low, high] = percentileInterval(means, 0.9);
      if (low <= 0 && 0 <= high) covered++;
    }
    // 200 trials at 0.88 to 0.9: standard error 0.022; five of them.
    expect(Math.abs(covered / 200 - 0.89)).toBeLessThan(0.11);
  });

  it("the permutation test is exact for a statistic that is the first row", () => {
    expect(permutationTest(4, (rows) => rows[0], { random: randomSource(1), repetitions: 99 })).toBe(1);
    expect(permutationTest(1000, (rows) => -rows[0], { random: randomSource(1), repetitions: 99 })).toBe(1 / 100);
  });

  it("samples have the distributions they claim (Kolmogorov-Smirnov at 1e-4)", () => {
    const n = 4000, bound = 2.23 / Math.sqrt(n);
    const distance = (draw: () => number, cdf: (x: number) => number): number => {
      const x = Float64Array.from({ length: n }, draw).sort();
      return x.reduce((worst, value, i) => Math.max(worst, Math.abs(cdf(value) - i / n), Math.abs(cdf(value) - (i + 1) / n)), 0);
    };
    const random = randomSource(6);
    expect(distance(() => sampleNormal(random), normalCdf)).toBeLessThan(bound);
    for (const a of [0.2, 1, 7.5]) expect(distance(() => sampleGamma(a, random), (x) => regularizedGamma(x, a)), `gamma ${a}`).toBeLessThan(bound);
    for (const [a, b] of [[0.3, 0.4], [2, 5], [400, 30]]) expect(distance(() => sampleBeta(a, b, random), (x) => regularizedBeta(x, a, b)), `beta ${a} ${b}`).toBeLessThan(bound);
    for (const [trials, p] of [[10, 0.3], [200, 0.02], [5000, 0.7]]) {
      const counts = new Map<number, number>();
      for (let i = 0; i < n; i++) {
        const k = sampleBinomial(trials, p, random);
        counts.set(k, (counts.get(k) ?? 0) + 1);
      }
      let below = 0, worst = 0;
      for (let k = 0; k <= trials; k++) {
        below += counts.get(k) ?? 0;
        worst = Math.max(worst, Math.abs(below / n - (1 - binomialTail(k + 1, trials, p))));
      }
      expect(worst, `binomial ${trials} ${p}`).toBeLessThan(bound);
    }
    expect([sampleBinomial(100, 0, random), sampleBinomial(100, 1, random), sampleBinomial(0, 0.5, random)]).toEqual([0, 100, 0]);
  });
});

describe("sums", () => {
  it("compensated and pairwise sums keep to their bounds against exact rational arithmetic", () => {
    fc.assert(fc.property(fc.array(fc.integer({ min: -(2 ** 40), max: 2 ** 40 }), { maxLength: 300 }), fc.integer({ min: 0, max: 40 }), (integers, shift) => {
      // Multiples of 2^-40 with up to 80 bits of range: BigInt gives the exact sum.
      const x = integers.map((v, i) => v * 2 ** (-40 + ((i * 7) % (shift + 1))));
      const exact = integers.reduce((sum, v, i) => sum + (BigInt(v) << BigInt((i * 7) % (shift + 1))), 0n);
      const want = Number(exact) / 2 ** 40, size = x.reduce((sum, v) => sum + Math.abs(v), 0);
      expect(Math.abs(compensatedSum(x) - want)).toBeLessThanOrEqual(2 ** -52 * Math.abs(want) + 1e-26 * size);
      expect(Math.abs(pairwiseSum(x) - want)).toBeLessThanOrEqual((17 + Math.log2(1 + x.length)) * 2 ** -53 * size);
    }), { seed: 12, numRuns: 300 });
    expect(compensatedSum([1, 1e100, 1, -1e100])).toBe(2);
    expect([compensatedSum([]), pairwiseSum([]), compensatedSum([1, Infinity]), compensatedSum([Infinity, -Infinity]), pairwiseSum([1, NaN])]).toEqual([0, 0, Infinity, NaN, NaN]);
  });
});

describe("messages", () => {
  it("name what is wrong", () => {
    expect(message(() => sortOrder([1, NaN]))).toMatchInlineSnapshot(`"RangeError: sortOrder: expected \`x\` without NaN, got NaN at index 1"`);
    expect(message(() => ranks([NaN]))).toMatchInlineSnapshot(`"RangeError: ranks: expected \`x\` without NaN, got NaN at index 0"`);
    expect(message(() => orderStatistic([], 1))).toMatchInlineSnapshot(`"RangeError: orderStatistic: expected \`x\` with at least 1 element, got 0"`);
    expect(message(() => orderStatistic([1], 2))).toMatchInlineSnapshot(`"RangeError: orderStatistic: expected \`k\` an integer in [1, 1], got 2"`);
    expect(message(() => quantile([], 0.5))).toMatchInlineSnapshot(`"RangeError: quantile: expected \`x\` with at least 1 element, got 0"`);
    expect(message(() => quantile([1], 1.5))).toMatchInlineSnapshot(`"RangeError: quantile: expected \`p\` a number in [0, 1], got 1.5"`);
    expect(message(() => conformalRank(-1, 0.1))).toMatchInlineSnapshot(`"RangeError: conformalRank: expected \`n\` an integer >= 0, got -1"`);
    expect(message(() => conformalQuantile([1], 0))).toMatchInlineSnapshot(`"RangeError: conformalQuantile: expected \`alpha\` a number in (0, 1), got 0"`);
    expect(message(() => empiricalPValue([1], NaN))).toMatchInlineSnapshot(`"RangeError: empiricalPValue: expected \`value\` a number, got NaN"`);
    expect(message(() => pava([1, Infinity]))).toMatchInlineSnapshot(`"RangeError: pava: expected \`y\` of finite numbers, got Infinity at index 1"`);
    expect(message(() => pava([1, 2], { weights: [1, 0] }))).toMatchInlineSnapshot(`"RangeError: pava: expected \`weights\` of finite numbers > 0, got 0 at index 1"`);
    expect(message(() => pava([1, 2], { weights: [1] }))).toMatchInlineSnapshot(`"RangeError: pava: expected \`weights\` of length 2, got 1"`);
    expect(message(() => isotonicRegression([1, 2], [1]))).toMatchInlineSnapshot(`"RangeError: isotonicRegression: expected \`y\` of length 2, got 1"`);
    expect(message(() => clopperPearson(3, 2, 0.9))).toMatchInlineSnapshot(`"RangeError: clopperPearson: expected \`k\` an integer in [0, 2], got 3"`);
    expect(message(() => clopperPearson(1, 2, 1))).toMatchInlineSnapshot(`"RangeError: clopperPearson: expected \`confidence\` a number in (0, 1), got 1"`);
    expect(message(() => clopperPearson(1, 2.5, 0.5))).toMatchInlineSnapshot(`"RangeError: clopperPearson: expected \`n\` an integer in [0, 1e12], got 2.5"`);
    expect(message(() => pacOrderStatistic(10, { alpha: 0, confidence: 0.9 }))).toMatchInlineSnapshot(`"RangeError: pacOrderStatistic: expected \`alpha\` a number in (0, 1), got 0"`);
    expect(message(() => pacOrderStatistic(-1, { alpha: 0.1, confidence: 0.9 }))).toMatchInlineSnapshot(`"RangeError: pacOrderStatistic: expected \`n\` an integer in [0, 1e12], got -1"`);
    expect(message(() => bootstrapIndices(0, randomSource(1)))).toMatchInlineSnapshot(`"RangeError: bootstrapIndices: expected \`n\` an integer in [1, 2147483647], got 0"`);
    expect(message(() => percentileInterval([], 0.9))).toMatchInlineSnapshot(`"RangeError: percentileInterval: expected \`replicates\` with at least 1 element, got 0"`);
    expect(message(() => percentileInterval([1], 0))).toMatchInlineSnapshot(`"RangeError: percentileInterval: expected \`confidence\` a number in (0, 1), got 0"`);
    expect(message(() => permutationTest(3, () => NaN, { random: randomSource(1), repetitions: 2 }))).toMatchInlineSnapshot(`"RangeError: permutationTest: expected \`statistic\` to return a number, got NaN in repetition 0"`);
    expect(message(() => sampleGamma(0, randomSource(1)))).toMatchInlineSnapshot(`"RangeError: sampleGamma: expected \`shape\` a finite number > 0, got 0"`);
    expect(message(() => sampleBinomial(1.5, 0.5, randomSource(1)))).toMatchInlineSnapshot(`"RangeError: sampleBinomial: expected \`n\` an integer in [0, 9007199254740991], got 1.5"`);
    expect(message(() => sampleBinomial(5, 2, randomSource(1)))).toMatchInlineSnapshot(`"RangeError: sampleBinomial: expected \`p\` a number in [0, 1], got 2"`);
  });
});

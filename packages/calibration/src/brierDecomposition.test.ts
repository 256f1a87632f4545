import { brierScore } from "@logits/metrics";
import { isotonicRegression } from "@logits/statistics";
import { checkGuarantee, cifar10Vgg16, expectClose, testRandom } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EnsembleTemperatureScaling, TemperatureScaling, brierDecomposition, calibrationRefinement, probabilitiesToLogits, type BrierDecomposition } from "./index.ts";

const rowsOf = fc.array(fc.tuple(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 1 })), { minLength: 2, maxLength: 50 });
const mean = (x: readonly number[]): number => x.reduce((a, b) => a + b, 0) / x.length;
const whole = (d: BrierDecomposition): number => d.miscalibration - d.discrimination + d.uncertainty + d.remainder;

describe("brierDecomposition", () => {
  it("isotonic: equals the scores of the isotonic regression and of the base rate", () => {
    fc.assert(fc.property(rowsOf, (rows) => {
      const c = rows.map(([k]) => k / 20), y = rows.map(([, v]) => v), got = brierDecomposition({ confidence: c, correct: y });
      const fit = isotonicRegression(c, y), at = (v: number): number => fit.y[fit.x.indexOf(v)], score = (f: (v: number) => number): number => mean(c.map((v, i) => (f(v) - y[i]) ** 2));
      // At most 50 terms below 1.
      expectClose(got.value, score((v) => v), { atol: 1e-14 });
      expectClose(got.miscalibration, score((v) => v) - score(at), { atol: 1e-14 });
      expectClose(got.discrimination, score(() => mean(y)) - score(at), { atol: 1e-14 });
      expectClose(whole(got), got.value, { atol: 1e-14 });
      expect(got.remainder).toBe(0);
    }), { seed: 31, numRuns: 200 });
  });

  it("bins: Murphy's parts, which with one bin for each value leave no remainder", () => {
    fc.assert(fc.property(rowsOf, (rows) => {
      const confidence = rows.map(([k]) => k / 20), correct = rows.map(([, v]) => v);
      const exact = brierDecomposition({ confidence, correct }, { binning: "equal-width", bins: 20 });
      // 0 and 1 / 20 share the first bin.
      if (!rows.some(([k]) => k === 0)) expectClose(exact.remainder, 0, { atol: 1e-14 });
      for (const binning of ["equal-width", "equal-mass"] as const) for (const bins of [1, 3]) expectClose(whole(brierDecomposition({ confidence, correct }, { binning, bins })), exact.value, { atol: 1e-14 });
      const one = brierDecomposition({ confidence, correct }, { binning: "equal-mass", bins: 1 });
      expectClose(one.miscalibration, (mean(confidence) - mean(correct)) ** 2, { atol: 1e-14 });
      expectClose(one.discrimination, 0, { atol: 1e-14 });
    }), { seed: 32, numRuns: 200 });
  });

  it("debiased: for a perfect model the miscalibration is 0 on average, where the plain one is not", () => {
    const random = testRandom(3);
    let plain = 0, debiased = 0, spread = 0;
    const runs = 400;
    for (let i = 0; i < runs; i++) {
      const confidence = Array.from({ length: 300 }, () => (1 + random.integer(10)) / 11), correct = confidence.map((c) => Number(random.uniform() < c));
      plain += brierDecomposition({ confidence, correct }, { binning: "equal-width", bins: 11 }).miscalibration / runs;
      const one = brierDecomposition({ confidence, correct }, { binning: "equal-width", bins: 11, debiased: true }).miscalibration;
      debiased += one / runs;
      spread += one * one / runs;
    }
    expect(Math.abs(debiased)).toBeLessThan((4 * Math.sqrt(spread)) / Math.sqrt(runs)); // 4 standard errors
    expect(plain).toBeGreaterThan(10 * Math.abs(debiased));
  });

  it("[0, 2] of several classes, [0, 1] of two answers: Brier's factor of 2 is in the convention", () => {
    const two = brierDecomposition([[0.75, 0.25], [0.5, 0.5], [0.25, 0.75]], [0, 1, 1]), one = brierDecomposition({ confidence: [0.75, 0.5, 0.25], correct: [1, 0, 0] });
    for (const key of ["value", "miscalibration", "discrimination", "uncertainty"] as const) expectClose(two[key], 2 * one[key], { atol: 1e-15 });
    expect([two.convention, one.convention]).toEqual(["sum over classes, isotonic", "two answers, isotonic"]);
    const { probabilities, shape, labels } = cifar10Vgg16(), p = { data: probabilities, shape }, got = brierDecomposition(p, labels);
    expectClose(got.value, brierScore(p, labels), { rtol: 1e-12 });
    expectClose(whole(got), got.value, { rtol: 1e-9 }); // ten differences of sums over 10,000 rows
    expect(got.interval[0] < 0.1054458862 && got.interval[1] > 0.1054458862).toBe(true);
  });

  it("the interval of the value covers", () => {
    checkGuarantee({
      name: "Brier score", kind: "probability of exceeding", level: 0.06, repetitions: 400,
      simulate: (seed) => {
        const random = testRandom(seed), confidence = Array.from({ length: 200 }, () => 0.1 + 0.8 * random.uniform()), correct = confidence.map((c) => Number(random.uniform() < c));
        // The mean of c (1 - c) for c uniform in [0.1, 0.9].
        const truth = 0.25 - 0.8 ** 2 / 12, { interval: [low, high] } = brierDecomposition({ confidence, correct });
        return truth < low || truth > high;
      },
    });
  });

  it("special values: all right, one row, one class", () => {
    expect(brierDecomposition({ confidence: [1, 1], correct: [1, 1] })).toMatchObject({ value: 0, miscalibration: 0, discrimination: 0, uncertainty: 0, remainder: 0, interval: [0, 0] });
    expect(brierDecomposition({ confidence: [0.25], correct: [1] })).toMatchObject({ value: 0.5625, miscalibration: 0.5625, uncertainty: 0, interval: [0, 1] });
    expect(brierDecomposition({ confidence: [0.25], correct: [1] }, { binning: "equal-mass", debiased: true })).toMatchObject({ miscalibration: 0.5625 });
    expect(brierDecomposition([[1], [1]], [0, 0]).value).toBe(0);
  });

  it("says what is wrong", () => {
    const rows = { confidence: [0.5], correct: [1] };
    expect(() => brierDecomposition(rows, { binning: "sweep" as "isotonic" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: brierDecomposition: expected \`binning\` "isotonic", "equal-width" or "equal-mass", got sweep]`);
    expect(() => brierDecomposition(rows, { debiased: true })).toThrowErrorMatchingInlineSnapshot(`[RangeError: brierDecomposition: expected \`debiased\` false with "isotonic", got true. Pass \`binning: "equal-mass"\`]`);
    expect(() => brierDecomposition(rows, { level: 2 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: brierDecomposition: expected \`level\` in (0, 1), got 2]`);
    expect(() => brierDecomposition(rows, { binning: "equal-mass", bins: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: brierDecomposition: expected \`bins\` an integer in [1, 1000000], got 0]`);
    expect(() => brierDecomposition({ confidence: [NaN], correct: [1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: brierDecomposition: expected \`confidence\` in [0, 1], got NaN in row 0]`);
  });
});

describe("calibrationRefinement", () => {
  it("finds what temperature scaling saves on VGG-16", () => {
    const { probabilities, shape, labels } = cifar10Vgg16();
    const { logits } = probabilitiesToLogits({ data: probabilities.slice(0, 30000), shape: [3000, shape[1]] }), got = calibrationRefinement(logits, labels.slice(0, 3000));
    expectClose(got.loss - got.refinement, got.value, { atol: 1e-12 });
    expect(got.interval[0]).toBeGreaterThan(0.02);
    expect(got.best).not.toBe("none");
    expect(got.results[0].name).toBe("none");
  });

  it("is near 0 for a perfect model, and its interval begins there", () => {
    const random = testRandom(4), n = 600, data = Float32Array.from({ length: 3 * n }, () => 1.5 * random.normal());
    const labels = Int32Array.from({ length: n }, (_, i) => {
      const w = [0, 1, 2].map((c) => Math.exp(data[3 * i + c])), u = random.uniform() * (w[0] + w[1] + w[2]);
      return u < w[0] ? 0 : u < w[0] + w[1] ? 1 : 2;
    });
    const candidates = [TemperatureScaling], got = calibrationRefinement({ data, shape: [n, 3] }, labels, { candidates });
    expect(got.value).toBeLessThan(0.01);
    expect(got.interval[0]).toBe(0);
    expect(calibrationRefinement({ data, shape: [n, 3] }, labels, { candidates, seed: 0, folds: 5 })).toEqual(got);
  });

  it("has no upper end where the logits give a label probability 0", () => {
    const certain = calibrationRefinement([[3e38, -3e38], [-3e38, 3e38], [3e38, -3e38]], [0, 1, 1], { candidates: [EnsembleTemperatureScaling] });
    expect([certain.value, certain.loss, certain.best]).toEqual([Infinity, Infinity, "EnsembleTemperatureScaling"]);
    expect(certain.interval).toEqual([0, Infinity]);
  });

  it("says what is wrong", () => {
    expect(() => calibrationRefinement([[1, 2], [3, 4]], [0, 2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: calibrationRefinement: expected \`labels\` in [0, 2), got 2 at index 1]`);
    expect(() => calibrationRefinement([[1, 2], [3, 4]], [0, 1], { level: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: calibrationRefinement: expected \`level\` in (0, 1), got 0]`);
    expect(() => calibrationRefinement([[1, NaN], [3, 4]], [0, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: calibrationRefinement: expected \`logits\` finite or -Infinity, got NaN in row 0, column 1]`);
  });
});

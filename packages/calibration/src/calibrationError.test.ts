import { negativeLogLikelihood } from "@logits/metrics";
import { betaQuantile } from "@logits/statistics";
import { randomSource, tensor } from "@logits/tensor";
import { cifar10Vgg16, densenetCifar100, expectClose, testRandom } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TemperatureScaling, expectedCalibrationError, probabilitiesToLogits, reliabilityDiagram } from "./index.ts";
import densenet from "./fixtures/densenet-cifar100.json" with { type: "json" };
import nulls from "./fixtures/nullDistribution.json" with { type: "json" };
import vgg from "./fixtures/cifar10-vgg16.json" with { type: "json" };

const rowsOf = fc.array(fc.tuple(fc.integer({ min: 0, max: 60 }), fc.boolean()), { minLength: 1, maxLength: 60 });

describe("expectedCalibrationError", () => {
  it("agrees with the definition, edges included", () => {
    fc.assert(fc.property(rowsOf, fc.integer({ min: 1, max: 20 }), (rows, bins) => {
      // Confidences k / 60: many on edges.
      const confidence = rows.map(([k]) => k / 60), correct = rows.map(([, right]) => Number(right));
      let want = 0;
      for (let b = 0; b < bins; b++) {
        const inside = rows.map((_, i) => i).filter((i) => (confidence[i] > b / bins && confidence[i] <= (b + 1) / bins) || (b === 0 && confidence[i] === 0));
        if (inside.length > 0) want += Math.abs(inside.reduce((sum, i) => sum + correct[i] - confidence[i], 0)) / rows.length;
      }
      expectClose(expectedCalibrationError({ confidence, correct }, { bins }).value, want, { atol: 1e-14 });
    }), { seed: 4, numRuns: 300 });
  });

  it("puts every k / B into the lower bin, 0 into the first and 1 into the last, although k / B * B may exceed k", () => {
    for (const bins of [1, 2, 3, 7, 10, 15, 20, 49, 100, 1000]) {
      const edges = Array.from({ length: bins + 1 }, (_, k) => k / bins);
      const { bins: got } = reliabilityDiagram({ confidence: edges, correct: edges.map(() => 1) }, { bins });
      expect(got.map((bin) => bin.count)).toEqual(Array.from({ length: bins }, (_, b) => (b === 0 ? 2 : 1)));
    }
  });

  it("does not depend on the order of the rows and is 0 where every bin is right on average", () => {
    expect(expectedCalibrationError({ confidence: [0.75, 0.75, 0.75, 0.75], correct: [1, 1, 0, 1] }).value).toBe(0);
    expect(expectedCalibrationError({ confidence: [0.25, 1], correct: [1, 1] }).value).toBe(0.375);
    fc.assert(fc.property(rowsOf, (rows) => {
      const run = (list: typeof rows) => expectedCalibrationError({ confidence: list.map(([k]) => k / 64), correct: list.map(([, r]) => Number(r)) });
      expect(run([...rows].reverse())).toEqual(run(rows)); // sums of multiples of 1/64 are exact
    }), { seed: 5, numRuns: 100 });
  });

  it("takes the first of equal probabilities and rounding above 1", () => {
    expect(expectedCalibrationError([[0.5, 0.5], [0.5, 0.5]], [0, 1], { bins: 2 })).toMatchObject({ value: 0, n: 2, bins: 2, level: 0.95, convention: "top label, equal width, bins (low, high], 0 in the first" });
    expectClose(expectedCalibrationError([[1.000001, 0]], [0]).value, 1e-6, { atol: 1e-7 });
  });

  it("gives the golden values of VGG-16 on CIFAR-10", () => {
    const { probabilities, shape, labels } = cifar10Vgg16();
    const p = { data: probabilities, shape };
    const [before, after] = vgg.cases;
    for (const [bins, want] of Object.entries(before.eceWidth)) expectClose(expectedCalibrationError(p, labels, { bins: Number(bins) }).value, want, { atol: 1e-12 });
    const diagram = reliabilityDiagram(p, labels);
    expect(diagram.bins.map((bin) => bin.count)).toEqual(before.reliability15.count);
    expectClose(diagram.bins.map((bin) => bin.meanConfidence ?? 0), before.reliability15.confidence, { atol: 1e-12 });
    expectClose(diagram.bins.map((bin) => bin.accuracy ?? 0), before.reliability15.accuracy, { atol: 1e-15 });
    const { logits } = probabilitiesToLogits(p);
    const scaled = TemperatureScaling.fit(logits, labels).probabilities(logits);
    // Confidences through a float32 exp: 2e-6 relative each, here 1e-8 on average.
    for (const [bins, want] of Object.entries(after.eceWidth)) expectClose(expectedCalibrationError(scaled, labels, { bins: Number(bins) }).value, want, { atol: 1e-6 });
  });
});

describe("nullDistribution", () => {
  it("agrees with 10,000 simulations of numpy", () => {
    for (const { bins, confidence, mean, standardDeviation, quantile95, point95 } of nulls.cases as { bins: number; confidence?: number[]; mean: number; standardDeviation: number; quantile95?: number; point95: number }[]) {
      if (!confidence) continue;
      expect(quantile95).toBeUndefined();
      const { null: got } = expectedCalibrationError({ confidence, correct: confidence.map(() => 1) }, { bins, nullDistribution: { random: randomSource(1), repetitions: 4000 } });
      expectClose(got!.mean, mean, { atol: 4 * standardDeviation * Math.sqrt(1 / 4000 + 1 / 10000) }); // 4 standard errors
      expectClose(got!.quantile95, point95, { atol: 4 * 2.1 * standardDeviation * Math.sqrt(1 / 4000 + 1 / 10000) }); // a 95 % point of a normal has 2.1 times the error of the mean
      expect(got!.pValue).toBe(1 / 4001);
    }
  });

  it("is exact for one row: c (1 - c) times two", () => {
    const { null: got } = expectedCalibrationError({ confidence: [0.25], correct: [0] }, { nullDistribution: { random: randomSource(3), repetitions: 20000 } });
    expectClose(got!.mean, 0.375, { atol: 4 * 0.22 / Math.sqrt(20000) }); // |y - c| is 0.25 or 0.75: standard deviation 0.2165
    expect(got!.quantile95).toBe(0.75);
    expect(got!.pValue).toBe(1); // 0.25 is the least that can happen
    const certain = expectedCalibrationError({ confidence: [1, 1, 0], correct: [1, 1, 0] }, { nullDistribution: { random: randomSource(3), repetitions: 10 } });
    expect(certain.null).toEqual({ mean: 0, quantile95: 0, pValue: 1, repetitions: 10 });
  });

  it("has uniform p-values for a calibrated model", () => {
    // 300 data sets of 200 rows; #{p <= 0.1} of a level-0.1 test: binomial band of 99.9 %.
    const random = testRandom(6);
    let rejected = 0;
    for (let i = 0; i < 300; i++) {
      const confidence = Array.from({ length: 200 }, () => 0.3 + 0.7 * random.uniform());
      const correct = confidence.map((c) => Number(random.uniform() < c));
      if (expectedCalibrationError({ confidence, correct }, { nullDistribution: { random: randomSource(i), repetitions: 199 } }).null!.pValue <= 0.1) rejected++;
    }
    expect(rejected).toBeGreaterThan(30 - 3.3 * Math.sqrt(27));
    expect(rejected).toBeLessThan(30 + 3.3 * Math.sqrt(27));
  });

  it("is reproducible from its seed", () => {
    const run = (seed: number) => expectedCalibrationError({ confidence: [0.3, 0.6, 0.9], correct: [0, 1, 1] }, { nullDistribution: { random: randomSource(seed), repetitions: 50 } });
    expect(run(1)).toEqual(run(1));
    expect(run(1)).not.toEqual(run(2));
  });
});

describe("DenseNet-BC-100 on CIFAR-100: fitted on 5,000 rows, shown on the others", () => {
  const { logits, labels } = densenetCifar100();
  const fitted = TemperatureScaling.fit({ data: logits.subarray(0, 500000), shape: [5000, 100] }, labels.subarray(0, 5000));
  const z = { data: logits.subarray(500000), shape: [5000, 100] }, y = labels.subarray(5000);
  const [before, after] = densenet.cases;

  it("lowers the likelihood from 1.2116 to 0.8666", () => {
    expectClose(negativeLogLikelihood(z, y), before.negativeLogLikelihood, { atol: 1e-7 });
    expectClose(negativeLogLikelihood(fitted.transform(z), y), after.negativeLogLikelihood, { atol: 1e-6 });
    expect([negativeLogLikelihood(z, y).toFixed(4), negativeLogLikelihood(fitted.transform(z), y).toFixed(4)]).toEqual(["1.2116", "0.8665"]);
  });

  it("lowers the calibration error from 0.1447 to 0.0137, which is what a perfect model would show", () => {
    const one = TemperatureScaling.fromJSON({ ...fitted.toJSON(), temperature: 1 });
    const random = randomSource(1);
    const first = expectedCalibrationError(one.probabilities(z), y, { nullDistribution: { random, repetitions: 200 } });
    expectClose(first.value, before.eceWidth["15"], { atol: 1e-6 });
    expect(first.null!.pValue).toBe(1 / 201);
    const p = fitted.probabilities(z);
    for (const [bins, want] of Object.entries(after.eceWidth)) expectClose(expectedCalibrationError(p, y, { bins: Number(bins) }).value, want, { atol: 1e-6 });
    const second = expectedCalibrationError(p, y, { nullDistribution: { random } }).null!;
    const want = nulls.cases[1] as { mean: number; standardDeviation: number; point95: number; pValue: number };
    const error = want.standardDeviation * Math.sqrt(1 / 1000 + 1 / 10000);
    expectClose(second.mean, want.mean, { atol: 4 * error });
    expectClose(second.quantile95, want.point95, { atol: 4 * 2.1 * error });
    expectClose(second.pValue, want.pValue, { atol: 4 * 0.5 * Math.sqrt(1 / 1000 + 1 / 10000) }); // binomial
    expect(reliabilityDiagram(p, y).bins.map((bin) => bin.count)).toEqual(after.reliability15.count);
  });
});

describe("reliabilityDiagram", () => {
  it("has the exact interval of Clopper and Pearson, also with none and all right", () => {
    const at = (right: number, n: number) => reliabilityDiagram({ confidence: Array(n).fill(0.5), correct: Array.from({ length: n }, (_, i) => Number(i < right)) }, { bins: 1 }).bins[0].interval!;
    expect(at(0, 10)[0]).toBe(0);
    expectClose(at(0, 10)[1], 1 - 0.025 ** 0.1, { rtol: 1e-12 });
    expect(at(10, 10)[1]).toBe(1);
    expectClose(at(10, 10)[0], 0.025 ** 0.1, { rtol: 1e-12 });
    expectClose(at(3, 10), [0.06673951117773447, 0.6524528500599972], { rtol: 1e-9 }); // scipy.stats.binomtest(3, 10).proportion_ci()
    expectClose(at(3, 10)[0], betaQuantile(0.025, 3, 8), { rtol: 1e-15 });
  });

  it("has a band that a calibrated model leaves with at most the level's probability, and no wider than needed", () => {
    const choose = (n: number, k: number): number => Array.from({ length: k }, (_, i) => (n - i) / (i + 1)).reduce((a, b) => a * b, 1);
    for (const [n, p] of [[1, 0.3], [7, 0.5], [20, 0.9], [30, 0.99], [5, 1], [4, 0]] as const) {
      const { band } = reliabilityDiagram({ confidence: Array(n).fill(p), correct: Array(n).fill(1) }, { bins: 1, level: 0.9 }).bins[0];
      const mass = Array.from({ length: n + 1 }, (_, k) => choose(n, k) * p ** k * (1 - p) ** (n - k));
      const [low, high] = band!.map((share) => Math.round(share * n));
      const below = (k: number) => mass.slice(0, Math.max(0, k)).reduce((a, b) => a + b, 0), above = (k: number) => mass.slice(k + 1).reduce((a, b) => a + b, 0);
      expect(below(low)).toBeLessThanOrEqual(0.05);
      expect(above(high)).toBeLessThanOrEqual(0.05);
      if (low < n) expect(below(low + 1)).toBeGreaterThan(0.05);
      if (high > 0) expect(above(high - 1)).toBeGreaterThan(0.05);
    }
  });

  it("says nothing where a bin has no rows", () => {
    expect(reliabilityDiagram(tensor([[0.25, 0.75]]), [1], { bins: 2 })).toMatchObject({
      n: 1, level: 0.95, bins: [{ low: 0, high: 0.5, count: 0, meanConfidence: null, accuracy: null, interval: null, band: null }, { low: 0.5, high: 1, count: 1, meanConfidence: 0.75, accuracy: 1 }],
    });
  });
});

describe("messages", () => {
  const p = [[0.5, 0.5], [0.25, 0.75]];
  it("say what is wrong", () => {
    expect(() => expectedCalibrationError([0.5], [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: expectedCalibrationError: expected \`probabilities\` of shape [N, C], got [1]]`);
    expect(() => expectedCalibrationError({ data: new Float32Array(0), shape: [0, 2] }, [])).toThrowErrorMatchingInlineSnapshot(`[RangeError: expectedCalibrationError: expected \`probabilities\` with at least one row and one class, got shape [0, 2]]`);
    expect(() => expectedCalibrationError(p, [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: expectedCalibrationError: expected \`labels\` of shape [2], got [1]]`);
    expect(() => expectedCalibrationError(p, undefined as unknown as number[])).toThrowErrorMatchingInlineSnapshot(`[RangeError: expectedCalibrationError: expected \`labels\` of shape [2], got none]`);
    expect(() => expectedCalibrationError(p, [0, 2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: expectedCalibrationError: expected \`labels\` in [0, 2), got 2 at index 1]`);
    expect(() => expectedCalibrationError([[3, -1]], [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: expectedCalibrationError: expected \`probabilities\` with probabilities in [0, 1], got 3 in row 0, column 0. For logits apply softmax first]`);
    expect(() => expectedCalibrationError([[0.5, NaN]], [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: expectedCalibrationError: expected \`probabilities\` with probabilities in [0, 1], got NaN in row 0, column 1. For logits apply softmax first]`);
    expect(() => expectedCalibrationError(p, [0, 1], { bins: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: expectedCalibrationError: expected \`bins\` an integer in [1, 1000000], got 0]`);
    expect(() => expectedCalibrationError({ confidence: [0.5, 1.5], correct: [1, 0] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: expectedCalibrationError: expected \`confidence\` in [0, 1], got 1.5 in row 1]`);
    expect(() => expectedCalibrationError({ confidence: [0.5, NaN], correct: [1, 0] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: expectedCalibrationError: expected \`confidence\` in [0, 1], got NaN in row 1]`);
    expect(() => expectedCalibrationError({ confidence: [], correct: [] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: expectedCalibrationError: expected \`confidence\` with at least one row, got none]`);
    expect(() => expectedCalibrationError({ confidence: [0.5], correct: [1, 0] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: expectedCalibrationError: expected \`correct\` of shape [1], got [2]]`);
    expect(() => expectedCalibrationError({ confidence: [0.5], correct: [2] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: expectedCalibrationError: expected \`correct\` of 0 and 1, got 2 at index 0]`);
    expect(() => expectedCalibrationError(p, [0, 1], { nullDistribution: {} as never })).toThrowErrorMatchingInlineSnapshot(`[TypeError: expectedCalibrationError: expected \`nullDistribution.random\` a RandomSource, got undefined. Pass randomSource(seed)]`);
    expect(() => expectedCalibrationError(p, [0, 1], { nullDistribution: { random: randomSource(1), repetitions: 0 } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: expectedCalibrationError: expected \`nullDistribution.repetitions\` an integer in [1, 10000000], got 0]`);
    expect(() => reliabilityDiagram(p, [0, 1], { level: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: reliabilityDiagram: expected \`level\` in (0, 1), got 1]`);
  });
});

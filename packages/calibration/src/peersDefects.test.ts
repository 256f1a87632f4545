import { brierScore, negativeLogLikelihood } from "@logits/metrics";
import { randomSource } from "@logits/tensor";
import { cifar10Vgg16, expectClose, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { brierDecomposition, calibrationTest, expectedCalibrationError, kernelCalibrationError, reliabilityDiagram, smoothCalibrationError, type Confidences } from "./index.ts";

// What other libraries get wrong, by reading or by running them; each test fails for a metric that has the defect.
describe("calibration metrics do not have the defects of their peers", () => {
  const right = (n: number, k: number): number[] => Array.from({ length: n }, (_, i) => Number(i < k));

  it("MAPIE: 50 bins are 49, since linspace(0, 1, bins) has bins edges", () => {
    // One row in each of 50 bins, alternately right and wrong: 49 bins would join two of them.
    const confidence = Array.from({ length: 50 }, (_, k) => (k + 0.5) / 50), correct = confidence.map((_, k) => k % 2);
    const want = confidence.reduce((sum, c, k) => sum + Math.abs(correct[k] - c), 0) / 50, joined = expectedCalibrationError({ confidence, correct }, { bins: 49 }).value;
    expectClose(expectedCalibrationError({ confidence, correct }, { bins: 50 }).value, want, { atol: 1e-14 });
    expect(Math.abs(joined - want)).toBeGreaterThan(0.001);
  });

  it("MAPIE: bins of equal mass are cut from unsorted scores", () => {
    const random = testRandom(1), confidence = Array.from({ length: 300 }, () => random.uniform()), correct = confidence.map((c) => Number(random.uniform() < c));
    const { n } = reliabilityDiagram({ confidence, correct }), order = random.permutation(n), options = { binning: "equal-mass" } as const;
    // Cut as the rows come, every bin has about the mean of all rows, and the error is far too small.
    expect(expectedCalibrationError({ confidence: order.map((i) => confidence[i]), correct: order.map((i) => correct[i]) }, options)).toEqual(expectedCalibrationError({ confidence, correct }, options));
    const halves = { confidence: [0.9, 0.1, 0.9, 0.1], correct: [0, 1, 0, 1] };
    expectClose(expectedCalibrationError(halves, { ...options, bins: 2 }).value, 0.9, { atol: 1e-15 });
  });

  it("MAPIE: Spiegelhalter's p-value is one-sided, so that confidences that are too modest pass", () => {
    const confidence = Array(100).fill(0.7), modest = calibrationTest({ confidence, correct: right(100, 90) }, { method: "spiegelhalter" }), bold = calibrationTest({ confidence, correct: right(100, 50) }, { method: "spiegelhalter" });
    expectClose(modest.pValue, bold.pValue, { rtol: 1e-9 });
    expect(modest.pValue).toBeLessThan(1e-4);
  });

  it("pytorch-ood: the last bin is left out", () => {
    expect(expectedCalibrationError({ confidence: [0.95, 0.99], correct: [0, 0] }).value).toBeGreaterThan(0.96);
  });

  it("torchmetrics: a confidence of 1 has a bin of its own, and edges are float32 (#3510)", () => {
    const { bins } = reliabilityDiagram({ confidence: [1, 0.99, 0], correct: [1, 1, 0] }, { bins: 10 });
    expect(bins.length).toBe(10);
    expect([bins[9].count, bins[0].count]).toEqual([2, 1]);
    // Every k / B in every number of bins up to 200, as float64: the lower bin.
    for (let count = 1; count <= 200; count++) {
      const confidence = Array.from({ length: count }, (_, k) => (k + 1) / count);
      expect(reliabilityDiagram({ confidence, correct: confidence.map(() => 1) }, { bins: count }).bins.every((bin) => bin.count === 1)).toBe(true);
    }
  });

  it("torchmetrics: the binary form takes the mean target for the accuracy (#1646, #1907)", () => {
    // Two classes, always the second one and right: confidence 0.9, accuracy 1.
    expectClose(expectedCalibrationError([[0.1, 0.9], [0.1, 0.9]], [1, 1]).value, 0.1, { atol: 1e-7 });
    // Always the first one and right: the mean target is 0, the accuracy 1.
    expectClose(expectedCalibrationError([[0.9, 0.1], [0.9, 0.1]], [0, 0]).value, 0.1, { atol: 1e-7 });
  });

  it("netcal: ACE is the mean of the gaps of its bins, whatever their rows", () => {
    // 99 rows without a gap, one with 0.9: 0.009 by rows, 0.45 by bins.
    const confidence = [...Array(99).fill(1), 0.1], correct = [...Array(99).fill(1), 1];
    expectClose(expectedCalibrationError({ confidence, correct }, { binning: "equal-width" }).value, 0.009, { atol: 1e-15 });
    expect(expectedCalibrationError({ confidence, correct }).convention).toBe("top label, equal width, bins (low, high], 0 in the first");
  });

  it("netcal: MMCE has a matrix of all pairs, which does not fit into memory", () => {
    // 100,000 rows are 80 GB of pairs.
    const confidence = new Float32Array(100000).fill(0.75), correct = Uint8Array.from(confidence, (_, i) => Number(i % 4 !== 0));
    expect(kernelCalibrationError({ confidence, correct }).mmce).toBe(0);
  });

  it("verified_calibration: alpha = 0.1 where a percentage is expected makes an interval of 99.9 %", () => {
    const rows = { confidence: Array(1000).fill(0.8), correct: right(1000, 700) }, width = (level: number): number => expectedCalibrationError(rows, { level }).interval[1] - 0.1;
    expectClose(width(0.9) / width(0.95), 1.6448536269514722 / 1.959963984540054, { rtol: 1e-9 });
    expect(() => expectedCalibrationError(rows, { level: 90 })).toThrow(RangeError);
  });

  it("relplot: the smooth error counts the node at a boundary once, 39 % too much on VGG-16", () => {
    const { probabilities, shape, labels } = cifar10Vgg16();
    const { value } = smoothCalibrationError({ data: probabilities, shape }, labels);
    expectClose(value, 0.0398061, { atol: 5e-8 });
    expect(0.0551735 / value).toBeGreaterThan(1.38);
    // With the bandwidth 1 the error is the distance of the means: never above the fixed point.
    expect(value).toBeGreaterThanOrEqual(0.03967);
  });

  it("probcal: the smooth error is read off another mesh than its lattice (aliasing)", () => {
    // The same rows moved by a fraction of any mesh change the value as little as the rows moved.
    const base = Array.from({ length: 200 }, (_, i) => 0.3 + i / 500), correct = base.map((_, i) => Number(i % 3 !== 0)), at = (shift: number): number => smoothCalibrationError({ confidence: base.map((c) => c + shift), correct }).value;
    for (let k = 1; k <= 8; k++) expect(Math.abs(at(k / 65536) - at((k - 1) / 65536))).toBeLessThan(1.01 / 65536);
  });

  it("all: the plain error of a perfect model is taken for miscalibration; here chance is beside it", () => {
    // Published means for a perfect model: 0.0874 at 100 rows, 0.0277 at 1,000, of confidences that are not said; uniform ones show the same fall with the root of N.
    const null95 = (n: number) => {
      const random = testRandom(n), confidence = Array.from({ length: n }, () => 0.5 + random.uniform() / 2), correct = confidence.map((c) => Number(random.uniform() < c));
      return expectedCalibrationError({ confidence, correct }, { nullDistribution: { random: randomSource(n), repetitions: 400 } });
    };
    const few = null95(100), many = null95(1000);
    expect(few.null!.mean / many.null!.mean).toBeGreaterThan(2.5);
    expect(few.value / few.null!.mean).toBeLessThan(2);
    expect([few.interval[0], many.interval[0]]).toEqual([0, 0]);
  });

  it("probmetrics: the log loss is clipped at 1e-6", () => {
    expectClose(negativeLogLikelihood([[0, -40]], [1]), 40, { rtol: 1e-6 });
    expect(negativeLogLikelihood([[0, -Infinity]], [1])).toBe(Infinity);
  });

  it("scikit-learn and others: a Brier score that is half of the other's, without a word", () => {
    const p = [[0.8, 0.2], [0.3, 0.7]], labels = [0, 1];
    expectClose(brierScore(p, labels), 2 * brierDecomposition({ confidence: [0.2, 0.7], correct: [0, 1] }).value, { atol: 1e-7 });
    expect(brierDecomposition(p, labels).convention).toContain("sum over classes");
  });

  it("many: NaN confidences fall into some bin", () => {
    const rows = { confidence: [0.5, NaN], correct: [1, 0] };
    const measures: readonly ((rows: Confidences) => unknown)[] = [expectedCalibrationError, smoothCalibrationError, kernelCalibrationError, brierDecomposition, calibrationTest, reliabilityDiagram];
    for (const measure of measures) expect(() => measure(rows)).toThrow("NaN in row 1");
  });
});

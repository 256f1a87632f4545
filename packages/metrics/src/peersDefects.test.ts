import { expectClose, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { auroc, brierScore, falsePositiveRateAtRecall, riskCoverage, topKAccuracy } from "./index.ts";

// What other libraries get wrong, by reading or by running them; each test fails for a metric that has the defect.
describe("metrics do not have the defects of their peers", () => {
  it("torch-uncertainty: the false-positive rate at the recall nearest to 0.95, which may be below it", () => {
    // 18 of 20 positives above all else, one at 5.5, one at 1.5; negatives 1 to 10. Recall 0.95 needs the nineteenth; 0.9 is as near as 1 is not.
    const scores = [...Array.from({ length: 18 }, (_, i) => 20 + i), 5.5, 1.5, ...Array.from({ length: 10 }, (_, i) => i + 1)], positives = scores.map((_, i) => Number(i < 20));
    expect(falsePositiveRateAtRecall(scores, positives, { recall: 0.94 })).toBe(0.5); // 0.9 is not 0.94
    expect(falsePositiveRateAtRecall(scores, positives)).toBe(0.5);
    expect(falsePositiveRateAtRecall(scores, positives, { recall: 0.96 })).toBe(0.9);
  });

  it("OpenOOD, pytorch-ood: points dropped from the ROC curve overstate the rate where scores are tied", () => {
    const random = testRandom(3);
    for (let i = 0; i < 200; i++) {
      const positive = Array.from({ length: 20 }, () => Math.round(10 * random.uniform())), negative = Array.from({ length: 20 }, () => Math.round(10 * random.uniform()) - 2);
      const threshold = [...positive].sort((a, b) => b - a)[18];
      expect(falsePositiveRateAtRecall([...positive, ...negative], [...positive.map(() => 1), ...negative.map(() => 0)])).toBe(negative.filter((s) => s >= threshold).length / 20);
    }
  });

  it("torch-uncertainty: the area under the risk-coverage curve is divided by 1 - 1 / N", () => {
    expectClose(riskCoverage([0.9, 0.8], [0, 1]).aurc, 0.25, { atol: 1e-16 });
  });

  it("many: NaN scores are sorted somewhere", () => {
    for (const measure of [auroc, falsePositiveRateAtRecall, riskCoverage] as const) expect(() => measure([0.5, NaN, 0.25], [1, 0, 1])).toThrow("NaN in row 1");
  });

  it("many: thousands of confidences are 1 in float32, and the order of the rows decides", () => {
    const confidence = new Float32Array(2000).fill(1), errors = Uint8Array.from({ length: 2000 }, (_, i) => Number(i < 100));
    expectClose(riskCoverage(confidence, errors).aurc, 0.05, { atol: 1e-12 });
    expectClose(riskCoverage(confidence, errors.slice().reverse()).aurc, 0.05, { atol: 1e-12 });
    expect(auroc(confidence, errors)).toBe(0.5);
  });

  it("float32 sums of a million pairs and more: counts are exact", () => {
    const n = 5000, scores = Float64Array.from({ length: 2 * n }, (_, i) => i), positives = Uint8Array.from(scores, (_, i) => Number(i >= n));
    expect(auroc(scores, positives)).toBe(1);
    positives[n] = 0;
    positives[n - 1] = 1;
    expectClose(auroc(scores, positives), 1 - 1 / (n * n), { atol: 2e-16 }); // two divisions of an exact count
  });

  it("scikit-learn: the binary Brier score is half of that of two columns, and top-k takes the larger index of equal scores", () => {
    expectClose(brierScore([[0.25, 0.75]], [0]), 2 * 0.5625, { atol: 1e-15 });
    expect(topKAccuracy([[1, 1, 0]], [0], { k: 1 })).toBe(1);
  });
});

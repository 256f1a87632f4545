import { accuracy, auroc, brierScore, negativeLogLikelihood, riskCoverage } from "@logits/metrics";
import { log } from "@logits/statistics";
import { cifar10Vgg16, expectClose } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { TemperatureScaling, expectedCalibrationError, kernelCalibrationError, probabilitiesToLogits, smoothCalibrationError } from "./index.ts";
import { labelledProbabilities, topLabels } from "./confidences.ts";
import vgg from "./fixtures/cifar10-vgg16.json" with { type: "json" };

// The values of verified_calibration and numpy on data/cifar10-vgg16, printed with 10 digits: half a unit of the last digit is 5e-11, or 5e-9 for those with 8 digits.
describe("golden table: VGG-16 on CIFAR-10", () => {
  const { probabilities: data, shape, labels } = cifar10Vgg16();
  const p = { data, shape };
  const { confidence, correct } = topLabels(labelledProbabilities("golden", p, labels));
  const { logits } = probabilitiesToLogits(p);
  const fitted = TemperatureScaling.fit(logits, labels);

  it("accuracy, mean confidence, ECE of five numbers of bins, RMSCE, MCE", () => {
    expect(accuracy(p, labels)).toBe(0.9359);
    expectClose(Array.from(confidence).reduce((a, b) => a + b, 0) / 10000, 0.97557325, { atol: 5e-9 });
    for (const [bins, want] of [[10, 0.03990714], [15, 0.03978007], [20, 0.04001563], [50, 0.04037691], [100, 0.04137456]]) expectClose(expectedCalibrationError(p, labels, { bins }).value, want, { atol: 1e-8 });
    expectClose(expectedCalibrationError(p, labels).value, 0.0397800669, { atol: 5e-11 });
    expectClose(expectedCalibrationError(p, labels, { norm: 2 }).value, 0.06527952, { atol: 5e-9 });
    expectClose(expectedCalibrationError(p, labels, { norm: "max" }).value, 0.28568568, { atol: 5e-9 });
  });

  it("equal mass, class-wise and debiased as verified_calibration, equal values in one bin", () => {
    expectClose(expectedCalibrationError(p, labels, { binning: "equal-mass" }).value, 0.0397166789, { atol: 5e-11 });
    // The table's value at 10 bins breaks ties by the order of the rows.
    expectClose(expectedCalibrationError(p, labels, { binning: "equal-mass", bins: 10 }).value, 0.03971005, { atol: 1e-7 });
    const byClass = expectedCalibrationError(p, labels, { kind: "class-wise" });
    expectClose(byClass.value, 0.008836746, { atol: 5e-11 });
    expectClose(byClass.perClass!.reduce((a, b) => a + b, 0), 0.0883674601, { atol: 5e-11 });
    const marginal = { kind: "class-wise", binning: "equal-mass", norm: 2 } as const;
    expectClose(expectedCalibrationError(p, labels, marginal).value, 0.0117782113, { atol: 5e-11 });
    expectClose(expectedCalibrationError(p, labels, { ...marginal, debiased: true }).value, 0.0106712961, { atol: 5e-11 });
    expectClose(expectedCalibrationError(p, labels, { binning: "equal-mass", norm: 2, debiased: true }).value, 0.0776820357, { atol: 5e-11 });
  });

  it("NLL, Brier, temperature and what remains after it", () => {
    let nll = 0;
    for (let n = 0; n < 10000; n++) nll -= log(data[10 * n + labels[n]]);
    expectClose(nll / 10000, 0.2570648059, { atol: 5e-11 });
    expectClose(brierScore(p, labels), 0.1054458862, { atol: 5e-11 });
    // Float32 logits have their optimum at 1.6863090109.
    expectClose(fitted.temperature, 1.6863090098, { atol: 1e-8 });
    const q = fitted.probabilities(logits);
    // Through a float32 exp.
    expectClose(negativeLogLikelihood(fitted.transform(logits), labels), 0.2005743702, { atol: 1e-6 });
    expectClose(expectedCalibrationError(q, labels).value, 0.0141012006, { atol: 1e-6 });
    expectClose(brierScore(q, labels), 0.0966438503, { atol: 1e-6 });
    expect(vgg.cases[1].temperature!.toFixed(10)).toBe("1.6863090098");
  });

  it("smooth error, SKCE and MMCE", () => {
    expectClose(smoothCalibrationError(p, labels).value, 0.0398061, { atol: 5e-8 });
    const { value, mmce } = kernelCalibrationError(p, labels, { bandwidth: 0.2 });
    expectClose(value, 0.0010356732, { atol: 5e-11 });
    expectClose(mmce!, 0.032257588, { atol: 5e-11 });
  });

  it("AUROC and AURC of the confidence", () => {
    const wrong = correct.map((right) => 1 - right);
    // The table's tenth digit is rounded up from 0.93414608045.
    expectClose(auroc(Float64Array.from(confidence), correct), 0.9341460805, { atol: 1e-10 });
    // Ties arrive evenly here; the table's order of them is that of the rows.
    expectClose(riskCoverage(Float64Array.from(confidence), wrong).aurc, 0.0066579905, { atol: 1e-7 });
  });
});

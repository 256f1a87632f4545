import { softmax } from "@logits/core-wasm";
import { sigmoid } from "@logits/statistics";
import { testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { BetaCalibration, CrossVennAbers, DirichletScaling, EnsembleTemperatureScaling, HistogramBinning, IsotonicCalibration, MatrixScaling, MultiLabelCalibration, OneVsRest, PlattScaling, ScalingBinning, SplineCalibration, TemperatureScaling, TopLabel, VectorScaling, VennAbers } from "./index.ts";
import { planted } from "./planted.ref.ts";

/**
 * Largest distance, in standard errors, between the mean calibrated and the mean true probability over tenths of the rows in the order of the truth. The standard error is that of a share
 * of yes among the rows of a tenth: what no fit to the answers can beat without assuming a curve.
 */
function worstTenth(got: ArrayLike<number>, truth: readonly number[]): number {
  const n = truth.length, order = truth.map((_, i) => i).sort((a, b) => truth[a] - truth[b]);
  return Math.max(...Array.from({ length: 10 }, (_, k) => {
    const rows = order.slice((k * n) / 10, ((k + 1) * n) / 10), mean = (of: (row: number) => number): number => rows.reduce((sum, row) => sum + of(row), 0) / rows.length;
    const p = mean((row) => truth[row]);
    return Math.abs(mean((row) => got[row]) - p) / Math.sqrt((p * (1 - p)) / rows.length);
  }));
}

describe("calibrators of one score recover planted probabilities within their standard error", () => {
  const random = testRandom(5), n = 20000, s = Float32Array.from({ length: n }, () => 2 * random.normal()), truth = Array.from(s, (score) => sigmoid(0.6 * score - 0.3)), t = Uint8Array.from(truth, (p) => (random.uniform() < p ? 1 : 0));
  it.each([
    ["PlattScaling", PlattScaling.fit(s, t)], ["BetaCalibration", BetaCalibration.fit(s, t)], ["IsotonicCalibration", IsotonicCalibration.fit(s, t)], ["centred IsotonicCalibration", IsotonicCalibration.fit(s, t, { centred: true })],
    ["HistogramBinning", HistogramBinning.fit(s, t)], ["VennAbers", VennAbers.fit(s, t)], ["CrossVennAbers", CrossVennAbers.fit(s, t)], ["SplineCalibration", SplineCalibration.fit(s, t)],
  ] as const)("%s", (_, fitted) => expect(worstTenth(fitted.probabilities(s).data, truth)).toBeLessThan(4));

  // Curve and means come from a third of the rows each.
  it("ScalingBinning", () => expect(worstTenth(ScalingBinning.fit(s, t).probabilities(s).data, truth)).toBeLessThan(4 * Math.sqrt(3)));

  it("MultiLabelCalibration", () => {
    const fitted = MultiLabelCalibration.fit({ data: s, shape: [n / 2, 2] }, { data: t, shape: [n / 2, 2] });
    expect(worstTenth(fitted.probabilities({ data: s, shape: [n / 2, 2] }).data, truth)).toBeLessThan(4);
  });
});

describe("calibrators of rows recover planted probabilities within their standard error", () => {
  const temperature = (row: number[]): number[] => row.map((x) => x / 2.5), affine = (row: number[]): number[] => [0.5 * row[0] + 0.4, 1.2 * row[1] - 0.1, 0.8 * row[2] - 0.3];
  const first = (z: { data: Float32Array }, map: (row: number[]) => number[]): number[] => Array.from({ length: z.data.length / 3 }, (_, row) => softmax(map(Array.from(z.data.subarray(3 * row, 3 * row + 3)))).data[0]);
  const column = (p: Float32Array): Float32Array => p.filter((_, i) => i % 3 === 0);
  it.each([
    ["TemperatureScaling", TemperatureScaling.fit, temperature], ["EnsembleTemperatureScaling", EnsembleTemperatureScaling.fit, temperature], ["VectorScaling", VectorScaling.fit, affine], ["MatrixScaling", MatrixScaling.fit, affine],
    ["DirichletScaling", DirichletScaling.fit, temperature],
  ] as const)("%s", (_, fit, map) => {
    const { z, y } = planted(6000, 3, 81, map, 2);
    expect(worstTenth(column(fit(z, y).probabilities(z).data), first(z, map))).toBeLessThan(4);
  });

  it.each([["OneVsRest", OneVsRest.fit], ["TopLabel", TopLabel.fit]] as const)("%s, of two classes", (_, fit) => {
    const { z, y } = planted(6000, 2, 82, temperature, 2), truth = Array.from({ length: 6000 }, (_, row) => sigmoid((z.data[2 * row] - z.data[2 * row + 1]) / 2.5));
    expect(worstTenth(fit(z, y).probabilities(z).data.filter((_, i) => i % 2 === 0), truth)).toBeLessThan(4);
  });
});

import { sigmoid } from "@logits/statistics";
import { expectClose, expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { BetaCalibration, EnsembleTemperatureScaling, HistogramBinning, IsotonicCalibration, MatrixScaling, OneVsRest, PlattScaling, TemperatureScaling, VectorScaling, probabilitiesToLogits } from "./index.ts";
import { planted } from "./planted.ref.ts";

// What went wrong in other libraries of calibrators, and how it is here.
describe("defects of other calibrators that these do not have", () => {
  it("gpleiss/temperature_scaling #31, #20, #23: T is never negative and never runs away, whatever the scores say", () => {
    const { z, y } = planted(400, 5, 91, (row) => row, 3);
    for (const factor of [1e-6, 0.01, 1, 50, 1e4]) for (const labels of [y, y.map((label) => 4 - label), y.map(() => 2)]) {
      const { temperature, atBound } = TemperatureScaling.fit({ data: z.data.map((x) => x * factor), shape: z.shape }, labels);
      expect(temperature).toBeGreaterThanOrEqual(2 ** -10);
      expect(temperature).toBeLessThanOrEqual(2 ** 10);
      expect(atBound || (temperature > 2 ** -10 && temperature < 2 ** 10)).toBe(true);
    }
  });

  it("gpleiss/temperature_scaling: the optimum is reached, not left after 50 evaluations (there 1.67 where 2.20 is best): the gradient vanishes", () => {
    const { z, y } = planted(2000, 50, 92, (row) => row.map((x) => x / 2.2), 4), { temperature, standardError, n } = TemperatureScaling.fit(z, y);
    const beta = 1 / temperature;
    let gradient = 0;
    for (let row = 0; row < n; row++) {
      const own = Array.from(z.data.subarray(50 * row, 50 * row + 50)), top = Math.max(...own), e = own.map((x) => Math.exp(beta * (x - top))), sum = e.reduce((a, b) => a + b);
      gradient += e.reduce((mean, weight, c) => mean + (weight / sum) * own[c], 0) - own[y[row]];
    }
    // T to 1e-7 relative: beta L'' 1e-7 per row, here about 1.
    expect(Math.abs(gradient / n)).toBeLessThan(1e-6);
    expect(Math.abs(temperature - 2.2) / standardError).toBeLessThan(4);
  });

  it("scikit-learn 1.9: T does not carry the rounding of float32 sums (there 1.7e-4 at 50,000 x 1,000): rows a thousand times over give the same", () => {
    const { z, y } = planted(300, 4, 93, (row) => row.map((x) => x / 1.7), 3), times = 200;
    const many = { data: Float32Array.from({ length: times * 1200 }, (_, i) => z.data[i % 1200]), shape: [times * 300, 4] };
    expectClose(TemperatureScaling.fit(many, Int32Array.from({ length: times * 300 }, (_, i) => y[i % 300])).temperature, TemperatureScaling.fit(z, y).temperature, { rtol: 2e-7 });
  });

  it("all labels right: a bound that is named, and a bounded loss from the mixture; never NaN", () => {
    const right = [[4, 0, 0], [0, 3, 0], [0, 0, 5]], labels = [0, 1, 2], fitted = TemperatureScaling.fit(right, labels);
    expect([fitted.atBound, fitted.temperature]).toEqual([true, 2 ** -10]);
    expect(-Math.log(EnsembleTemperatureScaling.fit(right, labels, { weights: "laplace" }).probabilities([9, 0, 0]).data[1])).toBeLessThan(Math.log(12 + 1));
  });

  it("probmetrics tests it, others fail: labels of which some never occur", () => {
    for (const Kind of [TemperatureScaling, EnsembleTemperatureScaling, VectorScaling, MatrixScaling, OneVsRest]) expect([...Kind.fit([[2, 0, 0], [0, 2, 0], [2, 1, 0]], [0, 1, 1]).probabilities([1, 0, 0]).data].every((p) => p >= 0 && p <= 1)).toBe(true);
  });

  it("netcal #25, #28, #32, #55: logits go in as they are; probabilities by one stated clip, which is counted", () => {
    const logits = [[60, 0], [0, 50], [40, 0], [0, 1], [1, 0], [2, 0]], labels = [0, 1, 0, 0, 0, 1];
    const p = logits.map((row) => { const q = sigmoid(row[0] - row[1]); return [q, 1 - q]; }), { clippedRows } = probabilitiesToLogits([[1, 0]]);
    expect(clippedRows).toBe(1);
    // As float32 probabilities 60 and 40 are the same certainty: what is lost cannot come back, so T differs.
    expect(Math.abs(TemperatureScaling.fit(logits, labels).temperature - TemperatureScaling.fit(probabilitiesToLogits(p).logits, labels).temperature)).toBeGreaterThan(0.01);
  });

  it("torch-uncertainty's MatrixScaler: the weight is a matrix, for any number of rows", () => {
    const { z, y } = planted(64, 3, 94, (row) => row, 2), fitted = MatrixScaling.fit(z, y);
    expect(fitted.weights.shape).toEqual([3, 3]);
    for (const rows of [1, 2, 3, 7]) expect(fitted.transform({ data: z.data.slice(0, 3 * rows), shape: [rows, 3] }).shape).toEqual([rows, 3]);
    const one = z.data.slice(0, 3), { data: w } = fitted.weights, { data: b } = fitted.bias;
    expectClose(fitted.transform(one).data, [0, 1, 2].map((i) => w[3 * i] * one[0] + w[3 * i + 1] * one[1] + w[3 * i + 2] * one[2] + b[i]), { rtol: 1e-6, atol: 1e-6 });
  });

  it("netcal's histogram binning: bins of equal mass fit and transform by the same edges", () => {
    const random = testRandom(95), s = Float32Array.from({ length: 500 }, () => Math.round(4 * random.normal()) / 4), t = Uint8Array.from(s, (x) => (random.uniform() < sigmoid(x) ? 1 : 0));
    const fitted = HistogramBinning.fit(s, t, { bins: 7 });
    // The share of yes among the rows that get a value is that value.
    for (const value of fitted.values.data) {
      const rows = [...s.keys()].filter((row) => Math.fround(fitted.at(s[row])) === value);
      expectClose(rows.reduce((sum, row) => sum + t[row], 0) / rows.length, value, { rtol: 1e-7 });
    }
  });

  it("beta calibration of log-odds clips nothing: the same fit where probabilities would be 0 and 1", () => {
    const s = [-120, -100, -3, -1, 1, 3, 100, 120], t = [0, 0, 0, 1, 0, 1, 1, 1];
    const { a, b, c } = BetaCalibration.fit(s, t);
    expect([a, b, c].every(Number.isFinite)).toBe(true);
    const odds = (score: number): number => { const p = BetaCalibration.fit(s, t).at(score); return Math.log(p / (1 - p)); };
    expect(odds(30) - odds(20)).toBeGreaterThan(0);
  });

  it("isotonic regression pools equal scores before anything else, so that the order of the rows does not matter", () => {
    expectExact(IsotonicCalibration.fit([1, 1, 2, 2], [1, 0, 1, 0]).values.data, IsotonicCalibration.fit([1, 1, 2, 2], [0, 1, 0, 1]).values.data);
    expectExact(IsotonicCalibration.fit([1, 1, 2, 2], [1, 0, 1, 0]).probabilities([1, 1.5, 2]).data, [0.5, 0.5, 0.5]);
  });

  it("one against the rest: a row whose classes all get 0 is uniform, not NaN", () => {
    const fitted = OneVsRest.fit([[3, 0], [0, 3], [3, 0], [0, 3]], [0, 1, 0, 1], { method: "isotonic" });
    expect(fitted.probabilities([[0, 0], [-5, 5]]).data.every((p) => p === p)).toBe(true);
  });

  it("Platt scaling without a penalty on separable scores is finite and says that they separate", () => {
    const fitted = PlattScaling.fit([-2, -1, 1, 2], [0, 0, 1, 1]);
    expect([Number.isFinite(fitted.slope), fitted.separated]).toEqual([true, true]);
  });
});

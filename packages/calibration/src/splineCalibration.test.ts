import { sigmoid } from "@logits/statistics";
import { expectClose, expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { PlattScaling, SplineCalibration } from "./index.ts";
import fixture from "./fixtures/binary.json" with { type: "json" };

const [data, , , , , , ...splines] = fixture.cases as unknown as { scores: number[]; labels: number[]; grid: number[]; degree: 1 | 3; lambda: number; probabilities: number[] }[];
const { scores, labels, grid } = data;

function drawn(rows: number, seed: number, odds: (s: number) => number): { s: Float32Array; t: Uint8Array } {
  const random = testRandom(seed), s = Float32Array.from({ length: rows }, () => 2 * random.normal());
  return { s, t: Uint8Array.from(s, (score) => (random.uniform() < sigmoid(odds(score)) ? 1 : 0)) };
}
/** Overconfident below, right in the middle, flat above. */
const bent = (s: number): number => (s < 0 ? 0.4 * s : s < 2 ? s : 2);

describe("SplineCalibration", () => {
  it.each(splines)("ends where SciPy's BFGS with its B-splines ends: degree $degree, lambda $lambda", ({ degree, lambda, probabilities }) => {
    const fitted = SplineCalibration.fit(scores, labels, { degree, lambda });
    // Rows with equal scores share a cell exactly; coefficients in float32.
    expectClose(fitted.probabilities(grid).data, probabilities, { atol: 2e-6 });
    expectClose(fitted.transform(grid).data, Array.from(grid, (s) => { const p = fitted.at(s); return Math.log(p / (1 - p)); }), { atol: 1e-5 });
  });

  it("is Platt scaling under a heavy penalty", () => {
    const { s, t } = drawn(2000, 1, (score) => 0.7 * score - 0.3), platt = PlattScaling.fit(s, t), fitted = SplineCalibration.fit(s, t, { lambda: 1e6 });
    for (const score of [-4, -1, 0, 2, 4]) expectClose(fitted.at(score), platt.at(score), { atol: 1e-4 }); // 1 / lambda, and cells of 1/2048 of the range
  });

  it("follows a bend that Platt scaling cannot, and the penalty that it takes is not the heaviest", () => {
    const { s, t } = drawn(20000, 2, bent), fitted = SplineCalibration.fit(s, t), platt = PlattScaling.fit(s, t);
    expect(fitted.lambda).toBeLessThan(100);
    // About 10 effective parameters for 20,000 rows: standard errors of 0.01 where most rows are, 0.03 at the ends.
    for (const score of [-3, -2, -1, 0, 1, 2, 3]) expect(Math.abs(fitted.at(score) - sigmoid(bent(score)))).toBeLessThan(Math.abs(score) < 3 ? 0.03 : 0.06);
    const fresh = drawn(20000, 3, bent), loss = (p: Float32Array): number => p.reduce((sum, q, i) => sum - Math.log(fresh.t[i] ? q : 1 - q), 0) / 20000;
    expect(loss(fitted.probabilities(fresh.s).data)).toBeLessThan(loss(platt.probabilities(fresh.s).data) - 0.003);
    // What cross-validation says is what fresh rows say, within 4 standard errors of a mean of 20,000 losses.
    expect(Math.abs(fitted.loss - loss(fitted.probabilities(fresh.s).data))).toBeLessThan(4 * 0.6 / Math.sqrt(20000));
  });

  it("takes the heaviest penalty for rows on a line", () => {
    const { s, t } = drawn(3000, 4, (score) => score);
    expect(SplineCalibration.fit(s, t).lambda).toBeGreaterThanOrEqual(1);
  });

  it("is not taken in by equal scores: of ten scores on a line it does not learn the answers of each by heart", () => {
    let light = 0;
    for (let seed = 1; seed <= 20; seed++) {
      const { s, t } = drawn(400, 20 + seed, (score) => Math.round(score) / 2), fitted = SplineCalibration.fit(s.map(Math.round), t);
      if (fitted.lambda < 0.01) light++;
    }
    expect(light).toBeLessThanOrEqual(2);
  });

  it("is constant outside the scores of the fit, and where they do not vary", () => {
    const fitted = SplineCalibration.fit(scores, labels);
    expectExact(fitted.probabilities([-Infinity, -1e9, Infinity, 1e9]).data, fitted.probabilities([fitted.low, fitted.low, fitted.high, fitted.high]).data);
    const flat = SplineCalibration.fit([2, 2, 2], [0, 1, 1]);
    // Targets 3/4 twice and 1/3: their mean.
    expectClose([flat.at(0), flat.at(2), flat.at(9)], [11 / 18, 11 / 18, 11 / 18], { rtol: 1e-6 });
    expect([flat.low, flat.high]).toEqual([2, 2]);
  });

  it("stays finite where a score separates the answers", () => {
    const fitted = SplineCalibration.fit([-3, -2, -1, 1, 2, 3], [0, 0, 0, 1, 1, 1]);
    expect(fitted.probabilities([-3, 0, 3]).data.every((p) => p > 0 && p < 1)).toBe(true);
    expect(fitted.at(3)).toBeGreaterThan(0.6);
  });

  it("says what is wrong", () => {
    expect(() => SplineCalibration.fit([1, 2], [0, 1], { degree: 2 as never })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplineCalibration.fit: expected \`degree\` 1 or 3, got 2]`);
    expect(() => SplineCalibration.fit([1, 2], [0, 1], { segments: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplineCalibration.fit: expected \`segments\` an integer in [1, 200], got 0]`);
    expect(() => SplineCalibration.fit([1, 2], [0, 1], { lambda: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplineCalibration.fit: expected \`lambda\` a finite number >= 0 or "cross-validated", got -1]`);
    const json = SplineCalibration.fit([1, 2], [0, 1]).toJSON();
    expect(() => SplineCalibration.fromJSON({ ...json, high: 0 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: SplineCalibration.fromJSON: expected \`high\` at least 1, as \`low\`, got 0]`);
    expect(() => SplineCalibration.fromJSON({ ...json, degree: 2 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: SplineCalibration.fromJSON: expected \`degree\` 1 or 3, got 2]`);
  });
});

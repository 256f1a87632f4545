import { sigmoid } from "@logits/statistics";
import { expectClose, expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { CrossVennAbers, PlattScaling, VennAbers } from "./index.ts";
import fixture from "./fixtures/binary.json" with { type: "json" };

const [data, , , , , cross] = fixture.cases as unknown as { scores: number[]; labels: number[]; grid: number[]; log: number[]; brier: number[] }[];
const { scores, labels, grid } = data;

describe("CrossVennAbers", () => {
  it("agrees with scikit-learn's isotonic regressions, fold by fold, merged for both losses", () => {
    const folds = Int32Array.from(scores, (_, i) => i % 3);
    expectClose(CrossVennAbers.fit(scores, labels, { folds }).probabilities(grid).data, cross.log, { atol: 2e-7 }); // float32
    expectClose(CrossVennAbers.fit(scores, labels, { folds, loss: "brier" }).probabilities(grid).data, cross.brier, { atol: 2e-7 });
  });

  it("of one fold is VennAbers", () => {
    const one = CrossVennAbers.fit(scores, labels, { folds: 1 });
    expect(one.folds[0]).toEqual(VennAbers.fit(scores, labels));
    expectClose(one.probabilities(grid).data, VennAbers.fit(scores, labels).probabilities(grid).data, { rtol: 2e-7 });
  });

  it("deals the rows out in the order of the scores, so that folds are alike", () => {
    const { folds } = CrossVennAbers.fit(scores, labels, { folds: 4 });
    expect(folds.map(({ n }) => n)).toEqual([38, 38, 37, 37]);
    expect(CrossVennAbers.fit([...scores].reverse(), [...labels].reverse(), { folds: 4 })).toEqual(CrossVennAbers.fit(scores, labels, { folds: 4 }));
    expectExact(folds.map((fold) => Math.abs(fold.at(0) - folds[0].at(0)) < 0.2).map(Number), [1, 1, 1, 1]);
  });

  it("takes the scores of K models: equal ones give the same as one score", () => {
    const fitted = CrossVennAbers.fit(scores, labels, { folds: 3 });
    expectExact(fitted.merged([[1, 1, 1], [-2, -2, -2]]).data, fitted.probabilities([1, -2]).data);
    const { folds } = fitted, own = [0.5, 2, -1], yes = own.map((s, k) => folds[k].intervalAt(s).upper), no = own.map((s, k) => 1 - folds[k].intervalAt(s).lower);
    const mean = (x: number[]): number => Math.cbrt(x[0] * x[1] * x[2]);
    expectClose(fitted.merged(own).item(), mean(yes) / (mean(no) + mean(yes)), { rtol: 1e-6 });
    expect(fitted.merged([0, NaN, 0]).item()).toBeNaN();
  });

  it("is near the truth where every row also trains a model: out-of-fold scores, no row in its own model", () => {
    // The model of a fold: Platt's fit of one noisy feature on the other folds.
    const random = testRandom(3), n = 3000, x = Float32Array.from({ length: n }, () => 2 * random.normal()), t = Uint8Array.from(x, (value) => (random.uniform() < sigmoid(value - 0.5) ? 1 : 0)), fold = Int32Array.from(x, (_, i) => i % 5);
    const models = [0, 1, 2, 3, 4].map((k) => PlattScaling.fit(x.filter((_, i) => fold[i] !== k), t.filter((_, i) => fold[i] !== k)));
    const fitted = CrossVennAbers.fit(x.map((value, i) => models[fold[i]].at(value)), t, { folds: fold });
    for (const value of [-3, -1, 0, 1, 3]) {
      // 3,000 rows, of which a block of the regression holds a tenth or more: a standard error of at most 0.03.
      expect(Math.abs(fitted.merged(models.map((model) => model.at(value))).item() - sigmoid(value - 0.5))).toBeLessThan(0.09);
    }
  });

  it("is never 0 or 1", () => {
    for (const loss of ["log", "brier"] as const) {
      const fitted = CrossVennAbers.fit([1, 2, 3, 4, 5, 6], [1, 1, 1, 1, 1, 1], { loss });
      for (const s of [-Infinity, 3, Infinity]) expect(fitted.at(s) > 0 && fitted.at(s) < 1).toBe(true);
    }
  });

  it("says what is wrong", () => {
    expect(() => CrossVennAbers.fit([1, 2], [0, 1], { folds: 3 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: CrossVennAbers.fit: expected \`folds\` an integer in [1, 2], got 3]`);
    expect(() => CrossVennAbers.fit([1, 2], [0, 1], { folds: [0] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: CrossVennAbers.fit: expected \`folds\` of shape [2], or an integer, got [1]]`);
    expect(() => CrossVennAbers.fit([1, 2], [0, 1], { folds: [0, 2] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: CrossVennAbers.fit: expected \`folds\` in [0, 2), got 2 at index 1]`);
    expect(() => CrossVennAbers.fit([1, 2, 3], [0, 1, 0], { folds: [0, 2, 2] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: CrossVennAbers.fit: expected \`folds\` with a row in each fold, got none in fold 1]`);
    expect(() => CrossVennAbers.fit([1, 2], [0, 1], { loss: "ece" as never })).toThrowErrorMatchingInlineSnapshot(`[RangeError: CrossVennAbers.fit: expected \`loss\` "log" or "brier", got ece]`);
    const fitted = CrossVennAbers.fit([1, 2], [0, 1], { folds: 2 }), json = fitted.toJSON();
    expect(() => fitted.merged([1, 2, 3])).toThrowErrorMatchingInlineSnapshot(`[RangeError: CrossVennAbers.merged: expected \`scores\` of 2 folds on the last axis, got shape [3]]`);
    expect(() => CrossVennAbers.fromJSON({ ...json, folds: [] })).toThrowErrorMatchingInlineSnapshot(`[FormatError: CrossVennAbers.fromJSON: expected \`folds\` a list of at least one, got none]`);
    expect(() => CrossVennAbers.fromJSON({ ...json, folds: [json.folds[0]] })).toThrowErrorMatchingInlineSnapshot(`[FormatError: CrossVennAbers.fromJSON: expected \`n\` 1, the rows of \`folds\`, got 2]`);
  });
});

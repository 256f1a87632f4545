import { benjaminiHochberg, empiricalPValue } from "@logits/statistics";
import { checkGuarantee, estimatorChecks, expectExact } from "@logits/testkit";
import { randomSource, tensor } from "@logits/tensor";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import fixture from "./fixtures/conformalPValues.json" with { type: "json" };
import { ConformalPValues } from "./index.ts";

const INF = Infinity;
const repetitions = process.env.LOGITS_SLOW ? 10000 : 1000;
/** Few levels, so that ties are common. */
const levels = fc.array(fc.oneof(fc.integer({ min: -3, max: 3 }), fc.constantFrom(INF, -INF, -0)), { maxLength: 40 });

describe("ConformalPValues", () => {
  it("agrees with the definition, ties and infinities included", () => {
    fc.assert(fc.property(levels, levels, (calibration, scores) => {
      const fitted = ConformalPValues.fit(calibration);
      expectExact(fitted.pValues(scores), scores.map((s) => empiricalPValue(calibration, s)));
      expectExact(scores.map((s) => fitted.pValue(s)), scores.map((s) => empiricalPValue(calibration, s)));
      expect(ConformalPValues.fromJSON(JSON.parse(JSON.stringify(fitted))).pValues(scores)).toEqual(fitted.pValues(scores));
    }), { seed: 2, numRuns: 300 });
  });

  it("agrees with numpy", () => {
    for (const { name, calibration, scores, pValues } of fixture.cases) {
      const read = (list: readonly (number | string)[]): number[] => Array.from(list, Number);
      expectExact(ConformalPValues.fit(read(calibration)).pValues(read(scores)), pValues, name);
    }
  });

  it("is 1 without calibration rows, between 1 / (n + 1) and 1 with them, and rounds scores to float32 at the fit and after it alike", () => {
    expectExact(ConformalPValues.fit([]).pValues([1, -INF, INF]), [1, 1, 1]);
    expectExact(ConformalPValues.fit([1, 2, 3]).pValues([INF, -INF]), [0.25, 1]);
    const fitted = ConformalPValues.fit(Float64Array.of(0.1, 0.2, 0.3));
    expectExact([fitted.pValue(0.2), fitted.pValue(0.2 + 1e-12), fitted.pValue(0.2000001)], [0.75, 0.75, 0.5]);
    expect(fitted.pValues([]).length).toBe(0);
  });

  const data = tensor(Array.from({ length: 60 }, (_, i) => Math.fround(Math.sin(i * i))));
  it.each(estimatorChecks<ConformalPValues>({
    name: "ConformalPValues",
    data: [data],
    fit: (scores) => ConformalPValues.fit(scores),
    output: (fitted) => [{ shape: [60], data: fitted.pValues(data) }, { shape: [1], data: [fitted.n] }],
    fromJSON: ConformalPValues.fromJSON,
    wrongWidth: [(fitted) => fitted.pValues([[1, 2]])],
    base64: ["scores.data"],
  }))("$name", ({ run }) => run());

  it("messages", () => {
    expect(() => ConformalPValues.fit([1, NaN])).toThrowErrorMatchingInlineSnapshot(`[RangeError: ConformalPValues.fit: expected \`scores\` without NaN, got NaN in row 1]`);
    expect(() => ConformalPValues.fit([[1]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: ConformalPValues.fit: expected \`scores\` of shape [N], got [1, 1]]`);
    const fitted = ConformalPValues.fit([1, 2, 3]);
    expect(() => fitted.pValues([1, NaN])).toThrowErrorMatchingInlineSnapshot(`[RangeError: ConformalPValues.pValues: expected \`scores\` without NaN, got NaN in row 1]`);
    expect(() => fitted.pValue(NaN)).toThrowErrorMatchingInlineSnapshot(`[RangeError: ConformalPValues.pValue: expected \`score\` a number, got NaN]`);
    expect(() => ConformalPValues.fromJSON({ ...fitted.toJSON(), n: 4 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: ConformalPValues.fromJSON: expected \`scores\` 4 numbers, got 3]`);
    expect(() => ConformalPValues.fromJSON({ ...fitted.toJSON(), positiveInfinities: 4 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: ConformalPValues.fromJSON: expected \`positiveInfinities\` an integer in [0, 3], got 4]`);
    const descending = { dtype: "float32", shape: [3], data: Float32Array.of(1, 3, 2) };
    expect(() => ConformalPValues.fromJSON({ ...fitted.toJSON(), scores: descending })).toThrowErrorMatchingInlineSnapshot(`[FormatError: ConformalPValues.fromJSON: expected \`scores\` ascending, got 2 after 3 at index 2]`);
  });
});

describe("the promise", () => {
  const normal = (seed: number, stream: number, n: number, shift = 0): Float32Array => {
    const random = randomSource(seed, stream);
    return Float32Array.from({ length: n }, () => shift + random.uniform() + random.uniform() + random.uniform());
  };

  it.each([1, 2, 5, 10, 20])("P(p <= a) is a for a = %i / 40 without ties, and at most a with them", (k) => {
    const fit = (seed: number) => ConformalPValues.fit(normal(seed, 1, 39));
    checkGuarantee({ name: "p-value", kind: "probability of exceeding", level: k / 40, side: "both", repetitions: 2 * repetitions, simulate: (seed) => fit(seed).pValue(normal(seed, 2, 1)[0]) <= k / 40 });
    const rounded = (x: Float32Array): Float32Array => x.map((v) => Math.floor(3 * v));
    checkGuarantee({ name: "ties", kind: "probability of exceeding", level: k / 40, repetitions, simulate: (seed) => ConformalPValues.fit(rounded(normal(seed, 3, 39))).pValue(rounded(normal(seed, 4, 1))[0]) <= k / 40 });
  });

  it("with benjaminiHochberg: of the rows that are flagged a share of at most q is in-distribution, and many outliers are found", () => {
    // 30 rows like the calibration rows, 20 outliers: the level is q 30 / 50.
    let found = 0;
    checkGuarantee({
      name: "false discoveries", kind: "marginal mean", level: 0.2 * 0.6, repetitions,
      simulate: (seed) => {
        const p = ConformalPValues.fit(normal(seed, 1, 200)).pValues([...normal(seed, 2, 30), ...normal(seed, 3, 20, 1)]);
        const flagged = Array.from(benjaminiHochberg(p), (q) => q <= 0.2);
        const wrong = flagged.slice(0, 30).filter(Boolean).length, all = flagged.filter(Boolean).length;
        found += all - wrong;
        return all === 0 ? 0 : wrong / all;
      },
    });
    expect(found / repetitions / 20).toBeGreaterThan(0.3);
  });
});

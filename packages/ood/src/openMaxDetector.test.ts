import { detectorChecks, estimatorChecks, expectClose, expectExact, testRandom, type Plain } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import fixture from "./fixtures/logitModels.json" with { type: "json" };
import { OpenMaxDetector, detectorFromJSON } from "./index.ts";
import { openMaxRef } from "./logitModels.ref.ts";
import { fitWeibull, weibullCdf } from "./weibull.ts";

const plain = (data: ArrayLike<number>, width: number): Plain => ({ dtype: "float32", shape: [data.length / width, width], data: Float32Array.from(data) });
const labelsOf = (data: ArrayLike<number>): Plain<Int32Array> => ({ dtype: "int32", shape: [data.length], data: Int32Array.from(data) });
const list = (x: Plain): number[][] => Array.from({ length: x.shape[0] }, (_, i) => Array.from(x.data.subarray(i * x.shape[1], (i + 1) * x.shape[1])));
const scores = (detector: OpenMaxDetector, logits: Plain | readonly (readonly number[])[]): number[] => Array.from(detector.score({ logits: logits as Plain }).data);

/** Logits of rows of each class in turn, a few of them wrong. */
function rows(n: number, c: number, stream: number, spread = 1): { z: Plain; y: Plain<Int32Array> } {
  const random = testRandom(stream), y = Int32Array.from({ length: n }, (_, i) => i % c);
  return { z: plain(Float32Array.from({ length: n * c }, (_, i) => (i % c === y[Math.floor(i / c)] ? 6 : 0) + spread * random.normal()), c), y: labelsOf(y) };
}

describe("agrees with the definition", () => {
  it.each([[2, 3, 20], [3, 3, 5], [10, 3, 20], [20, 30, 50]])("for %i classes, %i revised, a tail of %i", (c, revised, tail) => {
    const { z, y } = rows(40 * c, c, c), probe = rows(15, c, 60, 4).z, got = scores(OpenMaxDetector.fit(z, y, { revised, tail }), probe);
    const right = list(z).filter((row, i) => row.indexOf(Math.max(...row)) === y.data[i]), kinds = right.map((row) => row.indexOf(Math.max(...row)));
    const models = Array.from({ length: c }, (_, k) => {
      const own = right.filter((_, i) => kinds[i] === k), mean = own[0].map((_, j) => own.reduce((sum, row) => sum + row[j], 0) / own.length);
      const far = own.map((row) => Math.hypot(...row.map((v, j) => v - mean[j]))).sort((a, b) => b - a).slice(0, tail), least = far.at(-1)!, fitted = fitWeibull(far.map((d) => d - least + 1));
      return { mean, cdf: (d: number) => (d - least + 1 > 0 ? 1 - Math.exp(-(((d - least + 1) / fitted.scale) ** fitted.shape)) : 0) };
    });
    // Means and parameters are kept in float32: 2^-24 of them, times the shape, up to 30, in the distribution function.
    list(probe).forEach((row, i) => expectClose(got[i], openMaxRef(row, revised, (k) => models[k]), { rtol: 1e-5, atol: 1e-4, label: `row ${i}` }));
  });

  it.each(fixture.cases.map((c) => [c.name, c] as const))("scipy's Weibull fits and OpenMax of OpenOOD: %s", (_, { shape, logits, labels, rows: probe, openMaxProbability, weibulls }) => {
    const c = shape[1], got = scores(OpenMaxDetector.fit(plain(logits, c), labelsOf(labels)), plain(probe, c));
    expect(weibulls.length).toBe(3 * c);
    // scipy stops its search of the parameters at about 1e-5 of them.
    expectClose(got.map((score) => 1 / (1 + Math.exp(-score))), openMaxProbability, { rtol: 2e-3, atol: 1e-12 });
  });

  it("the Weibull fit is where the likelihood is largest, recovers what was drawn, and is scipy's", () => {
    const random = testRandom(9), x = Array.from({ length: 4000 }, () => 2 * (-Math.log(1 - random.uniform())) ** (1 / 3)), { shape, scale } = fitWeibull(x);
    // Standard errors 0.78 shape / sqrt(n) and 1.05 scale / (shape sqrt(n)).
    expectClose([shape, scale], [3, 2], { atol: 4 * 0.04 });
    const likelihood = (k: number, s: number): number => x.reduce((sum, v) => sum + Math.log(k / s) + (k - 1) * Math.log(v / s) - (v / s) ** k, 0), best = likelihood(shape, scale);
    for (const [a, b] of [[1.001, 1], [0.999, 1], [1, 1.001], [1, 0.999]]) expect(likelihood(shape * a, scale * b)).toBeLessThan(best);
    expectClose(weibullCdf({ shape, scale }, 2), 1 - Math.exp(-((2 / scale) ** shape)), { rtol: 1e-14 });
    expect(weibullCdf({ shape: 2, scale: 1 }, 0)).toBe(0);
    expect(fitWeibull([1.5, 1.5])).toEqual({ shape: 1e4, scale: expect.closeTo(1.5, 12) });
  });
});

describe("laws", () => {
  const { z, y } = rows(200, 5, 1), probe = rows(30, 5, 2, 3).z, base = scores(OpenMaxDetector.fit(z, y), probe);

  it("the order of classes does not matter", () => {
    const turn = (x: Plain): Plain => plain(list(x).flatMap((row) => row.toReversed()), 5);
    expectClose(scores(OpenMaxDetector.fit(turn(z), labelsOf(y.data.map((c) => 4 - c))), turn(probe)), base, { rtol: 1e-6, atol: 1e-5 });
  });

  it("fitAsync gives the same bits; the fit remembers its rows; rows that are predicted wrongly count for nothing else", async () => {
    expectExact(scores(await OpenMaxDetector.fitAsync(z, y), probe), base);
    expect(OpenMaxDetector.fit(z, y).fingerprints?.firstShared([list(z)[100]])).toBe(0);
    const wrong = plain([...z.data, 9, 0, 0, 0, 0], 5);
    expectExact(scores(OpenMaxDetector.fit(wrong, labelsOf([...y.data, 3])), probe), base);
  });
});

describe("special values", () => {
  it("one row of a class is a step; a class without rows is as far as can be", () => {
    const detector = OpenMaxDetector.fit([[4, 0, 0], [0, 5, 0]], [0, 1]);
    expect(detector.supportedClasses).toEqual([0, 1]);
    const [own, third] = scores(detector, [[4, 0, 0], [0, 0, 4]]);
    expect(own).toBeLessThan(third);
    expectExact(scores(detectorFromJSON(JSON.parse(JSON.stringify(detector))) as OpenMaxDetector, [[4, 0, 0], [0, 0, 4]]), [own, third]);
  });

  it("NaN stays NaN, infinities are infinitely far, large logits do not overflow", () => {
    const detector = OpenMaxDetector.fit([[4, 0], [5, 0], [0, 4]], [0, 0, 1]);
    expect(scores(detector, [[NaN, 1], [Infinity, 0], [-Infinity, 0], [NaN, Infinity]])).toEqual([NaN, Infinity, Infinity, NaN]);
    expectClose(scores(detector, [[3000, 3000]]), [3000 * 1.5 - 1500], { rtol: 1e-6 });
    expect(scores(OpenMaxDetector.fit([[2], [3]], [0, 0]), [[2]])[0]).toBeLessThan(scores(OpenMaxDetector.fit([[2], [3]], [0, 0]), [[30]])[0]);
  });
});

describe("batteries", () => {
  const { z, y } = rows(120, 4, 5), usual = rows(40, 4, 6, 0.7).z;
  it.each(estimatorChecks<OpenMaxDetector>({
    name: "OpenMaxDetector", data: [z, y], fit: (logits, labels) => OpenMaxDetector.fit(logits as Plain, labels as Plain<Int32Array>), output: (detector) => detector.score({ logits: usual }), fromJSON: OpenMaxDetector.fromJSON,
    // Means are summed in another order and rounded to float32.
    rowOrder: { rtol: 1e-5, atol: 1e-5 },
    wrongWidth: [(detector) => detector.score({ logits: [[1, 2]] })],
    base64: ["means.data", "weibulls.data"],
  }))("$name", ({ run }) => run());
  it.each(detectorChecks({ name: "OpenMaxDetector", make: () => OpenMaxDetector.fit(z, y), fromJSON: (json) => detectorFromJSON(json) as OpenMaxDetector, usual, far: plain([12, 16, 30, 100].flatMap((t) => [t, t, 0, 0]), 4) }))("$name", ({ run }) => run());
});

it("says what is wrong", () => {
  expect(() => OpenMaxDetector.fit([[1, NaN]], [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: OpenMaxDetector.fit: expected \`logits\` of finite numbers, got NaN in row 0, column 1]`);
  expect(() => OpenMaxDetector.fit([[1, 2]], [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: OpenMaxDetector.fit: expected \`logits\` with rows whose largest is that of their label, got none]`);
  expect(() => OpenMaxDetector.fit([[1, 2]], [0, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: OpenMaxDetector.fit: expected \`labels\` of shape [1], got [2]]`);
  expect(() => OpenMaxDetector.fit([[1, 2]], [1], { tail: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: OpenMaxDetector.fit: expected \`tail\` an integer in [2, 2147483647], got 1]`);
  expect(() => OpenMaxDetector.fit([[1, 2]], [1], { revised: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: OpenMaxDetector.fit: expected \`revised\` an integer in [1, 2147483647], got 0]`);
  const detector = OpenMaxDetector.fit([[1, 2]], [1]);
  expect(() => OpenMaxDetector.fromJSON({ ...detector.toJSON(), classes: 3 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: OpenMaxDetector.fromJSON: expected \`means\` of shape [1, 3], got [1, 2]]`);
  expect(() => OpenMaxDetector.fromJSON({ ...detector.toJSON(), weibulls: { dtype: "float32", shape: [1, 3], data: "AAAAAAAAAAAAAAAA" } })).toThrowErrorMatchingInlineSnapshot(`[FormatError: OpenMaxDetector.fromJSON: expected \`weibulls\` with shapes and scales > 0, got others]`);
});

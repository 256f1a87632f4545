import { detectorChecks, estimatorChecks, expectClose, expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import fixture from "./fixtures/gaussianPrototypes.json" with { type: "json" };
import { labelsOf, listOf, plain, world } from "./fixtures/rows.ts";
import { FeatureStatistics, GaussianPrototypes, MahalanobisDetector, NONE_OF_THE_ABOVE } from "./index.ts";


describe("agrees with the definition", () => {
  it.each(fixture.cases.map((c) => [c.name, c] as const))("[paper:few-shot-open-relation-extraction-with-gaussian-prototype-and] scipy's multivariate normal with unbiased variances: %s", (_, c) => {
    const f = c.shape[1], x = plain(c.features, f), y = labelsOf(c.labels), rows = plain(c.rows, f);
    const prototypes = GaussianPrototypes.fit(x, y, { classes: c.classes, priorRows: 0 });
    // Means and scales rounded to float32: 2^-24 of distances of a few deviations, squared.
    expectClose(prototypes.distances(rows).data, c.squared, { rtol: 1e-5 });
    const wide = GaussianPrototypes.fit(x, y, { classes: c.classes, priorRows: 0, logDeterminant: true });
    expectClose(wide.distances(rows).data, c.withDeterminant, { rtol: 1e-5, atol: 1e-5 });
    const least = Array.from({ length: rows.shape[0] }, (_, n) => Math.min(...c.withDeterminant.slice(n * c.classes, (n + 1) * c.classes)));
    expectClose(wide.score({ features: rows }).data, least, { rtol: 1e-5, atol: 1e-5 });
    expectClose(prototypes.boundaries as number[], new Array(c.classes).fill(c.boundary99), { rtol: 1e-9 });
    expectClose(GaussianPrototypes.fit(x, y, { keep: 0.5 }).boundaries as number[], new Array(c.classes).fill(c.boundary50), { rtol: 1e-9 });
  });

  it("[paper:few-shot-open-relation-extraction-with-gaussian-prototype-and] in float64: own variances with rows of shared ones, shared variances, none", () => {
    const { x, y } = world(90, 5, 3, 1), rows = world(10, 5, 3, 2).x, list = listOf(x);
    const own = [0, 1, 2].map((c) => list.filter((_, n) => y.data[n] === c)), means = own.map((part) => list[0].map((_, j) => part.reduce((sum, r) => sum + r[j], 0) / part.length));
    const sums = own.map((part, c) => list[0].map((_, j) => part.reduce((sum, r) => sum + (r[j] - means[c][j]) ** 2, 0))), shared = list[0].map((_, j) => sums.reduce((sum, s) => sum + s[j], 0) / 90);
    const variance = { class: (c: number, j: number) => (sums[c][j] + 4 * shared[j]) / (own[c].length - 1 + 4), shared: (_: number, j: number) => shared[j], unit: () => 1 };
    for (const covariance of ["class", "shared", "unit"] as const) {
      const got = GaussianPrototypes.fit(x, y, { covariance, priorRows: 4 }).distances(rows).data;
      listOf(rows).forEach((row, n) => means.forEach((mean, c) => expectClose(got[3 * n + c], row.reduce((sum, v, j) => sum + (v - mean[j]) ** 2 / variance[covariance](c, j), 0), { rtol: 1e-5 })));
    }
  });

  it("[paper:few-shot-open-relation-extraction-with-gaussian-prototype-and] the nearest inside its boundary, else none of the above; unit variances are the nearest prototype; no boundary, no refusal", () => {
    const { x, y } = world(120, 4, 3, 3), rows = world(60, 4, 3, 4).x;
    const prototypes = GaussianPrototypes.fit(x, y, { keep: 0.7 }), all = prototypes.distances(rows).data, labels = prototypes.classify(rows).data;
    expect(labels).toContain(NONE_OF_THE_ABOVE);
    labels.forEach((label, n) => {
      const each = Array.from(all.subarray(3 * n, 3 * n + 3)), nearest = each.indexOf(Math.min(...each));
      expect(label).toBe(each[nearest] <= prototypes.boundaries[nearest] ? nearest : -1);
    });
    expect(Array.from(GaussianPrototypes.fit(x, y, { keep: 1 }).classify(rows).data)).not.toContain(-1);
    const unit = GaussianPrototypes.fit(x, y, { covariance: "unit", keep: 1 });
    unit.classify(rows).data.forEach((label, n) => {
      const each = Array.from(unit.distances(rows).data.subarray(3 * n, 3 * n + 3));
      expect(label).toBe(each.indexOf(Math.min(...each)));
    });
  });

  it("shared variances of independent features are the dense covariance with its correlations shrunk away", () => {
    const { x, y } = world(200, 4, 3, 5), rows = world(20, 4, 3, 6).x;
    expectClose(GaussianPrototypes.fit(x, y, { covariance: "shared" }).score({ features: rows }).data, MahalanobisDetector.fit(x, y, { shrinkage: 1 }).score({ features: rows }).data, { rtol: 1e-5 });
  });
});

describe("new classes", () => {
  it("[paper:few-shot-open-relation-extraction-with-gaussian-prototype-and] a class that is added to statistics, or merged, is the fit on all rows, without the rows of the others", () => {
    const { x, y } = world(200, 4, 3, 7), part = (keep: (c: number) => boolean, classes: number): FeatureStatistics => {
      const rows = Array.from(y.data.keys()).filter((n) => keep(y.data[n]));
      return new FeatureStatistics({ classes, features: 4 }).update({ features: plain(rows.flatMap((n) => listOf(x)[n]), 4), labels: Int32Array.from(rows, (n) => y.data[n]) });
    };
    const want = GaussianPrototypes.fit(x, y).distances(x).data;
    const old = part((c) => c < 2, 2), before = GaussianPrototypes.from(old);
    const kept = FeatureStatistics.fromBytes(old.toBytes()).grow(3), added = part((c) => c === 2, 3);
    expectClose(GaussianPrototypes.from(kept.merge(added)).distances(x).data, want, { rtol: 1e-5 });
    const rows = Array.from(y.data.keys()).filter((n) => y.data[n] === 2);
    const updated = old.grow(3).update({ features: plain(rows.flatMap((n) => listOf(x)[n]), 4), labels: Int32Array.from(rows, () => 2) });
    expectClose(GaussianPrototypes.from(updated).distances(x).data, want, { rtol: 1e-5 });
    // Rows that no prototype claimed before belong to the new one.
    const refused = rows.filter((n) => before.classify([listOf(x)[n]]).data[0] === -1);
    expect(refused.length).toBeGreaterThan(rows.length / 2);
    expect(refused.filter((n) => GaussianPrototypes.from(updated).classify([listOf(x)[n]]).data[0] === 2).length).toBeGreaterThan(0.9 * refused.length);
  });

  it("a class of one row has the shared variances, one without rows no prototype", () => {
    const prototypes = GaussianPrototypes.fit([[0], [2], [10], [12], [100]], [0, 0, 1, 1, 3], { classes: 5 });
    expect(prototypes.supportedClasses).toEqual([0, 1, 3]);
    expectClose(prototypes.distances([[101]]).data[2], 1 / 0.8, { rtol: 1e-6 });
    expectExact(prototypes.classify([[100], [1], [50], [11]]).data, Int32Array.of(3, 0, -1, 1));
    expect(() => GaussianPrototypes.fit([[0], [2], [100]], [0, 0, 1], { priorRows: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: GaussianPrototypes.fit: expected \`priorRows\` above 0 for a class of one row, got 0 for class 1]`);
  });
});

describe("boundaries from rows of their own", () => {
  it("keep what they promise, for features that are not Gaussian", () => {
    const random = testRandom(8), heavy = (): number[] => [random.normal() ** 3, random.normal() * random.normal()];
    const rows = (n: number): { features: number[][]; labels: Int32Array } => ({ features: Array.from({ length: n }, (_, i) => heavy().map((v) => v + 20 * (i % 2))), labels: Int32Array.from({ length: n }, (_, i) => i % 2) });
    const fit = rows(60), prototypes = GaussianPrototypes.fit(fit.features, fit.labels), trials = 200, fresh = 50, alpha = 0.1;
    let outside = 0, gaussian = 0;
    for (let trial = 0; trial < trials; trial++) {
      const calibration = rows(60), bounded = prototypes.bounded(calibration.features, calibration.labels, { alpha }), test = rows(fresh);
      const all = bounded.distances(test.features).data;
      for (let n = 0; n < fresh; n++) {
        if (all[2 * n + (n % 2)] > bounded.boundaries[n % 2]) outside++;
        if (all[2 * n + (n % 2)] > prototypes.boundaries[n % 2]) gaussian++;
      }
    }
    // 30 rows a class: exactly 3 / 31 of new rows lie outside on average. 200 calibrations: a standard error of about 0.053 / sqrt(400) and a binomial 0.003.
    expect(Math.abs(outside / (trials * fresh) - 3 / 31)).toBeLessThan(4 * (0.053 / 20 + 0.003));
    // The chi-square boundary for 1 % does not hold for such tails.
    expect(gaussian / (trials * fresh)).toBeGreaterThan(0.02);
  });

  it("too few rows, or none, mean no boundary; rows of the fit are refused", () => {
    const prototypes = GaussianPrototypes.fit([[0], [2], [10], [12]], [0, 0, 1, 1]);
    expect(prototypes.bounded([[1], [3], [4]], [0, 0, 0], { alpha: 0.25 }).boundaries).toEqual([expect.closeTo(6, 5), Infinity]);
    expect(prototypes.bounded([[1], [3]], [0, 0], { alpha: 0.25 }).boundaries).toEqual([Infinity, Infinity]);
    expect(() => prototypes.bounded([[1], [2]], [0, 0], { alpha: 0.25 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: GaussianPrototypes.bounded: expected \`features\` of rows that were not in the fit, got row 1, which was. A promise needs rows of its own]`);
    expect(() => prototypes.bounded([[1]], [0], { alpha: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: GaussianPrototypes.bounded: expected \`alpha\` in (0, 1), got 1]`);
    expect(() => prototypes.bounded([[1]], [2], { alpha: 0.1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: GaussianPrototypes.bounded: expected \`labels\` in [0, 2), got 2 at index 0]`);
    expect(() => prototypes.bounded([[NaN]], [0], { alpha: 0.1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: GaussianPrototypes.bounded: expected \`features\` at finite distances, got NaN in row 0]`);
    expect(() => GaussianPrototypes.fit([[0], [2]], [0, 0], { classes: 2 }).bounded([[1]], [1], { alpha: 0.1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: GaussianPrototypes.bounded: expected \`labels\` of classes with a prototype, got 1 at index 0]`);
    const json = prototypes.bounded([[1], [3], [4]], [0, 0, 0], { alpha: 0.25 }).toJSON();
    expect(json.boundaries[1]).toBe(null);
    expect(GaussianPrototypes.fromJSON(JSON.parse(JSON.stringify(json))).boundaries[1]).toBe(Infinity);
  });
});

it("special values of rows", () => {
  const prototypes = GaussianPrototypes.fit([[0, 0], [2, 1], [10, 10], [12, 11]], [0, 0, 1, 1]), features = [[NaN, 0], [Infinity, 0], [3e38, -3e38], [1, 0.5]];
  const got = prototypes.score({ features }).data;
  expectExact(got.subarray(0, 2), [NaN, Infinity]);
  expect(got[2]).toBe(Infinity);
  expect(got[3]).toBe(0);
  expectExact(prototypes.distances(features.slice(0, 2)).data, [NaN, NaN, Infinity, Infinity]);
  expectExact(prototypes.classify(features.slice(1)).data, Int32Array.of(-1, -1, 0));
  expect(() => prototypes.classify(features)).toThrowErrorMatchingInlineSnapshot(`[RangeError: GaussianPrototypes.classify: expected \`features\` without NaN, got NaN in row 0]`);
  // A dead feature: its variance is half of a millionth of the living one's, as one degree of freedom of two is its own.
  const dead = GaussianPrototypes.fit([[0, 5], [2, 5], [10, 5], [12, 5]], [0, 0, 1, 1]);
  expectClose(dead.score({ features: [[1, 5], [1, 5.001]] }).data, [0, 2], { atol: 0.01 });
  expect(GaussianPrototypes.fit([[1], [2], [1], [2]], [0, 1, 0, 1], { covariance: "unit" }).score({ features: [[4]] }).data[0]).toBe(4);
});

describe("batteries", () => {
  const { x, y } = world(300, 6, 3, 16), usual = world(40, 6, 3, 17).x;
  const far = plain([30, 60, 1e3, 1e6, 1e15].flatMap((reach) => [1, -1, 1, 1, -1, 1].map((sign) => sign * reach)), 6);
  it.each(estimatorChecks<GaussianPrototypes>({
    name: "GaussianPrototypes", data: [x, y],
    fit: (features, labels) => GaussianPrototypes.fit(features, labels, { logDeterminant: true }),
    output: (detector) => [detector.score({ features: usual }), detector.classify(usual)],
    fromJSON: GaussianPrototypes.fromJSON,
    rowOrder: { rtol: 1e-4 }, // blocks of other rows, in float32
    wrongWidth: [(detector) => detector.score({ features: [[1, 2, 3]] }), (detector) => detector.classify([[1, 2, 3]])],
    base64: ["means.data", "scales.data"],
    optional: ["boundaries.0", "boundaries.1", "boundaries.2"],
  }))("$name", ({ run }) => run());
  it.each(detectorChecks({ name: "GaussianPrototypes", make: () => GaussianPrototypes.fit(x, y), fromJSON: GaussianPrototypes.fromJSON, usual, far }))("$name", ({ run }) => run());

  it("fitAsync gives the same bits", async () => {
    expectExact((await GaussianPrototypes.fitAsync(x, y)).score({ features: usual }).data, GaussianPrototypes.fit(x, y).score({ features: usual }).data);
  });
});

it("says what is wrong", () => {
  const x = [[0], [2], [10], [12]], y = [0, 0, 1, 1];
  expect(() => GaussianPrototypes.fit(x, y, { covariance: "full" as never })).toThrowErrorMatchingInlineSnapshot(`[RangeError: GaussianPrototypes.fit: expected \`covariance\` "class", "shared", "unit", got full]`);
  expect(() => GaussianPrototypes.fit(x, y, { priorRows: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: GaussianPrototypes.fit: expected \`priorRows\` a number >= 0, got -1]`);
  expect(() => GaussianPrototypes.fit(x, y, { keep: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: GaussianPrototypes.fit: expected \`keep\` in (0, 1], got 0]`);
  expect(() => GaussianPrototypes.fit(x, y, { logDeterminant: 1 as never })).toThrowErrorMatchingInlineSnapshot(`[TypeError: GaussianPrototypes.fit: expected \`logDeterminant\` true or false, got Number]`);
  expect(() => GaussianPrototypes.fit([[1], [1]], [0, 0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: GaussianPrototypes.fit: expected \`features\` that vary within a class, got 2 rows that equal their class means]`);
  const json = GaussianPrototypes.fit(x, y).toJSON();
  expect(() => GaussianPrototypes.fromJSON({ ...json, scales: { ...json.scales, data: "AAAAAAAAAAA=" } })).toThrowErrorMatchingInlineSnapshot(`[FormatError: GaussianPrototypes.fromJSON: expected \`scales\` positive numbers, got 0 at index 0]`);
  expect(() => GaussianPrototypes.fromJSON({ ...json, boundaries: [1] })).toThrowErrorMatchingInlineSnapshot(`[FormatError: GaussianPrototypes.fromJSON: expected \`boundaries\` 2 numbers >= 0 or null, got [1]]`);
});

import { detectorChecks, estimatorChecks, expectClose, expectExact } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import fixture from "./fixtures/featureEnsemble.json" with { type: "json" };
import { labelsOf, listOf, plain, world } from "./fixtures/rows.ts";
import { FeatureEnsemble } from "./index.ts";
import { mahalanobisRef } from "./mahalanobis.ref.ts";


describe("agrees with the definition", () => {
  it("[paper:a-simple-unified-framework-for-detecting-out-of-distribution] a weighted sum of standardised distances", () => {
    const { x, y } = world(120, 7, 3, 1), rows = world(12, 7, 3, 2).x, weights = [0.3, -1, 2];
    const got = FeatureEnsemble.fit(x, y, { widths: [2, 4, 1], weights }).score({ features: rows }).data;
    const slice = (row: number[], l: number): number[] => row.slice([0, 2, 6][l], [2, 6, 7][l]);
    listOf(rows).forEach((row, i) => {
      const terms = weights.map((w, l) => (w * (mahalanobisRef(listOf(x).map((r) => slice(r, l)), y.data, slice(row, l)) - [2, 4, 1][l])) / Math.sqrt(2 * [2, 4, 1][l]));
      expectClose(got[i], terms.reduce((a, b) => a + b), { atol: 3e-5 * terms.reduce((a, b) => a + Math.abs(b), 10) }); // each distance as in mahalanobis.test.ts
    });
  });

  it("[paper:a-simple-unified-framework-for-detecting-out-of-distribution] scikit-learn's logistic regression of known rows against others", () => {
    const [{ shape, widths, features, labels, inliers, outliers, rows, weights, bias, scores, equal }] = fixture.cases;
    const x = plain(features, shape[1]), y = labelsOf(labels), probe = plain(rows, shape[1]);
    const ensemble = FeatureEnsemble.fit(x, y, { widths, inliers: plain(inliers, shape[1]), outliers: plain(outliers, shape[1]) });
    // Distances within 3e-5; the regression's condition is small (two weights and a bias).
    expectClose(ensemble.weights as number[], weights, { rtol: 1e-4 });
    expectClose(ensemble.bias, bias, { rtol: 1e-4 });
    expectClose(ensemble.score({ features: probe }).data, scores, { rtol: 2e-4, atol: 2e-4 });
    expectClose(FeatureEnsemble.fit(x, y, { widths }).score({ features: probe }).data, equal, { rtol: 1e-4, atol: 1e-4 });
  });

  it("one layer alone is its standardised distance", () => {
    const { x, y } = world(90, 4, 2, 3), ensemble = FeatureEnsemble.fit(x, y, { widths: [4] });
    expect(ensemble.weights).toEqual([1]);
    expectClose(ensemble.score({ features: x }).data, ensemble.layers[0].score({ features: x }).data.map((d) => (d - 4) / Math.sqrt(8)), { atol: 1e-6 });
  });
});

describe("laws", () => {
  const { x, y } = world(200, 6, 2, 4), inside = world(80, 6, 2, 5).x, outside = plain(world(80, 6, 2, 6).x.data.map((v, i) => v + (i % 6 < 3 ? 3 : 0)), 6);

  it("a layer that knows weighs more than one that does not, and equal layers weigh the same", () => {
    const { weights } = FeatureEnsemble.fit(x, y, { widths: [3, 3], inliers: inside, outliers: outside });
    expect(weights[0]).toBeGreaterThan(2 * Math.abs(weights[1]));
    const twice = (rows: typeof x): typeof x => plain(listOf(rows).flatMap((row) => [...row, ...row]), 12);
    const same = FeatureEnsemble.fit(twice(x), y, { widths: [6, 6], inliers: twice(inside), outliers: twice(outside) }).weights;
    expectClose(same[0], same[1], { rtol: 1e-6 });
  });

  it("separable rows have weights that the ridge keeps finite", () => {
    const away = plain(outside.data.map((v) => v + 100), 6);
    const { weights, bias } = FeatureEnsemble.fit(x, y, { widths: [3, 3], inliers: inside, outliers: away });
    expect([...weights, bias].every(Number.isFinite)).toBe(true);
  });

  it("fitAsync gives the same bits; rows of the fit and inliers are recognised", async () => {
    const options = { widths: [2, 4], inliers: inside, outliers: outside };
    const ensemble = FeatureEnsemble.fit(x, y, options);
    expectExact((await FeatureEnsemble.fitAsync(x, y, options)).score({ features: inside }).data, ensemble.score({ features: inside }).data);
    expect(ensemble.fingerprints?.size).toBe(280);
    expect(ensemble.score({ features: [[1, 2, 3, 4, 5, Infinity]] }).data[0]).toBe(Infinity);
    ensemble.dispose();
    expect(() => ensemble.score({ features: inside })).toThrowError(expect.objectContaining({ name: "DisposedError" }));
  });
});

describe("batteries", () => {
  const { x, y } = world(300, 6, 3, 16), usual = world(40, 6, 3, 17).x;
  const far = plain([30, 60, 1e3, 1e6].flatMap((reach) => [1, -1, 1, 1, -1, 1].map((sign) => sign * reach)), 6);
  it.each(estimatorChecks<FeatureEnsemble>({
    name: "FeatureEnsemble", data: [x, y],
    fit: (features, labels) => FeatureEnsemble.fit(features, labels, { widths: [2, 4] }),
    output: (detector) => detector.score({ features: usual }),
    fromJSON: FeatureEnsemble.fromJSON,
    rowOrder: { rtol: 1e-4, atol: 1e-4 }, // blocks of other rows, in float32
    wrongWidth: [(detector) => detector.score({ features: [[1, 2, 3]] })],
    base64: ["layers.0.mean.data", "layers.1.whitening.data"],
  }))("$name", ({ run }) => run());
  it.each(detectorChecks({ name: "FeatureEnsemble", make: () => FeatureEnsemble.fit(x, y, { widths: [2, 4] }), fromJSON: FeatureEnsemble.fromJSON, usual, far }))("$name", ({ run }) => run());
});

it("says what is wrong", () => {
  const fit = (options: object) => () => FeatureEnsemble.fit([[1, 2, 3], [2, 4, 5], [0, 1, 1]], [0, 0, 0], options as never);
  expect(fit({})).toThrowErrorMatchingInlineSnapshot(`[RangeError: FeatureEnsemble.fit: expected \`widths\` a list of at least one layer, got undefined]`);
  expect(fit({ widths: [1, 1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: FeatureEnsemble.fit: expected \`widths\` that add up to the 3 columns of \`features\`, got 2]`);
  expect(fit({ widths: [3, 0] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: FeatureEnsemble.fit: expected \`widths\` an integer in [1, 32768], got 0]`);
  expect(fit({ widths: [1, 2], weights: [1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: FeatureEnsemble.fit: expected \`weights\` of 2 finite numbers, got 1]`);
  expect(fit({ widths: [1, 2], weights: [1, 1], outliers: [[1, 2, 3]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: FeatureEnsemble.fit: expected \`weights\` nothing beside rows to learn them from, got 1, 1]`);
  expect(fit({ widths: [1, 2], outliers: [[1, 2, 3]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: FeatureEnsemble.fit: expected \`inliers\` beside the other one, got none]`);
  expect(fit({ widths: [1, 2], outliers: [[1, 2]], inliers: [[1, 2, 3]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: FeatureEnsemble.fit: expected \`outliers\` of shape [M, 3], M >= 1, got [1, 2]]`);
  expect(fit({ widths: [1, 2], outliers: [[1, 2, NaN]], inliers: [[1, 2, 3]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: FeatureEnsemble.fit: expected \`outliers\` with finite distances, got NaN in row 0]`);
  const json = FeatureEnsemble.fit([[1, 2], [2, 5], [0, 1]], [0, 0, 0], { widths: [1, 1] }).toJSON();
  expect(() => FeatureEnsemble.fromJSON({ ...json, layers: [] })).toThrowErrorMatchingInlineSnapshot(`[FormatError: FeatureEnsemble.fromJSON: expected \`layers\` a list of at least one detector, got []]`);
  expect(() => FeatureEnsemble.fromJSON({ ...json, weights: [1] })).toThrowErrorMatchingInlineSnapshot(`[FormatError: FeatureEnsemble.fromJSON: expected \`weights\` 2 finite numbers, got [1]]`);
});

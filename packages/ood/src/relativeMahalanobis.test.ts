import { detectorChecks, estimatorChecks, expectClose, expectExact } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import fixture from "./fixtures/relativeMahalanobis.json" with { type: "json" };
import { labelsOf, listOf, plain, rotation, turned, world } from "./fixtures/rows.ts";
import { FeatureStatistics, MahalanobisDetector, RelativeMahalanobisDetector } from "./index.ts";
import { mahalanobisRef } from "./mahalanobis.ref.ts";

describe("agrees with the definition", () => {
  it.each([[60, 2, 3], [80, 5, 2], [150, 9, 4]])("for N = %i, F = %i, C = %i", (n, f, classes) => {
    const { x, y } = world(n, f, classes, n), rows = world(10, f, classes, 77).x, zeros = new Int32Array(n);
    const got = RelativeMahalanobisDetector.fit(x, y).score({ features: rows }).data;
    listOf(rows).forEach((row, i) => {
      const near = mahalanobisRef(listOf(x), y.data, row), all = mahalanobisRef(listOf(x), zeros, row);
      // Each part within 3e-5 of itself (mahalanobis.test.ts).
      expectClose(got[i], near - all, { atol: 3e-5 * (near + all) });
    });
  });

  it.each(fixture.cases.map((c) => [c.name, c] as const))("OpenOOD's formula: %s", (_, { shape, classes, features, labels, rows, scores }) => {
    const detector = RelativeMahalanobisDetector.fit(plain(features, shape[1]), labelsOf(labels), { classes });
    const probe = plain(rows, shape[1]), size = detector.background.score({ features: probe }).data.map((v, i) => v + detector.foreground.score({ features: probe }).data[i]);
    detector.score({ features: probe }).data.forEach((score, i) => expectClose(score, scores[i], { atol: 3e-5 * size[i] }));
  });

  it("one class: the difference of a Gaussian and itself", () => {
    const { x } = world(100, 4, 1, 3);
    expectExact(RelativeMahalanobisDetector.fit(x, labelsOf(new Int32Array(100))).score({ features: x }).data, new Float32Array(100));
  });
});

describe("laws", () => {
  const { x, y } = world(300, 5, 3, 4), probe = world(30, 5, 3, 5).x, base = RelativeMahalanobisDetector.fit(x, y).score({ features: probe }).data;

  it("an invertible affine map changes nothing, nor do the names of classes", () => {
    const map = rotation(5, 6).map((row, i) => row.map((v) => v * 2 ** (i - 2)));
    expectClose(RelativeMahalanobisDetector.fit(turned(x, map, 3), y).score({ features: turned(probe, map, 3) }).data, base, { atol: 1e-3 }); // rows rounded again: 2^-24 of about 20 deviations
    expectClose(RelativeMahalanobisDetector.fit(x, labelsOf(y.data.map((c) => [4, 0, 2][c]))).score({ features: probe }).data, base, { atol: 1e-4 });
  });

  it("from statistics, whole or merged in any order, is the same", () => {
    const part = (from: number, to: number): FeatureStatistics => new FeatureStatistics({ classes: 3, features: 5 }).update({ features: plain(x.data.subarray(5 * from, 5 * to), 5), labels: y.data.subarray(from, to) });
    expectExact(RelativeMahalanobisDetector.from(part(0, 300)).score({ features: probe }).data, base);
    expectClose(RelativeMahalanobisDetector.from(part(200, 300).merge(part(0, 200))).score({ features: probe }).data, base, { atol: 1e-4 });
  });

  it("fitAsync gives the same bits", async () => {
    expectExact((await RelativeMahalanobisDetector.fitAsync(x, y)).score({ features: probe }).data, base);
  });

  it("is a view: its parts are the Mahalanobis detectors of the classes and of all rows", () => {
    const detector = RelativeMahalanobisDetector.fit(x, y), pooled = MahalanobisDetector.fit(x, labelsOf(new Int32Array(300)));
    expectClose(detector.background.score({ features: probe }).data, pooled.score({ features: probe }).data, { rtol: 2e-5 });
    expect([detector.classes, detector.features, detector.n, detector.fingerprints?.size]).toEqual([3, 5, 300, 300]);
  });
});

it("infinitely far in both parts is Infinity, not NaN; fewer rows than features and dead features as each part says", () => {
  const { x, y } = world(40, 60, 2, 7);
  const detector = RelativeMahalanobisDetector.fit(x, y);
  expect(detector.foreground.shrinkage).toBeGreaterThan(0);
  expect(detector.background.shrinkage).toBeGreaterThan(0);
  expect(detector.score({ features: [new Array<number>(60).fill(Infinity)] }).data[0]).toBe(Infinity);
  expect(RelativeMahalanobisDetector.fit([[0, 1], [2, 1], [4, 1], [7, 1]], [0, 0, 1, 1]).foreground.deadFeatures).toBe(1);
  detector.dispose();
  expect(() => detector.score({ features: x })).toThrowError(expect.objectContaining({ name: "DisposedError" }));
});

describe("batteries", () => {
  const { x, y } = world(300, 6, 3, 16), usual = world(40, 6, 3, 17).x;
  const far = plain([30, 60, 1e3].flatMap((reach) => [1, -1, 1, 1, -1, 1].map((sign) => sign * reach)), 6);
  it.each(estimatorChecks<RelativeMahalanobisDetector>({
    name: "RelativeMahalanobisDetector", data: [x, y],
    fit: (features, labels) => RelativeMahalanobisDetector.fit(features, labels),
    output: (detector) => detector.score({ features: usual }),
    fromJSON: RelativeMahalanobisDetector.fromJSON,
    rowOrder: { atol: 1e-3 }, // blocks of other rows, in float32, times distances of about 30
    wrongWidth: [(detector) => detector.score({ features: [[1, 2, 3]] })],
    base64: ["classes.mean.data", "background.whitening.data"],
  }))("$name", ({ run }) => run());
  it.each(detectorChecks({ name: "RelativeMahalanobisDetector", make: () => RelativeMahalanobisDetector.fit(x, y), fromJSON: RelativeMahalanobisDetector.fromJSON, usual, far }))("$name", ({ run }) => run());
});

it("says what is wrong", () => {
  expect(() => RelativeMahalanobisDetector.from({} as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: RelativeMahalanobisDetector.from: expected \`statistics\` a FeatureStatistics, got Object]`);
  expect(() => RelativeMahalanobisDetector.fit([[1], [NaN]], [0, 0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: RelativeMahalanobisDetector.fit: expected \`features\` of finite numbers, got NaN in row 1, column 0]`);
  const json = RelativeMahalanobisDetector.fit([[0], [2], [10], [12]], [0, 0, 1, 1]).toJSON();
  expect(() => RelativeMahalanobisDetector.fromJSON({ ...json, background: json.classes })).toThrowErrorMatchingInlineSnapshot(`[FormatError: RelativeMahalanobisDetector.fromJSON: expected \`background\` one class of 1 features, got 2 of 1]`);
});

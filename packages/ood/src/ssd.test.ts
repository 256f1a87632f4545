import { detectorChecks, estimatorChecks, expectClose, expectExact } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import fixture from "./fixtures/ssd.json" with { type: "json" };
import { labelsOf, listOf, plain, rotation, turned, world } from "./fixtures/rows.ts";
import { SsdDetector } from "./index.ts";
import { mahalanobisRef } from "./mahalanobis.ref.ts";

const unit = (row: readonly number[]): number[] => row.map((v) => v / Math.sqrt(row.reduce((sum, w) => sum + w * w, 0)));

describe("agrees with the definition", () => {
  it.each([[80, 4, 1], [200, 6, 3]])("for N = %i, F = %i, %i clusters", (n, f, count) => {
    const { x, y } = world(n, f, count, n), rows = world(12, f, count, 78).x, got = SsdDetector.fit(x, { clusters: y }).score({ features: rows }).data;
    listOf(rows).forEach((row, i) => {
      const each = Array.from({ length: count }, (_, m) => {
        const own = listOf(x).filter((_, j) => y.data[j] === m).map(unit);
        return mahalanobisRef(own, new Int32Array(own.length), unit(row));
      });
      // As for mahalanobis.test.ts, with a condition of up to a thousand: unit rows nearly lie on a sphere.
      expectClose(got[i], Math.min(...each), { rtol: 1e-3 });
    });
  });

  it.each(fixture.cases.map((c) => [c.name, c] as const))("the authors' formula: %s", (_, { shape, condition, features, clusters, rows, scores }) => {
    const detector = SsdDetector.fit(plain(features, shape[1]), { clusters: labelsOf(clusters) });
    expectClose(detector.score({ features: plain(rows, shape[1]) }).data, scores, { rtol: 3e-7 * (10 + condition) });
  });
});

describe("laws", () => {
  const { x, y } = world(300, 5, 3, 4), probe = world(30, 5, 3, 5).x, base = SsdDetector.fit(x, { clusters: y }).score({ features: probe }).data;

  it("rotations and lengths of rows do not matter", () => {
    const map = rotation(5, 6);
    expectClose(SsdDetector.fit(turned(x, map), { clusters: y }).score({ features: turned(probe, map) }).data, base, { rtol: 1e-3 });
    expectClose(SsdDetector.fit(x, { clusters: y }).score({ features: plain(probe.data.map((v, i) => v * (1 + Math.floor(i / 5))), 5) }).data, base, { rtol: 1e-4 });
  });

  it("the names of the clusters do not matter, and one without rows is left out", () => {
    const detector = SsdDetector.fit(x, { clusters: labelsOf(y.data.map((c) => [4, 0, 2][c])) });
    expect(detector.clusters.length).toBe(3);
    expectExact(detector.score({ features: probe }).data, base);
  });

  it("fitAsync gives the same bits", async () => {
    expectExact((await SsdDetector.fitAsync(x, { clusters: y })).score({ features: probe }).data, base);
  });
});

it("a row of zeros stays, an infinity is infinitely far, NaN stays NaN; without normalize it is one Gaussian", () => {
  const { x } = world(100, 3, 1, 8), detector = SsdDetector.fit(x);
  const got = detector.score({ features: [[0, 0, 0], [Infinity, 1, 1], [NaN, 1, 1]] }).data;
  expect(got[0]).toBeGreaterThan(0);
  expect([got[1], got[2]]).toEqual([Infinity, NaN]);
  expect(Array.from(SsdDetector.fit([[1], [3]], { normalize: false }).score({ features: [[2], [5]] }).data)).toEqual([0, 9]);
  expect([detector.n, detector.features, detector.fingerprints?.size]).toEqual([100, 3, 100]);
  detector.dispose();
  expect(() => detector.score({ features: x })).toThrowError(expect.objectContaining({ name: "DisposedError" }));
});

describe("batteries", () => {
  const { x, y } = world(400, 6, 3, 16, 20), usual = world(40, 6, 3, 17, 20).x;
  // One cluster seen from further and further around the sphere.
  const one = world(400, 6, 1, 18, 20).x, near = world(40, 6, 1, 19, 20).x, centre = listOf(one)[0], length = Math.sqrt(centre.reduce((sum, v) => sum + v * v, 0));
  const aside = centre.map((v, j) => (j === 0 ? 1 : 0) - (v * centre[0]) / length ** 2), size = Math.sqrt(aside.reduce((sum, v) => sum + v * v, 0));
  const around = plain([0.5, 1, 1.5].flatMap((angle) => centre.map((v, j) => Math.cos(angle) * v + (Math.sin(angle) * aside[j] * length) / size)), 6);
  it.each(estimatorChecks<SsdDetector>({
    name: "SsdDetector", data: [x, y],
    fit: (features, clusters) => SsdDetector.fit(features, { clusters }),
    output: (detector) => detector.score({ features: usual }),
    fromJSON: SsdDetector.fromJSON,
    rowOrder: { rtol: 1e-3 }, // blocks of other rows, in float32, times the condition
    wrongWidth: [(detector) => detector.score({ features: [[1, 2, 3]] })],
    base64: ["clusters.0.mean.data", "clusters.1.whitening.data"],
  }))("$name", ({ run }) => run());
  it.each(detectorChecks({ name: "SsdDetector", make: () => SsdDetector.fit(x, { clusters: y, normalize: false }), fromJSON: SsdDetector.fromJSON, usual, far: plain([30, 60, 1e3, 1e6].flatMap((reach) => [1, -1, 1, 1, -1, 1].map((sign) => 3 * sign * reach)), 6) }))("$name, as they are", ({ run }) => run());
  it.each(detectorChecks({ name: "SsdDetector", make: () => SsdDetector.fit(one), fromJSON: SsdDetector.fromJSON, usual: near, far: around }))("$name, unit rows", ({ run }) => run());
});

it("says what is wrong", () => {
  expect(() => SsdDetector.fit([[1, 2], [3, NaN]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: SsdDetector.fit: expected \`features\` of finite numbers, got NaN in row 1, column 1]`);
  expect(() => SsdDetector.fit([[1, 2], [3, 4]], { clusters: [0] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SsdDetector.fit: expected \`clusters\` of shape [2], got [1]]`);
  expect(() => SsdDetector.fit([[1, 2], [3, 4]], { clusters: [0, -1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SsdDetector.fit: expected \`clusters\` in [0, 1), got -1 at index 1]`);
  expect(() => SsdDetector.fit({ data: new Float32Array(0), shape: [0, 2] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SsdDetector.fit: expected \`features\` of shape [N, F], N >= 1 and F >= 1, got [0, 2]]`);
  expect(() => SsdDetector.fit([[1], [2]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: SsdDetector.fit: expected \`features\` that vary within a class, got 2 rows that equal their class means]`);
  const json = SsdDetector.fit([[1, 2], [3, 5], [2, -1]]).toJSON();
  expect(() => SsdDetector.fromJSON({ ...json, clusters: [] })).toThrowErrorMatchingInlineSnapshot(`[FormatError: SsdDetector.fromJSON: expected \`clusters\` a list of at least one detector, got []]`);
  expect(() => SsdDetector.fromJSON({ ...json, clusters: [json.clusters[0], SsdDetector.fit([[1], [3]], { normalize: false }).toJSON().clusters[0]] })).toThrowErrorMatchingInlineSnapshot(`[FormatError: SsdDetector.fromJSON: expected \`clusters\` one class of 2 features each, got 1 of 1 at index 1]`);
});

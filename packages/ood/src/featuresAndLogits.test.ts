import { core } from "@logits/core-wasm";
import { detectorChecks, estimatorChecks, expectClose, expectExact, testRandom, type Plain } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import fixture from "./fixtures/featuresAndLogits.json" with { type: "json" };
import { HopfieldDetector, NeighborGuidedDetector, detectorFromJSON } from "./index.ts";

const METRICS = ["inner", "euclidean", "cosine"] as const;
const plain = (data: ArrayLike<number>, width: number): Plain => ({ dtype: "float32", shape: [data.length / width, width], data: Float32Array.from(data) });
const labelsOf = (data: ArrayLike<number>): Plain<Int32Array> => ({ dtype: "int32", shape: [data.length], data: Int32Array.from(data) });
const list = (x: Plain): number[][] => Array.from({ length: x.shape[0] }, (_, i) => Array.from(x.data.subarray(i * x.shape[1], (i + 1) * x.shape[1])));
const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, v, j) => sum + v * b[j], 0);
const length = (a: readonly number[]): number => Math.sqrt(dot(a, a));
const logZ = (z: readonly number[]): number => Math.log(z.reduce((sum, v) => sum + Math.exp(v), 0));

/** Features and logits of rows of each class in turn, most of them predicted rightly. */
function world(n: number, f: number, c: number, stream: number): { x: Plain; z: Plain; y: Plain<Int32Array> } {
  const random = testRandom(stream), y = Int32Array.from({ length: n }, (_, i) => i % c);
  return {
    x: plain(Float32Array.from({ length: n * f }, (_, i) => (i % f === y[Math.floor(i / f)] % f ? 3 : 0.5) + 0.5 * random.normal()), f),
    z: plain(Float32Array.from({ length: n * c }, (_, i) => (i % c === y[Math.floor(i / c)] ? 4 : 0) + 1.5 * random.normal()), c), y: labelsOf(y),
  };
}

describe("agrees with the definition", () => {
  it.each([[1, 1, 1], [30, 2, 2], [60, 7, 3], [200, 20, 10]])("HopfieldDetector, N = %i, F = %i, C = %i", (n, f, c) => {
    const { x, z, y } = world(n, f, c, n + f), probe = world(15, f, c, 77), arg = (row: readonly number[]): number => row.indexOf(Math.max(...row));
    const patterns = Array.from({ length: c }, (_, k) => {
      const own = list(x).filter((_, i) => y.data[i] === k && arg(list(z)[i]) === k);
      return own[0]?.map((_, j) => own.reduce((sum, row) => sum + row[j], 0) / own.length);
    });
    for (const metric of METRICS) {
      const got = HopfieldDetector.fit(x, z, y, { metric }).score({ features: probe.x, logits: probe.z }).data;
      list(probe.x).forEach((row, i) => {
        const m = patterns[arg(list(probe.z)[i])];
        const want = { inner: -dot(row, m), euclidean: length(row.map((v, j) => v - m[j])), cosine: 1 - dot(row, m) / (length(row) * length(m)) }[metric];
        // Patterns and scores are rounded to float32.
        expectClose(got[i], want, { rtol: 1e-6, atol: 1e-6 });
      });
    }
  });

  it.each([[1, 1, 1, 1], [30, 2, 2, 4], [60, 7, 3, 60], [150, 33, 5, 20]])("NeighborGuidedDetector, N = %i, F = %i, C = %i, k = %i", (n, f, c, k) => {
    const { x, z } = world(n, f, c, n + f), probe = world(15, f, c, 78), got = NeighborGuidedDetector.fit(x, z, { k }).score({ features: probe.x, logits: probe.z }).data;
    list(probe.x).forEach((row, i) => {
      const near = list(x).map((other, m) => (dot(row, other) / length(row) / length(other)) * logZ(list(z)[m])).sort((a, b) => b - a).slice(0, k);
      // Products in float32: (F + 4) 2^-24 of sizes up to 10.
      expectClose(got[i], (-logZ(list(probe.z)[i]) * near.reduce((a, b) => a + b)) / k, { rtol: (f + 10) * 2 ** -23, atol: 1e-5 });
    });
  });

  it.each(fixture.cases.map((c) => [c.name, c] as const))("the formulas of OpenOOD: %s", (_, item) => {
    const { shape, classes, k } = item, x = plain(item.features, shape[1]), z = plain(item.logits, classes), rows = { features: plain(item.rows, shape[1]), logits: plain(item.rowLogits, classes) };
    for (const metric of METRICS) expectClose(HopfieldDetector.fit(x, z, labelsOf(item.labels), { metric }).score(rows).data, item[metric], { rtol: 1e-5, atol: 1e-6 });
    expectClose(NeighborGuidedDetector.fit(x, z, { k }).score(rows).data, item.nnGuide, { rtol: 1e-5, atol: 1e-6 });
  });
});

describe("laws", () => {
  const { x, z, y } = world(120, 6, 4, 1), probe = world(40, 6, 4, 2), rows = { features: probe.x, logits: probe.z };

  it("HopfieldDetector: rotations do not matter; inner grows with the features, cosine does not", () => {
    const turn = (p: Plain): Plain => plain(list(p).flatMap((r) => [0.6 * r[0] - 0.8 * r[1], 0.8 * r[0] + 0.6 * r[1], ...r.slice(2).reverse()]), 6), double = plain(probe.x.data.map((v) => 2 * v), 6);
    for (const metric of METRICS) {
      const want = HopfieldDetector.fit(x, z, y, { metric }).score(rows).data;
      expectClose(HopfieldDetector.fit(turn(x), z, y, { metric }).score({ ...rows, features: turn(probe.x) }).data, want, { rtol: 1e-5, atol: 1e-5 });
      if (metric === "euclidean") continue;
      expectClose(HopfieldDetector.fit(x, z, y, { metric }).score({ ...rows, features: double }).data, want.map((v) => (metric === "inner" ? 2 : 1) * v), { rtol: 1e-6, atol: 1e-6 });
    }
  });

  it("NeighborGuidedDetector: lengths of rows do not matter; a draw depends on its seed alone", () => {
    const want = NeighborGuidedDetector.fit(x, z, { k: 5 }).score(rows).data;
    expectClose(NeighborGuidedDetector.fit(plain(x.data.map((v, i) => v * (1 + (Math.floor(i / 6) % 5))), 6), z, { k: 5 }).score({ ...rows, features: plain(probe.x.data.map((v) => 3 * v), 6) }).data, want, { rtol: 1e-5, atol: 1e-5 });
    const drawn = NeighborGuidedDetector.fit(x, z, { k: 5, maxRows: 50, seed: 3 }), again = NeighborGuidedDetector.fit(x, z, { k: 5, maxRows: 50, seed: 3 }), other = NeighborGuidedDetector.fit(x, z, { k: 5, maxRows: 50, seed: 4 });
    expect(drawn.n).toBe(50);
    expectExact(again.score(rows).data, drawn.score(rows).data);
    expect(other.score(rows).data).not.toEqual(drawn.score(rows).data);
    // Fewer rows have no nearer neighbours.
    drawn.score(rows).data.forEach((score, i) => expect(score).toBeGreaterThanOrEqual(want[i] - 1e-5));
    expectExact(NeighborGuidedDetector.fit(x, z, { k: 5, maxRows: 120 }).score(rows).data, want);
  });

  it("more rows than are taken together, and fitAsync, give the same bits; the fits remember their rows", async () => {
    const many = world(1500, 6, 4, 9), all = { features: many.x, logits: many.z };
    const hopfield = HopfieldDetector.fit(many.x, many.z, many.y), guided = NeighborGuidedDetector.fit(many.x, many.z);
    for (const detector of [hopfield, guided]) {
      const { data } = detector.score(all);
      for (const i of [0, 511, 512, 1023, 1024, 1499]) expectExact(detector.score({ features: [list(many.x)[i]], logits: [list(many.z)[i]] }).data, [data[i]]);
      expect(detector.fingerprints?.firstShared([list(many.x)[1200]])).toBe(0);
    }
    expectExact((await HopfieldDetector.fitAsync(many.x, many.z, many.y)).score(all).data, hopfield.score(all).data);
    expectExact((await NeighborGuidedDetector.fitAsync(many.x, many.z)).score(all).data, guided.score(all).data);
    expect(guided.k).toBe(100);
  });
});

describe("special values", () => {
  it("a class that was never predicted rightly has no pattern: Infinity", () => {
    const detector = HopfieldDetector.fit([[1, 0], [0, 1]], [[1, 0, 0], [1, 0, 0]], [0, 1]);
    expect(detector.supportedClasses).toEqual([0]);
    expect(Array.from(detector.score({ features: [[1, 1], [1, 1]], logits: [[1, 0, 0], [0, 0, 1]] }).data)).toEqual([-1, Infinity]);
  });

  it("NaN stays NaN, infinities are infinitely far, a row of zeros has no direction", () => {
    const x = [[1, 0], [0, 2]], z = [[5, 0], [0, 5]];
    for (const detector of [HopfieldDetector.fit(x, z, [0, 1]), NeighborGuidedDetector.fit(x, z, { k: 1 })]) {
      const score = (features: number[], logits: number[]): number => detector.score({ features: [features], logits: [logits] }).data[0];
      expect([score([NaN, 1], [1, 0]), score([1, 1], [NaN, 0]), score([Infinity, 1], [1, 0]), score([NaN, Infinity], [1, 0]), score([0, 0], [1, 0])]).toEqual([NaN, NaN, Infinity, NaN, 0]);
      expect(score([1, 1], [3, -Infinity])).toBeLessThan(0);
    }
    expect(NeighborGuidedDetector.fit(x, z).score({ features: [[1, 1], [1, 1]], logits: [[Infinity, 0], [-Infinity, -Infinity]] }).toArray()).toEqual([Infinity, Infinity]);
    expect(HopfieldDetector.fit(x, z, [0, 1], { metric: "cosine" }).score({ features: [[0, 0]], logits: [[1, 0]] }).toArray()).toEqual([1]);
  });

  it("gives its memory back", () => {
    const { x, z } = world(2000, 8, 3, 4), make = (): NeighborGuidedDetector => NeighborGuidedDetector.fit(x, z), detector = make();
    // The room that a call takes is kept.
    make().score({ features: x, logits: z });
    const before = core.bytesInUse;
    detector.score({ features: x, logits: z });
    detector.dispose();
    expect(core.bytesInUse).toBeLessThanOrEqual(before + 65536);
    expect(() => detector.toJSON()).toThrowError("dispose()");
  });
});

describe("batteries", () => {
  // The same numbers serve as features and logits: four classes along four axes.
  const random = testRandom(8), cloud = (n: number): Plain => plain(Float32Array.from({ length: 4 * n }, (_, i) => (i % 4 === Math.floor(i / 4) % 4 ? 6 : 0) + 0.4 * random.normal()), 4);
  const fitted = cloud(100), y = labelsOf(Array.from({ length: 100 }, (_, i) => i % 4)), usual = cloud(40);
  const small = plain([2, 1, 0.3, 0.01].flatMap((t) => [t, 0, 0, 0]), 4);
  for (const metric of METRICS) {
    const make = (x: Plain = fitted, labels = y): HopfieldDetector => HopfieldDetector.fit(x, x, labels, { metric });
    it.each(estimatorChecks<HopfieldDetector>({
      name: metric, data: [fitted, y], fit: (x, labels) => make(x as Plain, labels as Plain<Int32Array>), output: (detector) => detector.score({ features: usual, logits: usual }), fromJSON: HopfieldDetector.fromJSON,
      // Patterns are summed in another order and rounded to float32.
      rowOrder: { rtol: 1e-6, atol: 1e-6 },
      wrongWidth: [(detector) => detector.score({ features: [[1, 2]], logits: [[1, 2, 3, 4]] }), (detector) => detector.score({ features: [[1, 2, 3, 4]], logits: [[1]] }), (detector) => detector.score({ features: usual, logits: fitted })],
      base64: ["patterns.data"],
    }))(`${metric}: $name`, ({ run }) => run());
    it.each(detectorChecks({ name: metric, make, fromJSON: (json) => detectorFromJSON(json) as HopfieldDetector, usual, far: metric === "inner" ? small : metric === "cosine" ? plain([3, 4, 5, 5.9].flatMap((t) => [6, t, t, t]), 4) : plain([6, 10, 50, 500].flatMap((t) => [6 + t, t, t, t]), 4) }))(`${metric}: $name`, ({ run }) => run());
  }
  const make = (x: Plain = fitted): NeighborGuidedDetector => NeighborGuidedDetector.fit(x, x, { k: 5 });
  it.each(estimatorChecks<NeighborGuidedDetector>({
    name: "nnGuide", data: [fitted], fit: (x) => make(x as Plain), output: (detector) => detector.score({ features: usual, logits: usual }), fromJSON: NeighborGuidedDetector.fromJSON,
    wrongWidth: [(detector) => detector.score({ features: [[1, 2]], logits: [[1, 2, 3, 4]] }), (detector) => detector.score({ features: usual, logits: fitted })],
    base64: ["bank.data"],
  }))("nnGuide: $name", ({ run }) => run());
  it.each(detectorChecks({ name: "nnGuide", make, fromJSON: (json) => detectorFromJSON(json) as NeighborGuidedDetector, usual, far: small }))("nnGuide: $name", ({ run }) => run());
});

it("says what is wrong", () => {
  expect(() => HopfieldDetector.fit([[1, 2]], [[1, 2]], [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: HopfieldDetector.fit: expected \`logits\` with rows whose largest is that of their label, got none]`);
  expect(() => HopfieldDetector.fit([[1, 2]], [[1, 2], [3, 4]], [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: HopfieldDetector.fit: expected \`logits\` of 1 rows as the features, got 2]`);
  expect(() => HopfieldDetector.fit([[1, 2]], [[1, 2]], [2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: HopfieldDetector.fit: expected \`labels\` in [0, 2), got 2 at index 0]`);
  expect(() => HopfieldDetector.fit([[1, NaN]], [[1, 2]], [1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: HopfieldDetector.fit: expected \`features\` of finite numbers, got NaN in row 0, column 1]`);
  expect(() => HopfieldDetector.fit([[1, 2]], [[1, 2]], [1], { metric: "dot" as never })).toThrowErrorMatchingInlineSnapshot(`[RangeError: HopfieldDetector.fit: expected \`metric\` "inner", "euclidean", "cosine", got dot]`);
  expect(() => HopfieldDetector.fit([[1, 2]], [[1, 2]], [1]).score({ features: [[1, 2]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: HopfieldDetector.score: expected \`rows\` with \`logits\` and \`features\`, got features]`);
  expect(() => NeighborGuidedDetector.fit([[1, 2]], [[1, 2]], { k: 2 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: NeighborGuidedDetector.fit: expected \`k\` an integer in [1, 1], got 2]`);
  expect(() => NeighborGuidedDetector.fit([[1, 2]], [[1, 2]], { maxRows: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: NeighborGuidedDetector.fit: expected \`maxRows\` an integer in [1, 2147483647], got 0]`);
  expect(() => NeighborGuidedDetector.fit([[1, 2]], [[1, Infinity]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: NeighborGuidedDetector.fit: expected \`logits\` of finite numbers, got Infinity in row 0, column 1]`);
  const hopfield = HopfieldDetector.fit([[1, 2]], [[1, 2]], [1]), guided = NeighborGuidedDetector.fit([[1, 2]], [[1, 2]]);
  expect(() => HopfieldDetector.fromJSON({ ...hopfield.toJSON(), classes: 1 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: HopfieldDetector.fromJSON: expected \`supportedClasses\` ascending in [0, 1), got [1]]`);
  expect(() => HopfieldDetector.fromJSON({ ...hopfield.toJSON(), patterns: { dtype: "float32", shape: [0, 2], data: "" } })).toThrowErrorMatchingInlineSnapshot(`[FormatError: HopfieldDetector.fromJSON: expected \`patterns\` of shape [1, F], F >= 1, got [0, 2]]`);
  expect(() => NeighborGuidedDetector.fromJSON({ ...guided.toJSON(), bank: { dtype: "float32", shape: [0, 2], data: "" } })).toThrowErrorMatchingInlineSnapshot(`[FormatError: NeighborGuidedDetector.fromJSON: expected \`bank\` of shape [M, F], M >= 1 and F >= 1, got [0, 2]]`);
});

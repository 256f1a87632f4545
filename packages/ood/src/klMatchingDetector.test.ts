import { core } from "@logits/core-wasm";
import { detectorChecks, estimatorChecks, expectClose, expectExact, testRandom, type Plain } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import fixture from "./fixtures/logitModels.json" with { type: "json" };
import { KLMatchingDetector, LogitDetector, detectorFromJSON } from "./index.ts";
import { klMatchingRef } from "./logitModels.ref.ts";

const plain = (data: ArrayLike<number>, width: number): Plain => ({ dtype: "float32", shape: [data.length / width, width], data: Float32Array.from(data) });
const list = (x: Plain): number[][] => Array.from({ length: x.shape[0] }, (_, i) => Array.from(x.data.subarray(i * x.shape[1], (i + 1) * x.shape[1])));
const scores = (detector: KLMatchingDetector, logits: Plain | readonly (readonly number[])[]): number[] => Array.from(detector.score({ logits: logits as Plain }).data);

/** Logits of rows of each class in turn. */
function rows(n: number, c: number, stream: number, height = 5, spread = 1): Plain {
  const random = testRandom(stream);
  return plain(Float32Array.from({ length: n * c }, (_, i) => (i % c === Math.floor(i / c) % c ? height : 0) + spread * random.normal()), c);
}

describe("agrees with the definition", () => {
  it.each([[1, 1], [4, 2], [30, 3], [60, 20]])("for %i rows, %i classes", (n, c) => {
    const fitted = rows(n, c, c), probe = rows(15, c, 50, 2, 2), got = scores(KLMatchingDetector.fit(fitted), probe);
    // Probabilities are rounded to float32 and so are the logarithms of templates; the nearest is chosen in float32, which can miss it by that.
    list(probe).forEach((row, i) => expectClose(got[i], klMatchingRef(row, list(fitted)), { rtol: 1e-5, atol: 4e-6, label: `row ${i}` }));
    const kinds = Array.from({ length: n }, (_, i) => (7 * i) % c);
    list(probe).forEach((row, i) => expectClose(scores(KLMatchingDetector.fit(fitted, { labels: kinds }), [row])[0], klMatchingRef(row, list(fitted), kinds), { rtol: 1e-5, atol: 4e-6, label: `labels, row ${i}` }));
  });

  it.each(fixture.cases.map((c) => [c.name, c] as const))("scipy's relative entropy: %s; GEN and ODIN on the same rows", (_, { shape, logits, rows: probe, klMatching, gen, odinProbability }) => {
    const x = plain(probe, shape[1]);
    expectClose(scores(KLMatchingDetector.fit(plain(logits, shape[1])), x), klMatching, { rtol: 1e-5, atol: 4e-6 });
    expectClose(LogitDetector.of("gen").score({ logits: x }).data, gen, { rtol: 1e-5 });
    expectClose(LogitDetector.of("odin").score({ logits: x }).data, odinProbability.map((p) => -1000 * Math.log(shape[1] * p)), { rtol: 1e-5 });
  });
});

describe("laws", () => {
  const fitted = rows(120, 6, 1), probe = rows(30, 6, 2, 2, 2), base = scores(KLMatchingDetector.fit(fitted), probe);

  it("a template scores 0, and no row less", () => {
    const one = KLMatchingDetector.fit([[3, 1, 0], [0, 4, 2]]);
    expectClose(scores(one, [[3, 1, 0], [0, 4, 2]]), [0, 0], { atol: 1e-6 });
    base.forEach((score) => expect(score).toBeGreaterThanOrEqual(0));
  });

  it("shifts of logits, and the order of classes, do not matter", () => {
    expectClose(scores(KLMatchingDetector.fit(plain(fitted.data.map((v) => v + 16), 6)), plain(probe.data.map((v) => v - 8), 6)), base, { rtol: 1e-5, atol: 4e-6 });
    const turn = (x: Plain): Plain => plain(list(x).flatMap((row) => row.toReversed()), 6);
    expectClose(scores(KLMatchingDetector.fit(turn(fitted)), turn(probe)), base, { rtol: 1e-5, atol: 4e-6 });
  });

  it("more rows than are taken together, and fitAsync, give the same bits; the fit remembers its rows", async () => {
    const many = rows(600, 6, 7), detector = KLMatchingDetector.fit(many), all = scores(detector, many);
    for (const i of [0, 255, 256, 599]) expectExact(scores(detector, [list(many)[i]]), [all[i]]);
    expectExact(scores(await KLMatchingDetector.fitAsync(many), many), all);
    expect(detector.fingerprints?.firstShared([list(many)[500]])).toBe(0);
  });
});

describe("special values", () => {
  it("classes that no row is predicted as have no template", () => {
    const detector = KLMatchingDetector.fit([[5, 0, 0], [4, 0, 0], [0, 0, 5]]);
    expect(detector.supportedClasses).toEqual([0, 2]);
    expect(scores(detector, [[0, 9, 0]])[0]).toBeGreaterThan(4);
    expect(KLMatchingDetector.fromJSON(JSON.parse(JSON.stringify(detector))).supportedClasses).toEqual([0, 2]);
  });

  it("templates far below float32 stay finite; an impossible class adds nothing", () => {
    const detector = KLMatchingDetector.fit([[1000, 0], [0, 1000]]);
    expectClose(scores(detector, [[0, 0], [1000, 0], [3, -Infinity]]), [500 - Math.LN2, 0, 0], { rtol: 1e-6, atol: 1e-6 });
  });

  it("rows without a distribution", () => {
    expect(scores(KLMatchingDetector.fit([[1, 0], [0, 1]]), [[NaN, 1], [Infinity, 0], [-Infinity, -Infinity]])).toEqual([NaN, NaN, NaN]);
    expect(scores(KLMatchingDetector.fit([[2]]), [[7]])).toEqual([0]);
  });

  it("gives its memory back", () => {
    const detector = KLMatchingDetector.fit(rows(200, 100, 3)), before = core.bytesInUse;
    detector.score({ logits: rows(1, 100, 4) });
    detector.dispose();
    expect(core.bytesInUse).toBeLessThanOrEqual(before + 65536);
    expect(() => detector.toJSON()).toThrowError("dispose()");
  });
});

describe("batteries", () => {
  const fitted = rows(100, 4, 5, 8, 0.4), usual = rows(40, 4, 6, 8, 0.4);
  it.each(estimatorChecks<KLMatchingDetector>({
    name: "KLMatchingDetector", data: [fitted], fit: (logits) => KLMatchingDetector.fit(logits as Plain), output: (detector) => detector.score({ logits: usual }), fromJSON: KLMatchingDetector.fromJSON,
    // Sums in another order, in float64, rounded to float32.
    rowOrder: { rtol: 1e-6, atol: 1e-6 },
    wrongWidth: [(detector) => detector.score({ logits: [[1, 2]] })],
    base64: ["templates.data"],
  }))("$name", ({ run }) => run());
  // Two classes at once, ever more alike.
  it.each(detectorChecks({ name: "KLMatchingDetector", make: () => KLMatchingDetector.fit(fitted), fromJSON: (json) => detectorFromJSON(json) as KLMatchingDetector, usual, far: plain([4, 3, 2, 1, 0].flatMap((gap) => [8, 8 - gap, 0, 0]), 4) }))("$name", ({ run }) => run());
});

it("says what is wrong", () => {
  expect(() => KLMatchingDetector.fit([1, 2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: KLMatchingDetector.fit: expected \`logits\` of shape [N, C], got [2]]`);
  expect(() => KLMatchingDetector.fit([[1, NaN]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: KLMatchingDetector.fit: expected \`logits\` of finite numbers, got NaN in row 0, column 1]`);
  expect(() => KLMatchingDetector.fit({ data: new Float32Array(0), shape: [0, 2] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: KLMatchingDetector.fit: expected \`logits\` of shape [N, C], N >= 1 and C >= 1, got [0, 2]]`);
  expect(() => KLMatchingDetector.fit([[1, 2]], { labels: [2] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: KLMatchingDetector.fit: expected \`labels\` in [0, 2), got 2 at index 0]`);
  expect(() => KLMatchingDetector.fit([[1, 2]], { labels: [0, 1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: KLMatchingDetector.fit: expected \`labels\` of shape [1], got [2]]`);
  const detector = KLMatchingDetector.fit([[1, 2]]);
  expect(() => detector.score({ features: [[1]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: KLMatchingDetector.score: expected \`rows\` with \`logits\`, got features]`);
  expect(() => detector.score({ logits: [[1]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: KLMatchingDetector.score: expected \`logits\` of shape [..., 2], got [1, 1]]`);
  expect(() => KLMatchingDetector.fromJSON({ ...detector.toJSON(), classes: 1 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: KLMatchingDetector.fromJSON: expected \`supportedClasses\` ascending in [0, 1), got [1]]`);
  expect(() => KLMatchingDetector.fromJSON({ ...detector.toJSON(), classes: 3 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: KLMatchingDetector.fromJSON: expected \`templates\` of shape [1, 3], got [1, 2]]`);
});

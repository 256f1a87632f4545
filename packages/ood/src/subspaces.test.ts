import { detectorChecks, estimatorChecks, expectClose, expectExact, type Plain } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { labelsOf, listOf, plain, rotation, turned, world } from "./fixtures/rows.ts";
import fixture from "./fixtures/subspaces.json" with { type: "json" };
import { FeatureStatistics, NecoDetector, ResidualDetector, VimDetector } from "./index.ts";
import { principalSubspaceRef } from "./principalSubspace.ref.ts";

const meanOf = (rows: number[][]): number[] => rows[0].map((_, j) => rows.reduce((sum, row) => sum + row[j], 0) / rows.length);
const less = (rows: number[][], from: readonly number[]): number[][] => rows.map((row) => row.map((v, j) => v - from[j]));
const lengthOf = (row: readonly number[]): number => Math.sqrt(row.reduce((sum, v) => sum + v * v, 0));
const logSumExp = (z: readonly number[]): number => {
  const most = Math.max(...z);
  return most + Math.log(z.reduce((sum, v) => sum + Math.exp(v - most), 0));
};
/** A few roundings of float32 for each element of g and of the basis, and a scatter that is off by about 1e-6, which turns a basis whose gap is a few hundredths by less than 1e-4 of the part on the other side. */
const bound = (g: readonly number[]): number => 2e-5 * lengthOf(g);

describe("agrees with the definition", () => {
  it.each([[60, 2, 1], [80, 5, 2], [90, 5, 4], [150, 12, 0], [200, 12, 9]])("for N = %i, F = %i, D = %i", (n, f, dimension) => {
    const { x, y } = world(n, f, 3, n), rows = world(10, f, 3, 77).x, logits = world(n, 3, 3, 78).x, rowLogits = world(10, 3, 3, 79).x;
    const mean = meanOf(listOf(x)), g = less(listOf(x), mean), h = less(listOf(rows), mean), want = principalSubspaceRef(g, h, dimension);
    const residual = ResidualDetector.fit(x, { dimension });
    expect([residual.dimension, residual.features, residual.n]).toEqual([dimension, f, n]);
    residual.score({ features: rows }).data.forEach((score, i) => expectClose(score, want.outside[i], { atol: bound(h[i]) }));
    const vim = VimDetector.fit(x, logits, { dimension }), own = principalSubspaceRef(g, g, dimension).outside;
    const alpha = listOf(logits).reduce((sum, z) => sum + Math.max(...z), 0) / own.reduce((a, b) => a + b);
    expectClose(vim.alpha, alpha, { rtol: 1e-5 });
    vim.score({ features: rows, logits: rowLogits }).data.forEach((score, i) => expectClose(score, alpha * want.outside[i] - logSumExp(listOf(rowLogits)[i]), { atol: 2 * alpha * bound(h[i]) + 1e-5 }));
    if (dimension === 0) return;
    const deviation = mean.map((_, j) => Math.sqrt(g.reduce((sum, row) => sum + row[j] ** 2, 0) / n)), scaled = (list: number[][]): number[][] => list.map((row) => row.map((v, j) => v / deviation[j]));
    const neco = principalSubspaceRef(scaled(g), scaled(h), dimension).inside, options = { dimension, classes: 3 };
    NecoDetector.fit(x, y, { ...options, maxLogit: false }).score({ features: rows }).data.forEach((score, i) => expectClose(score, -neco[i] / lengthOf(scaled(h)[i]), { atol: 4e-5 }));
    NecoDetector.fit(x, y, options).score({ features: rows, logits: rowLogits }).data.forEach((score, i) => {
      const most = Math.max(...listOf(rowLogits)[i]);
      expectClose(score, (-neco[i] / lengthOf(scaled(h)[i])) * most, { atol: 4e-5 * Math.abs(most) });
    });
  });

  it.each(fixture.cases.map((c) => [c.name, c] as const))("the authors' formulas: %s", (_, c) => {
    const f = c.shape[1], x = plain(c.features, f), y = labelsOf(c.labels), rows = plain(c.rows, f), z = plain(c.logits, c.classes), rowLogits = plain(c.rowLogits, c.classes);
    const weights = listOf(plain(c.weights, f)), head = { head: { weights: weights[0].map((_, j) => weights.map((row) => row[j])), bias: c.bias }, dimension: c.dimension };
    const vim = VimDetector.fit(x, z, head);
    expectClose(vim.alpha, c.alpha, { rtol: 1e-5 });
    expectClose(vim.score({ features: rows, logits: rowLogits }).data, c.vim, { rtol: 1e-5, atol: 2e-4 });
    expectClose(ResidualDetector.fit(x, head).score({ features: rows }).data, c.residual, { rtol: 2e-5, atol: 2e-5 });
    const options = { classes: c.classes, dimension: c.dimension };
    expectClose(NecoDetector.fit(x, y, options).score({ features: rows, logits: rowLogits }).data, c.necoMaxLogit, { rtol: 2e-5, atol: 2e-4 });
    expectClose(NecoDetector.fit(x, y, { ...options, maxLogit: false }).score({ features: rows }).data, c.neco, { atol: 2e-5 });
  });
});

describe("laws", () => {
  const { x, y } = world(300, 6, 3, 4), probe = world(30, 6, 3, 5).x, logits = world(300, 3, 3, 8).x, z = world(30, 3, 3, 9).x;
  const residual = ResidualDetector.fit(x, { dimension: 2 }), vim = VimDetector.fit(x, logits, { dimension: 2 }), neco = NecoDetector.fit(x, y, { dimension: 2 });

  it("rotations and offsets of the features change nothing for Residual and ViM, scales and offsets nothing for NECO", () => {
    const map = rotation(6, 6), wide = turned(x, map, 3), wideProbe = turned(probe, map, 3);
    expectClose(ResidualDetector.fit(wide, { dimension: 2 }).score({ features: wideProbe }).data, residual.score({ features: probe }).data, { rtol: 1e-4, atol: 1e-4 });
    expectClose(VimDetector.fit(wide, logits, { dimension: 2 }).score({ features: wideProbe, logits: z }).data, vim.score({ features: probe, logits: z }).data, { rtol: 1e-3, atol: 1e-3 });
    const diagonal = map.map((_, i) => map.map((_, j) => (i === j ? (i % 2 ? -1 : 1) * 2 ** (i - 2) : 0)));
    expectClose(NecoDetector.fit(turned(x, diagonal, 3), y, { dimension: 2 }).score({ features: turned(probe, diagonal, 3), logits: z }).data, neco.score({ features: probe, logits: z }).data, { rtol: 1e-4, atol: 1e-4 });
  });

  it("permuted features and rows are the same", () => {
    const order = [3, 0, 5, 1, 4, 2], permuted = (rows: Plain): Plain => plain(listOf(rows).flatMap((row) => order.map((j) => row[j])), 6);
    expectClose(ResidualDetector.fit(permuted(x), { dimension: 2 }).score({ features: permuted(probe) }).data, residual.score({ features: probe }).data, { rtol: 1e-5, atol: 1e-5 });
  });

  it("from statistics, whole or merged, and with any labels", () => {
    const part = (from: number, to: number, classes = 3): FeatureStatistics => new FeatureStatistics({ classes, features: 6 }).update({ features: plain(x.data.subarray(6 * from, 6 * to), 6), labels: classes === 1 ? new Int32Array(to - from) : y.data.subarray(from, to) });
    const want = residual.score({ features: probe }).data;
    expectExact(ResidualDetector.from(part(0, 300, 1), { dimension: 2 }).score({ features: probe }).data, want);
    expectClose(ResidualDetector.from(part(0, 300), { dimension: 2 }).score({ features: probe }).data, want, { rtol: 1e-4 });
    expectClose(ResidualDetector.from(part(200, 300).merge(part(0, 200)), { dimension: 2 }).score({ features: probe }).data, want, { rtol: 1e-4 });
    const merged = part(200, 300).merge(part(0, 200));
    expectClose(VimDetector.from(merged, { features: x, logits }, { dimension: 2 }).score({ features: probe, logits: z }).data, vim.score({ features: probe, logits: z }).data, { rtol: 1e-3, atol: 1e-4 });
    expectClose(NecoDetector.from(merged, { dimension: 2 }).score({ features: probe, logits: z }).data, neco.score({ features: probe, logits: z }).data, { rtol: 1e-4, atol: 1e-4 });
  });

  it("fitAsync gives the same bits", async () => {
    expectExact((await ResidualDetector.fitAsync(x, { dimension: 2 })).score({ features: probe }).data, residual.score({ features: probe }).data);
    expectExact((await VimDetector.fitAsync(x, logits, { dimension: 2 })).score({ features: probe, logits: z }).data, vim.score({ features: probe, logits: z }).data);
    expectExact((await NecoDetector.fitAsync(x, y, { dimension: 2 })).score({ features: probe, logits: z }).data, neco.score({ features: probe, logits: z }).data);
  });

  it("inside and outside add up: a row has length 5 where its parts have 3 and 4", () => {
    const fit = plain([2, 0, -2, 0, 1, 0, -1, 0, 0, 0.5, 0, -0.5], 2);
    expectClose(ResidualDetector.fit(fit, { dimension: 1 }).score({ features: [[3, 4], [-3, 0], [0, -2]] }).data, [4, 0, 2], { atol: 1e-6 });
  });

  it("the origin of a head is where its logits are 0, nearest to 0", () => {
    const origin = [1, 1], head = { weights: [[1], [1]], bias: [-2] };
    const line = plain([3, 3, 5, 5, -4, -4], 2), a = ResidualDetector.fit(line, { head, dimension: 1 }), b = ResidualDetector.fit(line, { origin, dimension: 1 });
    expectExact(a.score({ features: [[7, 8]] }).data, b.score({ features: [[7, 8]] }).data);
    expectClose(a.score({ features: [[9, 9], [1, 3]] }).data, [0, Math.SQRT2], { atol: 1e-6 });
    expectExact(ResidualDetector.fit(line, { head: { weights: [[1], [1]] }, dimension: 1 }).score({ features: [[7, 8]] }).data, ResidualDetector.fit(line, { origin: [0, 0], dimension: 1 }).score({ features: [[7, 8]] }).data);
    // More classes than features, and a direction that no class uses.
    const tall = ResidualDetector.fit(line, { head: { weights: [[1, 2, -1], [0, 0, 0]], bias: [-1, -2, 1] }, dimension: 1 });
    expectExact(tall.score({ features: [[4, 4]] }).data, ResidualDetector.fit(line, { origin: [1, 0], dimension: 1 }).score({ features: [[4, 4]] }).data);
  });
});

describe("where rows vary in few directions", () => {
  it("fewer rows than features: what the fit never saw is outside", () => {
    const { x, y } = world(10, 40, 2, 10), detector = ResidualDetector.fit(x, { dimension: 12 });
    const own = detector.score({ features: x }).data, other = detector.score({ features: world(10, 40, 2, 11).x }).data;
    own.forEach((score, i) => expect(score).toBeLessThan(1e-4 * other[i]));
    expect(NecoDetector.fit(x, y, { dimension: 5, maxLogit: false }).score({ features: x }).data.every((v) => v >= -1 && v < -0.5)).toBe(true);
    expect(() => VimDetector.fit(x, world(10, 3, 2, 12).x, { dimension: 12 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: VimDetector.fit: expected \`dimension\` below the number of directions in which the rows vary, got 12: they have no residual. Pass a smaller one, or alpha]`);
  });

  it("a dead feature: a row in which it moves scores higher; repeated rows and features change nothing that matters", () => {
    const { x } = world(100, 3, 1, 13), dead = plain(listOf(x).flatMap((row) => [...row, 7]), 4), row = [...listOf(x)[0], 7];
    const moved = row.map((v, j) => (j === 3 ? 8 : v));
    for (const [near, far] of [
      ResidualDetector.fit(dead, { dimension: 3 }).score({ features: [row, moved] }).data,
      NecoDetector.fit(dead, new Int32Array(100), { dimension: 1, maxLogit: false }).score({ features: [row, moved] }).data,
    ]) expect(far).toBeGreaterThan(near);
    const doubled = plain([...x.data, ...x.data], 3), probe = world(9, 3, 1, 14).x;
    expectClose(ResidualDetector.fit(doubled, { dimension: 1 }).score({ features: probe }).data, ResidualDetector.fit(x, { dimension: 1 }).score({ features: probe }).data, { rtol: 1e-4 });
  });

  it("one feature: everything is outside for Residual and ViM, and NECO refuses", () => {
    expect(Array.from(ResidualDetector.fit([[1], [3]]).score({ features: [[2], [7]] }).data)).toEqual([0, 5]);
    expect(VimDetector.fit([[1], [3]], [[2, 0], [0, 2]]).alpha).toBe(2);
    expect(() => NecoDetector.fit([[1], [3]], [0, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: NecoDetector.fit: expected \`features\` of shape [N, F], F >= 2, got F = 1. One direction has no others beside it]`);
  });
});

it("special values of rows", () => {
  const { x, y } = world(100, 3, 2, 20), logits = world(100, 2, 2, 21).x;
  const residual = ResidualDetector.fit(x), vim = VimDetector.fit(x, logits), neco = NecoDetector.fit(x, y);
  const features = [[NaN, 0, 0], [Infinity, 0, 0], [3e38, -3e38, 3e38], [0, 0, 0], [0, 0, 0], [0, 0, 0], [Infinity, 0, 0], [Infinity, 0, 0]];
  const z = [[1, 1], [1, 1], [1, 1], [NaN, 1], [-Infinity, -Infinity], [Infinity, 1], [Infinity, 1], [NaN, 1]];
  expectExact(residual.score({ features: features.slice(0, 3) }).data, [NaN, Infinity, Infinity]);
  expectExact(vim.score({ features, logits: z }).data, [NaN, Infinity, Infinity, NaN, Infinity, -Infinity, Infinity, NaN]);
  const got = neco.score({ features, logits: z }).data;
  expectExact(Float32Array.of(got[0], got[1], got[3]), [NaN, 0, NaN]);
  expect([got[4], got[5]]).toEqual([Infinity, -Infinity]);
  expect([residual, vim, neco].map((d) => d.fingerprints?.size)).toEqual([100, 100, 100]);
  for (const detector of [residual, vim, neco]) {
    detector.dispose();
    expect(() => detector.score({ features: [[1, 2, 3]], logits: [[1, 2]] })).toThrowError(expect.objectContaining({ name: "DisposedError" }));
  }
});

it("the default dimension is that of ViM's authors, NECO's one less than the classes", () => {
  const { x, y } = world(40, 9, 4, 22);
  expect(ResidualDetector.fit(x).dimension).toBe(4);
  expect(NecoDetector.fit(x, y).dimension).toBe(3);
  expect(NecoDetector.fit(x, y, { classes: 30 }).dimension).toBe(8);
  expect(NecoDetector.fit(x, labelsOf(new Int32Array(40))).dimension).toBe(1);
  const wide = { data: Float32Array.from({ length: 5 * 768 }, (_, i) => Math.sin(i)), shape: [5, 768] };
  expect(ResidualDetector.fit(wide).dimension).toBe(512);
});

describe("batteries", () => {
  const { x, y } = world(300, 6, 3, 16), usual = world(40, 6, 3, 17).x, logits = plain(x.data.map((v) => v + 20), 6);
  const far = plain([50, 100, 1e3].flatMap((reach) => [1, 1, 1, 1, 1, 1].map((sign, j) => -sign * reach * (1 + (j % 2)))), 6);
  const shared = { rowOrder: { rtol: 1e-3, atol: 1e-3 }, base64: ["basis.data", "origin.data", "scales.data"] }; // blocks of other rows, in float32, over the gap of the eigenvalues
  it.each(estimatorChecks<ResidualDetector>({
    ...shared, name: "ResidualDetector", data: [x], fit: (features) => ResidualDetector.fit(features), output: (d) => d.score({ features: usual }), fromJSON: ResidualDetector.fromJSON, wrongWidth: [(d) => d.score({ features: [[1, 2]] })],
  }))("$name, residual", ({ run }) => run());
  it.each(estimatorChecks<VimDetector>({
    ...shared, name: "VimDetector", data: [x, logits], fit: (features, z) => VimDetector.fit(features, z), output: (d) => d.score({ features: usual, logits: usual }), fromJSON: VimDetector.fromJSON,
    wrongWidth: [(d) => d.score({ features: [[1, 2]], logits: [[1, 2]] }), (d) => d.score({ features: usual, logits: far })],
  }))("$name, ViM", ({ run }) => run());
  it.each(estimatorChecks<NecoDetector>({
    ...shared, name: "NecoDetector", data: [x, y], fit: (features, labels) => NecoDetector.fit(features, labels, { classes: 6, dimension: 2 }), output: (d) => d.score({ features: usual, logits: usual }), fromJSON: NecoDetector.fromJSON,
    wrongWidth: [(d) => d.score({ features: [[1, 2]], logits: [[1, 2]] })],
  }))("$name, NECO", ({ run }) => run());
  it.each(detectorChecks({ name: "ResidualDetector", make: () => ResidualDetector.fit(x), fromJSON: ResidualDetector.fromJSON, usual, far }))("$name, residual", ({ run }) => run());
  it.each(detectorChecks({ name: "VimDetector", make: () => VimDetector.fit(x, logits), fromJSON: VimDetector.fromJSON, usual, far }))("$name, ViM", ({ run }) => run());
  // With logits that are the features: far rows are those whose largest logit is ever further below 0.
  it.each(detectorChecks({ name: "NecoDetector", make: () => NecoDetector.fit(x, y, { classes: 6, dimension: 2 }), fromJSON: NecoDetector.fromJSON, usual, far }))("$name, NECO", ({ run }) => run());
});

it("says what is wrong", () => {
  const x = [[1, 2], [3, 5], [2, -1]], z = [[1, 0], [0, 1], [1, 0]];
  expect(() => ResidualDetector.fit(x, { dimension: 2 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ResidualDetector.fit: expected \`dimension\` an integer in [0, 1], got 2]`);
  expect(() => ResidualDetector.fit([[1, NaN]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: ResidualDetector.fit: expected \`features\` of finite numbers, got NaN in row 0, column 1]`);
  expect(() => ResidualDetector.fit(x, { head: { weights: [[1], [2], [3]], bias: [1] } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ResidualDetector.fit: expected \`weights\` of shape [2, C], C >= 1, got [3, 1]]`);
  expect(() => ResidualDetector.fit(x, { head: { weights: [[1], [NaN]], bias: [1] } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ResidualDetector.fit: expected \`weights\` of finite numbers, got NaN in row 1, column 0]`);
  expect(() => ResidualDetector.fit(x, { head: { weights: [[1], [2]], bias: [1, 2] } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ResidualDetector.fit: expected \`bias\` of shape [C] = [1], got [2]]`);
  expect(() => ResidualDetector.fit(x, { origin: [1, Infinity] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ResidualDetector.fit: expected \`origin\` of finite numbers, got Infinity at index 1]`);
  expect(() => ResidualDetector.fit(x, { origin: [1, 1], head: { weights: [[1], [2]] } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ResidualDetector.fit: expected \`origin\` nothing beside \`head\`, got one]`);
  expect(() => ResidualDetector.from(new FeatureStatistics({ classes: 1, features: 2 }))).toThrowErrorMatchingInlineSnapshot(`[RangeError: ResidualDetector.from: expected \`statistics\` of at least one row, got none]`);
  expect(() => VimDetector.fit(x, z.slice(1))).toThrowErrorMatchingInlineSnapshot(`[RangeError: VimDetector.fit: expected \`logits\` of 3 rows as the features, got 2]`);
  expect(() => VimDetector.fit(x, [[1, 0], [0, NaN], [1, 0]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: VimDetector.fit: expected \`logits\` of finite numbers, got NaN in row 1, column 1]`);
  expect(() => VimDetector.fit(x, z.map((row) => row.map((v) => v - 9)))).toThrowErrorMatchingInlineSnapshot(`[RangeError: VimDetector.fit: expected \`logits\` whose largest of each row are positive on average, got -8. Pass alpha]`);
  expect(() => VimDetector.fit(x, z, { alpha: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: VimDetector.fit: expected \`alpha\` a number >= 0, got -1]`);
  expect(VimDetector.fit(x, z.map((row) => row.map((v) => v - 9)), { alpha: 2 }).alpha).toBe(2);
  const vim = VimDetector.fit(x, z);
  expect(() => vim.score({ features: x })).toThrowErrorMatchingInlineSnapshot(`[RangeError: VimDetector.score: expected \`rows\` with \`logits\` and \`features\`, got features]`);
  expect(() => vim.score({ features: x, logits: [[1, 2]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: VimDetector.score: expected \`logits\` of 3 rows as the features, got 1]`);
  expect(() => NecoDetector.fit(x, [0, 1, 2], { classes: 2 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: NecoDetector.fit: expected \`labels\` in [0, 2), got 2 at index 2]`);
  expect(() => NecoDetector.fit([[1, 1], [1, 1]], [0, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: NecoDetector.fit: expected \`features\` that vary within a class, got 2 rows that equal their class means]`);
  const json = ResidualDetector.fit(x).toJSON();
  expect(() => ResidualDetector.fromJSON({ ...json, features: 3 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: ResidualDetector.fromJSON: expected \`basis\` of shape [1, 3], got [1, 2]]`);
  expect(() => ResidualDetector.fromJSON({ ...json, basis: json.origin })).toThrowErrorMatchingInlineSnapshot(`[FormatError: ResidualDetector.fromJSON: expected \`basis\` a tensor of float32 and rank 2, got shape [2]]`);
  expect(() => ResidualDetector.fromJSON({ ...json, basis: { ...json.basis, shape: [2, 1] } })).toThrowErrorMatchingInlineSnapshot(`[FormatError: ResidualDetector.fromJSON: expected \`basis\` of shape [1, 2], got [2, 1]]`);
});

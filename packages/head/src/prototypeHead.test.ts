import type { CsrMatrix } from "@logits/tensor";
import { logSoftmax, logSumExp } from "@logits/core-wasm";
import { estimatorChecks, expectClose, expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import fixture from "./fixtures/prototypeHead.json" with { type: "json" };
import { PrototypeHead, scorerFromJSON, type PrototypeHeadOptions } from "./index.ts";

const plain = (data: Float32Array, ...shape: number[]) => ({ dtype: "float32" as const, shape, data });
const labelsOf = (data: Int32Array) => ({ dtype: "int32" as const, shape: [data.length], data });
const kinds = ["mean", "tied", "diagonal", "cosine"] as const;

/** Classes around random centres, with a common offset. */
function blobs(rows: number, features: number, classes: number, seed: number) {
  const random = testRandom(seed);
  const centres = Float64Array.from({ length: classes * features }, () => 2 * random.normal() + 5);
  const labels = Int32Array.from({ length: rows }, (_, n) => (n < classes ? n : random.integer(classes)));
  const x = Float32Array.from({ length: rows * features }, (_, i) => centres[labels[Math.floor(i / features)] * features + (i % features)] + random.normal());
  return { x: plain(x, rows, features), y: labelsOf(labels) };
}

function toCsr({ shape: [rows, columns], data }: { shape: readonly number[]; data: Float32Array }): CsrMatrix {
  const indptr = Int32Array.from({ length: rows + 1 }, (_, n) => n * columns);
  return { shape: [rows, columns], indptr, indices: Int32Array.from(data, (_, i) => i % columns), data };
}

const rowsWhere = (x: { data: Float32Array; shape: readonly number[] }, keep: (n: number) => boolean) => {
  const width = x.shape[1];
  const data = x.data.filter((_, i) => keep(Math.floor(i / width)));
  return plain(data, data.length / width, width);
};

/** Scores by the definition, in float64. */
function definition(x: ArrayLike<number>, y: ArrayLike<number>, features: number, classes: number, probe: ArrayLike<number>, options: PrototypeHeadOptions): number[] {
  const rows = y.length;
  const row = (data: ArrayLike<number>, n: number) => Array.from({ length: features }, (_, f) => data[n * features + f]);
  const unit = (v: number[]) => v.map((u) => u / Math.hypot(...v));
  const counts = Array.from({ length: classes }, (_, c) => Array.from(y).filter((label) => label === c).length);
  const means = counts.map((count, c) => Array.from({ length: features }, (_, f) => {
    let sum = 0;
    for (let n = 0; n < rows; n++) if (y[n] === c) sum += (options.kind === "cosine" ? unit(row(x, n)) : row(x, n))[f];
    return sum / count;
  }));
  const variance = (c: number, f: number) => Array.from({ length: rows }, (_, n) => (y[n] === c ? (x[n * features + f] - means[c][f]) ** 2 : 0)).reduce((a, b) => a + b) / counts[c];
  const all = Array.from({ length: features }, (_, f) => { const v = Array.from({ length: rows }, (_, n) => x[n * features + f]); const m = v.reduce((a, b) => a + b) / rows; return v.reduce((a, b) => a + (b - m) ** 2, 0) / rows; });
  return Array.from({ length: probe.length / features }, (_, n) => counts.map((count, c) => {
    const p = row(probe, n);
    if (options.kind === "mean") return -0.5 * p.reduce((sum, v, f) => sum + (v - means[c][f]) ** 2, 0);
    if (options.kind === "cosine") return (options.scale ?? 10) * unit(p).reduce((sum, v, f) => sum + v * unit(means[c])[f], 0);
    const prior = Math.log(options.prior === "uniform" ? 1 / classes : count / rows);
    return p.reduce((sum, v, f) => { const s = variance(c, f) + (options.smoothing ?? 1e-9) * Math.max(...all); return sum - 0.5 * ((v - means[c][f]) ** 2 / s + Math.log(2 * Math.PI * s)); }, prior);
  })).flat();
}

describe("PrototypeHead.fit", () => {
  it.each(["mean", "diagonal", "cosine"] as const)("agrees with the definition of %s", (kind) => {
    for (const [rows, features, classes] of [[30, 1, 2], [40, 3, 3], [50, 7, 5], [200, 16, 4]]) {
      const { x, y } = blobs(rows, features, classes, rows);
      const probe = blobs(10, features, classes, 99).x;
      const options: PrototypeHeadOptions = kind === "diagonal" ? { kind, prior: features === 3 ? "uniform" : "empirical", smoothing: 0.01 } : kind === "cosine" ? { kind, scale: 4 } : { kind };
      const want = definition(x.data, y.data, features, classes, probe.data, options);
      // Products in float32: 1e-6 of the squares that are added (distances of about 10 a feature); diagonal is float64, rounded once.
      expectClose(PrototypeHead.fit(x, y, options).logits(probe).data, want, kind === "diagonal" ? { rtol: 1e-6 } : { rtol: 1e-6, atol: kind === "cosine" ? 4e-6 : 2e-5 * features });
    }
  });

  it("[paper:revisiting-discriminative-vs-generative-classifiers-theory-and-implications] agrees with scikit-learn's GaussianNB in joint densities and probabilities, and with LinearDiscriminantAnalysis where the variance is shared", () => {
    expect(fixture.cases.map(({ kind }) => kind)).toEqual(["diagonal", "diagonal", "tied", "tied"]);
    for (const { name, kind, shape, x, y, probe, joint, logProbabilities, ...rest } of fixture.cases) {
      const setting = kind === "diagonal" ? { smoothing: (rest as { smoothing: number }).smoothing } : { shrinkage: (rest as { shrinkage: number }).shrinkage };
      const head = PrototypeHead.fit({ data: Float32Array.from(x), shape }, y, { kind: kind as "diagonal" | "tied", ...setting });
      const z = head.logits({ data: Float32Array.from(probe), shape: [8, 4] });
      const tolerance = kind === "diagonal" ? { rtol: 3e-7, label: name } : { rtol: 1e-6, atol: 5e-5, label: name }; // one rounding; float32 products of numbers up to 50
      expectClose(z.data, joint, tolerance);
      // Differences of joint densities of up to 50 in float32.
      expectClose(logSoftmax(z).data, logProbabilities, { rtol: 1e-6, atol: kind === "diagonal" ? 1e-5 : 5e-5, label: name });
    }
  });

  it("[paper:revisiting-discriminative-vs-generative-classifiers-theory-and-implications] gives logits that are linear in x where the variance is shared", () => {
    const { x, y } = blobs(200, 3, 3, 4);
    const head = PrototypeHead.fit(x, y, { kind: "tied" });
    const contrast = (row: number[]) => { const z = head.logits(row).data; return [z[1] - z[0], z[2] - z[0]]; };
    const [a, b] = [[1, 2, 3], [4, -1, 6]];
    const middle = contrast(a.map((v, i) => (v + b[i]) / 2));
    contrast(a).forEach((v, i) => expectClose(middle[i], (v + contrast(b)[i]) / 2, { atol: 1e-4 })); // float32 products of numbers up to 100
    const naive = PrototypeHead.fit(x, y, { kind: "diagonal" });
    const bent = (row: number[]) => { const z = naive.logits(row).data; return z[1] - z[0]; };
    expect(Math.abs(bent(a.map((v, i) => (v + b[i]) / 2)) - (bent(a) + bent(b)) / 2)).toBeGreaterThan(0.1);
  });

  it.each(kinds)("[paper:revisiting-discriminative-vs-generative-classifiers-theory-and-implications] %s: update and addClass give the head of all rows at once", (kind) => {
    const { x, y } = blobs(300, 5, 4, 21);
    const probe = blobs(20, 5, 4, 22).x;
    const want = PrototypeHead.fit(x, y, { kind });
    const part = (keep: (n: number) => boolean) => [rowsWhere(x, keep), y.data.filter((_, n) => keep(n))] as const;
    const same = (got: PrototypeHead) => {
      expect(got.counts).toEqual(want.counts);
      // Statistics in float64; the covariance of "tied" is summed in float32 in blocks of 256 rows. Then as far as the logits' own rounding.
      expectClose(got.logits(probe), want.logits(probe), kind === "tied" ? { rtol: 1e-5, atol: 1e-4 } : { rtol: 1e-6, atol: 1e-6 });
    };
    let streamed = PrototypeHead.fit(...part((n) => n < 50), { kind });
    for (const [from, to] of [[50, 51], [51, 51], [51, 200], [200, 300]]) streamed = streamed.update(...part((n) => n >= from && n < to));
    same(streamed);
    same(PrototypeHead.fit(...part((n) => y.data[n] !== 3), { kind }).addClass(rowsWhere(x, (n) => y.data[n] === 3)));
    same(PrototypeHead.fit(...part((n) => y.data[n] !== 2), { kind, classes: 4 }).update(...part((n) => y.data[n] === 2)));
    const before = PrototypeHead.fit(x, y, { kind });
    const scores = before.logits(probe);
    before.addClass(probe).update(probe, new Int32Array(20));
    expectExact(before.logits(probe), scores);
  });

  it("gives the density of a row as logSumExp, which falls far from the classes", () => {
    const { x, y } = blobs(400, 3, 2, 5);
    for (const kind of ["tied", "diagonal"] as const) {
      const density = logSumExp(PrototypeHead.fit(x, y, { kind }).logits([[5, 5, 5], [50, 50, 50]])).data;
      expect(density[0] - density[1]).toBeGreaterThan(100);
    }
    // One class of variance 1 around 0: the density of the normal distribution at its mean.
    const one = PrototypeHead.fit([[-1, -1], [1, 1], [-1, 1], [1, -1]], [0, 0, 0, 0], { kind: "tied", shrinkage: 0 });
    expectClose(one.logits([0, 0]).item(), -Math.log(2 * Math.PI), { rtol: 1e-7 });
  });

  it("scores a class without a row -Infinity, takes single rows, one class, and features that do not vary", () => {
    for (const kind of kinds) {
      const head = PrototypeHead.fit([[1, 5], [2, 5], [9, 5]], [0, 0, 2], { kind, classes: 4 });
      const z = head.logits([[1, 5], [9, 5]]);
      expect([z.at(0, 1), z.at(0, 3), z.at(1, 1)]).toEqual([-Infinity, -Infinity, -Infinity]);
      expect([z.at(0, 0) > z.at(0, 2), z.at(1, 2) > z.at(1, 0), head.counts]).toEqual([true, true, [2, 0, 1, 0]]);
      expect(PrototypeHead.fit([[1, 2], [3, 5]], [0, 0], { kind }).logits([1, 1]).shape).toEqual([1]);
    }
    const wide = blobs(6, 20, 2, 3);
    expect(PrototypeHead.fit(wide.x, wide.y, { kind: "tied" }).logits(wide.x).data.every(Number.isFinite)).toBe(true);
  });

  it("treats CSR rows as the dense ones", () => {
    const { x, y } = blobs(50, 6, 3, 6);
    for (const kind of kinds) {
      const head = PrototypeHead.fit(toCsr(x), y, { kind });
      expectExact(head.logits(toCsr(x)), PrototypeHead.fit(x, y, { kind }).logits(x));
    }
  });

  it("is the same alone and in pieces", async () => {
    const { x, y } = blobs(3000, 100, 5, 10);
    for (const kind of kinds) expectExact((await PrototypeHead.fitAsync(x, y, { kind })).logits(x.data.subarray(0, 100)), PrototypeHead.fit(x, y, { kind }).logits(x.data.subarray(0, 100)));
  });
});

const data = blobs(60, 4, 3, 1);
const probe = blobs(20, 4, 3, 12).x;

describe.each(kinds)("PrototypeHead of kind %s", (kind) => {
  it.each(estimatorChecks<PrototypeHead>({
    name: "PrototypeHead",
    data: [data.x, data.y],
    fit: (x, y) => PrototypeHead.fit(x, y, { kind, classes: 4 }),
    output: (head) => [head.logits(probe), head.update(probe, new Int32Array(20)).logits(probe), { shape: [4], data: head.counts as number[] }],
    fromJSON: (json) => PrototypeHead.fromJSON(json),
    // Sums in another order: float64, for "tied" float32 in blocks; then the rounding of logits up to 100.
    rowOrder: kind === "tied" ? { rtol: 1e-5, atol: 1e-4 } : { rtol: 1e-6, atol: 1e-5 },
    wrongWidth: [(head) => head.logits([[1, 2, 3]]), (head) => head.logits([1]), (head) => head.update([[1]], [0]), (head) => head.addClass([[1]])],
    invariants: [{ name: "scores one row as it scores a batch", holds: (head) => {
      const all = head.logits(probe);
      for (let n = 0; n < 20; n++) expectExact(head.logits(probe.data.subarray(4 * n, 4 * n + 4)), { shape: [4], data: Float64Array.from(all.row(n).data) });
    } }],
  }))("$name", ({ run }) => run());

  it("answers NaN for a row with NaN", () => {
    const head = PrototypeHead.fit(data.x, data.y, { kind });
    expectExact(head.logits([1, NaN, 3, 4]), [NaN, NaN, NaN]);
    expectExact(head.logits([[1, NaN, 3, 4], [1, 2, 3, 4]]).row(1), Array.from(head.logits([1, 2, 3, 4]).data));
    expect(head.logits({ data: new Float32Array(0), shape: [0, 4] }).shape).toEqual([0, 3]);
    const again = scorerFromJSON(JSON.parse(JSON.stringify(head)));
    expect(again).toBeInstanceOf(PrototypeHead);
  });
});

describe("PrototypeHead", () => {
  it("has no direction for a row of zeros", () => {
    expectExact(PrototypeHead.fit([[1, 0], [0, 1]], [0, 1], { kind: "cosine" }).logits([0, 0]), [NaN, NaN]);
    expectExact(PrototypeHead.fit([[1, 0], [-1, 0], [0, 1]], [0, 0, 1], { kind: "cosine" }).logits([0, 2]), [0, 10]);
  });

  it("names what is wrong", () => {
    const message = (run: () => unknown): string => { try { run(); } catch (error) { return String(error); } return "no error"; };
    const x = [[1, 2], [3, 5]];
    expect(message(() => PrototypeHead.fit(x, [0, 1], { kind: "median" as never }))).toMatchInlineSnapshot(`"RangeError: PrototypeHead.fit: expected \`kind\` "mean", "tied", "diagonal" or "cosine", got median"`);
    expect(message(() => PrototypeHead.fit(x, [0, 1], { kind: "mean", scale: 2 }))).toMatchInlineSnapshot(`"RangeError: PrototypeHead.fit: expected \`scale\` only with kind "cosine", got it with "mean""`);
    expect(message(() => PrototypeHead.fit(x, [0, 1], { kind: "cosine", prior: "uniform" }))).toMatchInlineSnapshot(`"RangeError: PrototypeHead.fit: expected \`prior\` only with kind "tied" or "diagonal", got it with "cosine""`);
    expect(message(() => PrototypeHead.fit(x, [0, 1], { kind: "tied", prior: "none" as never }))).toMatchInlineSnapshot(`"RangeError: PrototypeHead.fit: expected \`prior\` "empirical" or "uniform", got none"`);
    expect(message(() => PrototypeHead.fit(x, [0, 1], { kind: "tied", shrinkage: 2 }))).toMatchInlineSnapshot(`"RangeError: PrototypeHead.fit: expected \`shrinkage\` in [0, 1], got 2"`);
    expect(message(() => PrototypeHead.fit(x, [0, 1], { kind: "diagonal", smoothing: -1 }))).toMatchInlineSnapshot(`"RangeError: PrototypeHead.fit: expected \`smoothing\` a finite number >= 0, got -1"`);
    expect(message(() => PrototypeHead.fit(x, [0, 1], { kind: "cosine", scale: 0 }))).toMatchInlineSnapshot(`"RangeError: PrototypeHead.fit: expected \`scale\` a finite number > 0, got 0"`);
    expect(message(() => PrototypeHead.fit([1, 2], [0, 1], { kind: "mean" }))).toMatchInlineSnapshot(`"RangeError: PrototypeHead.fit: expected \`features\` of shape [N, F], got [2]"`);
    expect(message(() => PrototypeHead.fit({ data: new Float32Array(0), shape: [0, 2] }, [], { kind: "mean" }))).toMatchInlineSnapshot(`"RangeError: PrototypeHead.fit: expected \`features\` with at least one row and one column, got shape [0, 2]"`);
    expect(message(() => PrototypeHead.fit(x, [0], { kind: "mean" }))).toMatchInlineSnapshot(`"RangeError: PrototypeHead.fit: expected \`labels\` of shape [2], got [1]"`);
    expect(message(() => PrototypeHead.fit(x, [0, 2], { kind: "mean", classes: 2 }))).toMatchInlineSnapshot(`"RangeError: PrototypeHead.fit: expected \`labels\` in [0, 2), got 2 at index 1"`);
    expect(message(() => PrototypeHead.fit([[1, 2], [NaN, 5]], [0, 1], { kind: "mean" }))).toMatchInlineSnapshot(`"RangeError: PrototypeHead.fit: expected \`features\` of finite numbers, got NaN in row 1, column 0"`);
    expect(message(() => PrototypeHead.fit([[1, 2], [0, 0]], [0, 1], { kind: "cosine" }))).toMatchInlineSnapshot(`"RangeError: PrototypeHead.fit: expected \`features\` with a direction in each row, got only zeros in row 1"`);
    expect(message(() => PrototypeHead.fit(x, [0, 1], { kind: "tied" }))).toMatchInlineSnapshot(`"RangeError: PrototypeHead.fit: expected \`features\` that vary within a class, got 2 rows that equal their class means"`);
    expect(message(() => PrototypeHead.fit([[1, 1], [2, 2], [3, 3]], [0, 0, 0], { kind: "tied", shrinkage: 0 }))).toMatchInlineSnapshot(`"RangeError: PrototypeHead.fit: expected \`shrinkage\` that makes the covariance invertible, got 0: feature 1 is a combination of the features before it. Raise it"`);
    expect(message(() => PrototypeHead.fit([[1, 2], [1, 2]], [0, 0], { kind: "diagonal" }))).toMatchInlineSnapshot(`"RangeError: PrototypeHead.fit: expected \`smoothing\` that leaves no variance 0, got 1e-9: feature 0 does not vary in class 0. No feature varies"`);
    expect(message(() => PrototypeHead.fit(x, [0, 1], { kind: "diagonal", smoothing: 0 }))).toMatchInlineSnapshot(`"RangeError: PrototypeHead.fit: expected \`smoothing\` that leaves no variance 0, got 0: feature 0 does not vary in class 0. Raise it"`);
    const head = PrototypeHead.fit(x, [0, 1], { kind: "mean" });
    expect(message(() => head.addClass({ data: new Float32Array(0), shape: [0, 2] }))).toMatchInlineSnapshot(`"RangeError: PrototypeHead.addClass: expected \`rows\` with at least one row, got shape [0, 2]"`);
    expect(message(() => head.update([[1, Infinity]], [0]))).toMatchInlineSnapshot(`"RangeError: PrototypeHead.update: expected \`rows\` of finite numbers, got Infinity in row 0, column 1"`);
    expect(message(() => head.update(x, [0, 2]))).toMatchInlineSnapshot(`"RangeError: PrototypeHead.update: expected \`labels\` in [0, 2), got 2 at index 1"`);
    expect(message(() => head.update(x, [0]))).toMatchInlineSnapshot(`"RangeError: PrototypeHead.update: expected \`labels\` of shape [2], got [1]"`);
    expect(message(() => head.logits([[1, 2, 3]]))).toMatchInlineSnapshot(`"RangeError: PrototypeHead.logits: expected \`features\` of 2 columns, got shape [1, 3]"`);
    const json = JSON.parse(JSON.stringify(head));
    const none = { dtype: "int32", shape: [0, 2, 2], data: "" };
    expect(message(() => PrototypeHead.fromJSON({ ...json, counts: { dtype: "int32", shape: [2], data: "AAAAAAAAAAA=" } }))).toMatchInlineSnapshot(`"FormatError: PrototypeHead.fromJSON: expected \`counts\` numbers >= 0, one of them above, got others"`);
    expect(message(() => PrototypeHead.fromJSON({ ...json, means: { ...none, shape: [0, 2, 3] } }))).toMatchInlineSnapshot(`"FormatError: PrototypeHead.fromJSON: expected \`means\` pairs of int32, got shape [0, 2, 3]"`);
    expect(message(() => PrototypeHead.fromJSON({ ...json, means: none }))).toMatchInlineSnapshot(`"FormatError: PrototypeHead.fromJSON: expected \`means\` 2 rows of at least one number, got 0 of 2"`);
    expect(message(() => PrototypeHead.fromJSON({ ...json, scatter: { ...none, shape: [0, 3, 2] } }))).toMatchInlineSnapshot(`"FormatError: PrototypeHead.fromJSON: expected \`scatter\` 0 rows of 2 numbers, got 0 of 3"`);
    expect(message(() => PrototypeHead.fromJSON({ ...json, kind: "diagonal" }))).toMatchInlineSnapshot(`"FormatError: PrototypeHead.fromJSON: expected \`scatter\` 2 rows of 2 numbers, got 0 of 2"`);
    const nan = Buffer.from(Float64Array.of(1, 2, NaN, 4).buffer).toString("base64");
    expect(message(() => PrototypeHead.fromJSON({ ...json, means: { dtype: "int32", shape: [2, 2, 2], data: nan } }))).toMatchInlineSnapshot(`"FormatError: PrototypeHead.fromJSON: expected \`means\` finite numbers, got NaN at index 2"`);
    const zeros = { dtype: "int32", shape: [2, 2, 2], data: Buffer.from(new Float64Array(4).buffer).toString("base64") };
    expect(message(() => PrototypeHead.fromJSON({ ...json, kind: "tied", scatter: zeros }))).toMatchInlineSnapshot(`"FormatError: PrototypeHead.fromJSON: expected \`features\` that vary within a class, got 2 rows that equal their class means"`);
  });
});

import { chiSquareSurvival } from "@logits/statistics";
import { detectorChecks, estimatorChecks, expectClose, expectExact, testRandom, type Plain } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import fixture from "./fixtures/mahalanobis.json" with { type: "json" };
import { FeatureStatistics, MahalanobisDetector, type MahalanobisDetectorJSON } from "./index.ts";
import { mahalanobisRef } from "./mahalanobis.ref.ts";


const plain = (data: Float32Array, width: number): Plain => ({ dtype: "float32", shape: [data.length / width, width], data });
const labelsOf = (data: Int32Array): Plain<Int32Array> => ({ dtype: "int32", shape: [data.length], data });
const list = (x: Plain): number[][] => Array.from({ length: x.shape[0] }, (_, i) => Array.from(x.data.subarray(i * x.shape[1], (i + 1) * x.shape[1])));

/** Rows around class centres; each feature leans on the one before it. */
function world(n: number, f: number, classes: number, stream: number, spread = 2): { x: Plain; y: Plain<Int32Array> } {
  const random = testRandom(stream), centres = testRandom(1000 + f);
  const means = Float32Array.from({ length: classes * f }, () => spread * centres.normal());
  const y = Int32Array.from({ length: n }, (_, i) => (i < classes ? i : random.integer(classes))), x = new Float32Array(n * f);
  for (let i = 0; i < n; i++) for (let j = 0, last = 0; j < f; j++) x[i * f + j] = means[y[i] * f + j] + (last = random.normal() + 0.5 * last);
  return { x: plain(x, f), y: labelsOf(y) };
}

const scores = (detector: MahalanobisDetector, features: Plain | number[][]): number[] => Array.from(detector.score({ features }).data);

function decode(json: { readonly data: string }): Float32Array {
  return new Float32Array(Uint8Array.from(atob(json.data), (c) => c.charCodeAt(0)).buffer);
}

/** |score - exact| of a detector's own float32 numbers, in units of the stated bound. */
function excess(json: MahalanobisDetectorJSON, row: readonly number[], got: number): number {
  const f = json.features, w = decode(json.whitening), mean = decode(json.mean), means = decode(json.means);
  let best = Infinity, error = 0;
  const white = new Float64Array(f);
  for (let i = 0, p = 0, squares = 0; i < f; i++) {
    let size = 0;
    for (let j = 0; j <= i; j++, p++) {
      white[i] += w[p] * (row[j] - mean[j]);
      size += Math.abs(w[p] * (row[j] - mean[j]));
    }
    // The centred feature is rounded, then up to 256 products a block, and the blocks are added.
    squares += ((Math.min(f, 256) + f / 256 + 2) * 2 ** -24 * size) ** 2;
    error = Math.sqrt(squares);
  }
  for (let c = 0; c < means.length / f; c++) best = Math.min(best, white.reduce((sum, v, i) => sum + (v - means[c * f + i]) ** 2, 0));
  return Math.abs(got - best) / (2 * Math.sqrt(best) * error + error ** 2 + (f / 16 + 8) * 2 ** -24 * best);
}

describe("MahalanobisDetector.parameters", () => {
  it("are what the score is made of, as copies", () => {
    const { x, y } = world(60, 4, 3, 5), detector = MahalanobisDetector.fit(x, y), { mean, whitening, means } = detector.parameters(), rows = world(7, 4, 3, 6).x;
    expect([mean.shape, whitening.shape, means.shape]).toEqual([[4], [4, 4], [3, 4]]);
    const before = scores(detector, rows), want = list(rows).map((row) => {
      const white = Array.from({ length: 4 }, (_, i) => row.reduce((sum, value, j) => sum + whitening.data[i * 4 + j] * (value - mean.data[j]), 0));
      return Math.min(...Array.from({ length: 3 }, (_, k) => white.reduce((sum, value, i) => sum + (value - means.data[k * 4 + i]) ** 2, 0)));
    });
    // Some twenty roundings of float32.
    expectClose(before, want, { rtol: 1e-5, atol: 1e-5 });
    for (const copy of [mean, whitening, means]) copy.data.fill(7);
    expectExact(scores(detector, rows), before);
  });
});

describe("agrees with the definition", () => {
  it.each([[40, 1, 1], [60, 2, 3], [80, 5, 2], [150, 9, 4], [300, 33, 3]])("[paper:a-simple-unified-framework-for-detecting-out-of-distribution] for N = %i, F = %i, C = %i", (n, f, classes) => {
    const { x, y } = world(n, f, classes, n), rows = world(10, f, Math.min(classes, 10), 77).x;
    const detector = MahalanobisDetector.fit(x, y), got = scores(detector, rows);
    expect([detector.shrinkage, detector.deadFeatures, detector.n, detector.classes, detector.features]).toEqual([0, 0, n, classes, f]);
    // The scatter errs by about 1e-6 of its diagonal and W is rounded to 2^-24: times a condition of at most 30.
    list(rows).forEach((row, i) => expectClose(got[i], mahalanobisRef(list(x), y.data, row), { rtol: 3e-5 }));
  });

  it("its float32 arithmetic stays within the stated bound, near and far, for narrow and wide features", () => {
    for (const [n, f] of [[50, 3], [400, 40], [700, 300]]) {
      const { x, y } = world(n, f, 5, f);
      const detector = MahalanobisDetector.fit(x, y), json = detector.toJSON(), random = testRandom(f);
      for (const reach of [0.1, 1, 30, 1e6]) {
        const rows = plain(Float32Array.from({ length: 6 * f }, () => reach * random.normal()), f);
        scores(detector, rows).forEach((score, i) => expect(excess(json, list(rows)[i], score)).toBeLessThanOrEqual(1));
      }
    }
  });

  it.each(fixture.cases.map((c) => [c.name, c] as const))("[paper:a-simple-unified-framework-for-detecting-out-of-distribution] scikit-learn's covariance and discriminant analysis: %s", (_, { shape, classes, condition, features, labels, rows, scores: want }) => {
    const detector = MahalanobisDetector.fit(plain(Float32Array.from(features), shape[1]), labelsOf(Int32Array.from(labels)), { classes });
    // Blocks of at most 256 rows in float32: about 3e-7 of the variances, which the inverse multiplies by the condition of the correlation matrix.
    expectClose(scores(detector, plain(Float32Array.from(rows), shape[1])), want, { rtol: 3e-7 * (10 + condition) });
  });

  it("Gaussian rows score as chi-square numbers", () => {
    const f = 8, fit = world(20000, f, 1, 1), fresh = world(4000, f, 1, 2);
    const got = scores(MahalanobisDetector.fit(fit.x, fit.y), fresh.x);
    // Mean F and variance 2 F: 4 standard errors; the fit itself moves the mean by about F^2 / N.
    expect(Math.abs(got.reduce((a, b) => a + b) / 4000 - f)).toBeLessThan(4 * Math.sqrt((2 * f) / 4000) + 0.01);
    const p = got.map((score) => chiSquareSurvival(score, f)).sort((a, b) => a - b);
    // Kolmogorov-Smirnov at one in a thousand: 1.95 / sqrt(n).
    p.forEach((value, i) => expect(Math.abs(value - (i + 0.5) / 4000)).toBeLessThan(1.95 / Math.sqrt(4000) + 0.002));
  });

  it("rows of the fit score F on average where each is nearest to its own class", () => {
    const { x, y } = world(500, 12, 4, 3, 50);
    const got = scores(MahalanobisDetector.fit(x, y), x);
    // trace(inv(S) S) = F, exactly up to the error of the scatter and of float32 scores.
    expectClose(got.reduce((a, b) => a + b) / 500, 12, { rtol: 1e-5 });
  });
});

describe("laws", () => {
  const { x, y } = world(400, 6, 3, 4), probe = world(50, 6, 3, 5).x;
  const base = scores(MahalanobisDetector.fit(x, y), probe);

  it("[paper:a-simple-unified-framework-for-detecting-out-of-distribution] any invertible affine map of the features changes nothing: rotation, scale, shear, offset", () => {
    const random = testRandom(6);
    const maps: number[][][] = [
      [[0.6, -0.8, 0, 0, 0, 0], [0.8, 0.6, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 1, 0], [0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, -1]],
      Array.from({ length: 6 }, (_, i) => Array.from({ length: 6 }, (_, j) => (i === j ? 10 ** (i - 3) : 0))),
      Array.from({ length: 6 }, (_, i) => Array.from({ length: 6 }, (_, j) => (i === j ? 2 : 0.3 * random.normal()))),
    ];
    for (const map of maps) {
      const moved = (rows: Plain): Plain => plain(Float32Array.from(list(rows).flatMap((row) => map.map((m) => m.reduce((sum, v, j) => sum + v * row[j], 3)))), 6);
      // Each row is rounded to float32 again: 2^-24 of its size, about 10 standard deviations, in each of six features.
      expectClose(scores(MahalanobisDetector.fit(moved(x), y), moved(probe)), base, { rtol: 1e-4, atol: 1e-4 });
    }
  });

  it("the names of the classes do not matter", () => {
    const renamed = labelsOf(y.data.map((label) => [5, 0, 3][label]));
    const detector = MahalanobisDetector.fit(x, renamed);
    expect(detector.supportedClasses).toEqual([0, 3, 5]);
    expect(detector.classes).toBe(6);
    expectClose(scores(detector, probe), base, { rtol: 1e-5 });
  });

  it("from statistics, whole or merged, is the same", () => {
    const statistics = (from: number, to: number): FeatureStatistics => new FeatureStatistics({ classes: 3, features: 6 }).update({ features: plain(x.data.subarray(6 * from, 6 * to), 6), labels: y.data.subarray(from, to) });
    expectExact(scores(MahalanobisDetector.from(statistics(0, 400)), probe), base);
    expectClose(scores(MahalanobisDetector.from(statistics(250, 400).merge(statistics(0, 250))), probe), base, { rtol: 2e-6 });
  });

  it("[paper:a-simple-unified-framework-for-detecting-out-of-distribution] a class that comes later needs no rows of the others: grown and merged statistics are the fit on all", () => {
    const own = (classes: number, keep: (c: number) => boolean): FeatureStatistics => {
      const rows = Array.from(y.data.keys()).filter((n) => keep(y.data[n]));
      return new FeatureStatistics({ classes, features: 6 }).update({ features: plain(Float32Array.from(rows.flatMap((n) => list(x)[n])), 6), labels: labelsOf(Int32Array.from(rows, (n) => y.data[n])) });
    };
    const kept = FeatureStatistics.fromBytes(own(2, (c) => c < 2).toBytes());
    expect(MahalanobisDetector.from(kept).supportedClasses).toEqual([0, 1]);
    const grown = MahalanobisDetector.from(kept.grow(3).merge(own(3, (c) => c === 2)));
    expect(grown.supportedClasses).toEqual([0, 1, 2]);
    // Other blocks of rows, in float32.
    expectClose(scores(grown, probe), base, { rtol: 1e-5 });
  });

  it("fitAsync gives the same bits, tells its progress and stops", async () => {
    const shares: number[] = [];
    const detector = await MahalanobisDetector.fitAsync(x, y, { onProgress: (share) => shares.push(share) });
    expectExact(scores(detector, probe), base);
    expect(shares.at(-1)).toBe(1);
    await expect(MahalanobisDetector.fitAsync(x, y, { signal: AbortSignal.abort(new Error("stop")) })).rejects.toThrow("stop");
  });
});

describe("where the covariance is singular, nothing is ignored", () => {
  it("a feature that never varied scores higher the further it leaves its constant", () => {
    const { x, y } = world(300, 5, 2, 7);
    for (const constant of [0, 1, -1000]) {
      const dead = plain(Float32Array.from({ length: 300 * 6 }, (_, i) => (i % 6 === 3 ? constant : x.data[Math.floor(i / 6) * 5 + (i % 6 > 3 ? (i % 6) - 1 : i % 6)])), 6);
      const detector = MahalanobisDetector.fit(dead, y);
      expect([detector.deadFeatures, detector.shrinkage]).toEqual([1, 0]);
      const row = (value: number): number[] => list(dead)[5].map((v, j) => (j === 3 ? value : v));
      // At its constant the other features score as without it.
      const without = scores(MahalanobisDetector.fit(x, y), [list(x)[5]])[0];
      expectClose(scores(detector, [row(constant)])[0], without, { rtol: 1e-5 });
      // A typical standard deviation of the others is 1.15; a thousandth of it adds about 1.
      const reach = [1e-3, 1e-2, 0.1, 1, 10, 1e3].map((d) => scores(detector, [row(constant + d)])[0] - without);
      expect(reach[0]).toBeGreaterThan(constant === -1000 ? 0.5 : 0.7);
      expect(reach[0]).toBeLessThan(1.5);
      reach.forEach((value, i) => i > 0 && expect(value).toBeGreaterThan(50 * reach[i - 1]));
    }
  });

  it("a feature that varies only between classes is a dead one: it must keep the value of the class", () => {
    const { x, y } = world(300, 3, 2, 8);
    const marked = plain(Float32Array.from({ length: 1200 }, (_, i) => (i % 4 === 3 ? 0.1 + 7 * y.data[i >> 2] : x.data[(i >> 2) * 3 + (i % 4)])), 4);
    const detector = MahalanobisDetector.fit(marked, y);
    expect(detector.deadFeatures).toBe(1);
    const row = list(marked)[9];
    expect(scores(detector, [[...row.slice(0, 3), row[3] + 1]])[0]).toBeGreaterThan(1e4 + scores(detector, [row])[0]);
  });

  it("a repeated feature: rows that break the repetition score high, the others about as without it", () => {
    const { x, y } = world(400, 4, 2, 9);
    const twice = plain(Float32Array.from({ length: 2000 }, (_, i) => x.data[Math.floor(i / 5) * 4 + Math.min(i % 5, 3)]), 5);
    const detector = MahalanobisDetector.fit(twice, y);
    expect(detector.shrinkage).toBeGreaterThan(0);
    expect(detector.shrinkage).toBeLessThanOrEqual(1e-5);
    const once = scores(MahalanobisDetector.fit(x, y), x), got = scores(detector, twice);
    // lambda moves the score by about lambda times the condition; the repetition itself is exact in these rows.
    got.forEach((score, i) => expectClose(score, once[i], { rtol: 2e-3, atol: 2e-3 }));
    const broken = list(twice)[0].map((v, j) => (j === 4 ? v + 0.1 : v));
    expect(scores(detector, [broken])[0]).toBeGreaterThan(100 * got[0]);
  });

  it("fewer rows than features: shrinks by the oracle-approximating rule, and new rows, which leave the span of the fit, score higher than its own", () => {
    const { x, y } = world(30, 80, 2, 10), detector = MahalanobisDetector.fit(x, y);
    const { scatter } = new FeatureStatistics({ classes: 2, features: 80 }).update({ features: x, labels: y }).finish();
    let squares = 0;
    for (let i = 0; i < 80; i++) for (let j = 0; j < 80; j++) squares += scatter[80 * i + j] ** 2 / (scatter[81 * i] * scatter[81 * j]);
    // The same sums in another order.
    expectClose(detector.shrinkage, ((1 - 2 / 80) * squares + 80 ** 2) / ((28 + 1 - 2 / 80) * (squares - 80)), { rtol: 1e-12 });
    const mean = (rows: Plain): number => scores(detector, rows).reduce((a, b) => a + b) / rows.shape[0];
    expect(mean(world(200, 80, 2, 11).x)).toBeGreaterThan(1.3 * mean(x));
    // Two rows of one class: one direction that varies, of two. diag(S) alone is left.
    expect(MahalanobisDetector.fit([[0, 0], [1, 1]], [0, 0]).shrinkage).toBe(1);
  });

  it("fewer rows than features: tells another distribution apart where a tiny ridge would drown it in the directions that the fit never saw", () => {
    const f = 128, random = testRandom(20), loadings = Array.from({ length: 16 }, () => Array.from({ length: f }, () => random.normal() / 4));
    const rows = (n: number, reach: number): Plain => plain(Float32Array.from(Array.from({ length: n }, () => {
      const z = loadings.map(() => reach * random.normal());
      return Array.from({ length: f }, (_, j) => 0.1 * random.normal() + z.reduce((sum, v, k) => sum + v * loadings[k][j], 0));
    }).flat()), f);
    const train = rows(80, 1), usual = rows(200, 1), other = rows(200, 1.3);
    const area = (detector: MahalanobisDetector): number => {
      const [a, b] = [usual, other].map((x) => scores(detector, x));
      return b.reduce((sum, score) => sum + a.filter((low) => low < score).length, 0) / 40000;
    };
    const labels = labelsOf(new Int32Array(80));
    // 200 rows each: a standard error of about 0.03.
    expect(area(MahalanobisDetector.fit(train, labels))).toBeGreaterThan(area(MahalanobisDetector.fit(train, labels, { shrinkage: 1e-5 })) + 0.1);
  });

  it("rows that are all repeated change nothing", () => {
    const { x, y } = world(200, 5, 2, 12);
    const doubled = MahalanobisDetector.fit(plain(Float32Array.from([...x.data, ...x.data]), 5), labelsOf(Int32Array.from([...y.data, ...y.data])));
    expectClose(scores(doubled, x), scores(MahalanobisDetector.fit(x, y), x), { rtol: 1e-5 });
  });

  it("shrinkage that is asked for is used, 1 leaves the variances alone", () => {
    const { x, y } = world(300, 4, 1, 13), detector = MahalanobisDetector.fit(x, y, { shrinkage: 1 });
    expect(detector.shrinkage).toBe(1);
    const { scatter, means } = new FeatureStatistics({ classes: 1, features: 4 }).update({ features: x, labels: y }).finish();
    const row = [1, -2, 0.5, 3];
    expectClose(scores(detector, [row])[0], row.reduce((sum, v, j) => sum + (v - means[j]) ** 2 / (scatter[5 * j] / 300), 0), { rtol: 1e-6 });
  });
});

describe("special values", () => {
  it("one class and one feature: the squared z-score; one row more than its mean is enough", () => {
    const detector = MahalanobisDetector.fit([[1], [3]], [0, 0]);
    expect(scores(detector, [[2], [3], [5], [-1]])).toEqual([0, 1, 9, 9]);
  });

  it("a class without rows is left out and said", () => {
    const detector = MahalanobisDetector.fit([[0], [2], [10], [12]], [0, 0, 3, 3], { classes: 5 });
    expect(detector.supportedClasses).toEqual([0, 3]);
    expect(scores(detector, [[11], [1], [6]])).toEqual([0, 0, 25]);
    expect(MahalanobisDetector.fromJSON(JSON.parse(JSON.stringify(detector))).supportedClasses).toEqual([0, 3]);
  });

  it("rows with infinities, or beyond float32, are infinitely far; NaN stays NaN", () => {
    const detector = MahalanobisDetector.fit([[0, 0], [2, 0], [0, 2], [2, 2]], [0, 0, 0, 0]);
    expect(scores(detector, [[1, 1], [Infinity, 1], [1, -Infinity], [Infinity, -Infinity], [3e38, -3e38], [NaN, Infinity], [1, NaN], [4, 1]])).toEqual([0, Infinity, Infinity, Infinity, Infinity, NaN, NaN, 9]);
  });

  it("recognises the rows of the fit, in memory only", () => {
    const { x, y } = world(100, 4, 2, 14), detector = MahalanobisDetector.fit(x, y), fresh = world(10, 4, 2, 15).x;
    expect(detector.fingerprints?.firstShared(fresh)).toBe(-1);
    expect(detector.fingerprints?.firstShared(plain(Float32Array.from([...fresh.data, ...x.data.subarray(40, 44)]), 4))).toBe(10);
    expect(MahalanobisDetector.fromJSON(JSON.parse(JSON.stringify(detector))).fingerprints).toBe(undefined);
  });

  it("gives its memory back", () => {
    const detector = MahalanobisDetector.fit([[1], [3]], [0, 0]);
    detector.score({ features: [[1]] });
    detector.dispose();
    expect(() => detector.score({ features: [[1]] })).toThrowErrorMatchingInlineSnapshot(`[DisposedError: Detector: expected one that is in use, got one after dispose()]`);
  });
});

describe("batteries", () => {
  const { x, y } = world(300, 6, 3, 16), usual = world(40, 6, 3, 17).x;
  const far = plain(Float32Array.from([30, 60, 1e3, 1e6, 1e15].flatMap((reach) => [1, -1, 1, 1, -1, 1].map((sign) => sign * reach))), 6);
  it.each(estimatorChecks<MahalanobisDetector>({
    name: "MahalanobisDetector",
    data: [x, y],
    fit: (features, labels) => MahalanobisDetector.fit(features, labels),
    output: (detector) => detector.score({ features: usual }),
    fromJSON: MahalanobisDetector.fromJSON,
    rowOrder: { rtol: 1e-5 }, // blocks of other rows, in float32
    wrongWidth: [(detector) => detector.score({ features: [[1, 2, 3]] })],
    base64: ["mean.data", "whitening.data", "means.data"],
  }))("$name", ({ run }) => run());
  it.each(detectorChecks({ name: "MahalanobisDetector", make: () => MahalanobisDetector.fit(x, y), fromJSON: MahalanobisDetector.fromJSON, usual, far }))("$name", ({ run }) => run());
});

it("says what is wrong", () => {
  const fit = (features: number[][], labels: number[], options = {}) => () => MahalanobisDetector.fit(features, labels, options);
  expect(fit([[1, 2], [3, NaN]], [0, 0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: MahalanobisDetector.fit: expected \`features\` of finite numbers, got NaN in row 1, column 1]`);
  expect(fit([[1, 2], [3, Infinity]], [0, 0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: MahalanobisDetector.fit: expected \`features\` of finite numbers, got Infinity in row 1, column 1]`);
  expect(fit([[1], [2]], [0, -1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: MahalanobisDetector.fit: expected \`labels\` in [0, 1), got -1 at index 1]`);
  expect(fit([[1], [2]], [0, 2], { classes: 2 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: MahalanobisDetector.fit: expected \`labels\` in [0, 2), got 2 at index 1]`);
  expect(fit([[1], [2]], [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: MahalanobisDetector.fit: expected \`labels\` of shape [2], got [1]]`);
  expect(fit([[1], [2]], [0, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: MahalanobisDetector.fit: expected \`features\` that vary within a class, got 2 rows that equal their class means]`);
  expect(fit([[1], [2]], [0, 0], { shrinkage: 2 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: MahalanobisDetector.fit: expected \`shrinkage\` in [0, 1], got 2]`);
  expect(fit([[1, 1], [2, 2]], [0, 0], { shrinkage: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: MahalanobisDetector.fit: expected \`shrinkage\` that makes the covariance invertible, got 0: feature 1 is a combination of the features before it. Leave it out to have the least that does]`);
  expect(fit([[0, 0], [1e25, 1]], [0, 0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: MahalanobisDetector.fit: expected \`features\` of a scale that float32 can square and divide by, got standard deviations from 0.5 to Infinity. Rescale the features]`);
  expect(fit([[0], [1e-43]], [0, 0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: MahalanobisDetector.fit: expected \`features\` that vary within a class, got 2 rows that equal their class means]`);
  expect(() => MahalanobisDetector.fit({ data: new Float32Array(0), shape: [0, 2] }, new Int32Array(0))).toThrowErrorMatchingInlineSnapshot(`[RangeError: MahalanobisDetector.fit: expected \`features\` of shape [N, F], N >= 1 and F >= 1, got [0, 2]]`);
  expect(() => MahalanobisDetector.from(new FeatureStatistics({ classes: 1, features: 1 }))).toThrowErrorMatchingInlineSnapshot(`[RangeError: MahalanobisDetector.from: expected \`statistics\` of at least one row, got none]`);
  expect(() => MahalanobisDetector.from({} as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: MahalanobisDetector.from: expected \`statistics\` a FeatureStatistics, got Object]`);
  const detector = MahalanobisDetector.fit([[1], [2]], [0, 0]);
  expect(() => detector.score({ features: [[1, 2]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: MahalanobisDetector.score: expected \`features\` of shape [..., 1], got [1, 2]]`);
  expect(() => detector.score({ logits: [[1, 2]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: MahalanobisDetector.score: expected \`rows\` with \`features\`, got logits]`);
  const json = detector.toJSON();
  expect(() => MahalanobisDetector.fromJSON({ ...json, supportedClasses: { dtype: "int32", shape: [1], data: "AQAAAA==" } })).toThrowErrorMatchingInlineSnapshot(`[FormatError: MahalanobisDetector.fromJSON: expected \`supportedClasses\` ascending in [0, 1), got 1 at index 0]`);
  expect(() => MahalanobisDetector.fromJSON({ ...json, whitening: { dtype: "float32", shape: [1], data: "AAAAAA==" } })).toThrowErrorMatchingInlineSnapshot(`[FormatError: MahalanobisDetector.fromJSON: expected \`whitening\` a positive diagonal, got 0 at index 0]`);
  expect(() => MahalanobisDetector.fromJSON({ ...json, features: 2 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: MahalanobisDetector.fromJSON: expected \`mean\` 2 numbers, got 1]`);
  expect(() => MahalanobisDetector.fromJSON({ ...json, supportedClasses: { dtype: "int32", shape: [0], data: "" } })).toThrowErrorMatchingInlineSnapshot(`[FormatError: MahalanobisDetector.fromJSON: expected \`supportedClasses\` at least one class, got none]`);
  expect(() => MahalanobisDetector.fromJSON({ ...json, means: { dtype: "float32", shape: [1, 2], data: "AAAAAAAAAAA=" } })).toThrowErrorMatchingInlineSnapshot(`[FormatError: MahalanobisDetector.fromJSON: expected \`means\` of shape [1, 1], got [1, 2]]`);
});

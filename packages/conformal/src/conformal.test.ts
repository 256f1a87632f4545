import { softmax } from "@logits/core-wasm";
import { checkGuarantee, cifar10Vgg16, densenetCifar100, estimatorChecks, expectClose } from "@logits/testkit";
import { randomSource, tensor } from "@logits/tensor";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { ConformalRegression, SplitConformal, coverageByClass, coverageBySize, coverageReport } from "./index.ts";
import golden from "./fixtures/golden.json" with { type: "json" };

// 10,000 repetitions of one promise take minutes on a busy machine.
if (process.env.LOGITS_SLOW) vi.setConfig({ testTimeout: 1_200_000 });

/** Rows whose labels are drawn from softmax(z / 1.7): the model is not calibrated, which the promise does not need. */
function world(rows: number, classes: number, seed: number) {
  const random = randomSource(seed);
  const data = new Float32Array(rows * classes), labels = new Int32Array(rows);
  for (let n = 0; n < rows; n++) {
    const spread = 1 + 6 * random.uniform();
    let total = 0;
    for (let c = 0; c < classes; c++) total += Math.exp((data[n * classes + c] = spread * (random.uniform() + random.uniform() - 1)) / 1.7);
    let u = random.uniform() * total;
    labels[n] = classes - 1;
    for (let c = 0; c < classes - 1; c++) if ((u -= Math.exp(data[n * classes + c] / 1.7)) < 0) { labels[n] = c; break; }
  }
  return { logits: { dtype: "float32" as const, shape: [rows, classes], data }, labels: { dtype: "int32" as const, shape: [rows], data: labels } };
}

/** Probabilities of one row, as in a batch of four (the rounding of a batch). */
const softmaxRef = (z: number[]): number[] => Array.from(softmax(tensor([z, z, z, z])).data.subarray(0, z.length));

/** The definition: scores of all classes of one row, u = 0. */
function scoresRef(p: number[], method: string): number[] {
  if (method === "lac") return p.map((q) => Math.fround(1 - q));
  const order = p.map((_, c) => c).sort((a, b) => p[b] - p[a] || a - b);
  return p.map((_, c) => Math.fround(order.slice(0, order.indexOf(c) + 1).reduce((sum, j) => sum + p[j], 0)));
}

const few = fc.array(fc.tuple(fc.array(fc.integer({ min: -3, max: 3 }), { minLength: 4, maxLength: 4 }), fc.integer({ min: 0, max: 3 })), { minLength: 1, maxLength: 25 });

describe("SplitConformal", () => {
  it.each(["lac", "aps"] as const)("%s agrees with the definition, ties included", (method) => {
    fc.assert(fc.property(few, few, fc.double({ min: 0.01, max: 0.99, noNaN: true }), (calibration, test, alpha) => {
      const fitted = SplitConformal.fit(calibration.map(([z]) => z), calibration.map(([, y]) => y), { method, randomize: false });
      const rows = (list: typeof few extends fc.Arbitrary<infer T> ? T : never) => list.map(([z]) => scoresRef(softmaxRef(z), method));
      const scores = rows(calibration).map((row, i) => row[calibration[i][1]]).sort((a, b) => a - b);
      const k = Math.ceil((scores.length + 1) * (1 - alpha) - 1e-9);
      const q = k > scores.length ? Infinity : scores[k - 1];
      expect(fitted.quantile(alpha)).toBe(q);
      const sets = fitted.predictionSet(test.map(([z]) => z), { alpha, allowEmpty: true });
      rows(test).forEach((row, i) => {
        const want = row.flatMap((score, c) => (score <= q ? [c] : []));
        expect(sets.labels(i)).toEqual(want);
        expect(sets.sizes.data[i]).toBe(want.length);
      });
    }), { seed: 8, numRuns: 150 });
  });

  it("uses the finite-sample rank, without the rounding of (n + 1)(1 - alpha)", () => {
    const { logits, labels } = world(99, 3, 1);
    const fitted = SplitConformal.fit(logits, labels);
    expect((99 + 1) * (1 - 0.1)).toBe(90);
    const scores = Array.from(labels.data, (y, n) => Math.fround(1 - softmaxRef(Array.from(logits.data.subarray(3 * n, 3 * n + 3)))[y])).sort((a, b) => a - b);
    for (let k = 1; k <= 99; k++) expect(fitted.quantile(1 - k / 100)).toBe(scores[k - 1]);
    expect(fitted.quantile(0.0099)).toBe(Infinity);
    expect(fitted.expectedCoverage(0.1).mean).toBe(0.9);
    expect(fitted.expectedCoverage(0.009)).toEqual({ mean: 1, interval: [1, 1] });
    expectClose(fitted.expectedCoverage(0.1).interval, [0.8339, 0.9508], { atol: 1e-3 }); // scipy.stats.beta(90, 10).interval(0.95)
  });

  it("gives all classes where there are too few rows", () => {
    const fitted = SplitConformal.fit([[0, 1], [1, 0]], [0, 1]);
    const sets = fitted.predictionSet([[50, -50]], { alpha: 0.1 });
    expect([sets.labels(0), sets.quantile]).toEqual([[0, 1], Infinity]);
  });

  it("adds the most probable class to an empty set unless that is allowed", () => {
    const fitted = SplitConformal.fit(Array.from({ length: 20 }, () => [10, 0, 0]), new Int32Array(20));
    expect(fitted.predictionSet([[0.1, 0.2, 0.2]], { allowEmpty: true }).labels(0)).toEqual([]);
    expect(fitted.predictionSet([[0.1, 0.2, 0.2]]).labels(0)).toEqual([1]);
  });

  it("takes impossible classes, one class and no rows", () => {
    const fitted = SplitConformal.fit([[0, -Infinity], [0, -Infinity], [0, 1], [1, 0]], [0, 0, 0, 0], { method: "aps", randomize: false });
    expect(fitted.predictionSet([[0, -Infinity]], { alpha: 0.5 }).labels(0)).toEqual([0]); // an impossible class stands one behind the certain one, whose score is the quantile
    expect(SplitConformal.fit([[3], [4]], [0, 0]).predictionSet([[1]], { alpha: 0.5 }).labels(0)).toEqual([0]);
    expect(fitted.predictionSet({ data: new Float32Array(0), shape: [0, 2] }).sizes.size).toBe(0);
  });

  it("nests: a smaller alpha gives a larger set, for each row", () => {
    for (const method of ["lac", "aps"] as const) {
      const { logits, labels } = world(300, 6, 2);
      const fitted = SplitConformal.fit(logits, labels, { method });
      const [large, small] = [0.02, 0.3].map((alpha) => fitted.predictionSet(logits, { alpha, allowEmpty: true }).mask.data);
      expect(large.every((inside, i) => inside >= small[i])).toBe(true);
      expect(large.some((inside, i) => inside > small[i])).toBe(true);
    }
  });

  it("gives a row the same set alone and in any batch", () => {
    const { logits, labels } = world(203, 7, 9);
    const fitted = SplitConformal.fit(logits, labels);
    const all = fitted.predictionSet(logits, { alpha: 0.25 });
    // At a quantile of its own scores every calibration row is decided by its last bit.
    const own = (alpha: number, from: number, to: number) => fitted.predictionSet({ data: logits.data.subarray(7 * from, 7 * to), shape: [to - from, 7] }, { alpha }).mask.data;
    for (let n = 0; n < 203; n++) expect(own(0.25, n, n + 1)).toEqual(all.mask.data.subarray(7 * n, 7 * n + 7));
    for (let k = 1; k <= 203; k++) {
      const alpha = 1 - k / 204;
      expect(coverageReport(fitted.predictionSet(logits, { alpha, allowEmpty: true }), labels).covered).toBeGreaterThanOrEqual(k);
      if (k % 20 === 0) for (let n = 0; n < 203; n += 5) expect(own(alpha, n, n + 1)).toEqual(fitted.predictionSet(logits, { alpha }).mask.data.subarray(7 * n, 7 * n + 7));
    }
  });

  it("draws by row id: the same row and id give the same set, in any batch", () => {
    const { logits, labels } = world(200, 8, 3);
    const fitted = SplitConformal.fit(logits, labels, { method: "aps", seed: 5 });
    const all = fitted.predictionSet(logits, { allowEmpty: true });
    const part = fitted.predictionSet({ data: logits.data.subarray(8 * 100, 8 * 104), shape: [4, 8] }, { allowEmpty: true, ids: [100, 101, 102, 103] });
    for (let i = 0; i < 4; i++) expect(part.labels(i)).toEqual(all.labels(100 + i));
    const other = SplitConformal.fit(logits, labels, { method: "aps", seed: 6 }).predictionSet(logits, { allowEmpty: true });
    expect(Array.from(other.sizes.data)).not.toEqual(Array.from(all.sizes.data));
  });

  const data = world(400, 5, 4), probe = world(60, 5, 5).logits;
  it.each((["lac", "aps"] as const).flatMap((method) => estimatorChecks<SplitConformal>({
    name: `SplitConformal ${method}`,
    data: [data.logits, data.labels],
    fit: (z, y) => SplitConformal.fit(z, y, { method, seed: 3 }),
    output: (fitted) => [fitted.predictionSet(probe, { alpha: 0.1 }).mask, fitted.predictionSet(probe, { alpha: 0.3 }).mask, { shape: [2], data: [fitted.quantile(0.2), fitted.n] }],
    fromJSON: SplitConformal.fromJSON,
    rowOrder: method === "lac" ? "exact" : "matters", // APS draws by the position of the calibration rows
    wrongWidth: [(fitted) => fitted.predictionSet([[1, 2, 3, 4]])],
    base64: ["scores.data"],
  })).map((check, i) => ({ ...check, name: `${i} ${check.name}` })))("$name", ({ run }) => run());
});

describe("SplitConformal.fitAsync", () => {
  it("gives what fit gives, reports progress and stops on abort", async () => {
    const { logits, labels } = world(1001, 200, 6);
    for (const method of ["lac", "aps"] as const) {
      const shares: number[] = [];
      const fitted = await SplitConformal.fitAsync(logits, labels, { method, onProgress: (share) => shares.push(share) });
      expect(fitted.toJSON()).toEqual(SplitConformal.fit(logits, labels, { method }).toJSON());
      expect(shares[0]).toBe(0);
      expect(shares.at(-1)).toBe(1);
    }
    const controller = new AbortController();
    await expect(SplitConformal.fitAsync(logits, labels, { signal: controller.signal, onProgress: () => controller.abort(new Error("stop")) })).rejects.toThrow("stop");
  });
});

describe("the promise", () => {
  const repetitions = process.env.LOGITS_SLOW ? 10000 : 400;
  it.each(["lac", "aps"] as const)("%s covers at least 1 - alpha and at most 1 / (n + 1) more, over calibration and new rows", (method) => {
    const n = 49;
    checkGuarantee({
      name: method, repetitions, kind: "marginal mean", level: 0.1, slack: 1 / (n + 1),
      simulate: (seed) => {
        const { logits, labels } = world(n + 20, 5, seed);
        const at = 5 * n;
        const fitted = SplitConformal.fit({ data: logits.data.subarray(0, at), shape: [n, 5] }, labels.data.subarray(0, n), { method, seed });
        const sets = fitted.predictionSet({ data: logits.data.subarray(at), shape: [20, 5] }, { alpha: 0.1, allowEmpty: true });
        const { covered } = coverageReport(sets, labels.data.subarray(n));
        return { successes: 20 - covered, trials: 20 };
      },
    });
  });

  it("is Beta distributed over calibration sets: the interval of expectedCoverage misses at its level, on both sides together", () => {
    for (const level of [0.8, 0.95]) {
      checkGuarantee({
        name: `Beta interval at ${level}`, repetitions, kind: "probability of exceeding", level: 1 - level, side: "both",
        simulate: (seed) => {
          // Numbers uniform on (0, 1) around 0: the coverage given the calibration rows is their quantile.
          const random = randomSource(seed, 4), n = 60 + (seed % 50);
          const fitted = ConformalRegression.fit(new Float32Array(n), Float32Array.from({ length: n }, () => random.uniform()));
          const [low, high] = fitted.expectedCoverage(0.15, level).interval, coverage = fitted.quantile(0.15);
          return coverage < low || coverage > high;
        },
      });
    }
  });

  it("the interval of coverageReport holds the coverage at its level", () => {
    const { logits, labels } = world(300, 4, 1), fitted = SplitConformal.fit(logits, labels);
    const many = world(60000, 4, 2), truth = coverageReport(fitted.predictionSet(many.logits, { alpha: 0.2, allowEmpty: true }), many.labels).coverage!;
    checkGuarantee({
      name: "Clopper-Pearson", repetitions, kind: "probability of exceeding", level: 0.1,
      simulate: (seed) => {
        const test = world(40, 4, seed + 10), [low, high] = coverageReport(fitted.predictionSet(test.logits, { alpha: 0.2, allowEmpty: true }), test.labels, { level: 0.9 }).interval!;
        // The standard error of `truth` is 0.0016: less than a fiftieth of the width of an interval.
        return truth < low || truth > high;
      },
    });
  });

  it("holds for the Beta interval of one calibration set", () => {
    const n = 199;
    let inside = 0;
    for (let seed = 0; seed < 100; seed++) {
      const { logits, labels } = world(n + 3000, 4, seed);
      const fitted = SplitConformal.fit({ data: logits.data.subarray(0, 4 * n), shape: [n, 4] }, labels.data.subarray(0, n));
      const { coverage } = coverageReport(fitted.predictionSet({ data: logits.data.subarray(4 * n), shape: [3000, 4] }, { alpha: 0.2, allowEmpty: true }), labels.data.subarray(n));
      const [low, high] = fitted.expectedCoverage(0.2, 0.9).interval;
      if (coverage! >= low && coverage! <= high) inside++;
    }
    // 90 of 100 expected, a little less for the noise of 3,000 rows: 4 standard deviations of a binomial.
    expect(inside).toBeGreaterThan(76);
  });
});

describe("real outputs", () => {
  const densenet = densenetCifar100(), vgg = cifar10Vgg16();
  const logVgg = vgg.probabilities.map((p) => Math.log(p));
  it.each(golden.cases.map((want) => ({ label: `${want.method}, ${want.name}`, want })))("give the golden sets: $label", ({ want }) => {
    const ofVgg = want.name.startsWith("cifar10");
    const [z, c, y] = ofVgg ? [logVgg, 10, vgg.labels] : [densenet.logits.map((v) => v / want.temperature!), 100, densenet.labels];
    const from = want.name.includes("[2500, 5000)") ? 2500 : 0;
    const cut = (a: number, b: number) => ({ data: z.subarray(a * c, b * c), shape: [b - a, c] });
    const fitted = SplitConformal.fit(cut(from, 5000), y.subarray(from, 5000), { method: want.method as "lac" | "aps", randomize: false });
    expectClose(fitted.quantile(0.1), want.quantile, { atol: 3e-7 }); // float32 probabilities and scores
    const report = coverageReport(fitted.predictionSet(cut(5000, 10000), { alpha: 0.1, allowEmpty: true }), y.subarray(5000));
    // Float32 moves a class across the quantile in at most one of 5,000 rows.
    const row = { atol: 1.01 / 5000 };
    expectClose(report.coverage!, want.coverage, row);
    // APS sums to nearly 1 there, where float32 scores are 6e-8 apart: a few classes of a tiny probability more or less.
    expectClose(report.meanSize, want.meanSize, want.method === "aps" ? { rtol: 1e-3 } : { atol: 2 / 5000 });
    expectClose(report.emptySets / 5000, want.emptyShare, row);
    expectClose(report.worstClass.coverage!, want.worstClassCoverage, { atol: 1.01 / 30 });
    expect(report.worstClass.label).toBe(want.worstClass);
    for (const group of want.coverageBySize) {
      const got = report.bySize.find(({ low }) => low === group.low)!;
      const moved = want.method === "aps" ? 5 : 2;
      expectClose(got.rows, group.rows, { atol: moved });
      expectClose(got.coverage!, group.coverage, { atol: moved / group.rows });
    }
  });

  it("show what the promise leaves open: LAC at 0.1 covers less in large sets and in the worst class", () => {
    const z = densenet.logits.map((v) => v / 2.120892087735049);
    const fitted = SplitConformal.fit({ data: z.subarray(0, 500000), shape: [5000, 100] }, densenet.labels.subarray(0, 5000));
    const report = coverageReport(fitted.predictionSet({ data: z.subarray(500000), shape: [5000, 100] }), densenet.labels.subarray(5000));
    expect(report.coverage!.toFixed(3)).toBe("0.908");
    expect(report.bySize.map(({ coverage }) => coverage!.toFixed(3))).toEqual(["0.958", "0.913", "0.835", "0.718"]);
    expect(report.worstClass.coverage!.toFixed(2)).toBe("0.71");
  });
});

describe("coverage", () => {
  const fitted = SplitConformal.fit(Array.from({ length: 20 }, (_, i) => [i / 10, 0, -1]), Array.from({ length: 20 }, (_, i) => i % 3));
  const sets = fitted.predictionSet([[5, 0, 0], [0, 0, 0], [1, 1, -9]], { alpha: 0.2 });

  it("counts rows by size and class", () => {
    const y = [0, 2, 0];
    const report = coverageReport(sets, y);
    const inside = y.map((label, i) => Number(sets.labels(i).includes(label)));
    expect([report.rows, report.covered, report.meanSize, report.emptySets]).toEqual([3, inside.reduce((a, b) => a + b), sets.sizes.data.reduce((a, b) => a + b) / 3, 0]);
    expect(report.bySize).toEqual(coverageBySize(sets, y));
    expect(report.byClass).toEqual(coverageByClass(sets, y));
    expect(report.bySize.reduce((sum, { rows }) => sum + rows, 0)).toBe(3);
    expect(report.byClass[1]).toEqual({ label: 1, rows: 0, covered: 0, coverage: null, interval: null });
    expectClose(report.byClass[2].interval!, inside[1] ? [0.025, 1] : [0, 0.975], { rtol: 1e-12 });
  });

  it("names the worst class, the first of equals", () => {
    expect(coverageReport(fitted.predictionSet([[9, 0, 0], [9, 0, 0], [9, 0, 0]], { alpha: 0.2 }), [2, 0, 1]).worstClass.label).toBe(1);
  });
});

describe("messages", () => {
  const z = [[1, 0], [0, 1]], fitted = SplitConformal.fit(z, [0, 1]);
  it("say what is wrong", () => {
    expect(() => SplitConformal.fit([1, 2], [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.fit: expected \`logits\` of shape [N, C], got [2]]`);
    expect(() => SplitConformal.fit({ data: new Float32Array(0), shape: [0, 2] }, [])).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.fit: expected \`logits\` with at least one row, got shape [0, 2]]`);
    expect(() => SplitConformal.fit({ data: new Float32Array(0), shape: [2, 0] }, [0, 0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.fit: expected \`logits\` of 1 to 4194304 classes, got shape [2, 0]]`);
    expect(() => SplitConformal.fit(z, [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.fit: expected \`labels\` of shape [2], got [1]]`);
    expect(() => SplitConformal.fit(z, [0, 2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.fit: expected \`labels\` in [0, 2), got 2 at index 1]`);
    expect(() => SplitConformal.fit([[0, 1], [NaN, 0]], [0, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.fit: expected \`logits\` with finite or -Infinity scores and a finite one in each row, got row 1 without a distribution (NaN, +Infinity or only -Infinity)]`);
    expect(() => SplitConformal.fit(z, [0, 1], { method: "knn" as "aps" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.fit: expected \`method\` "lac" or "aps" or "raps" or "saps" or "topk" or "margin" or "tree", got knn]`);
    expect(() => SplitConformal.fit(z, [0, 1], { seed: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.fit: expected \`seed\` an integer in [0, 2^53), got -1]`);
    expect(() => fitted.predictionSet(z, { alpha: -0.1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.predictionSet: expected \`alpha\` in [0, 1], got -0.1]`);
    expect(() => fitted.predictionSet([[1, 2, 3]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.predictionSet: expected \`logits\` of 2 classes on the last axis, got shape [1, 3]]`);
    expect(() => fitted.predictionSet([[1, 2], [-Infinity, -Infinity]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.predictionSet: expected \`logits\` with finite or -Infinity scores and a finite one in each row, got row 1 without a distribution (NaN, +Infinity or only -Infinity)]`);
    expect(() => fitted.predictionSet(z, { ids: [1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.predictionSet: expected \`ids\` of shape [2], got [1]]`);
    expect(() => fitted.predictionSet(z, { ids: [1, -1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.predictionSet: expected \`ids\` in [0, 2147483648), got -1 at index 1]`);
    expect(() => fitted.quantile(1)).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.quantile: expected \`alpha\` in (0, 1), got 1]`);
    expect(() => fitted.expectedCoverage(0.1, 1)).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.expectedCoverage: expected \`level\` in (0, 1), got 1]`);
    expect(() => fitted.predictionSet(z).labels(2)).toThrowErrorMatchingInlineSnapshot(`[RangeError: PredictionSets.labels: expected \`i\` an integer in [0, 1], got 2]`);
    expect(() => coverageReport(fitted.predictionSet(z), [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: coverageReport: expected \`labels\` of shape [2], got [1]]`);
    expect(() => coverageReport(fitted.predictionSet(z), [0, 2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: coverageReport: expected \`labels\` in [0, 2), got 2 at index 1]`);
    expect(() => coverageBySize(fitted.predictionSet({ data: new Float32Array(0), shape: [0, 2] }), [])).toThrowErrorMatchingInlineSnapshot(`[RangeError: coverageBySize: expected \`sets\` with at least one row, got none]`);
    expect(() => coverageByClass(fitted.predictionSet(z), [0, 1], { level: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: coverageByClass: expected \`level\` in (0, 1), got 0]`);
    const json = fitted.toJSON();
    expect(() => SplitConformal.fromJSON({ ...json, n: 3 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: SplitConformal.fromJSON: expected \`scores\` 3 numbers, got 2]`);
    expect(() => SplitConformal.fromJSON({ ...json, version: 2 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: SplitConformal.fromJSON: expected \`version\` 1, got 2. Upgrade @logits/conformal to read it]`);
    expect(() => SplitConformal.fromJSON({ ...json, scores: btoa("\0\0\x80\x3f\0\0\0\0") })).toThrowErrorMatchingInlineSnapshot(`[FormatError: SplitConformal.fromJSON: expected \`scores\` a tensor of float32 and rank 1, got "AACAPwAAAAA="]`);
    expect(() => SplitConformal.fromJSON({ ...json, scores: btoa("\0\0\0\0\0\0\0\x40") })).toThrowErrorMatchingInlineSnapshot(`[FormatError: SplitConformal.fromJSON: expected \`scores\` a tensor of float32 and rank 1, got "AAAAAAAAAEA="]`);
  });
});

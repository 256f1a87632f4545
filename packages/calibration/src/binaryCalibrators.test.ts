import { sigmoid } from "@logits/statistics";
import { estimatorChecks, expectClose, expectExact, testRandom } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BetaCalibration, CrossVennAbers, HistogramBinning, IsotonicCalibration, PlattScaling, ScalingBinning, SplineCalibration, VennAbers, binaryCalibratorFromJSON, calibratorFromJSON, type BinaryCalibrator } from "./index.ts";
import fixture from "./fixtures/binary.json" with { type: "json" };
import { standardErrors } from "./planted.ref.ts";

interface Case { readonly name: string; readonly scores: number[]; readonly labels: number[]; readonly grid: number[]; readonly probabilities: number[]; readonly lower: number[]; readonly upper: number[] }
const [data, platt, beta, isotonic, vennAbers] = fixture.cases as unknown as (Case & Record<string, number>)[];
const { scores, labels, grid } = data;

/** Scores with answers drawn from `probability`. */
function drawn(rows: number, seed: number, probability: (s: number) => number): { s: Float32Array; t: Uint8Array } {
  const random = testRandom(seed), s = Float32Array.from({ length: rows }, () => 2 * random.normal());
  return { s, t: Uint8Array.from(s, (score) => (random.uniform() < probability(score) ? 1 : 0)) };
}

/** Isotonic regression by its min-max formula, at distinct ascending scores. */
function isotonicByDefinition(pairs: readonly (readonly [number, number])[]): { x: number[]; y: number[] } {
  const x = [...new Set(pairs.map(([s]) => s))].sort((a, b) => a - b);
  const sums = x.map((point) => pairs.filter(([s]) => s === point).reduce(([n, k], [, t]) => [n + 1, k + t], [0, 0]));
  const mean = (a: number, b: number): number => sums.slice(a, b + 1).reduce((k, [, ones]) => k + ones, 0) / sums.slice(a, b + 1).reduce((n, [count]) => n + count, 0);
  return { x, y: x.map((_, i) => Math.max(...x.slice(0, i + 1).map((_a, a) => Math.min(...x.slice(i).map((_b, b) => mean(a, i + b)))))) };
}
const small = fc.array(fc.tuple(fc.integer({ min: -4, max: 4 }), fc.integer({ min: 0, max: 1 })), { minLength: 1, maxLength: 14 });

const FITS: readonly (readonly [string, (s: never, t: never) => BinaryCalibrator, (json: unknown) => BinaryCalibrator])[] = [
  ["PlattScaling", PlattScaling.fit, PlattScaling.fromJSON],
  ["BetaCalibration", BetaCalibration.fit, BetaCalibration.fromJSON],
  ["IsotonicCalibration", IsotonicCalibration.fit, IsotonicCalibration.fromJSON],
  ["IsotonicCalibration centred", (s: never, t: never) => IsotonicCalibration.fit(s, t, { centred: true }), IsotonicCalibration.fromJSON],
  ["HistogramBinning", HistogramBinning.fit, HistogramBinning.fromJSON],
  ["ScalingBinning", ScalingBinning.fit, ScalingBinning.fromJSON],
  ["VennAbers", VennAbers.fit, VennAbers.fromJSON],
  ["CrossVennAbers", CrossVennAbers.fit, CrossVennAbers.fromJSON],
  ["CrossVennAbers brier", (s: never, t: never) => CrossVennAbers.fit(s, t, { loss: "brier" }), CrossVennAbers.fromJSON],
  ["SplineCalibration", SplineCalibration.fit, SplineCalibration.fromJSON],
  ["SplineCalibration linear", (s: never, t: never) => SplineCalibration.fit(s, t, { degree: 1, lambda: 0.01 }), SplineCalibration.fromJSON],
];

describe("PlattScaling", () => {
  it("ends where SciPy's BFGS on Platt's targets ends", () => {
    const fitted = PlattScaling.fit(scores, labels);
    expectClose([fitted.slope, fitted.intercept], [platt.slope, platt.intercept], { rtol: 1e-7 }); // BFGS to a gradient of 1e-8
    expectClose(fitted.probabilities(grid).data, platt.probabilities, { rtol: 1e-6 }); // float32
    expectClose(fitted.transform(grid).data, grid.map((s) => fitted.slope * s + fitted.intercept), { rtol: 1e-7 });
    expect([fitted.separated, fitted.atBound]).toEqual([false, false]);
  });

  it("recovers slope and intercept within their standard errors", () => {
    const { s, t } = drawn(20000, 3, (score) => sigmoid(0.7 * score - 0.4)), fitted = PlattScaling.fit(s, t);
    expect(Math.abs(fitted.slope - 0.7) / fitted.slopeStandardError).toBeLessThan(3);
    expect(Math.abs(fitted.intercept + 0.4) / fitted.interceptStandardError).toBeLessThan(3);
    const loss = ([a, b]: Float64Array): number => s.reduce((sum, score, i) => sum + Math.log1p(Math.exp((t[i] ? -1 : 1) * (a * score + b))), 0) / 20000;
    const errors = standardErrors(loss, Float64Array.of(fitted.slope, fitted.intercept), 20000, 0.02);
    expectClose([fitted.slopeStandardError, fitted.interceptStandardError], errors, { rtol: 1e-3 }); // differences
  });

  it.each([["alike", 0], ["of another kind, every sixteenth", 16], ["of which every sixteenth stands far off with the other answer", -16]])("is at the optimum of many rows: %s", (_, every) => {
    // As many as are started from a sixteenth of them, which may mislead: then a constant is the better start.
    const n = 131072, { s, t } = drawn(n, 5, (score) => sigmoid(0.7 * score - 0.4));
    if (every !== 0) for (let i = 0; i < n; i += 16) [s[i], t[i]] = every > 0 ? [s[i], 1 - t[i]] : [s[i] > 0 ? 40 : -40, s[i] > 0 ? 0 : 1];
    const fitted = PlattScaling.fit(s, t), ones = t.reduce((sum, yes) => sum + yes, 0), high = (ones + 1) / (ones + 2), low = 1 / (n - ones + 2);
    let slope = 0, level = 0, size = 0;
    for (let i = 0; i < n; i++) {
      const off = sigmoid(fitted.slope * s[i] + fitted.intercept) - (t[i] ? high : low);
      slope += (off * s[i]) / n;
      level += off / n;
      size += (s[i] * s[i]) / n;
    }
    // 1e-11 on standardised scores, and what adding up 131,072 terms loses.
    expectClose([fitted.atBound ? 0 : slope / Math.sqrt(size), level], [0, 0], { atol: 2e-11 });
    expect(fitted.atBound).toBe(every < 0);
    expect(fitted.iterations).toBeLessThan(8);
  });

  it("has a finite optimum where the scores separate the answers, and says so", () => {
    const fitted = PlattScaling.fit([-3, -2, 2, 3], [0, 0, 1, 1]);
    expect([fitted.separated, fitted.atBound]).toEqual([true, false]);
    expect(fitted.at(3)).toBeGreaterThan(0.7);
    expectClose((2 * fitted.at(2) + 3 * fitted.at(3)) / 5, 0.75, { rtol: 1e-9 }); // the score equation, by symmetry
  });

  it("ends at a slope of 0 where the scores speak against the answers or do not vary", () => {
    for (const s of [[3, 2, -2, -3], [1, 1, 1, 1]]) {
      const fitted = PlattScaling.fit(s, [0, 0, 1, 1]);
      expect([fitted.slope, fitted.atBound, fitted.slopeStandardError]).toEqual([0, true, 0]);
      expectClose([fitted.at(5), fitted.at(Infinity), fitted.at(-Infinity)], [0.5, 0.5, 0.5], { rtol: 1e-12 });
    }
  });
});

describe("BetaCalibration", () => {
  it("ends where SciPy's BFGS ends", () => {
    const fitted = BetaCalibration.fit(scores, labels);
    expectClose([fitted.a, fitted.b, fitted.c], [beta.a, beta.b, beta.c], { rtol: 1e-6 }); // BFGS to a gradient of 1e-8, two features that are nearly one
    expectClose(fitted.probabilities(grid).data, beta.probabilities, { rtol: 1e-6 });
  });

  it("recovers what was planted", () => {
    const [a, b, c] = [0.5, 1.4, 0.3], logit = (s: number, x: ArrayLike<number>): number => -x[0] * Math.log1p(Math.exp(-s)) + x[1] * Math.log1p(Math.exp(s)) + x[2];
    const { s, t } = drawn(20000, 4, (score) => sigmoid(logit(score, [a, b, c]))), fitted = BetaCalibration.fit(s, t);
    const loss = (x: Float64Array): number => s.reduce((sum, score, i) => sum + Math.log1p(Math.exp((t[i] ? -1 : 1) * logit(score, x))), 0) / 20000;
    const errors = standardErrors(loss, Float64Array.of(fitted.a, fitted.b, fitted.c), 20000, 0.02);
    [a, b, c].forEach((truth, i) => expect(Math.abs([fitted.a, fitted.b, fitted.c][i] - truth) / errors[i]).toBeLessThan(4));
    expect(fitted.atBound).toBe(false);
  });

  it("drops a coefficient that would be negative, and takes the better of the two fits", () => {
    const { s, t } = drawn(3000, 5, (score) => sigmoid(score > 0 ? 0 : score)), fitted = BetaCalibration.fit(s, t);
    expect([fitted.a > 0, fitted.b, fitted.atBound]).toEqual([true, 0, true]);
    const against = BetaCalibration.fit([3, 2, -2, -3], [0, 0, 1, 1]);
    expect([against.a, against.b, against.atBound]).toEqual([0, 0, true]);
    expectClose(against.at(-Infinity), 0.5, { rtol: 1e-12 });
  });

  it("needs no clip: log-odds of 100 have their ends", () => {
    const fitted = BetaCalibration.fit([-100, -90, 90, 100, -1, 1], [0, 0, 1, 1, 1, 0]);
    expect([fitted.at(-Infinity), fitted.at(Infinity)]).toEqual([0, 1]);
    expect(fitted.at(100)).toBeGreaterThan(0.5);
  });
});

describe("IsotonicCalibration", () => {
  it("agrees with the min-max definition", () => {
    fc.assert(fc.property(small, (pairs) => {
      const want = isotonicByDefinition(pairs), fitted = IsotonicCalibration.fit(pairs.map(([s]) => s), pairs.map(([, t]) => t));
      expectClose(fitted.probabilities(want.x).data, want.y, { rtol: 1e-7 }); // float32
    }), { seed: 2, numRuns: 100 });
  });

  it("agrees with scikit-learn, between the points too", () => {
    expectClose(IsotonicCalibration.fit(scores, labels).probabilities(grid).data, isotonic.probabilities, { rtol: 2e-7, atol: 1e-7 }); // values in float32
  });

  it("centred: one point for each block at its mean score, with the block's value", () => {
    const s = [1, 2, 3, 4, 5], t = [0, 1, 0, 1, 1];
    const fitted = IsotonicCalibration.fit(s, t, { centred: true });
    expectExact(fitted.knots.data, [1, 2.5, 4.5]);
    expectExact(fitted.values.data, [0, 0.5, 1]);
    expectClose(fitted.probabilities([0, 1.75, 3.5, 9]).data, [0, 0.25, 0.75, 1], { rtol: 1e-7 });
    const big = drawn(2000, 6, sigmoid), centred = IsotonicCalibration.fit(big.s, big.t, { centred: true });
    const inside = Float32Array.from({ length: 100 }, (_, i) => -1 + i / 50);
    expect(new Set(centred.probabilities(inside).data).size).toBe(100);
  });
});

describe("HistogramBinning", () => {
  it("gives the share of yes in (lower, upper], equal scores in one bin", () => {
    const fitted = HistogramBinning.fit([1, 1, 1, 2, 3, 4, 5, 6], [0, 1, 0, 1, 1, 1, 1, 0], { bins: 4 });
    // Two rows a bin: 1 three times is one bin and fills half of the next.
    expectExact(fitted.edges.data, [1, 2, 4]);
    expectClose(fitted.values.data, [1 / 3, 1, 1, 0.5], { rtol: 1e-7 });
    expectClose(fitted.probabilities([-Infinity, 1, 1.5, 2, 2.1, 4, 4.5, Infinity, NaN]).data, [1 / 3, 1 / 3, 1, 1, 1, 1, 0.5, 0.5, NaN], { rtol: 1e-7 });
  });

  it("keeps the mean and fills its bins evenly", () => {
    const { s, t } = drawn(1000, 7, sigmoid), fitted = HistogramBinning.fit(s, t, { bins: 20 });
    expectClose(fitted.probabilities(s).data.reduce((a, b) => a + b, 0), t.reduce((a, b) => a + b, 0), { rtol: 1e-6 });
    const counts = new Map<number, number>();
    for (const score of s) { const b = fitted.edges.data.findIndex((edge) => score <= edge); counts.set(b, (counts.get(b) ?? 0) + 1); }
    expect([...counts.values()]).toEqual(Array(20).fill(50));
    expect(HistogramBinning.fit([1, 1], [0, 1]).values.size).toBe(1);
  });
});

describe("ScalingBinning", () => {
  it("gives few values that lie on the scaled curve and keep its order", () => {
    const { s, t } = drawn(3000, 8, (score) => sigmoid(0.5 * score)), fitted = ScalingBinning.fit(s, t, { bins: 8, seed: 3 });
    expect(fitted.values.size).toBe(8);
    for (let b = 1; b < 8; b++) expect(fitted.values.data[b]).toBeGreaterThan(fitted.values.data[b - 1]);
    const curve = PlattScaling.fit(s, t);
    for (let b = 1; b < 7; b++) {
      expect(fitted.values.data[b]).toBeGreaterThan(curve.at(fitted.edges.data[b - 1]) - 0.05); // standard errors of a third of the rows are 0.02
      expect(fitted.values.data[b]).toBeLessThan(curve.at(fitted.edges.data[b]) + 0.05);
    }
    expect(fitted.toJSON()).not.toEqual(ScalingBinning.fit(s, t, { bins: 8, seed: 4 }).toJSON());
  });

  it("needs three rows and gives one value where the scaling is constant", () => {
    expect(ScalingBinning.fit([1, 1, 1], [0, 1, 1]).values.size).toBe(1);
    expect(() => ScalingBinning.fit([1, 2], [0, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: ScalingBinning.fit: expected \`scores\` with at least 3 rows, one for each part, got 2]`);
  });
});

describe("VennAbers", () => {
  it("is two isotonic regressions with the new score, by definition", () => {
    fc.assert(fc.property(small, fc.integer({ min: -10, max: 10 }), (pairs, twice) => {
      const score = twice / 2, fitted = VennAbers.fit(pairs.map(([s]) => s), pairs.map(([, t]) => t));
      const [low, high] = [0, 1].map((label) => { const { x, y } = isotonicByDefinition([...pairs, [score, label]]); return y[x.indexOf(score)]; });
      const { lower, upper } = fitted.intervals([score]);
      expectClose([lower.data[0], upper.data[0]], [low, high], { rtol: 1e-7, atol: 1e-7 }); // float32
      expectClose(fitted.at(score), high / (1 - low + high), { rtol: 2e-7 });
    }), { seed: 4, numRuns: 300 });
  });

  it("agrees with scikit-learn's isotonic regressions", () => {
    const { lower, upper } = VennAbers.fit(scores, labels).intervals(grid);
    expectClose(lower.data, vennAbers.lower, { atol: 1e-7 });
    expectClose(upper.data, vennAbers.upper, { atol: 1e-7 });
  });

  it("holds the share of yes among exchangeable rows, and gets narrow with more of them", () => {
    let ones = 0, below = 0, above = 0, rows = 0;
    for (let seed = 0; seed < 200; seed++) {
      const { s, t } = drawn(60, 100 + seed, (score) => sigmoid(2 * score)), fitted = VennAbers.fit(s.subarray(0, 40), t.subarray(0, 40));
      const { lower, upper } = fitted.intervals(s.subarray(40));
      for (let i = 0; i < 20; i++, rows++) { ones += t[40 + i]; below += lower.data[i]; above += upper.data[i]; }
    }
    const error = 3 * Math.sqrt(0.25 / rows);
    expect(ones / rows).toBeGreaterThan(below / rows - error);
    expect(ones / rows).toBeLessThan(above / rows + error);
    const { s, t } = drawn(20000, 9, sigmoid), wide = VennAbers.fit(s, t).intervals([0]);
    expect(wide.upper.data[0] - wide.lower.data[0]).toBeLessThan(0.02);
  });

  it("is never 0 or 1, and at the ends knows nothing on one side", () => {
    const fitted = VennAbers.fit([1, 2, 3], [0, 1, 1]);
    expectClose(fitted.intervals([0, 1, 2, 4]).lower.data, [0, 0, 0.5, 2 / 3], { rtol: 1e-7 });
    expectClose(fitted.intervals([0, 1, 2, 4]).upper.data, [0.5, 0.5, 1, 1], { rtol: 1e-7 });
    for (const s of [-Infinity, 0, 5, Infinity]) expect(fitted.at(s) > 0 && fitted.at(s) < 1).toBe(true);
  });
});

const train = drawn(300, 11, (s) => sigmoid(0.6 * s)), probe = Float32Array.from({ length: 41 }, (_, i) => (i - 20) / 3);
describe.each(FITS)("%s", (name, fit, fromJSON) => {
  const classOf = name.split(" ")[0];
  it.each(estimatorChecks<BinaryCalibrator>({
    name,
    data: [{ shape: [300], data: train.s }, { shape: [300], data: train.t }],
    fit: (s, t) => fit(s as never, t as never),
    output: (fitted) => fitted.probabilities(probe),
    fromJSON,
    rowOrder: classOf === "ScalingBinning" ? "matters" : ["PlattScaling", "BetaCalibration"].includes(classOf) ? { rtol: 1e-6 } : "exact", // float64 sums in another order
    invariants: [
      { name: "gives probabilities", holds: (fitted) => fitted.probabilities(probe).data.every((p) => p >= 0 && p <= 1) },
      ...(["HistogramBinning", "SplineCalibration"].includes(classOf) ? [] : [{ name: "keeps the order of the scores", holds: (fitted: BinaryCalibrator) => fitted.probabilities(probe).data.every((p, i, all) => i === 0 || p >= all[i - 1]) }]),
    ],
  }))("$name", ({ run }) => run());

  it("is read by binaryCalibratorFromJSON, keeps shapes and NaN, and fits the same bits in pieces", async () => {
    const fitted = fit(train.s as never, train.t as never);
    expect(binaryCalibratorFromJSON(JSON.parse(JSON.stringify(fitted)))).toEqual(fitted);
    expect(fitted.probabilities([[1, NaN], [2, 3]]).shape).toEqual([2, 2]);
    expect(fitted.probabilities([NaN, 0]).data[0]).toBeNaN();
    const Kind = { PlattScaling, BetaCalibration, IsotonicCalibration, HistogramBinning, ScalingBinning, VennAbers, CrossVennAbers, SplineCalibration }[classOf]!;
    const options = { centred: { centred: true }, brier: { loss: "brier" }, linear: { degree: 1, lambda: 0.01 } }[name.split(" ")[1]] ?? {};
    expect(await Kind.fitAsync(train.s, train.t, options as never)).toEqual(fitted);
    expect(Object.isFrozen(fitted)).toBe(true);
  });

  it("has a documented result for one kind of answer, equal scores and one row: never NaN", () => {
    for (const [s, t] of [[[1, 2, 3], [1, 1, 1]], [[1, 2, 3], [0, 0, 0]], [[2, 2, 2], [0, 1, 1]], [[5], [1]], [[-0, 0, 1], [1, 0, 1]]] as const) {
      if (s.length < 3 && classOf === "ScalingBinning") continue;
      const p = fit(s as never, t as never).probabilities([-Infinity, -1, 0, 1, 2, 3, 1e30, Infinity]).data;
      expect(p.every((value) => value >= 0 && value <= 1), `${name} of ${s.join(" ")}`).toBe(true);
    }
  });
});

describe("many rows", () => {
  it("fit in pieces with the bits of one go", async () => {
    const { s, t } = drawn(100000, 12, sigmoid);
    for (const Kind of [PlattScaling, IsotonicCalibration, VennAbers]) {
      const shares: number[] = [];
      expect(await Kind.fitAsync(s, t, { onProgress: (share) => shares.push(share) })).toEqual(Kind.fit(s, t));
      expect(shares.every((share, i) => share >= (shares[i - 1] ?? 0))).toBe(true);
    }
    await expect(VennAbers.fitAsync(s, t, { signal: AbortSignal.abort(new Error("enough")) })).rejects.toThrow("enough");
  });
});

describe("messages", () => {
  it("say what is wrong", () => {
    expect(() => PlattScaling.fit([], [])).toThrowErrorMatchingInlineSnapshot(`[RangeError: PlattScaling.fit: expected \`scores\` with at least one row, got none]`);
    expect(() => PlattScaling.fit([[1, 2]], [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: PlattScaling.fit: expected \`scores\` of shape [N], got [1, 2]]`);
    expect(() => BetaCalibration.fit([1, 2], [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: BetaCalibration.fit: expected \`labels\` of shape [2], got [1]]`);
    expect(() => IsotonicCalibration.fit([1, NaN], [0, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: IsotonicCalibration.fit: expected \`scores\` of finite numbers, got NaN in row 1]`);
    expect(() => VennAbers.fit([1, 2], [0, 2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: VennAbers.fit: expected \`labels\` of 0 and 1, got 2 at index 1]`);
    expect(() => HistogramBinning.fit([1, 2], [0, 1], { bins: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: HistogramBinning.fit: expected \`bins\` an integer in [1, 1000000], got 0]`);
    const json = IsotonicCalibration.fit([1, 2, 3], [0, 1, 1]).toJSON();
    expect(() => IsotonicCalibration.fromJSON({ ...json, knots: json.values })).toThrowErrorMatchingInlineSnapshot(`[FormatError: IsotonicCalibration.fromJSON: expected \`knots\` strictly increasing numbers, got 1 after 1]`);
    expect(() => IsotonicCalibration.fromJSON({ ...json, values: json.knots })).toThrowErrorMatchingInlineSnapshot(`[FormatError: IsotonicCalibration.fromJSON: expected \`values\` probabilities in [0, 1], got 2 at index 1]`);
    expect(() => VennAbers.fromJSON({ ...VennAbers.fit([1, 2], [0, 1]).toJSON(), lowerValues: json.values })).toThrowErrorMatchingInlineSnapshot(`[FormatError: VennAbers.fromJSON: expected \`lowerValues\` 2 numbers, for the 1 of \`lowerKnots\`, got 3]`);
    expect(() => binaryCalibratorFromJSON({ format: "logits/temperature-scaling" })).toThrowErrorMatchingInlineSnapshot(`[FormatError: binaryCalibratorFromJSON: expected \`format\` that of a calibrator of a yes-or-no score, got "logits/temperature-scaling"]`);
    expect(() => calibratorFromJSON(json)).toThrowErrorMatchingInlineSnapshot(`[FormatError: calibratorFromJSON: expected \`format\` that of a calibrator of rows of logits, got "logits/isotonic-calibration"]`);
  });
});

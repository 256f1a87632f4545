import { clopperPearson, regularizedBeta } from "@logits/statistics";
import { checkGuarantee, estimatorChecks, expectClose, expectExact } from "@logits/testkit";
import { randomSource, tensor } from "@logits/tensor";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import ranks from "./fixtures/threshold.json" with { type: "json" };
import { ConformalPValues, LogitDetector, Threshold } from "./index.ts";

const INF = Infinity;
const ascending = (n: number): Float32Array => Float32Array.from({ length: n }, (_, i) => i + 1);
const repetitions = process.env.LOGITS_SLOW ? 10000 : 1000;

describe("Threshold", () => {
  it("is the order statistic that scipy's Beta distribution gives, or says that none is", () => {
    for (const { n, maxFalsePositiveRate, confidence, rank, marginalRank } of ranks.cases) {
      const pac = Threshold.fit(ascending(n), { maxFalsePositiveRate, confidence }), marginal = Threshold.fit(ascending(n), { maxFalsePositiveRate, confidence: "marginal" });
      const label = `n ${n}, rate ${maxFalsePositiveRate}, confidence ${confidence}`;
      expect([pac.rank, pac.attainable, pac.value], label).toEqual([rank, rank > 0, rank > 0 ? n + 1 - rank : INF]);
      expect([marginal.rank, marginal.attainable, marginal.value], label).toEqual([marginalRank, marginalRank > 0, marginalRank > 0 ? n + 1 - marginalRank : INF]);
      for (const t of [pac, marginal]) expect(n >= t.needed, label).toBe(t.attainable);
    }
  });

  it("flags fewer than k of the rows it was fitted on: 1 of 100, 38 of 1,000, 463 of 10,000 at 5 % and 95 %", () => {
    for (const [n, k, marginal] of [[100, 2, 5], [1000, 39, 50], [10000, 464, 500]]) {
      expect(Threshold.fit(ascending(n), { maxFalsePositiveRate: 0.05 }).rank).toBe(k);
      expect(Threshold.fit(ascending(n), { maxFalsePositiveRate: 0.05, confidence: "marginal" }).rank).toBe(marginal);
      expect(Threshold.fit(ascending(n), { maxFalsePositiveRate: 0.05 }).exceedance(ascending(n)).exceeding).toBe(k - 1);
    }
  });

  it("says that a promise is not attainable, and how many rows it needs", () => {
    for (const [options, needed] of [
      [{ maxFalsePositiveRate: 0.05 }, 59], [{ maxFalsePositiveRate: 0.01, confidence: 0.99 }, 459], [{ maxFalsePositiveRate: 0.05, confidence: "marginal" }, 19],
      [{ maxFalsePositiveRate: 1 / 3, confidence: "marginal" }, 2], [{ maxFalsePositiveRate: 0.9, confidence: "marginal" }, 1], [{ maxFalsePositiveRate: 0.001 }, 2995],
    ] as const) {
      const few = Threshold.fit(ascending(needed - 1), options);
      expect([few.attainable, few.value, few.rank, few.needed]).toEqual([false, INF, 0, needed]);
      expect(few.exceeds(INF)).toBe(false);
      const enough = Threshold.fit(ascending(needed), options);
      expect([enough.attainable, enough.value, enough.rank, enough.needed]).toEqual([true, needed, 1, needed]);
    }
    expect(Threshold.fit([], { maxFalsePositiveRate: 0.05 }).attainable).toBe(false);
    expect(Threshold.fit([1], { maxFalsePositiveRate: 1e-18 }).needed).toBe(INF);
    expect(Threshold.fit([1], { maxFalsePositiveRate: 1e-18, confidence: "marginal" }).needed).toBe(INF);
  });

  it("is not exceeded by a tie: of equal scores all or none", () => {
    const t = Threshold.fit(new Float32Array(200).fill(3), { maxFalsePositiveRate: 0.05 });
    expect([t.value, t.exceeds(3), t.exceeds(3.0000001), t.exceeds(2)]).toEqual([3, false, true, false]);
    const half = Threshold.fit([...new Array<number>(90).fill(0), ...new Array<number>(10).fill(1)], { maxFalsePositiveRate: 0.05, confidence: "marginal" });
    expect([half.value, half.exceeds(1)]).toEqual([1, false]);
  });

  it("takes infinite scores, float64 and -0", () => {
    const options = { maxFalsePositiveRate: 0.5, confidence: "marginal" } as const;
    expect(Threshold.fit([INF, INF, INF], options)).toMatchObject({ value: INF, attainable: true });
    const low = Threshold.fit([-INF, -INF, -INF], options);
    expect([low.value, low.exceeds(-INF), low.exceeds(-1e38)]).toEqual([-INF, false, true]);
    expect(Threshold.fit(Float64Array.of(0.1, 0.2, 0.3), options).value).toBe(0.2);
    expectExact(Threshold.fit([-0, -0, -0], options).value, 0);
    for (const t of [low, Threshold.fit([INF, INF, INF], options), Threshold.fit([], options)]) expect(Threshold.fromJSON(JSON.parse(JSON.stringify(t)))).toEqual(t);
  });

  it("exceedsAll is exceeds of each score, exceedance their share with its exact interval", () => {
    const t = Threshold.fit(ascending(100), { maxFalsePositiveRate: 0.05 });
    const scores = [98, 99, 99.5, INF, -INF, 100, 101];
    expect(t.value).toBe(99);
    expectExact(t.exceedsAll(scores), tensor([0, 0, 1, 1, 0, 1, 1], [7], "uint8"));
    expect(scores.map((score) => t.exceeds(score))).toEqual([false, false, true, true, false, true, true]);
    expect(t.exceedance(scores)).toEqual({ rows: 7, exceeding: 4, rate: 4 / 7, interval: clopperPearson(4, 7, 0.95) });
    expectClose(t.exceedance(scores, { level: 0.9 }).interval!, [0.2253216, 0.8712436], { atol: 1e-6 }); // scipy.stats.binomtest(4, 7).proportion_ci(0.9)
    expect(t.exceedance([])).toEqual({ rows: 0, exceeding: 0, rate: null, interval: null });
    expect(t.exceedsAll([]).shape).toEqual([0]);
  });

  it("marginal: exactly the scores whose conformal p-value is at most the rate exceed it", () => {
    fc.assert(fc.property(fc.array(fc.integer({ min: -4, max: 4 }), { maxLength: 60 }), fc.integer({ min: 1, max: 99 }), (scores, percent) => {
      const t = Threshold.fit(scores, { maxFalsePositiveRate: percent / 100, confidence: "marginal" }), p = ConformalPValues.fit(scores);
      // In integers: 100 (1 + number >= s) <= percent (n + 1).
      for (let s = -5; s <= 5; s++) expect(t.exceeds(s)).toBe(Math.round(100 * p.pValue(s) * (scores.length + 1)) <= percent * (scores.length + 1));
    }), { seed: 5, numRuns: 300 });
  });

  it("falls as the rate grows and rises with the confidence", () => {
    const scores = Float64Array.from({ length: 500 }, (_, i) => Math.sin(i));
    const rates = [0.01, 0.02, 0.05, 0.1, 0.3, 0.6].map((maxFalsePositiveRate) => Threshold.fit(scores, { maxFalsePositiveRate }).value);
    expect(rates).toEqual(rates.toSorted((a, b) => b - a));
    const confidences = [0.5, 0.8, 0.95, 0.999].map((confidence) => Threshold.fit(scores, { maxFalsePositiveRate: 0.1, confidence }).value);
    expect(confidences).toEqual(confidences.toSorted((a, b) => a - b));
  });

  const data = tensor(Array.from({ length: 150 }, (_, i) => Math.fround(Math.sin(i * i))));
  it.each([0.9, "marginal"].flatMap((confidence) => estimatorChecks<Threshold>({
    name: `Threshold ${confidence}`,
    data: [data],
    fit: (scores) => Threshold.fit(scores, { maxFalsePositiveRate: 0.07, confidence: confidence as number | "marginal" }),
    output: (t) => [{ shape: [5], data: [t.value, t.n, t.rank, t.needed, Number(t.attainable)] }, t.exceedsAll(data)],
    fromJSON: Threshold.fromJSON,
    wrongWidth: [(t) => t.exceedsAll([[1, 2]])],
  })).map((check, i) => ({ ...check, name: `${i} ${check.name}` })))("$name", ({ run }) => run());

  it("messages", () => {
    const options = { maxFalsePositiveRate: 0.05 };
    expect(() => Threshold.fit([1, NaN], options)).toThrowErrorMatchingInlineSnapshot(`[RangeError: Threshold.fit: expected \`scores\` without NaN, got NaN in row 1]`);
    expect(() => Threshold.fit([[1, 2]], options)).toThrowErrorMatchingInlineSnapshot(`[RangeError: Threshold.fit: expected \`scores\` of shape [N], got [1, 2]]`);
    expect(() => Threshold.fit([1], { maxFalsePositiveRate: 5 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: Threshold.fit: expected \`maxFalsePositiveRate\` in (0, 1), got 5]`);
    expect(() => Threshold.fit([1], { ...options, confidence: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: Threshold.fit: expected \`confidence\` in (0, 1) or "marginal", got 1]`);
    expect(() => Threshold.fit([1], { ...options, confidence: "pac" as never })).toThrowErrorMatchingInlineSnapshot(`[RangeError: Threshold.fit: expected \`confidence\` in (0, 1) or "marginal", got pac]`);
    const t = Threshold.fit(ascending(100), options);
    expect(() => t.exceeds(NaN)).toThrowErrorMatchingInlineSnapshot(`[RangeError: Threshold.exceeds: expected \`score\` a number, got NaN]`);
    expect(() => t.exceedsAll(Float32Array.of(1, NaN))).toThrowErrorMatchingInlineSnapshot(`[RangeError: Threshold.exceedsAll: expected \`scores\` without NaN, got NaN in row 1]`);
    expect(() => t.exceedance([NaN])).toThrowErrorMatchingInlineSnapshot(`[RangeError: Threshold.exceedance: expected \`scores\` without NaN, got NaN in row 0]`);
    expect(() => t.exceedance([1], { level: 95 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: Threshold.exceedance: expected \`level\` in (0, 1), got 95]`);
    expect(() => Threshold.fromJSON({ ...t.toJSON(), rank: 0 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: Threshold.fromJSON: expected \`value\` "Infinity" where \`rank\` is 0, got 99]`);
    expect(() => Threshold.fromJSON({ ...t.toJSON(), rank: 101 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: Threshold.fromJSON: expected \`rank\` an integer in [0, 100], got 101]`);
    expect(() => Threshold.fromJSON({ ...t.toJSON(), confidence: 0 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: Threshold.fromJSON: expected \`confidence\` in (0, 1), got 0]`);
    expect(() => Threshold.fromJSON({ ...t.toJSON(), confidence: "pac" })).toThrowErrorMatchingInlineSnapshot(`[FormatError: Threshold.fromJSON: expected \`confidence\` "marginal", got "pac"]`);
    expect(() => Threshold.fromJSON({ ...t.toJSON(), value: "3" })).toThrowErrorMatchingInlineSnapshot(`[FormatError: Threshold.fromJSON: expected \`value\` "Infinity" or "-Infinity", got "3"]`);
  });
});

describe("the promise", () => {
  /** n scores uniform on (0, 1): the share above t is 1 - t. */
  const uniform = (seed: number, n: number): Float64Array => {
    const random = randomSource(seed, 7);
    return Float64Array.from({ length: n }, () => random.uniform());
  };

  it.each([[100, 0.05, 0.95], [59, 0.05, 0.95], [400, 0.1, 0.8]])("with confidence: of %i rows the share exceeds %d in as many calibrations as the Beta distribution says, at most one minus %d", (n, rate, confidence) => {
    const { rank } = Threshold.fit(uniform(0, n), { maxFalsePositiveRate: rate, confidence });
    const level = 1 - regularizedBeta(rate, rank, n + 1 - rank);
    expect(level).toBeLessThanOrEqual(1 - confidence);
    checkGuarantee({
      name: "share above the rate", kind: "probability of exceeding", level, side: "both", repetitions,
      simulate: (seed) => 1 - Threshold.fit(uniform(seed, n), { maxFalsePositiveRate: rate, confidence }).value > rate,
    });
  });

  it("marginal: the share is k / (n + 1) on average, at most the rate, and above it in nearly half of the calibrations", () => {
    const options = { maxFalsePositiveRate: 0.05, confidence: "marginal" } as const;
    const share = (seed: number): number => 1 - Threshold.fit(uniform(seed, 110), options).value;
    checkGuarantee({ name: "mean share", kind: "marginal mean", level: 5 / 111, side: "both", repetitions, simulate: share });
    checkGuarantee({ name: "share above the rate", kind: "probability of exceeding", level: 1 - regularizedBeta(0.05, 5, 106), side: "both", repetitions, simulate: (seed) => share(seed) > 0.05 });
    expect(1 - regularizedBeta(0.05, 5, 106)).toBeGreaterThan(0.3);
  });

  it("holds with ties, and for a detector on logits with rows of its own", () => {
    checkGuarantee({
      // Scores 0 to 9, equally likely: the share above t is (9 - t) / 10.
      name: "ties", kind: "probability of exceeding", level: 0.1, repetitions,
      simulate: (seed) => (9 - Threshold.fit(uniform(seed, 60).map((u) => Math.floor(10 * u)), { maxFalsePositiveRate: 0.2, confidence: 0.9 }).value) / 10 > 0.2,
    });
    const rows = (seed: number, stream: number, n: number) => {
      const random = randomSource(seed, stream);
      return { data: Float32Array.from({ length: n * 5 }, (_, i) => 3 * random.uniform() + (i % 5 === 2 ? 2 : 0)), shape: [n, 5] };
    };
    const detector = LogitDetector.of("energy");
    checkGuarantee({
      name: "energy", kind: "marginal mean", level: 9 / 101, side: "both", repetitions: repetitions / 2,
      simulate: (seed) => Threshold.fit(detector.score({ logits: rows(seed, 1, 100) }), { maxFalsePositiveRate: 0.09, confidence: "marginal" }).exceedance(detector.score({ logits: rows(seed, 2, 50) })).rate!,
    });
  });
});

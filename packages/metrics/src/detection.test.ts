import { randomSource } from "@logits/tensor";
import { checkGuarantee, expectClose, expectExact, testRandom } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import averagePrecisions from "./fixtures/averagePrecision.json" with { type: "json" };
import delongs from "./fixtures/delong.json" with { type: "json" };
import { aurocDifference, aurocEstimate, auroc, averagePrecision, bootstrapDifference, bootstrapEstimate, detectionError, falsePositiveRateAtRecall, riskCoverage } from "./index.ts";

const SLOW = Boolean(process.env.LOGITS_SLOW);

/** Scores with many ties and a mask with both kinds. */
const rowsWithTies = fc.integer({ min: 2, max: 40 }).chain((n) => fc.record({
  scores: fc.array(fc.integer({ min: -4, max: 4 }), { minLength: n, maxLength: n }),
  mask: fc.array(fc.integer({ min: 0, max: 1 }), { minLength: n, maxLength: n }).filter((m) => m.includes(0) && m.includes(1)),
}));
const seeded = { seed: 6, numRuns: 200 };

describe("averagePrecision", () => {
  it.each(averagePrecisions.cases)("agrees with scikit-learn: $name", ({ scores, labels, averagePrecision: want }) => {
    // The same sum in another order: 1e-13.
    expectClose(averagePrecision(scores as number[], labels), want, { rtol: 1e-13 });
  });
  it("is the mean over positive rows of the precision at the threshold that finds them", () => {
    fc.assert(fc.property(rowsWithTies, ({ scores, mask }) => {
      const at = scores.filter((_, i) => mask[i]).map((t) => scores.filter((s, i) => mask[i] && s >= t).length / scores.filter((s) => s >= t).length);
      expectClose(averagePrecision(scores, mask), at.reduce((sum, p) => sum + p, 0) / at.length, { rtol: 1e-13 });
      expect(averagePrecision(scores.map((s) => 3 * s ** 3 + 1), mask)).toBe(averagePrecision(scores, mask));
    }), seeded);
  });
  it("special values", () => {
    expect(averagePrecision([1, 1, 1, 1], [1, 0, 0, 0])).toBe(0.25);
    expect(averagePrecision([-Infinity, Infinity], [0, 1])).toBe(1);
    expect(averagePrecision([0, 1], [1, 0])).toBe(0.5);
  });
  it("OpenOOD, pytorch-ood: straight lines between the points give more area than any threshold earns", () => {
    // One positive above, then a block of ties: from (1/2, 1) to (1, 2/10) a line passes points that no threshold reaches.
    const scores = [2, 1, 1, 1, 1, 1, 1, 1, 1, 1], positives = [1, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    expectClose(averagePrecision(scores, positives), 0.5 * 1 + 0.5 * 0.2, { rtol: 1e-15 });
    expect(averagePrecision(scores, positives)).toBeLessThan(0.5 * 1 + 0.5 * (1 + 0.2) / 2);
  });
});

describe("detectionError", () => {
  it("is the least over all thresholds, and the threshold gives it", () => {
    fc.assert(fc.property(rowsWithTies, ({ scores, mask }) => {
      const m = mask.filter(Boolean).length, n = mask.length - m;
      const error = (t: number): number => (scores.filter((s, i) => !mask[i] && s >= t).length / n + scores.filter((s, i) => mask[i] && s < t).length / m) / 2;
      const { value, threshold } = detectionError(scores, mask);
      expectClose(value, Math.min(0.5, ...scores.map(error)), { rtol: 1e-14, atol: 1e-16 });
      expectClose(error(threshold), value, { rtol: 1e-14, atol: 1e-16 });
      // Exchanging the kinds and negating the scores gives the same value.
      expectClose(detectionError(scores.map((s) => -s), mask.map((x) => 1 - x)).value, value, { rtol: 1e-14, atol: 1e-16 });
    }), seeded);
  });
  it("special values", () => {
    expect(detectionError([1, 1], [0, 1])).toEqual({ value: 0.5, threshold: Infinity });
    expect(detectionError([0, 1], [0, 1])).toEqual({ value: 0, threshold: 1 });
    expect(detectionError([1, 0], [0, 1])).toEqual({ value: 0.5, threshold: Infinity });
  });
});

describe("augrc", () => {
  it("is the double sum of its definition, over all orders of ties, and what the AUROC says", () => {
    fc.assert(fc.property(rowsWithTies, ({ scores, mask }) => {
      const n = scores.length, { augrc } = riskCoverage(scores, mask);
      // A row counts the errors of rows above it, itself, and half of those that tie with it.
      const sum = scores.reduce((total, s, i) => total + (mask[i] ? scores.reduce((below, t, j) => below + (j === i ? 1 : t < s ? 1 : t === s ? 0.5 : 0), 0) : 0), 0);
      expectClose(augrc, sum / n / n, { rtol: 1e-13 });
      const e = mask.filter(Boolean).length / n;
      expectClose(augrc, e * (e + 1 / n) / 2 + e * (1 - e) * (1 - auroc(scores, mask.map((x) => 1 - x))), { rtol: 1e-12 });
    }), seeded);
  });
  it("special values: no error, all errors, one row", () => {
    expect(riskCoverage([3, 2, 1], [0, 0, 0]).augrc).toBe(0);
    expectClose(riskCoverage([3, 2, 1], [1, 1, 1]).augrc, 6 / 9, { rtol: 1e-15 });
    expect(riskCoverage([1], [1]).augrc).toBe(1);
  });
});

describe("aurocEstimate, aurocDifference", () => {
  it.each(delongs.cases)("agree with placements of every pair: $name", ({ a, b, labels, auroc: areas, variance, covariance }) => {
    const one = aurocEstimate(a, labels), two = aurocEstimate(b, labels), z = 1.959963984540054;
    expectClose([one.value, two.value], areas, { rtol: 1e-14 });
    expect(one.value).toBe(auroc(a, labels));
    // Sums of a hundred squares in another order.
    expectClose([one.standardError ** 2, two.standardError ** 2], variance, { rtol: 1e-12 });
    expectClose(one.interval, [Math.max(0, areas[0] - z * Math.sqrt(variance[0])), Math.min(1, areas[0] + z * Math.sqrt(variance[0]))], { rtol: 1e-12 });
    const difference = aurocDifference(a, b, labels), error = Math.sqrt(variance[0] + variance[1] - 2 * covariance);
    expectClose([difference.value, (difference.interval[1] - difference.interval[0]) / 2], [areas[0] - areas[1], Math.min(z * error, (1 + z * error - (areas[0] - areas[1])) / 2)], { rtol: 1e-9, atol: 1e-12 });
    expect([one.positives, one.negatives, one.n]).toEqual([labels.filter(Boolean).length, labels.filter((x) => !x).length, labels.length]);
  });
  it("keep their laws: exchange, negation, an increasing function of the scores, a score against itself", () => {
    fc.assert(fc.property(rowsWithTies.filter(({ mask }) => mask.filter(Boolean).length > 1 && mask.filter((x) => !x).length > 1), ({ scores, mask }) => {
      const plain = aurocEstimate(scores, mask), turned = aurocEstimate(scores.map((s) => -s), mask.map((x) => 1 - x));
      expectClose(turned.value, plain.value, { rtol: 1e-14 });
      expectClose(turned.standardError, plain.standardError, { rtol: 1e-9, atol: 1e-9 });
      expect(aurocEstimate(scores.map((s) => s ** 3), mask)).toEqual(plain);
      expect(aurocDifference(scores, scores.map((s) => 2 * s), mask)).toMatchObject({ value: 0, interval: [0, 0], pValue: 1 });
    }), seeded);
  });
  it("special values: perfect scores have an interval of one number", () => {
    expect(aurocEstimate([0, 1, 2, 3], [0, 0, 1, 1])).toMatchObject({ value: 1, interval: [1, 1], standardError: 0 });
    expect(aurocDifference([0, 1, 2, 3], [3, 2, 1, 0], [0, 0, 1, 1])).toMatchObject({ value: 1, interval: [1, 1], pValue: 0 });
  });

  /** Scores of two models that share noise: AUROCs P(N(d, 2) > 0). */
  const draw = (seed: number, m: number, n: number, gap: number) => {
    const random = testRandom(seed), labels = Array.from({ length: m + n }, (_, i) => Number(i < m)), shared = labels.map(() => random.normal());
    const score = (d: number): number[] => labels.map((y, i) => d * y + 0.8 * shared[i] + 0.6 * random.normal());
    return { labels, a: score(1), b: score(1 - gap) };
  };
  const TRUTH = 0.7602499389065233; // Phi(1 / sqrt 2)
  const repetitions = SLOW ? 10_000 : 1000;
  it("the interval covers the truth in about 95 of 100 draws", () => {
    // An asymptotic interval at 60 and 80 rows: 94 to 96 of 100.
    const { mean } = checkGuarantee({ name: "DeLong", kind: "probability of exceeding", level: 0.94, side: "at least", repetitions, simulate: (seed) => {
      const { labels, a } = draw(seed, 60, 80, 0), { interval } = aurocEstimate(a, labels);
      return interval[0] <= TRUTH && TRUTH <= interval[1];
    } });
    expect(mean).toBeLessThan(0.975);
    console.info(`DeLong's interval, 60 and 80 rows: covers ${mean}`);
  });
  it("the paired test has its level without a difference, and finds one that two intervals would not", () => {
    checkGuarantee({ name: "level", kind: "probability of exceeding", level: 0.05, slack: 0.01, repetitions, simulate: (seed) => {
      const { labels, a, b } = draw(seed, 50, 50, 0);
      return aurocDifference(a, b, labels).pValue <= 0.05;
    } });
    let paired = 0, apart = 0;
    for (let seed = 0; seed < 100; seed++) {
      const { labels, a, b } = draw(seed, 100, 100, 0.4);
      if (aurocDifference(a, b, labels).pValue <= 0.05) paired++;
      if (aurocEstimate(a, labels).interval[0] > aurocEstimate(b, labels).interval[1]) apart++;
    }
    expect(paired).toBeGreaterThan(apart + 20);
  });
});

describe("bootstrapEstimate, bootstrapDifference", () => {
  const random = testRandom(9), scores = Array.from({ length: 120 }, (_, i) => random.normal() + Number(i < 50)), labels = scores.map((_, i) => Number(i < 50));
  const area = (rows: Int32Array): number => auroc(Array.from(rows, (i) => scores[i]), Array.from(rows, (i) => labels[i]));
  it("is near DeLong's interval for an AUROC, and the same bits for the same source", () => {
    const options = () => ({ random: randomSource(1), strata: labels, repetitions: 1000 });
    const boot = bootstrapEstimate(120, area, options()), plain = aurocEstimate(scores, labels);
    expect(boot.value).toBe(plain.value);
    // Percentiles of 1000 samples: their standard error is about a tenth of the standard error of the area; three of those.
    expectClose(boot.interval, plain.interval, { atol: 0.3 * plain.standardError });
    expect(bootstrapEstimate(120, area, options())).toEqual(boot);
  });
  it("draws each kind by itself where there are strata", () => {
    const counts = new Set<number>();
    bootstrapEstimate(120, (rows) => {
      counts.add(rows.reduce((sum, i) => sum + labels[i], 0));
      return 0;
    }, { random: randomSource(2), strata: labels, repetitions: 50 });
    expect([...counts]).toEqual([50]);
    const seen: number[] = [];
    bootstrapEstimate(3, (rows) => seen.push(...rows), { random: randomSource(3), repetitions: 1 });
    expectExact(seen.slice(0, 3), [0, 1, 2]);
    expect(seen.length).toBe(6);
  });
  it("covers a false-positive rate that has no formula", () => {
    // Normal scores with a shift of 2: FPR at recall 0.95 is Phi(-(2 - 1.645)) = 0.3612.
    checkGuarantee({ name: "bootstrap", kind: "probability of exceeding", level: 0.9, side: "at least", repetitions: SLOW ? 1000 : 100, simulate: (seed) => {
      const source = testRandom(seed), x = Array.from({ length: 300 }, (_, i) => source.normal() + (i < 150 ? 2 : 0)), y = x.map((_, i) => Number(i < 150));
      const { interval } = bootstrapEstimate(300, (rows) => falsePositiveRateAtRecall(Array.from(rows, (i) => x[i]), Array.from(rows, (i) => y[i])), { random: randomSource(seed), strata: y, repetitions: 200 });
      return interval[0] <= 0.3612 && 0.3612 <= interval[1];
    } });
  });
  it("differences: nothing between equals, a small p-value for what differs, and the smallest that R samples can give", () => {
    const same = bootstrapDifference(120, (rows) => [area(rows), area(rows)], { random: randomSource(4), strata: labels, repetitions: 99 });
    expect(same).toMatchObject({ value: 0, interval: [0, 0], pValue: 1 });
    const clear = bootstrapDifference(120, (rows) => [area(rows), area(rows) - 0.1], { random: randomSource(4), strata: labels, repetitions: 99 });
    expect(clear.pValue).toBe(0.02);
    expectClose([clear.value, ...clear.interval], [0.1, 0.1, 0.1], { rtol: 1e-12 });
  });
  it("has its level on paired rows without a difference", () => {
    // Percentiles of samples of 60 rows reject a little too often: at most 8 of 100 where 5 are asked for.
    checkGuarantee({ name: "level", kind: "probability of exceeding", level: 0.08, repetitions: SLOW ? 2000 : 300, simulate: (seed) => {
      const source = testRandom(seed), x = Array.from({ length: 60 }, () => source.normal()), y = x.map(() => source.normal());
      const mean = (z: number[], rows: Int32Array): number => rows.reduce((sum, i) => sum + z[i], 0) / rows.length;
      return bootstrapDifference(60, (rows) => [mean(x, rows), mean(y, rows)], { random: randomSource(seed), repetitions: 199 }).pValue <= 0.05;
    } });
  });
});

describe("messages", () => {
  it("say what is wrong", () => {
    const options = { random: randomSource(1), repetitions: 3 };
    expect(() => averagePrecision([1, 2], [0, 0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: averagePrecision: expected \`positives\` with at least one positive and one negative row, got 0 of 2 positive]`);
    expect(() => averagePrecision([1, NaN], [0, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: averagePrecision: expected \`scores\` without NaN, got NaN in row 1]`);
    expect(() => detectionError([1, 2], [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: detectionError: expected \`positives\` of shape [2], got [1]]`);
    expect(() => aurocEstimate([1, 2, 3], [0, 0, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: aurocEstimate: expected \`positives\` with at least two positive and two negative rows, got 1 and 2]`);
    expect(() => aurocEstimate([1, 2, 3, 4], [0, 0, 1, 1], { level: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: aurocEstimate: expected \`level\` in (0, 1), got 1]`);
    expect(() => aurocDifference([1, 2, 3, 4], [1, 2], [0, 0, 1, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: aurocDifference: expected \`b\` of shape [4], got [2]]`);
    expect(() => bootstrapEstimate(0, () => 1, options)).toThrowErrorMatchingInlineSnapshot(`[RangeError: bootstrapEstimate: expected \`n\` an integer in [1, 2147483647], got 0]`);
    expect(() => bootstrapEstimate(3, () => NaN, options)).toThrowErrorMatchingInlineSnapshot(`[RangeError: bootstrapEstimate: expected \`metric\` to return a number, got NaN for all rows. With few rows of a kind pass \`strata\`]`);
    expect(() => bootstrapEstimate(3, () => 1, { ...options, strata: [1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: bootstrapEstimate: expected \`strata\` of shape [3], got [1]]`);
    expect(() => bootstrapDifference(3, () => [1, 2], { ...options, repetitions: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: bootstrapDifference: expected \`repetitions\` an integer in [1, 2147483647], got 0]`);
  });
});

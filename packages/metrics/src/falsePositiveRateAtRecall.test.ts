import { expectExact, testRandom } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import fixture from "./fixtures/falsePositiveRateAtRecall.json" with { type: "json" };
import { falsePositiveRateAtRecall } from "./index.ts";

const INF = Infinity;
/** Few levels, so that ties are common. */
const tied = fc.array(fc.tuple(fc.integer({ min: 0, max: 5 }), fc.boolean()), { minLength: 2, maxLength: 40 }).filter((rows) => rows.some(([, y]) => y) && rows.some(([, y]) => !y));

describe("falsePositiveRateAtRecall", () => {
  it("is the rate at the highest threshold that finds the share, by trying every threshold", () => {
    fc.assert(fc.property(tied, fc.integer({ min: 1, max: 20 }), (rows, twentieths) => {
      const positive = rows.flatMap(([s, y]) => (y ? [s] : [])), negative = rows.flatMap(([s, y]) => (y ? [] : [s]));
      const threshold = [5, 4, 3, 2, 1, 0].find((t) => 20 * positive.filter((s) => s >= t).length >= twentieths * positive.length)!;
      expect(falsePositiveRateAtRecall(rows.map(([s]) => s), rows.map(([, y]) => Number(y)), { recall: twentieths / 20 })).toBe(negative.filter((s) => s >= threshold).length / negative.length);
    }), { seed: 6, numRuns: 500 });
  });

  it("equals scikit-learn's roc_curve without dropped points; with them two of these are too large", () => {
    let overstated = 0;
    for (const { scores, labels, recall, falsePositiveRate, dropIntermediate } of fixture.cases) {
      expect(falsePositiveRateAtRecall(scores, labels, { recall })).toBe(falsePositiveRate);
      if (dropIntermediate > falsePositiveRate) overstated++;
    }
    expect(overstated).toBe(2);
  });

  it("counts ceil(recall n) positive rows, without the rounding of the product", () => {
    // Positive scores 1 to 100, negative ones 0.5 to 99.5: the threshold that finds k is 101 - k, and k - 1 negative scores lie above it.
    const scores = Float64Array.from({ length: 200 }, (_, i) => (i < 100 ? i + 1 : i - 99.5)), positives = Uint8Array.from({ length: 200 }, (_, i) => Number(i < 100));
    expect(0.07 * 100).toBeGreaterThan(7);
    for (let k = 1; k <= 100; k++) expect(falsePositiveRateAtRecall(scores, positives, { recall: k / 100 })).toBe((k - 1) / 100);
    expect(falsePositiveRateAtRecall(scores, positives, { recall: 0.0701 })).toBe(0.07);
    expect(falsePositiveRateAtRecall(scores, positives, { recall: 1e-300 })).toBe(0);
    expect(falsePositiveRateAtRecall(scores, positives)).toBe(falsePositiveRateAtRecall(scores, positives, { recall: 0.95 }));
  });

  it("does not change with the order of the rows or an increasing function of the scores", () => {
    fc.assert(fc.property(tied, fc.integer(), (rows, salt) => {
      const s = rows.map(([x]) => x), y = rows.map(([, x]) => Number(x)), order = testRandom(salt).permutation(rows.length);
      expect(falsePositiveRateAtRecall(order.map((i) => s[i] ** 3 - 7), order.map((i) => y[i]))).toBe(falsePositiveRateAtRecall(s, y));
    }), { seed: 7, numRuns: 200 });
  });

  it("special values: ties, infinities, separation", () => {
    expectExact(falsePositiveRateAtRecall([1, 1, 1, 1], [0, 1, 0, 1]), 1);
    expectExact(falsePositiveRateAtRecall([INF, INF, 0, -INF], [1, 0, 1, 0], { recall: 0.5 }), 0.5);
    expectExact(falsePositiveRateAtRecall([0, 1, 2, 3], [0, 0, 1, 1], { recall: 1 }), 0);
    expectExact(falsePositiveRateAtRecall([0, 1, 2, 3], [1, 1, 0, 0], { recall: 1 }), 1);
    expectExact(falsePositiveRateAtRecall([-0, 0], [1, 0]), 1);
    expectExact(falsePositiveRateAtRecall([1, 2], Uint8Array.of(0, 1)), 0);
  });

  it("messages", () => {
    expect(() => falsePositiveRateAtRecall([1, NaN, 2], [0, 1, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: falsePositiveRateAtRecall: expected \`scores\` without NaN, got NaN in row 1]`);
    expect(() => falsePositiveRateAtRecall([1, 2], [1, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: falsePositiveRateAtRecall: expected \`positives\` with at least one positive and one negative row, got 2 of 2 positive]`);
    expect(() => falsePositiveRateAtRecall([1, 2], [0, 0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: falsePositiveRateAtRecall: expected \`positives\` with at least one positive and one negative row, got 0 of 2 positive]`);
    expect(() => falsePositiveRateAtRecall([1, 2], [0, 1, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: falsePositiveRateAtRecall: expected \`positives\` of shape [2], got [3]]`);
    expect(() => falsePositiveRateAtRecall([1, 2], [0, 2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: falsePositiveRateAtRecall: expected \`positives\` of 0 and 1, got 2 at index 1]`);
    expect(() => falsePositiveRateAtRecall([1, 2], [0, 1], { recall: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: falsePositiveRateAtRecall: expected \`recall\` in (0, 1], got 0]`);
    expect(() => falsePositiveRateAtRecall([], [])).toThrowErrorMatchingInlineSnapshot(`[RangeError: falsePositiveRateAtRecall: expected \`scores\` with at least one row, got none]`);
  });
});

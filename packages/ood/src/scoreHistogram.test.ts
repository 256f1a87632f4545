import { svg } from "@logits/metrics/plot";
import { randomSource } from "@logits/tensor";
import { expectExact } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { scoreHistogram, scorePlot } from "./scoreHistogram.ts";

describe("scoreHistogram", () => {
  it("agrees with the definition", () => {
    const random = randomSource(1), inside = Float32Array.from({ length: 1000 }, () => random.uniform()), outside = Float32Array.from({ length: 300 }, () => 1 + random.uniform());
    const { bins } = scoreHistogram(inside, outside, { bins: 8 }), all = [...inside, ...outside].sort((a, b) => a - b);
    const low = all[Math.round(0.005 * 1299)], high = all[Math.round(0.995 * 1299)];
    expectExact(bins.map((bin) => bin.low), Array.from({ length: 8 }, (_, i) => low + (i * (high - low)) / 8));
    const within = (scores: Float32Array, i: number): number => scores.filter((score) => (i === 0 || score >= bins[i].low) && (i === 7 || score < bins[i].high)).length;
    expectExact(bins.map((bin) => bin.inside), bins.map((_, i) => within(inside, i)));
    expectExact(bins.map((bin) => bin.outside), bins.map((_, i) => within(outside, i)));
  });

  it("counts every row, whatever the scores, and its plot has no number that is none", () => {
    const score = fc.oneof(fc.float({ noNaN: true }), fc.constantFrom(Infinity, -Infinity, 0, -0, 1));
    fc.assert(
      fc.property(fc.array(score, { minLength: 1, maxLength: 30 }), fc.array(score, { maxLength: 30 }), fc.integer({ min: 1, max: 50 }), score, (inside, outside, bins, threshold) => {
        const found = scoreHistogram(inside, outside, { bins });
        expect([found.inside, found.outside]).toEqual([inside.length, outside.length]);
        expect(found.bins.reduce((sum, bin) => sum + bin.inside, 0)).toBe(inside.length);
        expect(found.bins.reduce((sum, bin) => sum + bin.outside, 0)).toBe(outside.length);
        expect(svg(scorePlot(found, { threshold }))).not.toMatch(/NaN|undefined|="[^"]*Infinity/);
      }),
      { seed: 2, numRuns: 200 },
    );
  });

  it("equal scores lie in the first bin, infinities in the outermost ones", () => {
    expect(scoreHistogram([2, 2, 2], undefined, { bins: 3 }).bins).toEqual([2, 3, 4].map((low, i) => ({ low, high: low + 1, inside: i === 0 ? 3 : 0, outside: 0 })));
    expect(scoreHistogram([0, 1, Infinity, -Infinity], [], { bins: 2 }).bins.map((bin) => bin.inside)).toEqual([2, 2]);
  });

  it("says what is wrong", () => {
    expect(() => scoreHistogram([])).toThrowErrorMatchingInlineSnapshot(`[RangeError: scoreHistogram: expected \`inside\` with at least one score, got none]`);
    expect(() => scoreHistogram([1], [NaN])).toThrowErrorMatchingInlineSnapshot(`[RangeError: scoreHistogram: expected \`outside\` without NaN, got NaN in row 0, column 0]`);
    expect(() => scoreHistogram([1], [], { bins: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: scoreHistogram: expected \`bins\` an integer in [1, 1000], got 0]`);
  });
});

describe("scorePlot", () => {
  it("shows shares of both kinds, and the threshold where there is a place for it", () => {
    const histogram = scoreHistogram([0, 1, 2, 3], [3, 4], { bins: 4 }), { series, description } = scorePlot(histogram, { threshold: 2.5 });
    expect(series.map(({ kind, name }) => [kind, name])).toEqual([["bars", "like those of the fit"], ["bars", "unlike them"], ["rule", undefined]]);
    expect(series[0]).toMatchObject({ value: [0.25, 0.25, 0.25, 0.25] });
    expect(series[1]).toMatchObject({ value: [0, 0, 0, 1] });
    expect(description).toBe("4 rows like those of the fit and 2 that are unlike, in 4 bins from 0.00 to 4.00; threshold 2.500.");
    expect(scorePlot(histogram, { threshold: Infinity }).series).toHaveLength(2);
    expect(scorePlot(scoreHistogram([0, 1])).series).toHaveLength(1);
  });
});

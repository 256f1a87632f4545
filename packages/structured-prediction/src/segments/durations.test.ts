import { expectClose } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { SemiMarkov, negativeBinomialDurations } from "./index.ts";

describe("negativeBinomialDurations", () => {
  it.each([[1, 4, 1], [5, 4, 1], [6, 3, 2], [30, 8, 4], [12, 20, 3], [8, 2.5, 0.7]])("has the mass of all lengths: D %i, mean %d, stages %d", (longest, mean, stages) => {
    const { durations, tail } = negativeBinomialDurations(longest, { mean, stages }), last = Math.exp(durations.at(longest - 1));
    // Of float32 logarithms.
    expectClose(durations.data.slice(0, -1).reduce((sum, v) => sum + Math.exp(v), 0) + last / (1 - Math.exp(tail)), 1, { atol: 1e-6 });
  });

  it("is geometric with one stage, and agrees with products of binomial coefficients", () => {
    const { durations, tail } = negativeBinomialDurations(9, { mean: 5 });
    expectClose(durations.data, Float64Array.from({ length: 9 }, (_, d) => Math.log(0.2) + d * Math.log(0.8)), { atol: 1e-6 });
    expectClose(tail, Math.log(0.8), { atol: 1e-9 });
    const three = negativeBinomialDurations(5, { mean: 4, stages: 3 }).durations.data, p = 0.5;
    expectClose(three, [1, 3, 6, 10, 15].map((c, d) => Math.log(c) + 3 * Math.log(p) + d * Math.log(1 - p)), { atol: 1e-6 });
  });

  it("has the limit of the ratios where nothing is left beyond D", () => {
    expectClose(negativeBinomialDurations(5000, { mean: 2, stages: 3 }).tail, Math.log(1 - 0.75), { atol: 1e-12 });
    expectClose(negativeBinomialDurations(900, { mean: 2, stages: 3 }).tail, Math.log(1 - 0.75), { atol: 3e-3 });
  });

  it("gives segments their mean length, where contents say nothing and the sequence is long", () => {
    const { durations, tail } = negativeBinomialDurations(25, { mean: 8, stages: 4 }), model = SemiMarkov.compile([[0]], { data: durations.data, shape: [25, 1] }, { tail: [tail] });
    const { starts } = new SemiMarkov(model, { data: new Float32Array(4000), shape: [4000, 1] }).marginals();
    // A renewal process: far from both ends a segment begins at one position in 8.
    expectClose(starts.data.subarray(1000, 3000).reduce((a, b) => a + b, 0) / 2000, 1 / 8, { rtol: 2e-3 });
  });

  it("says what it refuses", () => {
    expect(() => negativeBinomialDurations(0, { mean: 2 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: negativeBinomialDurations: expected \`longest\` an integer in [1, 2147483647], got 0]`);
    expect(() => negativeBinomialDurations(3, { mean: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: negativeBinomialDurations: expected \`mean\` finite and above 1, got 1]`);
    expect(() => negativeBinomialDurations(3, { mean: 2, stages: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: negativeBinomialDurations: expected \`stages\` finite and above 0, got 0]`);
  });
});

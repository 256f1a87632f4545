import { expectClose, expectExact, testRandom } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import fixture from "./fixtures/benjaminiHochberg.json" with { type: "json" };
import { benjaminiHochberg } from "./index.ts";

/** Twentieths, so that ties and exact levels are common. */
const shares = fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 40 }).map((list) => list.map((k) => k / 20));

describe("benjaminiHochberg", () => {
  it("rejects at each level what the step-up procedure rejects", () => {
    fc.assert(fc.property(shares, fc.integer({ min: 1, max: 99 }), (p, percent) => {
      // A level between the values that can occur, so that no rounding decides.
      const level = percent / 100 + 1e-7;
      const sorted = p.toSorted((a, b) => a - b);
      const k = sorted.findLastIndex((value, i) => value <= ((i + 1) * level) / p.length);
      expect(Array.from(benjaminiHochberg(p), (q) => q <= level)).toEqual(p.map((value) => k >= 0 && value <= sorted[k]));
    }), { seed: 4, numRuns: 300 });
  });

  it("agrees with numpy, and with four rejections in the example of the paper", () => {
    for (const { name, pValues, adjusted } of fixture.cases) expectClose(benjaminiHochberg(pValues), adjusted, { rtol: 1e-15, label: name });
    expect(benjaminiHochberg(fixture.cases.at(-1)!.pValues).filter((q) => q <= 0.05).length).toBe(4);
  });

  it("keeps the order, never falls below the p-value, and does not depend on the order of the arguments", () => {
    fc.assert(fc.property(shares, fc.integer(), (p, salt) => {
      const q = benjaminiHochberg(p), order = testRandom(salt).permutation(p.length);
      expectExact(benjaminiHochberg(order.map((i) => p[i])), order.map((i) => q[i]));
      for (let i = 0; i < p.length; i++) {
        expect(q[i]).toBeGreaterThanOrEqual(p[i] * (1 - 2 ** -52));
        expect(q[i]).toBeLessThanOrEqual(1);
        for (let j = 0; j < p.length; j++) if (p[i] <= p[j]) expect(q[i]).toBeLessThanOrEqual(q[j]);
      }
    }), { seed: 5, numRuns: 100 });
  });

  it("takes none, one, equal ones and the ends", () => {
    expect(benjaminiHochberg([])).toEqual(new Float64Array(0));
    expectExact(benjaminiHochberg([0.3]), [0.3]);
    expectExact(benjaminiHochberg([0.25, 0.25, 0.25]), [0.25, 0.25, 0.25]);
    expectExact(benjaminiHochberg([1, 0, 1]), [1, 0, 1]);
  });

  it("messages", () => {
    expect(() => benjaminiHochberg([0.1, 1.5])).toThrowErrorMatchingInlineSnapshot(`[RangeError: benjaminiHochberg: expected \`pValues\` in [0, 1], got 1.5 at index 1]`);
    expect(() => benjaminiHochberg([0.1, NaN])).toThrowErrorMatchingInlineSnapshot(`[RangeError: benjaminiHochberg: expected \`pValues\` in [0, 1], got NaN at index 1]`);
    expect(() => benjaminiHochberg("p" as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: benjaminiHochberg: expected \`pValues\` a tensor, typed array, { data, dims } or nested number arrays, got String]`);
  });
});

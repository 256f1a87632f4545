import { cifar10Vgg16, checkGuarantee, expectClose, testRandom } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { calibrationTest, type CalibrationTestOptions } from "./index.ts";

type Method = NonNullable<CalibrationTestOptions["method"]>;
const METHODS: readonly Method[] = ["kuiper", "kolmogorov-smirnov", "spiegelhalter", "hosmer-lemeshow"];
const run = (confidence: readonly number[], correct: readonly number[], method: Method, bins?: number) => calibrationTest({ confidence: [...confidence], correct: [...correct] }, { method, bins });
const { process } = globalThis as unknown as { process: { env: Record<string, string | undefined> } };
const repetitions = process.env.LOGITS_SLOW ? 10000 : 500;

describe("calibrationTest", () => {
  it("has the statistics of the definition", () => {
    const c = [0.25, 0.5, 0.75, 0.75], y = [1, 0, 1, 0], variance = 3 / 16 + 1 / 4 + 3 / 16 + 3 / 16;
    // Residuals in order .75, -.5, (.25 - .75): sums .75, .25, -.25.
    expectClose(run(c, y, "kuiper").value, 1 / Math.sqrt(variance), { rtol: 1e-15 });
    expectClose(run(c, y, "kolmogorov-smirnov").value, 0.75 / Math.sqrt(variance), { rtol: 1e-15 });
    // sum r (1 - 2c) = .75 / 2 - .25 / 2 + .75 / 2 = .625; variance (1/4)(3/16) three times.
    expectClose(run(c, y, "spiegelhalter").value, 0.625 / Math.sqrt(9 / 64), { rtol: 1e-15 });
    // Bins {.25, .5} and {.75, .75}: O = 1, E = .75 and O = 1, E = 1.5.
    expectClose(run(c, y, "hosmer-lemeshow", 2).value, 0.0625 / (0.75 * 0.625) + 0.25 / (1.5 * 0.25), { rtol: 1e-15 });
  });

  it("has the p-values of a Brownian motion, the normal and chi-square", () => {
    // One row with c = 1/2 has s = 1/2: value 1 for both cumulative methods.
    expectClose(1 - run([0.5], [1], "kolmogorov-smirnov").pValue, 0.3707774297995239, { rtol: 1e-14 });
    expectClose(1 - run([0.5], [1], "kuiper").pValue, 0.06336458792045059, { rtol: 1e-13 });
    // 16 rows in one block: sum 8, s 2, value 4; the terms after the first are below 1e-30 and 1e-14.
    const many = [Array(16).fill(0.5), Array(16).fill(1)] as const;
    const tail = 3.167124183311998e-5; // scipy.stats.norm.sf(4)
    expectClose(run(...many, "kolmogorov-smirnov").pValue, 4 * tail, { rtol: 1e-12 });
    expectClose(run(...many, "kuiper").pValue, 8 * tail, { rtol: 1e-10 });
    expectClose(run([0.25], [1], "spiegelhalter").pValue, 0.08326451666355042, { rtol: 1e-12 }); // Z = sqrt(3): 2 sf(sqrt(3))
    expectClose(run([0.25], [1], "hosmer-lemeshow", 1).pValue, 0.08326451666355042, { rtol: 1e-12 }); // the same, squared
  });

  it("does not depend on the order of the rows", () => {
    fc.assert(fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 32 }), fc.integer({ min: 0, max: 1 })), { minLength: 1, maxLength: 40 }), fc.constantFrom(...METHODS), (rows, method) => {
      const of = (list: typeof rows) => run(list.map(([k]) => k / 32), list.map(([, y]) => y), method);
      expect(of([...rows].reverse())).toEqual(of(rows)); // sums of multiples of 1/32 are exact
      expect(of(rows).pValue).toBeGreaterThanOrEqual(0);
      expect(of(rows).pValue).toBeLessThanOrEqual(1);
    }), { seed: 8, numRuns: 200 });
  });

  it("says 1 or 0 where nothing can vary", () => {
    for (const method of METHODS) {
      expect(run([1, 0], [1, 0], method)).toMatchObject({ value: 0, pValue: 1 });
      expect(run([1, 0], [0, 0], method)).toMatchObject({ value: Infinity, pValue: 0 });
    }
    expect(run([0.5], [1], "spiegelhalter")).toMatchObject({ value: 0, pValue: 1 }); // has no power at 1/2
  });

  it.each(METHODS)("%s keeps its level", (method) => {
    // 400 rows: the sums jump by one answer, so the cumulative tests are cautious; the others are at the level up to O(1 / N).
    const got = checkGuarantee({
      name: method, kind: "marginal mean", level: 0.05, slack: 0.02, repetitions,
      simulate: (seed) => {
        const random = testRandom(seed + 1);
        const c = Array.from({ length: 400 }, () => 0.2 + 0.79 * random.uniform());
        return Number(run(c, c.map((p) => Number(random.uniform() < p)), method).pValue <= 0.05);
      },
    });
    expect(got.mean).toBeGreaterThan(0.01);
  });

  it("finds VGG-16 on CIFAR-10 overconfident, each method", () => {
    const { probabilities, shape, labels } = cifar10Vgg16();
    for (const method of METHODS) {
      const { pValue, n } = calibrationTest({ data: probabilities, shape }, labels, { method });
      expect(pValue).toBeLessThan(1e-10);
      expect(n).toBe(10000);
    }
  });

  it("says what is wrong", () => {
    expect(() => run([0.5], [1], "chi" as never)).toThrowErrorMatchingInlineSnapshot(`[RangeError: calibrationTest: expected \`method\` "kuiper", "kolmogorov-smirnov", "spiegelhalter" or "hosmer-lemeshow", got chi]`);
    expect(() => run([0.5], [1], "hosmer-lemeshow", 0)).toThrowErrorMatchingInlineSnapshot(`[RangeError: calibrationTest: expected \`bins\` an integer in [1, 1000000], got 0]`);
    expect(() => run([1.5], [1], "kuiper")).toThrowErrorMatchingInlineSnapshot(`[RangeError: calibrationTest: expected \`confidence\` in [0, 1], got 1.5 in row 0]`);
  });
});

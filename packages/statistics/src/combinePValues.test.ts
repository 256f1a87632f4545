import { expectClose, testRandom, checkGuarantee } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { atan, cotPi } from "./circle.ts";
import { chiSquareSurvival, combinePValues, normalCdf } from "./index.ts";

const SLOW = Boolean(process.env.LOGITS_SLOW), METHODS = ["fisher", "cauchy", "harmonic", "mean", "bonferroni"] as const;

describe("combinePValues", () => {
  const lists = [[0.01, 0.5, 1, 0.2, 1e-12], [0.04, 0.9, 1, 0.2, 0.7], [0.5, 0.3, 1, 0.2, 0.9]];
  it("agrees with the definitions", () => {
    const rows = lists[0].map((_, n) => lists.map((list) => list[n]));
    // Two libraries' logarithms and the cancellation of a sum of three: 1e-13 relative.
    const close = (got: Float64Array, want: number[]) => expectClose(got, want, { rtol: 1e-13, atol: 1e-16 });
    close(combinePValues(lists, { method: "fisher" }), rows.map((p) => chiSquareSurvival(-2 * p.reduce((sum, one) => sum + Math.log(one), 0), 6)));
    close(combinePValues(lists, { method: "mean" }), rows.map((p) => Math.min(1, (2 / 3) * (p[0] + p[1] + p[2]))));
    close(combinePValues(lists, { method: "bonferroni" }), rows.map((p) => Math.min(1, 3 * Math.min(...p))));
    const cauchy = rows.map((p) => p.reduce((sum, one) => sum + 1 / Math.tan(Math.PI * one), 0) / 3).map((t) => (t > 1 ? Math.atan(1 / t) / Math.PI : 0.5 - Math.atan(t) / Math.PI));
    expectClose(combinePValues(lists, { method: "cauchy" }), cauchy.map((p, n) => (n === 2 ? 1 : p)), { rtol: 1e-12, atol: 1e-15 });
    // D / sum(1 / p) times the a_3 of Vovk and Wang: 2.499 ln 3 (their table 1).
    expectClose(combinePValues([[0.01], [0.04], [0.5]], { method: "harmonic" })[0] / (3 / 127), 2.499 * Math.log(3), { rtol: 6e-4 });
  });

  it("has the factors of Vovk and Wang's table: a_D / ln D", () => {
    const factor = (tests: number) => combinePValues(Array.from({ length: tests }, () => [1e-6]), { method: "harmonic" })[0] / 1e-6;
    // The table has three decimals, some cut and some rounded.
    expectClose([5, 10, 20, 50, 100].map((tests) => factor(tests) / Math.log(tests)), [2.214, 1.980, 1.828, 1.693, 1.619], { atol: 1e-3 });
    expectClose(factor(2), 2, { rtol: 1e-15 });
  });

  it("is symmetric, monotone, and the p-value itself for one test", () => {
    const random = testRandom(1), p = Array.from({ length: 4 }, () => Float64Array.from({ length: 50 }, () => random.uniform()));
    for (const method of METHODS) {
      const whole = combinePValues(p, { method });
      expectClose(combinePValues([p[2], p[0], p[3], p[1]], { method }), whole, { rtol: 1e-12, atol: 1e-14 });
      const less = combinePValues([p[0].map((x) => x / 2), p[1], p[2], p[3]], { method });
      less.forEach((x, n) => expect(x).toBeLessThanOrEqual(whole[n]));
      expect(combinePValues([p[1]], { method })).toEqual(p[1]);
      expect(Array.from(combinePValues([[0, 1, 0], [0.5, 1, 0]], { method }))).toEqual(method === "mean" ? [0.5, 1, 0] : [0, 1, 0]);
      expect(combinePValues([[], []], { method }).length).toBe(0);
    }
  });

  /** p-values of D tests that share a normal variable: correlation rho. */
  const correlated = (seed: number, tests: number, rho: number): number[] => {
    const random = testRandom(seed), shared = random.normal();
    return Array.from({ length: tests }, () => 1 - normalCdf(Math.sqrt(rho) * shared + Math.sqrt(1 - rho) * random.normal()));
  };
  const repetitions = SLOW ? 10_000 : 2000;
  it.each([["harmonic", 0.9], ["mean", 0.9], ["bonferroni", 0.9], ["harmonic", 0], ["mean", 0], ["bonferroni", 0], ["fisher", 0]] as const)("%s keeps its level under a correlation of %d", (method, rho) => {
    for (const level of [0.05, 0.2]) {
      checkGuarantee({ name: `${method} ${rho}`, kind: "probability of exceeding", level, repetitions, simulate: (seed) => combinePValues(correlated(seed, 4, rho).map((p) => [p]), { method })[0] <= level });
    }
  });
  it("cauchy keeps a small level under correlation, and fisher does not", () => {
    const at = (method: "cauchy" | "fisher", rho: number) => ({ name: method, kind: "probability of exceeding" as const, level: 0.01, slack: 0.003, repetitions, simulate: (seed: number) => combinePValues(correlated(seed, 4, rho).map((p) => [p]), { method })[0] <= 0.01 });
    checkGuarantee(at("cauchy", 0.5));
    checkGuarantee(at("cauchy", 0));
    expect(() => checkGuarantee(at("fisher", 0.5))).toThrow("promised at most");
  });
  it("mean keeps its level in the worst case that there is for two tests: p and 1 - p below the level", () => {
    checkGuarantee({ name: "mean", kind: "probability of exceeding", level: 0.2, side: "both", repetitions, simulate: (seed) => {
      const u = testRandom(seed).uniform(), p = u <= 0.2 ? [u, 0.2 - u] : [u, u];
      return combinePValues(p.map((x) => [x]), { method: "mean" })[0] <= 0.2;
    } });
  });

  it("messages", () => {
    const combine = (...args: unknown[]) => () => (combinePValues as (...all: unknown[]) => unknown)(...args);
    expect(combine([[0.1]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: combinePValues: expected \`method\` "fisher", "cauchy", "harmonic", "mean", "bonferroni", got undefined]`);
    expect(combine([], { method: "mean" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: combinePValues: expected \`pValues\` of at least one test, got none]`);
    expect(combine(0.1, { method: "mean" })).toThrowErrorMatchingInlineSnapshot(`[TypeError: combinePValues: expected \`pValues\` a list of lists, one for each test, got Number]`);
    expect(combine([[0.1], [0.1, 0.2]], { method: "mean" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: combinePValues: expected \`pValues[1]\` of length 1, got 2]`);
    expect(combine([[0.1], [1.5]], { method: "mean" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: combinePValues: expected \`pValues[1]\` in [0, 1], got 1.5 at index 0]`);
    expect(combine([[NaN]], { method: "mean" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: combinePValues: expected \`pValues[0]\` in [0, 1], got NaN at index 0]`);
  });
});

describe("the circle", () => {
  it("agrees with the engine's functions", () => {
    for (let i = 1; i < 2000; i++) {
      const x = i / 2000;
      // The engine rounds pi x, which is all there is near 1/2: an absolute bound there.
      if (x <= 0.5) expectClose(cotPi(x), 1 / Math.tan(Math.PI * x), { rtol: 1e-15, atol: 2e-16 });
      if (x < 0.5) expect(cotPi(1 - x)).toBe(-cotPi(1 - (1 - x)));
      expectClose(atan(20 * x - 10), Math.atan(20 * x - 10), { rtol: 2e-15, atol: 1e-17 });
    }
    expectClose([cotPi(1e-300), atan(Infinity), atan(-Infinity), atan(0), cotPi(0.5)], [1 / (Math.PI * 1e-300), Math.PI / 2, -Math.PI / 2, 0, 0], { rtol: 1e-15 });
  });
});

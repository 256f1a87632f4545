import { checkGuarantee, expectClose } from "@logits/testkit";
import { randomSource } from "@logits/tensor";
import { describe, expect, it, vi } from "vitest";
import { conformalRiskControl, learnThenTest } from "./index.ts";

// 10,000 repetitions of one promise take minutes on a busy machine.
if (process.env.LOGITS_SLOW) vi.setConfig({ testTimeout: 1_200_000 });

const repetitions = process.env.LOGITS_SLOW ? 10000 : 400;
const LEVELS = 101;

/** A row needs up to four of ten labels; a label is found where its score is at most the setting. Loss: the share of its labels that are not found. */
function losses(rows: number, seed: number): { shape: [number, number]; data: Float32Array } {
  const random = randomSource(seed), data = new Float32Array(rows * LEVELS);
  for (let i = 0; i < rows; i++) {
    const scores = Array.from({ length: 1 + random.integer(4) }, () => random.uniform() * random.uniform());
    for (let l = 0; l < LEVELS; l++) data[i * LEVELS + l] = scores.filter((s) => s > l / (LEVELS - 1)).length / scores.length;
  }
  return { shape: [rows, LEVELS], data };
}
/** The true mean loss at setting s: P(U V > s) = 1 - s + s ln s. */
const riskAt = (l: number): number => (l === 0 ? 1 : 1 - l / 100 + (l / 100) * Math.log(l / 100));

describe("conformalRiskControl", () => {
  it("agrees with the definition", () => {
    for (let seed = 0; seed < 30; seed++) {
      const n = 5 + 4 * seed, table = losses(n, seed), { index, risks, bounds } = conformalRiskControl(table, { alpha: 0.2 });
      const means = Array.from({ length: LEVELS }, (_, l) => Array.from({ length: n }, (_, i) => table.data[i * LEVELS + l]).reduce((a, b) => a + b, 0) / n);
      expectClose(risks, means, { rtol: 1e-12 });
      expectClose(bounds, means.map((r) => (n / (n + 1)) * r + 1 / (n + 1)), { rtol: 1e-12 });
      expect(index).toBe(means.findIndex((r) => (n / (n + 1)) * r + 1 / (n + 1) <= 0.2));
    }
  });

  it("promises the mean loss of new rows, and is not needlessly cautious", () => {
    const n = 60;
    checkGuarantee({
      name: "risk", repetitions, kind: "marginal mean", level: 0.2,
      // Less than 2 B / (n + 1) below for continuous settings, and the step of the table: a change of the risk of at most 0.045 at 0.2.
      slack: 2 / (n + 1) + 0.045,
      simulate: (seed) => riskAt(conformalRiskControl(losses(n, seed), { alpha: 0.2 }).index!),
    });
  });

  it("is split conformal prediction where the loss is a miss", () => {
    const random = randomSource(1), scores = Float32Array.from({ length: 39 }, () => random.uniform()), settings = [...scores].sort((a, b) => a - b);
    const table = { shape: [39, 39], data: Float32Array.from({ length: 39 * 39 }, (_, i) => (scores[Math.floor(i / 39)] > settings[i % 39] ? 1 : 0)) };
    for (const alpha of [0.05, 0.1, 0.25, 0.5]) expect(conformalRiskControl(table, { alpha }).index).toBe(Math.ceil(40 * (1 - alpha) - 1e-9) - 1);
  });

  it("says null where no setting is safe, and works in the unit of the loss", () => {
    expect(conformalRiskControl([[0], [0], [0]], { alpha: 0.2 }).index).toBe(null); // 1 / 4 > 0.2
    expect(conformalRiskControl([[0], [0], [0]], { alpha: 0.25 }).index).toBe(0);
    expect(conformalRiskControl([[10, 5], [10, 0], [10, 0]], { alpha: 4, bound: 10 }).index).toBe(1);
  });

  it("says what is wrong", () => {
    expect(() => conformalRiskControl([[0.5, 0.6]], { alpha: 0.1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: conformalRiskControl: expected \`losses\` that do not rise from one setting to the next, got 0.6000000238418579 after 0.5 in row 0, column 1. Order the settings from least to most cautious, or use learnThenTest]`);
    expect(() => conformalRiskControl([[0.5, 1.1]], { alpha: 0.1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: conformalRiskControl: expected \`losses\` in [0, 1], got 1.100000023841858 in row 0, column 1]`);
    expect(() => conformalRiskControl([[NaN]], { alpha: 0.1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: conformalRiskControl: expected \`losses\` in [0, 1], got NaN in row 0, column 0]`);
    expect(() => conformalRiskControl([0.5], { alpha: 0.1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: conformalRiskControl: expected \`losses\` of shape [n, L], got [1]]`);
    expect(() => conformalRiskControl({ shape: [0, 2], data: new Float32Array(0) }, { alpha: 0.1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: conformalRiskControl: expected \`losses\` with at least one row and one setting, got shape [0, 2]]`);
    expect(() => conformalRiskControl([[0.5]], { alpha: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: conformalRiskControl: expected \`alpha\` a finite number > 0, got 0]`);
  });
});

describe("learnThenTest", () => {
  /** The definition, with the binomial summed term by term. */
  function pValueRef(r: number, n: number, alpha: number): number {
    const low = Math.min(r, alpha), part = (a: number, b: number) => (a === 0 ? 0 : a * Math.log(a / b));
    let term = (1 - alpha) ** n, tail = 0;
    for (let k = 0; k <= Math.ceil(n * r - 1e-9); k++) {
      tail += term;
      term *= ((n - k) / (k + 1)) * (alpha / (1 - alpha));
    }
    return Math.min(1, Math.exp(-n * (part(low, alpha) + part(1 - low, 1 - alpha))), Math.E * tail);
  }

  it("agrees with the definition of the p-values", () => {
    for (const n of [1, 7, 40, 150]) {
      for (const hits of [0, 1, Math.floor(n / 3), n]) {
        const { pValues } = learnThenTest(Array.from({ length: n }, (_, i) => [i < hits ? 1 : 0]), { alpha: 0.15 });
        expectClose(pValues, [pValueRef(hits / n, n, 0.15)], { rtol: 1e-9 });
      }
    }
    // Losses of three quarters of the bound: 3 of 4.
    expectClose(learnThenTest([[6], [0], [0], [0], [0]], { alpha: 2, bound: 8 }).pValues, [pValueRef(0.15, 5, 0.25)], { rtol: 1e-9 });
  });

  it("takes the variance over rows, not over settings: the p-value of a setting does not change with the others (MAPIE's Bernstein bound)", () => {
    const table = losses(50, 3), column = (l: number) => Array.from({ length: 50 }, (_, i) => table.data[i * LEVELS + l]);
    const all = learnThenTest(table, { alpha: 0.2 }).pValues;
    for (const l of [10, 40, 80]) expect(learnThenTest(column(l).map((x) => [x]), { alpha: 0.2 }).pValues).toEqual([all[l]]);
  });

  it("passes a setting that is not safe in at most delta of the tables: a fixed sequence, Bonferroni, Holm", () => {
    for (const correction of ["fixed sequence", "bonferroni", "holm"] as const) {
      checkGuarantee({
        name: correction, repetitions, kind: "probability of exceeding", level: 0.1,
        simulate: (seed) => {
          const n = 80, { data } = losses(n, seed);
          // From the safest on; settings whose risk is just above 0.2 come after safe ones.
          const turned = { shape: [n, LEVELS], data: Float32Array.from({ length: n * LEVELS }, (_, i) => data[i - (i % LEVELS) + LEVELS - 1 - (i % LEVELS)]) };
          return learnThenTest(turned, { alpha: 0.2, delta: 0.1, correction }).passed.some((l) => riskAt(LEVELS - 1 - l) > 0.2);
        },
      });
    }
  });

  it("has p-values that are super-uniform at the edge, and that find settings which are safe", () => {
    for (const level of [0.05, 0.3]) {
      checkGuarantee({
        name: `p <= ${level} at a mean of exactly alpha`, repetitions, kind: "probability of exceeding", level,
        simulate: (seed) => {
          const random = randomSource(seed, 3);
          return learnThenTest(Array.from({ length: 60 }, () => [random.uniform() < 0.2 ? 1 : 0]), { alpha: 0.2 }).pValues[0] <= level;
        },
      });
    }
    const random = randomSource(1);
    expect(learnThenTest(Array.from({ length: 300 }, () => [random.uniform() < 0.1 ? 1 : 0]), { alpha: 0.2 }).passed).toEqual([0]);
  });

  it("stops a fixed sequence at the first failure, and Holm passes what Bonferroni passes", () => {
    const n = 100, column = [0, 0, 1, 0], table = Array.from({ length: n }, () => column);
    expect(learnThenTest(table, { alpha: 0.1 }).passed).toEqual([0, 1]);
    expect(learnThenTest(table, { alpha: 0.1, correction: "bonferroni" }).passed).toEqual([0, 1, 3]);
    for (let seed = 0; seed < 30; seed++) {
      const some = losses(120, seed), { passed } = learnThenTest(some, { alpha: 0.2, correction: "holm" });
      expect(passed).toEqual(expect.arrayContaining([...learnThenTest(some, { alpha: 0.2, correction: "bonferroni" }).passed]));
    }
  });

  it("says what is wrong", () => {
    expect(() => learnThenTest([[0.5]], { alpha: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: learnThenTest: expected \`alpha\` in (0, 1), got 1]`);
    expect(() => learnThenTest([[0.5]], { alpha: 0.1, delta: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: learnThenTest: expected \`delta\` in (0, 1), got 0]`);
    expect(() => learnThenTest([[0.5]], { alpha: 0.1, correction: "none" as "holm" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: learnThenTest: expected \`correction\` "fixed sequence" or "bonferroni" or "holm", got none]`);
    expect(() => learnThenTest([[2]], { alpha: 0.1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: learnThenTest: expected \`losses\` in [0, 1], got 2 in row 0, column 0]`);
  });
});

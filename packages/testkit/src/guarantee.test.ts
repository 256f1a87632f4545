import { describe, expect, it } from "vitest";
import { expectClose } from "./compare.ts";
import { checkGuarantee, normalQuantile, upperTail, type GuaranteeSpec } from "./guarantee.ts";
import { testRandom, type TestRandom } from "./random.ts";

/** A detector that selects one of 40 noise features and puts its threshold at the 90th of 100 calibration rows. */
function falsePositiveRate(random: TestRandom, reuse: boolean): number {
  const features = 40;
  const draw = (n: number): number[][] => Array.from({ length: n }, () => Array.from({ length: features }, () => random.normal()));
  const quantile = (rows: number[][], f: number): number => rows.map((row) => row[f]).sort((a, b) => a - b)[89];
  const fitRows = draw(99);
  const calibrationRows = reuse ? fitRows : draw(99);
  let best = 0;
  for (let f = 1; f < features; f++) if (quantile(fitRows, f) < quantile(fitRows, best)) best = f;
  const threshold = quantile(calibrationRows, best);
  const test = draw(200);
  return test.filter((row) => row[best] > threshold).length / test.length;
}

const marginal = (reuse: boolean): GuaranteeSpec => ({
  name: "false-positive rate",
  kind: "marginal mean",
  level: 0.1,
  repetitions: 60,
  simulate: (seed) => falsePositiveRate(testRandom(seed), reuse),
});

const coin = (probability: number, extra: Partial<GuaranteeSpec>): GuaranteeSpec => ({
  name: "coin",
  kind: "probability of exceeding",
  level: 0.1,
  repetitions: 400,
  simulate: (seed) => testRandom(seed + 5).uniform() < probability,
  ...extra,
});

describe("checkGuarantee", () => {
  it("passes a procedure that uses other rows for selection and threshold, on both sides", () => {
    checkGuarantee(marginal(false));
    const { mean, standardError } = checkGuarantee({ ...marginal(false), side: "both" });
    expect(Math.abs(mean - 0.1)).toBeLessThan(4 * standardError);
  });

  it("catches a procedure that reuses its rows", () => {
    expect(() => checkGuarantee(marginal(true))).toThrow("promised at most 0.1");
  });

  it("passes and catches probabilities of exceeding", () => {
    checkGuarantee(coin(0.1, {}));
    checkGuarantee(coin(0.1, { side: "both" }));
    checkGuarantee(coin(0.02, {}));
    checkGuarantee(coin(1, { side: "at least", level: 0.9 }));
    checkGuarantee(coin(0, { level: 0 }));
    checkGuarantee(coin(0.1, { simulate: (seed) => Number(testRandom(seed).uniform() < 0.1) }));
    expect(() => checkGuarantee(coin(0.2, {}))).toThrow("promised at most 0.1");
    expect(() => checkGuarantee(coin(0.02, { side: "both" }))).toThrow("promised at least 0.1");
    expect(() => checkGuarantee(coin(0.8, { side: "at least", level: 0.9 }))).toThrow("promised at least 0.9");
    expect(() => checkGuarantee(coin(0.02, { side: "at most", slack: 0.02 }))).toThrow("promised at least 0.08");
    expect(() => checkGuarantee(coin(0.2, { side: "at least", slack: 0.02 }))).toThrow("promised at most 0.12");
    expect(() => checkGuarantee(coin(0.01, { level: 0 }))).toThrow("promised at most 0");
  });

  it("passes and catches means, of counts too", () => {
    const mean = (value: number, extra: Partial<GuaranteeSpec>): GuaranteeSpec => ({
      name: "coverage", kind: "marginal mean", level: 0.9, side: "at least", repetitions: 100,
      simulate: (seed) => ({ successes: 100 * value + testRandom(seed).normal(), trials: 100 }),
      ...extra,
    });
    checkGuarantee(mean(0.9, {}));
    checkGuarantee(mean(0.95, {}));
    checkGuarantee(mean(0.905, { slack: 0.01 }));
    checkGuarantee(mean(0, { simulate: () => 0.9, side: "both" }));
    expect(() => checkGuarantee(mean(0.89, {}))).toThrow("promised at least 0.9");
    expect(() => checkGuarantee(mean(0.95, { slack: 0.01 }))).toThrow("promised at most 0.91");
    expect(() => checkGuarantee(mean(0, { simulate: () => 0.8999 }))).toThrow("promised at least 0.9");
  });

  it("refuses simulations that could not fail", () => {
    expect(() => checkGuarantee(coin(0.1, { repetitions: 10 }))).toThrowErrorMatchingInlineSnapshot(`[AssertionError: coin: expected at least 30 \`repetitions\`, got 10]`);
    expect(() => checkGuarantee(coin(0.1, { repetitions: 30, level: 0.9 }))).toThrowErrorMatchingInlineSnapshot(`[AssertionError: coin: 30 repetitions cannot tell anything from a probability of at most 0.9]`);
    expect(() => checkGuarantee(coin(0.1, { repetitions: 30, level: 0.05, side: "at least" }))).toThrowErrorMatchingInlineSnapshot(`[AssertionError: coin: 30 repetitions cannot tell anything from a probability of at least 0.05]`);
    expect(() => checkGuarantee(coin(0.1, { confidence: 1 }))).toThrowErrorMatchingInlineSnapshot(`[AssertionError: coin: expected \`confidence\` in (0.5, 1), got 1]`);
    expect(() => checkGuarantee(coin(0.1, { level: NaN }))).toThrowErrorMatchingInlineSnapshot(`[AssertionError: coin: expected a finite \`level\`, got NaN]`);
    expect(() => checkGuarantee(coin(0.1, { level: 1.5 }))).toThrowErrorMatchingInlineSnapshot(`[AssertionError: coin: expected \`level\` in [0, 1], got 1.5]`);
    expect(() => checkGuarantee(coin(0.1, { side: "both", slack: 0.1 }))).toThrowErrorMatchingInlineSnapshot(`[AssertionError: coin: expected a \`slack\` >= 0 with side "at most" or "at least", got 0.1 with "both"]`);
    expect(() => checkGuarantee(coin(0.1, { simulate: () => NaN }))).toThrowErrorMatchingInlineSnapshot(`[AssertionError: coin: the outcome of repetition 0 is NaN]`);
    expect(() => checkGuarantee(coin(0.1, { simulate: () => ({ successes: 0, trials: 0 }) }))).toThrowErrorMatchingInlineSnapshot(`[AssertionError: coin: the outcome of repetition 0 is NaN]`);
    expect(() => checkGuarantee(coin(0.1, { simulate: () => 0.5 }))).toThrowErrorMatchingInlineSnapshot(`[AssertionError: coin: the outcome of repetition 0 is 0.5; a promise is violated (1, true) or kept (0, false)]`);
  });

  it("says what was seen and what was promised", () => {
    expect(() => checkGuarantee(coin(0.2, {}))).toThrowErrorMatchingInlineSnapshot(`[AssertionError: coin: 72 of 400 repetitions violate the promise, promised at most 0.1: the chance of so many is 7.8e-7, less than 0.0010]`);
    expect(() => checkGuarantee(coin(0.02, { side: "both" }))).toThrowErrorMatchingInlineSnapshot(`[AssertionError: coin: 6 of 400 repetitions violate the promise, promised at least 0.1: the chance of so few is 5.9e-12, less than 0.00050]`);
    expect(() => checkGuarantee({ ...coin(0, {}), kind: "marginal mean", simulate: (seed) => seed % 2 })).toThrowErrorMatchingInlineSnapshot(`[AssertionError: coin: the mean over 400 repetitions is 0.5, standard error 0.025031308716087945; promised at most 0.1]`);
  });
});

describe("the distributions behind it", () => {
  it("has the binomial tail", () => {
    // scipy.stats.binom.sf(k - 1, n, p)
    expectClose(upperTail(1, 2, 0.5), 0.75, { rtol: 1e-14 });
    expectClose(upperTail(5, 20, 0.1), 0.04317449528446339, { rtol: 1e-12 });
    expectClose(upperTail(560, 10000, 0.05), 0.0035950253817396806, { rtol: 1e-9 });
    expectClose(upperTail(0, 9, 0.3), 1, { atol: 0 });
    expectClose(upperTail(9, 9, 0.3), 0.3 ** 9, { rtol: 1e-13 });
  });

  it("has the normal quantile", () => {
    expectClose([normalQuantile(0.975), normalQuantile(0.999), normalQuantile(0.9995)], [1.959963984540054, 3.090232306167813, 3.290526731491926], { rtol: 1e-10 });
  });
});

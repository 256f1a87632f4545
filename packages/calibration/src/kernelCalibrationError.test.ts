import { normalCdf } from "@logits/statistics";
import { randomSource } from "@logits/tensor";
import { checkGuarantee, cifar10Vgg16, expectClose, testRandom } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { kernelCalibrationError, type KernelCalibrationErrorOptions } from "./index.ts";
import { ornsteinUhlenbeckTail } from "./kernelNull.ts";

const { process } = globalThis as unknown as { process: { env: Record<string, string | undefined> } };
const repetitions = process.env.LOGITS_SLOW ? 10000 : 200;
const run = (confidence: number[], correct: number[], options?: KernelCalibrationErrorOptions) => kernelCalibrationError({ confidence, correct }, options);

/** All pairs, as the definition has them. */
function brute(c: readonly number[], y: readonly number[], h: number): { value: number; mmce: number } {
  const n = c.length;
  let off = 0, own = 0;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      const term = (y[i] - c[i]) * (y[j] - c[j]) * Math.exp(-Math.abs(c[i] - c[j]) / h);
      if (i === j) own += term;
      else off += term;
    }
  }
  return { value: off / (n * (n - 1)), mmce: Math.sqrt(Math.max(0, off + own)) / n };
}

/** Random rows of three probabilities with labels drawn from them, or from their squares. */
function planted(seed: number, n: number, power: number): { p: number[][]; y: number[] } {
  const random = testRandom(seed), p: number[][] = [], y: number[] = [];
  for (let i = 0; i < n; i++) {
    const weights = Array.from({ length: 3 }, () => Math.exp(1.5 * random.normal())), sum = weights.reduce((a, b) => a + b), row = weights.map((w) => w / sum);
    const truth = row.map((v) => v ** power), total = truth.reduce((a, b) => a + b), u = random.uniform() * total;
    p.push(row);
    y.push(u < truth[0] ? 0 : u < truth[0] + truth[1] ? 1 : 2);
  }
  return { p, y };
}

describe("kernelCalibrationError", () => {
  it("equals the sum over all pairs, ties included", () => {
    fc.assert(fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 24 }), fc.integer({ min: 0, max: 1 })), { minLength: 2, maxLength: 60 }), fc.constantFrom(0.01, 0.2, 1), (rows, bandwidth) => {
      const c = rows.map(([k]) => k / 24), y = rows.map(([, v]) => v), want = brute(c, y, bandwidth), got = run(c, y, { bandwidth });
      expectClose(got.value, want.value, { atol: 1e-14 }); // 60 terms a row, each below 1, rounded
      expectClose(got.mmce! ** 2, want.mmce ** 2, { atol: 1e-14 });
      expect(got.pValue >= 0 && got.pValue <= 1).toBe(true);
    }), { seed: 21, numRuns: 300 });
  });

  it("equals the sum over all pairs for each class", () => {
    const { p, y } = planted(3, 80, 2), got = kernelCalibrationError(p, y, { kind: "class-wise" });
    const want = [0, 1, 2].map((label) => brute(p.map((row) => Math.fround(row[label])), y.map((v) => Number(v === label)), 0.2).value);
    expectClose(got.perClass!, want, { atol: 1e-14 });
    expectClose(got.value, (want[0] + want[1] + want[2]) / 3, { atol: 1e-14 });
    expect(got.mmce).toBeUndefined();
  });

  it("canonical: the mean over pairs of whole rows, in the order given or at random", () => {
    const { p, y } = planted(4, 41, 1), f = p.map((row) => row.map(Math.fround));
    const h = (i: number, j: number): number => {
      const distance = f[i].reduce((sum, v, c) => sum + Math.abs(v - f[j][c]), 0) / 2;
      return Math.exp(-distance / 0.3) * f[i].reduce((sum, v, c) => sum + (Number(y[i] === c) - v) * (Number(y[j] === c) - f[j][c]), 0);
    };
    const of = (pairs: [number, number][]): number => pairs.reduce((sum, [i, j]) => sum + h(i, j), 0) / pairs.length;
    expectClose(kernelCalibrationError(p, y, { kind: "canonical", bandwidth: 0.3 }).value, of(Array.from({ length: 20 }, (_, k) => [2 * k, 2 * k + 1])), { atol: 1e-14 });
    const order = randomSource(5).permutation(41);
    expectClose(kernelCalibrationError(p, y, { kind: "canonical", bandwidth: 0.3, random: randomSource(5) }).value, of(Array.from({ length: 20 }, (_, k) => [order[2 * k], order[2 * k + 1]])), { atol: 1e-14 });
  });

  it("gives the golden values of VGG-16 on CIFAR-10, in time N log N where all pairs are netcal's MMCE", () => {
    const { probabilities, shape, labels } = cifar10Vgg16();
    const got = kernelCalibrationError({ data: probabilities, shape }, labels);
    expectClose(got.value, 0.0010356732, { atol: 5e-11 });
    expectClose(got.mmce!, 0.032257588, { atol: 5e-11 });
    expect(got.pValue).toBeLessThan(1e-100);
    expect(got.pValue).toBeGreaterThan(0);
    expect(got.n).toBe(10000);
    expect(kernelCalibrationError({ data: probabilities, shape }, labels, { kind: "class-wise" }).pValue).toBeLessThan(1e-50);
    // Pairs of rows use little of what is there: 5,000 of 50 million pairs.
    const canonical = kernelCalibrationError({ data: probabilities, shape }, labels, { kind: "canonical" });
    expect(canonical.pValue).toBeGreaterThan(0.01);
    expect(canonical.interval[0]).toBe(0);
  });

  it("takes 300,000 rows: 90 billion pairs", () => {
    const random = testRandom(2), confidence = new Float32Array(300000), correct = new Uint8Array(300000);
    for (let i = 0; i < 300000; i++) {
      confidence[i] = random.uniform();
      correct[i] = Number(random.uniform() < confidence[i]);
    }
    const { value, pValue, interval } = kernelCalibrationError({ confidence, correct });
    expect(Math.abs(value)).toBeLessThan(1e-5);
    expect(pValue).toBeGreaterThan(0.001);
    expect(interval[0]).toBe(0);
  });

  it("does not depend on the order of the rows, bit by bit", () => {
    const random = testRandom(9), n = 500, c = Array.from({ length: n }, () => Math.floor(40 * random.uniform()) / 40), y = c.map((p) => Number(random.uniform() < p));
    const order = random.permutation(n);
    expect(run(order.map((i) => c[i]), order.map((i) => y[i]))).toEqual(run(c, y));
    const single = kernelCalibrationError({ confidence: Float32Array.from(c), correct: y }), again = kernelCalibrationError({ confidence: Float32Array.from(order, (i) => c[i]), correct: order.map((i) => y[i]) });
    expect(again).toEqual(single);
  });

  it("special values: all as they say, all certain, one value", () => {
    expect(run([1, 0, 1], [1, 0, 1])).toMatchObject({ value: 0, mmce: 0, pValue: 1, interval: [0, 0] });
    expect(run([1, 0], [0, 0])).toMatchObject({ value: 0, pValue: 0 });
    expectClose(run([0.75, 0.75, 0.75, 0.75], [0, 0, 0, 0]).value, 0.5625, { atol: 1e-16 });
    expect(run([0.5, 0.5], [1, 0]).value).toBe(-0.25); // opposite residuals
    expect(kernelCalibrationError({ confidence: Float32Array.of(-0, 1), correct: [0, 1] }).value).toBe(0);
  });

  it("the p-value of one cell is that of a chi-square with one degree of freedom, in the far tail too", () => {
    for (const [n, right] of [[16, 12], [100, 90], [400, 398]]) {
      const { pValue } = run(Array(n).fill(0.5), Array.from({ length: n }, (_, i) => Number(i < right)));
      expectClose(pValue, 2 * normalCdf(-Math.abs(right - n / 2) / Math.sqrt(n / 4)), { rtol: 1e-10 });
    }
    // Two values far apart: two independent squares of equal weight, exp(-x / 2).
    for (const x of [0.01, 1, 7, 300]) expectClose(ornsteinUhlenbeckTail(x, Float64Array.of(0.5, 0.5), Float64Array.of(0)), Math.exp(-x), { rtol: 1e-10 });
    expect(ornsteinUhlenbeckTail(0, Float64Array.of(1), new Float64Array(0))).toBe(1);
    expectClose(ornsteinUhlenbeckTail(1e-6, Float64Array.of(1), new Float64Array(0)), 2 * normalCdf(-1e-3), { atol: 1e-4 });
  });

  it("the p-value of many cells is that of simulated Gaussian residuals", () => {
    const random = testRandom(12), nodes = 24, decay = Math.exp(-1 / nodes / 0.2), values = Float64Array.from({ length: nodes }, () => 0.2 + random.uniform()), sum = values.reduce((a, b) => a + b);
    const variances = values.map((v) => v / sum), count = 20000, levels = [0.3, 1, 2, 4];
    const above = levels.map(() => 0);
    for (let i = 0; i < count; i++) {
      let w = random.normal(), q = variances[0] * w * w;
      for (let j = 1; j < nodes; j++) {
        w = decay * w + Math.sqrt(1 - decay * decay) * random.normal();
        q += variances[j] * w * w;
      }
      levels.forEach((x, k) => (above[k] += Number(q > x)));
    }
    levels.forEach((x, k) => {
      const p = ornsteinUhlenbeckTail(x, variances, new Float64Array(nodes - 1).fill(decay));
      expectClose(above[k] / count, p, { atol: 3.5 * Math.sqrt((p * (1 - p)) / count) }); // 3.5 standard errors
    });
  });

  const kinds = ["top-label", "class-wise", "canonical"] as const;
  it.each(kinds)("%s: the test keeps its level, and its interval covers a perfect model", (kind) => {
    // 300 rows: the residuals are not yet normal, which costs up to 0.02 at 0.05; Bonferroni is cautious.
    const slack = kind === "class-wise" ? 0.05 : 0.02;
    checkGuarantee({
      name: kind, kind: "marginal mean", level: 0.05 + (kind === "canonical" ? 0.01 : 0.005), slack, repetitions,
      simulate: (seed) => {
        const { p, y } = planted(seed, 300, 1);
        return Number(kernelCalibrationError(p, y, { kind }).pValue <= 0.05);
      },
    });
    checkGuarantee({ name: `${kind} interval`, kind: "probability of exceeding", level: 0.055, repetitions, simulate: (seed) => kernelCalibrationError(...pair(planted(seed, 300, 1)), { kind }).interval[0] > 0 });
  });

  it.each(kinds)("%s: the interval covers the truth of a model that is not perfect, and the test sees it", (kind) => {
    // The truth from 60 times the rows: its own error is an eighth of theirs.
    const truth = kernelCalibrationError(...pair(planted(99, process.env.LOGITS_SLOW ? 200000 : 60000, 2)), { kind }).value;
    const shown = Math.min(repetitions / 2, 1000);
    let seen = 0;
    checkGuarantee({
      name: kind, kind: "probability of exceeding", level: 0.06, repetitions: shown,
      simulate: (seed) => {
        const { interval: [low, high], pValue } = kernelCalibrationError(...pair(planted(seed, 1000, 2)), { kind });
        seen += Number(pValue < 0.05);
        return !(low <= truth && truth <= high);
      },
    });
    expect(seen / shown).toBeGreaterThan(kind === "canonical" ? 0.15 : 0.95);
  });

  it("says what is wrong", () => {
    expect(() => run([0.5], [1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: kernelCalibrationError: expected \`rows\` at least 2, got 1]`);
    expect(() => run([0.5, NaN], [1, 0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: kernelCalibrationError: expected \`confidence\` in [0, 1], got NaN in row 1]`);
    expect(() => run([0.5, 1], [1, 0], { bandwidth: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: kernelCalibrationError: expected \`bandwidth\` in [0.001, 1000], got 0]`);
    expect(() => run([0.5, 1], [1, 0], { level: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: kernelCalibrationError: expected \`level\` in (0, 1), got 1]`);
    expect(() => run([0.5, 1], [1, 0], { kind: "joint" as "canonical" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: kernelCalibrationError: expected \`kind\` "top-label", "class-wise" or "canonical", got joint]`);
    expect(() => run([0.5, 1], [1, 0], { kind: "class-wise" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: kernelCalibrationError: expected \`kind\` "top-label" with confidences, got "class-wise". Pass probabilities and labels]`);
    expect(() => run([0.5, 1], [1, 0], { random: randomSource(1) })).toThrowErrorMatchingInlineSnapshot(`[RangeError: kernelCalibrationError: expected \`random\` with "canonical", got "top-label". The other kinds take all pairs]`);
    expect(() => kernelCalibrationError([[0.5, 0.5]], [1], { kind: "class-wise" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: kernelCalibrationError: expected \`rows\` at least 2, got 1]`);
    expect(() => kernelCalibrationError([[0.5, 0.5], [1, 0]], [1, 0], { kind: "canonical" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: kernelCalibrationError: expected \`rows\` at least 4, got 2]`);
    expect(() => kernelCalibrationError([[0.5, 0.5], [1, 0]], [1, 0], { kind: "canonical", random: Math.random as never })).toThrowErrorMatchingInlineSnapshot(`[TypeError: kernelCalibrationError: expected \`random\` a RandomSource, got function. Pass randomSource(seed)]`);
  });
});

function pair({ p, y }: { p: number[][]; y: number[] }): readonly [number[][], number[]] {
  return [p, y];
}

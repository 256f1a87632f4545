import { runStepsAsync } from "@logits/tensor";
import { expectClose, expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { core, nearestNeighbors, principalEigen, principalEigenSteps, symmetricEigen } from "./index.ts";

/** Scatter of `rows` normal rows whose j-th feature has the deviation deviation(j). */
function scatter(n: number, rows: number, deviation: (j: number) => number, stream: number): Float64Array {
  const random = testRandom(stream), a = new Float64Array(n * n);
  for (let t = 0; t < rows; t++) {
    const x = Float64Array.from({ length: n }, (_, j) => deviation(j) * random.normal());
    for (let i = 0; i < n; i++) for (let j = 0; j <= i; j++) a[i * n + j] += x[i] * x[j];
  }
  return a;
}

describe("agrees with the definition", () => {
  const cases: readonly [name: string, n: number, k: number, rows: number, deviation: (j: number) => number][] = [
    ["equal variances, one vector", 90, 1, 300, () => 1],
    ["equal variances", 120, 7, 300, () => 1],
    ["variances that fall slowly", 130, 10, 260, (j) => 1 / Math.sqrt(1 + j)],
    ["variances that fall by ten orders of magnitude", 100, 8, 300, (j) => 10 ** (-j / 20)],
    ["fewer rows than features", 120, 6, 9, () => 1],
    ["fewer rows than vectors that are asked for", 120, 12, 5, () => 1],
    ["most of the vectors: the whole matrix is taken apart", 40, 30, 100, () => 1],
  ];
  it.each(cases)("%s", (_, n, k, rows, deviation) => {
    const a = scatter(n, rows, deviation, n), want = symmetricEigen(a), { values, vectors, residual, rounds } = principalEigen(a, k);
    expect([values.length, vectors.length]).toEqual([k, n * k]);
    expect(residual).toBeLessThanOrEqual(1e-6);
    expect(rounds).toBeLessThanOrEqual(30);
    // A Ritz value is within its residual of an eigenvalue (Parlett, The Symmetric Eigenvalue Problem, 4.5).
    expectClose(values, want.values.subarray(0, k), { atol: 1e-6 * want.values[0] });
    for (let i = 0; i < k; i++) {
      const v = vectors.subarray(i * n, (i + 1) * n);
      for (let j = 0; j <= i; j++) expectClose(v.reduce((sum, x, p) => sum + x * vectors[j * n + p], 0), i === j ? 1 : 0, { atol: 1e-10 }); // Cholesky twice: 2^-53 times what float32 has left of the condition
      let sum = 0;
      for (let p = 0; p < n; p++) sum += (v.reduce((s, x, q) => s + x * a[Math.max(p, q) * n + Math.min(p, q)], 0) - values[i] * v[p]) ** 2;
      expect(Math.sqrt(sum)).toBeLessThanOrEqual(1.01e-6 * want.values[0]);
      expect(v[v.reduce((best, x, p) => (Math.abs(x) > Math.abs(v[best]) ? p : best), 0)]).toBeGreaterThan(0);
    }
  });
});

it("another scale gives the same vectors, another seed nearly the same values; the upper triangle is not read", () => {
  const n = 100, a = scatter(n, 200, (j) => 1 / (1 + j / 10), 1), want = principalEigen(a, 5);
  const big = principalEigen(a.map((x) => x * 2 ** 40), 5), poisoned = a.map((x, i) => (i % n > Math.floor(i / n) ? NaN : x));
  expectExact(big.vectors, want.vectors);
  expectExact(principalEigen(poisoned, 5).vectors, want.vectors);
  expectClose(principalEigen(a, 5, { seed: 2 }).values, want.values, { rtol: 1e-6 });
  expect(principalEigen(a, 5, { tolerance: 1e-3 }).rounds).toBeLessThan(want.rounds);
});

it("zeros are taken apart as symmetricEigen does", () => {
  const { values, vectors } = principalEigen(new Float64Array(10000), 2);
  expect(Array.from(values)).toEqual([0, 0]);
  expect([vectors[0], vectors[101]]).toEqual([1, 1]);
});

it("in pieces gives the same bits, with other calls between them, and gives its memory back, finished or not", async () => {
  const a = scatter(100, 200, () => 1, 2), want = principalEigen(a, 4), before = core.bytesInUse, steps = principalEigenSteps(a, 4);
  let last = 0;
  for (let next = steps.next(); ; next = steps.next()) {
    if (next.done) {
      expectExact(next.value.vectors, want.vectors);
      break;
    }
    expect(next.value).toBeGreaterThanOrEqual(last);
    last = next.value;
    nearestNeighbors([[1, 2]], [[3, 4]], 1);
  }
  const abandoned = principalEigenSteps(a, 4);
  abandoned.next();
  abandoned.return(undefined as never);
  expect(core.bytesInUse).toBeLessThanOrEqual(before);
  expectExact((await runStepsAsync(principalEigenSteps(a, 4), {})).values, want.values);
});

it("says what is wrong", () => {
  const a = scatter(100, 200, () => 1, 3);
  expect(() => principalEigen(new Float64Array(3), 1)).toThrowErrorMatchingInlineSnapshot(`[RangeError: principalEigen: expected \`a\` of F * F numbers, got 3]`);
  expect(() => principalEigen(a, 0)).toThrowErrorMatchingInlineSnapshot(`[RangeError: principalEigen: expected \`k\` an integer in [1, 100], got 0]`);
  expect(() => principalEigen(a, 101)).toThrowErrorMatchingInlineSnapshot(`[RangeError: principalEigen: expected \`k\` an integer in [1, 100], got 101]`);
  expect(() => principalEigen(a, 1, { tolerance: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: principalEigen: expected \`tolerance\` a number >= 2^-40, got 0]`);
  expect(() => principalEigen(a, 1, { maxRounds: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: principalEigen: expected \`maxRounds\` an integer in [1, 10000], got 0]`);
  expect(() => principalEigen(a.map((x, i) => (i === 300 ? NaN : x)), 1)).toThrowErrorMatchingInlineSnapshot(`[RangeError: principalEigen: expected \`a\` of finite numbers, got NaN in row 3, column 0]`);
  expect(() => principalEigen(a.map((x, i) => (i % 101 === 0 ? 0 : x)), 1)).toThrowErrorMatchingInlineSnapshot(`[RangeError: principalEigen: expected \`a\` without negative eigenvalues, got a diagonal of zeros beside other numbers]`);
  expect(() => principalEigen(a, 5, { maxRounds: 1 })).toThrowError(/^principalEigen: expected a residual of at most 0.000001 within 1 rounds, got 0\.\d+$/);
});

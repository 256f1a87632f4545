import { runStepsAsync } from "@logits/tensor";
import { expectClose, expectExact, testRandom } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { choleskyRef } from "./cholesky.ref.ts";
import { cholesky, choleskySteps, core, nearestNeighbors, solveTriangular, solveTriangularSteps } from "./index.ts";

const seed = 20261122;
// Around tiles of 3 and 4, panels of 32, blocks of 256 products.
const SIZES = [1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 63, 64, 65, 97, 259, 290];

/** X' X + I / 10 of normal numbers: eigenvalues between 0.1 and about 4 n. */
function positive(n: number, stream: number): Float64Array {
  const random = testRandom(stream);
  const x = Float64Array.from({ length: n * n }, () => random.normal());
  const a = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = i === j ? 0.1 : 0;
      for (let k = 0; k < n; k++) sum += x[i * n + k] * x[j * n + k];
      a[i * n + j] = a[j * n + i] = sum;
    }
  }
  return a;
}

/** Largest |L L' - A| in units of (n + 2) 2^-53 |L| |L'|: each of the at most n + 1 terms is rounded, and so are their sums (Higham, theorem 10.3). */
function backward(l: Float64Array, a: Float64Array, n: number): number {
  let worst = 0;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = 0, size = 0;
      for (let k = 0; k <= j; k++) {
        sum += l[i * n + k] * l[j * n + k];
        size += Math.abs(l[i * n + k] * l[j * n + k]);
      }
      // The check's own sum is rounded as often again.
      worst = Math.max(worst, Math.abs(sum - a[i * n + j]) / (2 * (n + 2) * 2 ** -53 * size));
    }
  }
  return worst;
}

describe("cholesky", () => {
  it.each(SIZES)("multiplies back to the matrix for F = %i, and stands near the definition", (n) => {
    const a = positive(n, n), l = a.slice();
    expect(cholesky(l)).toBe(-1);
    expect(backward(l, a, n)).toBeLessThanOrEqual(1);
    const want = choleskyRef(a, n);
    // Condition at most 40 n: forward error about n 2^-53 times that, relative to the size of the factor (Higham, theorem 10.8).
    for (let i = 0; i < n; i++) expectClose(l.subarray(i * n, i * n + i + 1), want.subarray(i * n, i * n + i + 1), { atol: 40 * n * n * 2 ** -53 * Math.sqrt(4 * n) });
    for (let i = 0; i < n; i++) expectExact(l.subarray(i * n + i + 1, (i + 1) * n), a.subarray(i * n + i + 1, (i + 1) * n));
  });

  it("reads the lower triangle only", () => {
    const n = 70, a = positive(n, 1), poisoned = a.slice();
    for (let i = 0; i < n; i++) poisoned.fill(NaN, i * n + i + 1, (i + 1) * n);
    const want = a.slice();
    cholesky(want);
    expect(cholesky(poisoned)).toBe(-1);
    for (let i = 0; i < n; i++) expectExact(poisoned.subarray(i * n, i * n + i + 1), want.subarray(i * n, i * n + i + 1));
  });

  it("names the first pivot that is not above the least one", () => {
    for (const n of [1, 2, 31, 32, 33, 40, 100]) {
      for (const at of new Set([0, n >> 1, n - 1])) {
        // A unit matrix with one dependent row: pivot `at` is exactly 0, -1 or NaN, and 2^-20 above the least one when it is allowed.
        for (const value of [0, -1, NaN]) {
          const a = Float64Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0));
          a[at * (n + 1)] = value;
          expect(cholesky(a)).toBe(at);
        }
        const a = Float64Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0));
        a[at * (n + 1)] = 2 ** -20;
        expect(cholesky(a.slice(), { leastPivot: 2 ** -20 })).toBe(at);
        expect(cholesky(a, { leastPivot: 2 ** -21 })).toBe(-1);
        expect(a[at * (n + 1)]).toBe(2 ** -10);
      }
    }
    // A repeated row.
    expect(cholesky(Float64Array.of(4, 2, 4, 2, 1, 2, 4, 2, 4))).toBe(1);
    expect(cholesky(new Float64Array(0))).toBe(-1);
  });

  it("a factor of a power of four goes through to the bit", () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 50 }), fc.integer(), (n, stream) => {
      const a = positive(n, stream), b = a.map((v) => 16 * v);
      cholesky(a);
      cholesky(b);
      for (let i = 0; i < n; i++) expectExact(b.subarray(i * n, i * n + i + 1), a.subarray(i * n, i * n + i + 1).map((v) => 4 * v));
    }), { seed, numRuns: 30 });
  });

  it("in pieces gives the same bits, with other calls between them", async () => {
    const n = 150, a = positive(n, 2), b = a.slice();
    cholesky(a);
    const steps = choleskySteps(b);
    let shares = 0;
    for (let next = steps.next(), last = 0; !next.done; next = steps.next(), shares++) {
      expect(next.value).toBeGreaterThan(last);
      last = next.value;
      nearestNeighbors([[1, 2]], [[3, 4]], 1);
    }
    expect(shares).toBe(5);
    expectExact(b, a);
    expect(await runStepsAsync(choleskySteps(positive(n, 2)), {})).toBe(-1);
  });

  it("says what is wrong", () => {
    expect(() => cholesky(new Float64Array(3))).toThrowErrorMatchingInlineSnapshot(`[RangeError: cholesky: expected \`a\` of F * F numbers, got 3]`);
    expect(() => cholesky([1] as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: cholesky: expected \`a\` a Float64Array, got Array]`);
    expect(() => cholesky(new Float64Array(1), { leastPivot: NaN })).toThrowErrorMatchingInlineSnapshot(`[RangeError: cholesky: expected \`leastPivot\` a number >= 0, got NaN]`);
  });
});

describe("solveTriangular", () => {
  it.each(SIZES)("solves L x = b for each row, F = %i", (n) => {
    const l = positive(n, n + 100);
    cholesky(l);
    const random = testRandom(n);
    for (const rows of [1, 2, 3, 4, 5, 9]) {
      const b = Float64Array.from({ length: rows * n }, () => random.normal()), x = b.slice();
      solveTriangular(l, x);
      for (let r = 0; r < rows; r++) {
        for (let i = 0; i < n; i++) {
          let sum = 0, size = 0;
          for (let k = 0; k <= i; k++) {
            sum += l[i * n + k] * x[r * n + k];
            size += Math.abs(l[i * n + k] * x[r * n + k]);
          }
          // i + 1 products and as many sums, in the solver and in this check.
          expect(Math.abs(sum - b[r * n + i])).toBeLessThanOrEqual(2 * (n + 2) * 2 ** -53 * size);
        }
      }
      const alone = b.slice(0, n);
      solveTriangular(l, alone);
      expectExact(alone, x.subarray(0, n), "a row alone and among others");
    }
  });

  it("takes more rows than one piece holds, reads the lower triangle only, and inverts", () => {
    const n = 40, rows = 1030, l = positive(n, 7), random = testRandom(8);
    cholesky(l);
    const poisoned = l.slice();
    for (let i = 0; i < n; i++) poisoned.fill(NaN, i * n + i + 1, (i + 1) * n);
    const b = Float64Array.from({ length: rows * n }, () => random.normal()), all = b.slice();
    solveTriangular(poisoned, all);
    for (const r of [0, 511, 512, 1029]) {
      const one = b.slice(r * n, (r + 1) * n);
      solveTriangular(l, one);
      expectExact(all.subarray(r * n, (r + 1) * n), one);
    }
    const pieces = b.slice(), steps = solveTriangularSteps(l, pieces);
    for (let next = steps.next(); !next.done; next = steps.next()) nearestNeighbors([[1, 2]], [[3, 4]], 1);
    expectExact(pieces, all);
    const eye = Float64Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0));
    solveTriangular(l, eye);
    for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) expect(eye[i * n + j]).toBe(0);
    for (let i = 0; i < n; i++) expectClose(eye[i * n + i], 1 / l[i * n + i], { ulp: 1 });
  });

  it("leaves resident tensors alone and takes nothing to solve", () => {
    const guard = core.alloc([100]);
    guard.data.fill(7);
    solveTriangular(Float64Array.of(2), new Float64Array(0));
    solveTriangular(new Float64Array(0), new Float64Array(0));
    const l = positive(90, 3);
    cholesky(l);
    expectExact(guard.data, new Float32Array(100).fill(7));
    guard.dispose();
  });

  it("says what is wrong", () => {
    expect(() => solveTriangular(new Float64Array(4), new Float64Array(2))).toThrowErrorMatchingInlineSnapshot(`[RangeError: solveTriangular: expected \`factor\` without a zero on the diagonal, got 0 at index 0]`);
    expect(() => solveTriangular(Float64Array.of(1, 0, 1, NaN), new Float64Array(2))).toThrowErrorMatchingInlineSnapshot(`[RangeError: solveTriangular: expected \`factor\` without a zero on the diagonal, got NaN at index 1]`);
    expect(() => solveTriangular(Float64Array.of(1, 0, 1, 1), new Float64Array(3))).toThrowErrorMatchingInlineSnapshot(`[RangeError: solveTriangular: expected \`b\` of a multiple of 2 numbers, got 3]`);
    expect(() => solveTriangular(Float64Array.of(1, 0, 1, 1), [1, 2] as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: solveTriangular: expected \`b\` a Float64Array, got Array]`);
  });
});

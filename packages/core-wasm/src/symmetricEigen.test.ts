import { runStepsAsync } from "@logits/tensor";
import { expectClose, expectExact, testRandom } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import fixture from "./fixtures/symmetricEigen.json" with { type: "json" };
import { core, nearestNeighbors, symmetricEigen, symmetricEigenSteps, type SymmetricEigen } from "./index.ts";
import { symmetricEigenRef } from "./symmetricEigen.ref.ts";

const seed = 20261125;
// Around pairs of rows, four rows of Q and strips of 16 columns.
const SIZES = [1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 33, 65, 130];

function symmetric(n: number, stream: number): Float64Array {
  const random = testRandom(stream), a = new Float64Array(n * n);
  for (let i = 0; i < n; i++) for (let j = 0; j <= i; j++) a[i * n + j] = a[j * n + i] = random.normal();
  return a;
}

/** Frobenius norm. */
const size = (a: ArrayLike<number>): number => Math.sqrt(Array.from(a).reduce((sum, x) => sum + x * x, 0));

/** Orthogonality, reconstruction and order, within a multiple of n 2^-53: the constants of Householder's and QL's error bounds are a few units for each of n steps. */
function holds(a: Float64Array, n: number, { values, vectors }: SymmetricEigen): void {
  const gram = new Float64Array(n * n), back = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      for (let k = 0; k < n; k++) {
        gram[i * n + j] += vectors[i * n + k] * vectors[j * n + k];
        back[i * n + j] += values[k] * vectors[k * n + i] * vectors[k * n + j];
      }
    }
  }
  const bound = 8 * n * 2 ** -53;
  expect(size(gram.map((x, i) => x - (i % (n + 1) === 0 ? 1 : 0)))).toBeLessThanOrEqual(bound * Math.sqrt(n));
  expect(size(back.map((x, i) => x - a[Math.max(Math.floor(i / n), i % n) * n + Math.min(Math.floor(i / n), i % n)]))).toBeLessThanOrEqual(bound * size(a));
  for (let i = 1; i < n; i++) expect(values[i]).toBeLessThanOrEqual(values[i - 1]);
  for (let i = 0; i < n; i++) {
    const row = vectors.subarray(i * n, (i + 1) * n), most = row.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
    expect(row.find((x) => Math.abs(x) === most)).toBe(most);
  }
}

describe("agrees with the definition", () => {
  it.each(SIZES)("orthogonal rows that make up the matrix, eigenvalues as Jacobi's rotations find them, F = %i", (n) => {
    const a = symmetric(n, n), got = symmetricEigen(a);
    holds(a, n, got);
    // Weyl: each value is off by at most the norm of the backward errors of both.
    expectClose(got.values, symmetricEigenRef(a, n), { atol: 8 * n * 2 ** -53 * size(a) });
    expectClose(symmetricEigen(a, { vectors: false }).values, got.values, { atol: 0 });
    expect(symmetricEigen(a, { vectors: false }).vectors.length).toBe(0);
  });

  it.each(fixture.cases.map((c) => [c.name, c] as const))("LAPACK by scipy.linalg.eigh: %s", (_, { n, a, values }) => {
    const matrix = Float64Array.from(a), got = symmetricEigen(matrix);
    expectClose(got.values, values, { atol: 8 * n * 2 ** -53 * size(matrix) });
    holds(matrix, n, got);
  });
});

describe("laws", () => {
  it("reads the lower triangle only and changes nothing", () => {
    const n = 37, a = symmetric(n, 1), poisoned = a.slice();
    for (let i = 0; i < n; i++) poisoned.fill(NaN, i * n + i + 1, (i + 1) * n);
    const copy = poisoned.slice(), want = symmetricEigen(a), got = symmetricEigen(poisoned);
    expectExact(got.values, want.values);
    expectExact(got.vectors, want.vectors);
    expectExact(poisoned, copy);
  });

  it("a power of two goes through to the bit, from the smallest normal numbers to the largest", () => {
    const n = 20, a = symmetric(n, 2), want = symmetricEigen(a);
    for (const power of [-900, -40, 3, 900]) {
      const got = symmetricEigen(a.map((x) => x * 2 ** power));
      expectExact(got.values, want.values.map((x) => x * 2 ** power));
      expectExact(got.vectors, want.vectors);
    }
  });

  it("a shift moves the values and leaves the spaces", () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 24 }), fc.integer(), fc.integer({ min: -8, max: 8 }), (n, stream, shift) => {
      const a = symmetric(n, stream), b = a.map((x, i) => x + (i % (n + 1) === 0 ? shift : 0)), got = symmetricEigen(b);
      holds(b, n, got);
      expectClose(got.values, symmetricEigen(a).values.map((x) => x + shift), { atol: 16 * n * 2 ** -53 * (size(a) + size(b)) });
    }), { seed, numRuns: 40 });
  });

  it("in pieces gives the same bits, with other calls between them, and gives its memory back, finished or not", async () => {
    const n = 300, a = symmetric(n, 3), want = symmetricEigen(a), before = core.bytesInUse;
    const steps = symmetricEigenSteps(a);
    let shares = 0, last = 0;
    for (let next = steps.next(); ; next = steps.next()) {
      if (next.done) {
        expectExact(next.value.values, want.values);
        expectExact(next.value.vectors, want.vectors);
        break;
      }
      if (shares++ === 0) a.fill(NaN);
      expect(next.value).toBeGreaterThanOrEqual(last);
      last = next.value;
      nearestNeighbors([[1, 2]], [[3, 4]], 1);
    }
    expect(shares).toBeGreaterThan(2);
    const abandoned = symmetricEigenSteps(symmetric(n, 3));
    abandoned.next();
    abandoned.return(undefined as never);
    expect(core.bytesInUse).toBeLessThanOrEqual(before);
    expectExact((await runStepsAsync(symmetricEigenSteps(symmetric(n, 3)), {})).values, want.values);
  });
});

describe("special values", () => {
  it("nothing, one, zeros, a diagonal", () => {
    expect(symmetricEigen(new Float64Array(0))).toEqual({ values: new Float64Array(0), vectors: new Float64Array(0) });
    expect(symmetricEigen(Float64Array.of(-3))).toEqual({ values: Float64Array.of(-3), vectors: Float64Array.of(1) });
    expect(symmetricEigen(new Float64Array(9))).toEqual({ values: new Float64Array(3), vectors: Float64Array.of(1, 0, 0, 0, 1, 0, 0, 0, 1) });
    const { values, vectors } = symmetricEigen(Float64Array.of(1, 0, 0, 0, 3, 0, 0, 0, 2));
    expect(Array.from(values)).toEqual([3, 2, 1]);
    expect(Array.from(vectors).map((x) => x + 0)).toEqual([0, 1, 0, 0, 0, 1, 1, 0, 0]);
    expectClose(symmetricEigen(Float64Array.of(0, 0, 1, 0)).values, [1, -1], { ulp: 4 });
  });

  it("equal eigenvalues: the unit matrix, a reflection, a matrix of ones, blocks that repeat", () => {
    const n = 40, one = new Float64Array(n * n).fill(1);
    const unit = one.map((_, i) => (i % (n + 1) === 0 ? 2 : 0));
    expectExact(symmetricEigen(unit).values, new Float64Array(n).fill(2));
    holds(unit, n, symmetricEigen(unit));
    const ones = symmetricEigen(one);
    holds(one, n, ones);
    expectClose(ones.values, Float64Array.from({ length: n }, (_, i) => (i === 0 ? n : 0)), { atol: 8 * n * n * 2 ** -53 });
    const mirror = one.map((_, i) => (i % (n + 1) === 0 ? 1 : 0) - 2 / n);
    holds(mirror, n, symmetricEigen(mirror));
    expectClose(symmetricEigen(mirror).values, Float64Array.from({ length: n }, (_, i) => (i === n - 1 ? -1 : 1)), { atol: 8 * n * 2 ** -53 * Math.sqrt(n) });
    const block = symmetric(8, 4), repeated = new Float64Array(n * n);
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) if (i >> 3 === j >> 3) repeated[i * n + j] = block[(i & 7) * 8 + (j & 7)];
    holds(repeated, n, symmetricEigen(repeated));
    expectClose(symmetricEigen(repeated).values, Array.from(symmetricEigen(block).values).flatMap((x) => [x, x, x, x, x]), { atol: 8 * n * 2 ** -53 * size(repeated) });
  });

  it("fewer rows than features: as many values that are not zero as there are rows", () => {
    const n = 50, rows = 7, random = testRandom(5), a = new Float64Array(n * n);
    const x = Array.from({ length: rows }, () => Float64Array.from({ length: n }, () => random.normal()));
    for (const row of x) for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) a[i * n + j] += row[i] * row[j];
    const got = symmetricEigen(a);
    holds(a, n, got);
    expect(got.values[rows - 1]).toBeGreaterThan(1);
    for (let i = rows; i < n; i++) expect(Math.abs(got.values[i])).toBeLessThanOrEqual(8 * n * 2 ** -53 * size(a));
  });

  it("values over thirty orders of magnitude, and rows of zeros among them", () => {
    const n = 33, a = symmetric(n, 6).map((x, i) => x * 10 ** (-(Math.floor(i / n) + (i % n)) / 2));
    for (let k = 0; k < n; k++) a[5 * n + k] = a[k * n + 5] = 0;
    holds(a, n, symmetricEigen(a));
  });
});

it("says what is wrong", () => {
  expect(() => symmetricEigen(new Float64Array(3))).toThrowErrorMatchingInlineSnapshot(`[RangeError: symmetricEigen: expected \`a\` of F * F numbers, got 3]`);
  expect(() => symmetricEigen([1] as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: symmetricEigen: expected \`a\` a Float64Array, got Array]`);
  expect(() => symmetricEigen(Float64Array.of(1, 0, NaN, 1))).toThrowErrorMatchingInlineSnapshot(`[RangeError: symmetricEigen: expected \`a\` of finite numbers, got NaN in row 1, column 0]`);
  expect(() => symmetricEigen(Float64Array.of(1, 0, 0, -Infinity))).toThrowErrorMatchingInlineSnapshot(`[RangeError: symmetricEigen: expected \`a\` of finite numbers, got -Infinity in row 1, column 1]`);
});

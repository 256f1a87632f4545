import { cifar10Vgg16, expectClose, testRandom } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { smoothCalibrationError } from "./index.ts";

const run = (confidence: number[], correct: number[]) => smoothCalibrationError({ confidence, correct }).value;

/** The integral by 20,000 trapezoids over densities that are reflected by hand. */
function errorAt(s: number, c: readonly number[], y: readonly number[], cells = 20000): number {
  const density = (x: number): number => Math.exp(-0.5 * (x / s) ** 2) / (s * Math.sqrt(2 * Math.PI));
  let total = 0;
  for (let j = 0; j <= cells; j++) {
    const t = j / cells;
    let f = 0;
    for (let i = 0; i < c.length; i++) for (let m = -4; m <= 4; m++) f += ((y[i] - c[i]) / c.length) * (density(t - c[i] - 2 * m) + density(t + c[i] - 2 * m));
    total += (j === 0 || j === cells ? 0.5 : 1) * Math.abs(f);
  }
  return total / cells;
}

describe("smoothCalibrationError", () => {
  it("is the fixed point of the definition", () => {
    const random = testRandom(5);
    for (const n of [1, 2, 5, 20]) {
      const c = Array.from({ length: n }, () => random.uniform()), y = c.map((p) => Number(random.uniform() < p * p));
      const s = run(c, y);
      // Kinks of |f| cost the trapezoids (1 / 20,000)^2 f'; the slope of smECE - s is at least 1 in size.
      expectClose(errorAt(s, c, y), s, { atol: 1e-6 });
    }
  });

  it("is right where confidences pile up at the boundary: VGG-16 on CIFAR-10", () => {
    const { probabilities, shape, labels } = cifar10Vgg16();
    const { value, n, convention } = smoothCalibrationError({ data: probabilities, shape }, labels);
    // relplot gives 0.0551735 here: its reflection counts the node at 1 once.
    expectClose(value, 0.0398061, { atol: 5e-8 });
    expect({ n, convention }).toEqual({ n: 10000, convention: "top label, reflected Gaussian on [0, 1], bandwidth = value" });
  });

  it("is at least the distance of the means and at most the mean residual", () => {
    fc.assert(fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 32 }), fc.integer({ min: 0, max: 1 })), { minLength: 1, maxLength: 30 }), (rows) => {
      const r = rows.map(([k, y]) => y - k / 32);
      const value = run(rows.map(([k]) => k / 32), rows.map(([, y]) => y));
      expect(value).toBeGreaterThanOrEqual(Math.abs(r.reduce((a, b) => a + b, 0)) / rows.length - 1e-9);
      expect(value).toBeLessThanOrEqual(r.reduce((a, b) => a + Math.abs(b), 0) / rows.length + 1e-9);
      expectClose(run(rows.map(([k]) => 1 - k / 32), rows.map(([, y]) => 1 - y)), value, { atol: 1e-10 }); // the mirror image
    }), { seed: 6, numRuns: 40 });
  });

  it("has exact special values", () => {
    expect(run([1, 0, 1], [1, 0, 1])).toBe(0);
    expectClose(run([1, 1], [1, 0]), 0.5, { atol: 1e-12 });
    expectClose(run([0], [1]), 1, { atol: 1e-12 });
    expectClose(run([0.75, 0.75], [1, 1]), 0.25, { atol: 1e-12 }); // all residuals in one direction: any bandwidth gives their mean
    expect(run([0.5, 0.5], [1, 0])).toBeLessThan(1e-15); // they cancel at the same confidence
    // A value of 1e-4 needs a finer lattice.
    expectClose(run([0.9999, 0.9999], [1, 1]), 1e-4, { rtol: 1e-9 });
    expect(run([0.999999], [1])).toBeLessThan(2 ** -14);
  });

  it("says what is wrong", () => {
    expect(() => smoothCalibrationError([[0.5, 0.5]], [2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: smoothCalibrationError: expected \`labels\` in [0, 2), got 2 at index 0]`);
    expect(() => run([], [])).toThrowErrorMatchingInlineSnapshot(`[RangeError: smoothCalibrationError: expected \`confidence\` with at least one row, got none]`);
    expect(() => run([NaN], [1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: smoothCalibrationError: expected \`confidence\` in [0, 1], got NaN in row 0]`);
  });
});

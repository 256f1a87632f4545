import { describe, expect, it } from "vitest";
import { expectClose } from "./compare.ts";
import { finiteDifferenceGradient } from "./differences.ts";

const logSumExp = (x: Float64Array): number => Math.log(x.reduce((sum, v) => sum + Math.exp(v), 0));
const softmax = (x: readonly number[]): number[] => {
  const sum = x.reduce((s, v) => s + Math.exp(v), 0);
  return x.map((v) => Math.exp(v) / sum);
};

describe("finiteDifferenceGradient", () => {
  it("finds known gradients", () => {
    const x = [0.5, -2, 3];
    // Rounding of f (2e-16) over the step (6e-6): 4e-11, truncation of the same size.
    expectClose(finiteDifferenceGradient(logSumExp, x), softmax(x), { atol: 2e-10 });
    expectClose(finiteDifferenceGradient((v) => v[0] * v[0] * v[1] + Math.sin(v[2]), x), [2 * 0.5 * -2, 0.25, Math.cos(3)], { rtol: 1e-9 });
    expectClose(finiteDifferenceGradient(() => 7, x), [0, 0, 0], { atol: 0 });
  });

  it("is more exact with extrapolation", () => {
    const x = [0.5, -2, 3];
    expectClose(finiteDifferenceGradient(logSumExp, x, { extrapolate: true }), softmax(x), { atol: 2e-12 });
  });

  it("scales its step with large elements", () => {
    expectClose(finiteDifferenceGradient((v) => v[0] * v[0], [1e8]), [2e8], { rtol: 1e-9 });
    expectClose(finiteDifferenceGradient((v) => Math.sqrt(v[0]), new Float32Array([2 ** 40])), [2 ** -21], { rtol: 1e-9 });
  });

  it("takes the stated step", () => {
    expectClose(finiteDifferenceGradient((v) => Math.abs(v[0]), [0.5], { step: 1 }), [0.5], { atol: 1e-15 });
  });

  it("leaves its argument alone, even if the function does not", () => {
    const x = new Float64Array([1, 2]);
    const gradient = finiteDifferenceGradient((v) => {
      const sum = v[0] + 3 * v[1];
      v.fill(100);
      return sum;
    }, x);
    expectClose(gradient, [1, 3], { atol: 1e-9 });
    expect([...x]).toEqual([1, 2]);
  });

  it("catches a wrong gradient", () => {
    const x = [0.5, -2, 3];
    const numeric = finiteDifferenceGradient(logSumExp, x);
    const right = softmax(x);
    expectClose(right, numeric, { atol: 1e-9 });
    for (const wrong of [right.map((g) => -g), right.map((g) => g * 1.00001), right.map((g, i) => (i === 1 ? 0 : g)), right.map(() => NaN)]) {
      expect(() => expectClose(wrong, numeric, { atol: 1e-9 })).toThrow("expectClose");
    }
  });

  it("refuses a function that is not finite", () => {
    expect(() => finiteDifferenceGradient((v) => Math.log(v[1]), [1, 0])).toThrowErrorMatchingInlineSnapshot(`[AssertionError: finiteDifferenceGradient: f is -Infinity where element 0 is 1.000006]`);
    expect(() => finiteDifferenceGradient(() => NaN, [1])).toThrowErrorMatchingInlineSnapshot(`[AssertionError: finiteDifferenceGradient: f is NaN where element 0 is 1.000006]`);
  });
});

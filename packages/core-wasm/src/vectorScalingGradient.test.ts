import { expectClose, expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { vectorScalingGradient } from "./families/affine.ts";
import { vectorScalingRef } from "./vectorScalingGradient.ref.ts";

interface Problem { x: Float32Array; labels: Int32Array; weights: Float32Array; bias: Float32Array; rows: number[][] }

function problem(n: number, cols: number, seed: number, impossible = false): Problem {
  const random = testRandom(seed), labels = Int32Array.from({ length: n }, () => random.integer(cols));
  const rows = Array.from({ length: n }, (_, r) => Array.from({ length: cols }, (_value, c) => (impossible && c !== labels[r] && random.uniform() < 0.3 ? -Infinity : Math.fround(3 * random.normal()))));
  return {
    x: Float32Array.from(rows.flat()), labels, rows,
    weights: Float32Array.from({ length: cols }, () => 1 + 0.5 * random.normal()), bias: Float32Array.from({ length: cols }, () => random.normal()),
  };
}

function run({ x, labels, weights, bias }: Problem): { loss: number; separated: boolean; gradient: Float64Array; curvature: Float64Array } {
  const gradient = new Float64Array(2 * weights.length), curvature = new Float64Array(2 * weights.length);
  return { ...vectorScalingGradient(x, labels, weights, bias, { gradient, curvature }), gradient, curvature };
}

const reference = ({ rows, labels, weights, bias }: Problem): ReturnType<typeof vectorScalingRef> => vectorScalingRef(rows, Array.from(labels), Array.from(weights), Array.from(bias));

describe("vectorScalingGradient", () => {
  it("agrees with the definition, every element, for all remainders of rows and columns", () => {
    for (const cols of [1, 2, 3, 4, 5, 7, 8, 9, 10, 31, 100, 300]) {
      for (const n of [1, 2, 3, 4, 5, 63, 64, 65, 70]) {
        for (const impossible of [false, true]) {
          const given = problem(n, cols, 1000 * cols + n, impossible), got = run(given), want = reference(given), label = `${n} x ${cols}`;
          // Terms up to |x| = 14 (and its square), n of them, each within 2^-24 of p's rounding, (4 + |z - max|) ulp, and 64 sums.
          expectClose(got.loss, want.loss, { rtol: 2e-6, atol: 2e-6 * n, label });
          expectClose(got.gradient, want.gradient, { rtol: 1e-5, atol: 1e-5 * Math.sqrt(n), label });
          expectClose(got.curvature, want.curvature, { rtol: 1e-5, atol: 1e-4, label });
        }
      }
    }
  });

  it("gives the gradient that differences of its loss have", () => {
    const given = problem(200, 6, 5), { gradient } = run(given), h = 2 ** -8;
    for (let c = 0; c < 12; c++) {
      const moved = (by: number): number => {
        const weights = given.weights.slice(), bias = given.bias.slice();
        (c < 6 ? weights : bias)[c % 6] += by;
        return run({ ...given, weights, bias }).loss;
      };
      // Third derivatives h^2 / 6 and the loss's 1e-7 N over 2 h.
      expectClose((moved(h) - moved(-h)) / (2 * h), gradient[c], { atol: 2e-2 });
    }
  });

  it("adds to what is there, and does without the curvature", () => {
    const given = problem(30, 5, 8), first = run(given), gradient = new Float64Array(10).fill(1);
    vectorScalingGradient(given.x, given.labels, given.weights, given.bias, { gradient });
    expectClose(gradient, first.gradient.map((value) => value + 1), { atol: 1e-12 });
  });

  it("sees whether the labels are separated", () => {
    const one = (row: number[], label: number): boolean => run({ x: Float32Array.from(row), labels: Int32Array.of(label), weights: Float32Array.of(1, 1, 1), bias: new Float32Array(3), rows: [row] }).separated;
    expect([one([1, 0, 0], 0), one([1, 1, 0], 0), one([1, 2, 0], 0), one([-1, -Infinity, -2], 0)]).toEqual([true, false, false, true]);
  });

  it("has exact special values: no rows, an impossible label, NaN, no possible class, a weight of 0 on an impossible class", () => {
    const weights = Float32Array.of(1, 0), bias = new Float32Array(2);
    const loss = (x: number[], label: number): number => vectorScalingGradient(Float32Array.from(x), Int32Array.of(label), weights, bias, { gradient: new Float64Array(4) }).loss;
    expectExact([loss([0, -Infinity], 0), loss([0, -Infinity], 1), loss([NaN, 0], 0), loss([-Infinity, -Infinity], 0)], [0, Infinity, NaN, NaN]);
    const none = new Float64Array(4);
    expect(vectorScalingGradient(new Float32Array(0), new Int32Array(0), weights, bias, { gradient: none })).toEqual({ loss: 0, separated: true });
    expectExact(none, [0, 0, 0, 0]);
  });

  it("refuses lengths that do not fit and labels that are no class", () => {
    const call = (x: number, label: number, sums: number) => (): unknown => vectorScalingGradient(new Float32Array(x), Int32Array.of(label), new Float32Array(2), new Float32Array(2), { gradient: new Float64Array(sums) });
    expect(call(3, 0, 4)).toThrowErrorMatchingInlineSnapshot(`[RangeError: vectorScalingGradient: expected \`x\` of length 2, got 3]`);
    expect(call(2, 0, 3)).toThrowErrorMatchingInlineSnapshot(`[RangeError: vectorScalingGradient: expected \`sums.gradient\` of length 4, got 3]`);
    expect(call(2, 2, 4)).toThrowErrorMatchingInlineSnapshot(`[RangeError: vectorScalingGradient: expected \`labels\` in [0, 2), got 2 at index 0]`);
    expect(() => vectorScalingGradient(new Float32Array(0), new Int32Array(0), new Float32Array(0), new Float32Array(0), { gradient: new Float64Array(0) })).toThrowErrorMatchingInlineSnapshot(`[RangeError: vectorScalingGradient: expected \`weights\` with at least one class, got none]`);
  });
});

import { batchLossChecks, expectClose, lossChecks, testRandom, type LossArgument } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { hyperbolicConfusionLoss, hyperbolicCrossEntropy } from "./hyperbolic.ts";
import { lse } from "./tuples.ref.ts";

const random = testRandom(2), given = (rows: number, features: number): LossArgument => ({ dtype: "float32", shape: [rows, features], data: Float32Array.from({ length: rows * features }, () => 0.7 * random.normal()) });
const dot = (a: number[], b: number[]): number => a.reduce((sum, x, f) => sum + x * b[f], 0);
/** By the letter: exponential map, Möbius addition. */
const ball = (v: number[], c: number, clip?: number | false): number[] => {
  const n = Math.sqrt(dot(v, v)), s = clip !== undefined && clip !== false && n > clip ? clip / n : 1;
  return v.map((x) => (n === 0 ? 0 : (Math.tanh(Math.sqrt(c) * n * s) * x) / (Math.sqrt(c) * n)));
};
const add = (x: number[], y: number[], c: number): number[] => x.map((_, f) => ((1 + 2 * c * dot(x, y) + c * dot(y, y)) * x[f] + (1 - c * dot(x, x)) * y[f]) / (1 + 2 * c * dot(x, y) + c * c * dot(x, x) * dot(y, y)));
const rowsOf = (x: Float64Array, features: number): number[][] => Array.from({ length: x.length / features }, (_, i) => Array.from(x.subarray(i * features, (i + 1) * features)));
const minus = (x: number[]): number[] => x.map((v) => -v);

describe("hyperbolicCrossEntropy [paper:hyp-oc-hyperbolic-one-class-classification-for-face-anti]", () => {
  it.each(lossChecks({
    name: "hyperbolicCrossEntropy",
    loss: hyperbolicCrossEntropy,
    cases: [{}, { curvature: 0.3, clip: false }].map((options) => ({ name: JSON.stringify(options), arguments: [given(5, 3), given(4, 3), given(4, 3), { dtype: "int32" as const, shape: [5], data: Int32Array.of(0, 3, 1, 2, 1) }], options })),
    reference: ([z, p, a, [y]], { curvature: c = 1, clip = 1 }: any) => {
      const x = ball(Array.from(z), c, clip), logits = rowsOf(a, 3).map((n, k) => {
        const m = add(minus(ball(rowsOf(p, 3)[k], c)), x, c), size = Math.sqrt(dot(n, n));
        return ((2 * size) / Math.sqrt(c)) * Math.asinh((2 * Math.sqrt(c) * dot(m, n)) / ((1 - c * dot(m, m)) * size));
      });
      return lse(logits) - logits[y];
    },
    shared: [1, 2],
    differentiable: ["embeddings", "points", "normals"].map((name, argument) => ({ argument, read: (r: any) => r.grads[name] })),
    labels: { argument: 3, classes: 4 },
    bound: { rtol: 2e-7, atol: 1e-7 }, // float64, one rounding
    gradientBound: { rtol: 1e-6, atol: 1e-7 },
    extreme: false,
  }))("$name", ({ run }) => run());

  it("goes to 4 (x - p) . a as the curvature goes to 0", () => {
    const { loss } = hyperbolicCrossEntropy.withGrad([[0.3, -0.2]], [[0.1, 0.4], [0, 0]], [[1, 2], [0.5, 0]], [0], { curvature: 1e-8, clip: false }), logits = [4 * (0.2 - 1.2), 4 * 0.15];
    expectClose(loss.item(), lse(logits) - logits[0], { rtol: 1e-6 });
  });

  it("keeps its digits far out, where 1 - c |x|^2 is 5e-7", () => {
    const far = hyperbolicCrossEntropy.withGrad([[8, 0]], [[0, 0], [0, 0]], [[1, 0], [-1, 0]], [1], { clip: false });
    expectClose(far.loss.item(), 64, { rtol: 1e-6 }); // logits ±4 |v| for |a| = 1
    expectClose(far.grads.embeddings.data, [8, 0], { rtol: 1e-6 });
  });
});

describe("hyperbolicConfusionLoss", () => {
  const distance = (x: number[], y: number[], c: number): number => {
    const m = add(minus(x), y, c);
    return (2 / Math.sqrt(c)) * Math.atanh(Math.sqrt(c * dot(m, m)));
  };
  it.each(batchLossChecks({
    name: "hyperbolicConfusionLoss",
    loss: hyperbolicConfusionLoss,
    cases: [{}, { curvature: 0.4, clip: false }].map((options) => ({ name: JSON.stringify(options), arguments: [given(5, 3)], options })),
    reference: ([z], { curvature: c = 1, clip = 1 }: any) => {
      const x = rowsOf(z, 3).map((v) => ball(v, c, clip));
      return { values: x.map((v, i) => x.reduce((sum, w, j) => sum + (i === j ? 0 : distance(v, w, c)) / Math.max(1, x.length - 1), 0)), counts: x.map(() => (x.length > 1 ? 1 : 0)) };
    },
    bound: { rtol: 2e-7, atol: 1e-7 },
    gradientBound: { rtol: 1e-6, atol: 1e-6 },
    extreme: false,
  }))("$name", ({ run }) => run());

  it("keeps lengths from the origin, and goes to twice the distance as the curvature goes to 0", () => {
    expectClose(hyperbolicConfusionLoss([[0, 0], [0.5, 0]]).item(), 1, { rtol: 1e-6 });
    expectClose(hyperbolicConfusionLoss([[0.3, 0], [0, 0.4]], { curvature: 1e-9 }).item(), 1, { rtol: 1e-6 });
    expect(hyperbolicConfusionLoss.withGrad([[1, 2], [1, 2]]).grad.data).toEqual(new Float32Array(4));
  });
});

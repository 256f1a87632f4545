import { softmax } from "@logits/core-wasm";
import { expectClose, expectExact, finiteDifferenceGradient, lossChecks, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { labelCases, logSoftmaxRef, smoothedRef } from "./classification.ref.ts";
import { crossEntropy } from "./crossEntropy.ts";
import { crossEntropyRef } from "./crossEntropy.ref.ts";
import { smoothLabels, softCrossEntropy } from "./softCrossEntropy.ts";

describe("crossEntropy", () => {
  it.each(lossChecks({
    name: "crossEntropy",
    loss: crossEntropy,
    cases: [...labelCases([[9, 5], [4, 1], [3, 33]]), ...[{ labelSmoothing: 0.1 }, { zLoss: 1e-2 }, { softCap: 3 }, { labelSmoothing: 0.3, zLoss: 0.1, softCap: 5 }].flatMap((options) => labelCases([[5, 6]], options))],
    reference: ([z, [label]], options) => (Object.keys(options).length === 0 ? crossEntropyRef(z, label) : smoothedRef(z, label, options)),
    bound: { rtol: 1e-6, atol: 1e-7 }, // exp to 1.2 ULP, one rounding; with a cap its rounded scores
    gradientBound: { atol: 2e-6 }, // the zLoss has gradients of a few units, central differences 1e-9
    labels: { argument: 1, classes: 33 },
    extreme: 1e3,
  }))("$name", ({ run }) => run());

  it("[paper:learning-to-segment-from-scribbles-using-multi-scale-adversarial] counts annotated pixels only, by the weights of their classes", () => {
    const random = testRandom(4), classWeight = [0.5, 2, 1], logits = { dtype: "float32", shape: [2, 3, 2, 2], data: Float32Array.from({ length: 24 }, () => random.normal()) } as const, labels = { dtype: "int32", shape: [2, 2, 2], data: Int32Array.of(0, 9, 9, 1, 2, 9, 9, 9) } as const;
    const { loss, grad } = crossEntropy.withGrad(logits, labels, { axis: 1, ignoreIndex: 9, classWeight });
    // By hand: pixels 0 and 3 of the first image, 0 of the second.
    const pixels = [[0, 0, 0], [0, 3, 1], [1, 0, 2]].map(([b, at, y]) => classWeight[y] * crossEntropyRef([0, 1, 2].map((c) => logits.data[12 * b + 4 * c + at]), y));
    expectClose(loss.item(), pixels.reduce((a, v) => a + v) / 3.5, { rtol: 3e-7 });
    // Full annotation: plain cross-entropy; unlabelled pixels have no gradient at all.
    grad.data.forEach((g, i) => expect(g === 0).toBe(![0, 3].includes(i % 4) || (i >= 12 && i % 4 === 3)));
  });

  it("weighs rows by the weights of their labels, in the mean too", () => {
    const [{ arguments: [z, y] }] = labelCases([[7, 4]]), classWeight = [0.25, 2, 0, 1], weight = Float32Array.of(1, 2, 0.5, 1, 3, 1, 1);
    const product = weight.map((w, i) => w * classWeight[y.data[i]]), upstream = Float32Array.of(1.5);
    for (const reduction of ["mean", "sum"] as const) {
      const got = crossEntropy.withGrad(z, y, { classWeight, weight, reduction, upstream }), want = crossEntropy.withGrad(z, y, { weight: product, reduction, upstream });
      expectExact(got.loss.data, want.loss.data);
      expectExact(got.grad.data, want.grad.data);
    }
  });

  it("spreads smoothing by the weights of the classes, with gradients", () => {
    const [{ arguments: [z, y] }] = labelCases([[6, 5]]), w = [0.5, 1, 2, 0.75, 1.5], labelSmoothing = 0.2, c = 5;
    const value = (x: Float64Array): number => {
      let total = 0, mass = 0;
      for (let b = 0; b < 6; b++) {
        const logP = logSoftmaxRef(x.subarray(b * c, (b + 1) * c));
        total -= (1 - labelSmoothing) * w[y.data[b]] * logP[y.data[b]] + (labelSmoothing / c) * logP.reduce((sum, l, k) => sum + w[k] * l, 0);
        mass += w[y.data[b]];
      }
      return total / mass;
    };
    const { loss, grad } = crossEntropy.withGrad(z, y, { classWeight: w, labelSmoothing });
    expectClose(loss.item(), value(Float64Array.from(z.data)), { rtol: 3e-7 });
    expectClose(grad.data, finiteDifferenceGradient(value, z.data), { atol: 1e-7 }); // gradients of 0.1, rounded once or twice
  });

  it("is softCrossEntropy with smoothed labels", () => {
    const [{ arguments: [z, y] }] = labelCases([[8, 12]]);
    const hard = crossEntropy.withGrad(z, y, { labelSmoothing: 0.1 }), soft = softCrossEntropy.withGrad(z, smoothLabels(y, 12));
    expectClose(hard.loss.item(), soft.loss.item(), { rtol: 3e-7 });
    expectClose(hard.grad.data, soft.grads.logits.data, { atol: 3e-8 });
  });

  it("keeps its digits where the label is nearly certain", () => {
    const { loss, grad } = crossEntropy.withGrad([[40, 0]], [0]);
    expectClose(loss.item(), Math.exp(-40), { rtol: 2e-7 });
    expectClose(grad.data, [-Math.exp(-40), Math.exp(-40)], { rtol: 3e-7 });
  });

  it("answers special rows", () => {
    expect(crossEntropy([[-Infinity, 0]], [0]).item()).toBe(Infinity);
    expect(crossEntropy([[-Infinity, 0]], [1]).item()).toBe(0);
    expect(crossEntropy([[NaN, 0]], [1]).item()).toBe(NaN);
    expect(crossEntropy([[Infinity, 0]], [0]).item()).toBe(NaN);
    expect(crossEntropy([[-Infinity, -Infinity]], [0]).item()).toBe(NaN);
  });

  it.each([{}, { labelSmoothing: 0.2 }, { zLoss: 0.1 }, { softCap: 4 }, { labelSmoothing: 0.2, zLoss: 0.1, softCap: 4 }])("takes an impossible class as if it did not exist, %j", (options) => {
    const all = crossEntropy.withGrad([[1, -Infinity, 0.5, -2]], [0], options), without = crossEntropy.withGrad([[1, 0.5, -2]], [0], options);
    expectClose(all.loss.item(), without.loss.item(), { rtol: 2e-7 });
    expectClose([0, 2, 3].map((c) => all.grad.data[c]), without.grad.data, { atol: 5e-8 });
    expect(Math.abs(all.grad.data[1])).toBe(0);
  });

  it("has the value Infinity and a finite gradient for an impossible label, whatever the options", () => {
    for (const options of [{}, { labelSmoothing: 0.2 }, { softCap: 4 }, { zLoss: 0.1 }]) {
      const { loss, grad } = crossEntropy.withGrad([[-Infinity, 0, 1]], [0], options);
      expect(loss.item()).toBe(Infinity);
      grad.data.forEach((g) => expect(g).toSatisfy(Number.isFinite));
    }
  });

  it("takes no rows", () => {
    const z = { data: new Float32Array(0), shape: [0, 3] }, y = new Int32Array(0);
    expect(crossEntropy(z, y, { labelSmoothing: 0.1, softCap: 2 }).item()).toBe(0);
    expect(crossEntropy.withGrad(z, y, { reduction: "none" }).grad.shape).toEqual([0, 3]);
  });

  it("says what it refuses", () => {
    const call = (options: object) => () => crossEntropy([[1, 2]], [0], options);
    expect(call({ labelSmoothing: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: crossEntropy: expected \`labelSmoothing\` in [0, 1), got 1]`);
    expect(call({ zLoss: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: crossEntropy: expected \`zLoss\` a finite number >= 0, got -1]`);
    expect(call({ softCap: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: crossEntropy: expected \`softCap\` a finite number > 0, got 0]`);
    expect(call({ classWeight: [1, 2, 3] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: crossEntropy: expected \`classWeight\` of shape [2], got [3]]`);
    expect(call({ classWeight: [1, -1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: crossEntropy: expected \`classWeight\` finite and not negative, got -1 at index 1]`);
    expect(() => crossEntropy([[1, 2]], [2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: crossEntropy: expected \`labels\` in [0, 2), got 2 at index 0]`);
    expect(() => crossEntropy([1, 2], [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: crossEntropy: expected \`logits\` of shape [B, ..., C], got [2]]`);
  });
});

// What TensorFlow.js 4.22 answers (measured): 1.862, 16.118, and t - p as the gradient of the labels.
describe("cases that TensorFlow.js gets wrong", () => {
  it("does not clip logits: 8.049", () => {
    // sparseCategoricalCrossentropy with fromLogits clips logits to [1e-7, 1 - 1e-7].
    expect(crossEntropy([[3, -5, 0]], [1]).item()).toBeCloseTo(8.0489, 4);
    expect(softCrossEntropy([[3, -5, 0]], [[0, 1, 0]]).item()).toBeCloseTo(8.0489, 4);
  });

  it("does not saturate at 16.118: 80", () => {
    expect(crossEntropy([[80, 0]], [1]).item()).toBe(80);
    expect(softCrossEntropy([[80, 0]], [[0, 1]]).item()).toBe(80);
    expectExact(crossEntropy.withGrad([[80, 0]], [1]).grad.data, [1, -1]);
  });

  it("has -log p as the gradient of the labels, and p sum t - t as that of the logits where t does not sum to 1", () => {
    const z = [[0.3, -1, 2]], t = [[0.5, 1, 0.25]], { grads } = softCrossEntropy.withGrad(z, t), p = softmax(z).data;
    expectClose(grads.targets.data, logSoftmaxRef(z[0]).map((l) => -l), { rtol: 2e-7 });
    expectClose(grads.logits.data, Array.from(p, (v, c) => 1.75 * v - t[0][c]), { atol: 2e-7 });
  });
});

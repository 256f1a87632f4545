import { expectClose, expectExact, lossChecks, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { dot, labelCases, logSoftmaxRef } from "./classification.ref.ts";
import { crossEntropy } from "./crossEntropy.ts";
import { smoothLabels, softCrossEntropy } from "./softCrossEntropy.ts";

const random = testRandom(11);

describe("softCrossEntropy", () => {
  it.each(lossChecks({
    name: "softCrossEntropy",
    loss: softCrossEntropy,
    // Targets that do not sum to 1, some of them negative.
    cases: [{}, { classWeight: [0.5, 1, 2, 0, 3] }].flatMap((options) => labelCases([[6, 5]], options)).map((one) => ({ ...one, arguments: [one.arguments[0], { dtype: "float32" as const, shape: [6, 5], data: Float32Array.from({ length: 30 }, () => 0.4 + random.normal()) }] })),
    reference: ([z, t], { classWeight = [1, 1, 1, 1, 1] }) => -dot(logSoftmaxRef(z), Array.from(t, (v, c) => v * classWeight[c])),
    bound: { rtol: 1e-6, atol: 1e-6 }, // terms of both signs
    gradientBound: { atol: 2e-6 },
    differentiable: [{ argument: 0, read: ({ grads }) => grads.logits }, { argument: 1, read: ({ grads }) => grads.targets }],
  }))("$name", ({ run }) => run());

  it("is crossEntropy where the targets are one-hot", () => {
    const [{ arguments: [z, y] }] = labelCases([[7, 9]], {}, 8), soft = softCrossEntropy.withGrad(z, smoothLabels(y, 9, 0)), hard = crossEntropy.withGrad(z, y);
    expectClose(soft.loss.item(), hard.loss.item(), { rtol: 2e-7 });
    expectClose(soft.grads.logits.data, hard.grad.data, { atol: 2e-8 });
  });

  it("adds nothing for a target of 0 on an impossible class", () => {
    const { loss, grads } = softCrossEntropy.withGrad([[-Infinity, 0, 0]], [[0, 0.5, 0.5]]);
    expect(loss.item()).toBeCloseTo(Math.log(2), 6);
    expectExact(grads.logits.data, [0, 0, 0]);
    expectExact(grads.targets.data.subarray(0, 1), [Infinity]);
    expect(softCrossEntropy([[-Infinity, 0]], [[0.5, 0.5]]).item()).toBe(Infinity);
    expect(softCrossEntropy([[NaN, 0]], [[0.5, 0.5]]).item()).toBe(NaN);
    expect(softCrossEntropy([[-Infinity, -Infinity]], [[0.5, 0.5]]).item()).toBe(NaN);
  });

  it("takes classes on another axis", () => {
    const z = Float32Array.from({ length: 24 }, () => random.normal()), t = Float32Array.from({ length: 24 }, () => random.uniform()), moved = (x: Float32Array) => Float32Array.from({ length: 24 }, (_, i) => x[12 * Math.floor(i / 12) + 4 * (i % 3) + Math.floor((i % 12) / 3)]);
    const images = softCrossEntropy.withGrad({ data: z, shape: [2, 3, 4] }, { data: t, shape: [2, 3, 4] }, { axis: 1 }), rows = softCrossEntropy.withGrad({ data: moved(z), shape: [2, 4, 3] }, { data: moved(t), shape: [2, 4, 3] });
    expect(images.loss.item()).toBe(rows.loss.item());
    expectExact(moved(images.grads.logits.data), rows.grads.logits.data);
    expectExact(moved(images.grads.targets.data), rows.grads.targets.data);
  });

  it("says what it refuses", () => {
    expect(() => softCrossEntropy([[1, 2]], [[1, 2, 3]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: softCrossEntropy: expected \`targets\` of the shape of \`logits\`, got [1, 3] for [1, 2]]`);
  });
});

describe("smoothLabels", () => {
  it("spreads a share evenly", () => {
    expectClose(smoothLabels([1, 0], 4, 0.2), { shape: [2, 4], data: [0.05, 0.85, 0.05, 0.05, 0.85, 0.05, 0.05, 0.05] }, { rtol: 1e-7 });
    expectExact(smoothLabels([1], 2, 0).data, [0, 1]);
  });

  it("says what it refuses", () => {
    expect(() => smoothLabels([4], 4)).toThrowErrorMatchingInlineSnapshot(`[RangeError: smoothLabels: expected \`labels\` in [0, 4), got 4 at index 0]`);
    expect(() => smoothLabels([0], 4, 2)).toThrowErrorMatchingInlineSnapshot(`[RangeError: smoothLabels: expected \`smoothing\` in [0, 1], got 2]`);
    expect(() => smoothLabels([0], 0)).toThrowErrorMatchingInlineSnapshot(`[RangeError: smoothLabels: expected \`classes\` an integer in [1, 2147483647], got 0]`);
  });
});

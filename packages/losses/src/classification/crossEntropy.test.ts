import { expectClose, lossChecks, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { crossEntropy } from "./crossEntropy.ts";
import { crossEntropyRef } from "./crossEntropy.ref.ts";

const random = testRandom(3);

describe("crossEntropy", () => {
  it.each(lossChecks({
    name: "crossEntropy",
    loss: crossEntropy,
    cases: [[9, 5], [4, 1], [3, 33]].map(([rows, classes]) => ({
      name: `${rows} x ${classes}`,
      arguments: [
        { dtype: "float32", shape: [rows, classes], data: Float32Array.from({ length: rows * classes }, () => 3 * random.normal()) },
        { dtype: "int32", shape: [rows], data: Int32Array.from({ length: rows }, () => random.integer(Math.min(classes, 5))) },
      ],
    })),
    reference: ([z, [label]]) => crossEntropyRef(z, label),
    bound: { rtol: 1e-6, atol: 1e-7 }, // exp to 1.2 ULP, one rounding
    gradientBound: { atol: 1e-6 },
    labels: { argument: 1, classes: 33 },
  }).filter(({ name }) => name.startsWith("3 x 33") || !/label|ignoreIndex/.test(name)))("$name", ({ run }) => run());

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
});

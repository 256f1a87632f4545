import { expectClose, expectExact, testRandom } from "@logits/testkit";
import { expect, it } from "vitest";
import { residualMoments } from "./families/order.ts";

it("residualMoments agrees with the definition, also over several pieces, at the edges of cells and at 1", () => {
  const random = testRandom(12);
  for (const [n, size] of [[0, 4], [1, 1], [3, 2], [501, 8], [70_002, 64]]) {
    const c = Float32Array.from({ length: n }, (_, i) => (i % 9 === 0 ? (i % size) / size : i % 9 === 1 ? 1 : random.uniform())), correct = Uint8Array.from(c, () => random.integer(2));
    const want = new Float64Array(6 * size);
    c.forEach((value, i) => {
      const j = Math.min(size - 1, Math.floor(value * size)), x = value * size - j, r = correct[i] - value;
      [r, r * x, r * x ** 2, r * x ** 3, r * r, correct[i]].forEach((term, k) => (want[6 * j + k] += term));
    });
    // Float64 sums of up to 1,100 terms; x^3 and x^2 times r x round differently.
    expectClose(residualMoments(c, correct, size), want, { rtol: 1e-12, atol: 1e-12 });
  }
  expectExact(residualMoments(Float32Array.of(1.00001), Uint8Array.of(1), 2), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
  expect(() => residualMoments(Float32Array.of(1), new Uint8Array(2), 2)).toThrowErrorMatchingInlineSnapshot(`[RangeError: residualMoments: expected \`correct\` of length 1, got 2]`);
  expect(() => residualMoments(Float32Array.of(1), new Uint8Array(1), 3)).toThrowErrorMatchingInlineSnapshot(`[RangeError: residualMoments: expected \`size\` a power of two up to 2^24, got 3]`);
});

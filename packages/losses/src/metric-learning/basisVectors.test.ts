import { expectClose } from "@logits/testkit";
import { ConvergenceError, randomSource } from "@logits/tensor";
import { describe, expect, it } from "vitest";
import { equiangularBasisVectors, simplexEtf } from "./basisVectors.ts";
import { normalizedSoftmaxLoss } from "./marginSoftmax.ts";
import { matrixRef } from "./tuples.ref.ts";

describe("class vectors that are kept [paper:equiangular-basis-vectors]", () => {
  it.each([[2, 1], [3, 2], [5, 4], [5, 7]])("simplexEtf(%i, %i) has all cosines -1 / (C - 1) and unit length", (classes, features) => {
    matrixRef(simplexEtf(classes, features).data, features, "dot").forEach((row, i) => expectClose(row, row.map((_, j) => (i === j ? 1 : -1 / (classes - 1))), { atol: 3e-7 })); // float32 coordinates
  });

  it.each([[20, 16, undefined], [26, 16, 0.2], [60, 32, 0.21], [10, 16, undefined]])("equiangularBasisVectors(%i, %i) stay within %f, and above the Welch bound", (classes, features, maxCosine) => {
    const v = equiangularBasisVectors(classes, features, randomSource(1), maxCosine === undefined ? {} : { maxCosine }), cosines = matrixRef(v.data, features, "cosine");
    const most = Math.max(...cosines.map((row, i) => Math.max(...row.map((x, j) => (i === j ? 0 : Math.abs(x)))))), welch = classes > features ? Math.sqrt((classes - features) / (features * (classes - 1))) : 0;
    expect(most).toBeLessThanOrEqual((maxCosine ?? Math.max(0.05, 2 * welch)) + 2e-6);
    expect(most).toBeGreaterThanOrEqual(welch);
    expectClose(matrixRef(v.data, features, "dot").map((row, i) => row[i]), new Array(classes).fill(1), { atol: 3e-7 });
  });

  it("serve as class vectors: an embedding on its vector has the loss of equal angles to the others", () => {
    expectClose(normalizedSoftmaxLoss([Array.from(simplexEtf(4, 3).row(1).data)], simplexEtf(4, 3), [1], { scale: 5 }).item(), Math.log(1 + 3 * Math.exp((-5 * 4) / 3)), { rtol: 1e-5 });
  });

  it("says what it could not do", () => {
    expect(() => equiangularBasisVectors(20, 4, randomSource(1), { maxCosine: 0.1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: equiangularBasisVectors: expected \`maxCosine\` in [0.4588, 1], from the Welch bound, got 0.1]`);
    expect(() => simplexEtf(4, 2)).toThrowErrorMatchingInlineSnapshot(`[RangeError: simplexEtf: expected \`features\` an integer in [3, 2147483648], got 2]`);
    expect(() => equiangularBasisVectors(26, 16, randomSource(1), { maxCosine: 0.16, steps: 5 })).toThrow(ConvergenceError);
    expect(() => equiangularBasisVectors(26, 16, randomSource(1), { maxCosine: 0.16, steps: 5 })).toThrowErrorMatchingInlineSnapshot(`[ConvergenceError: equiangularBasisVectors: expected cosines of at most 0.16, got 0.3122 after 5 steps. Allow a larger \`maxCosine\` or more \`steps\`.]`);
  });
});

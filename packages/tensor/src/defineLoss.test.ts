import { expectClose, expectExact, lossChecks } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { asFloat32, type TensorLike } from "./convert.ts";
import { defineLoss } from "./defineLoss.ts";
import type { Loss } from "./loss.ts";
import { lossRows, scoreRows, type RowLossOptions } from "./lossRows.ts";

/** -z_y + sum_c z_c^2 / 2: a loss on rows of scores that needs no kernel. */
const toyLoss: Loss<[logits: TensorLike, labels: TensorLike], RowLossOptions> = defineLoss("toyLoss", 2, (where, [logits, labels], options) => {
  const { z, y, rows, classes, shape, weights, gradient } = lossRows(where, logits, labels, options);
  return {
    shape,
    weights,
    pass(coefficients) {
      const values = new Float64Array(rows), grad = new Float32Array(z.size);
      for (let i = 0; i < rows; i++) {
        if (weights?.[i] === 0) continue;
        for (let c = 0; c < classes; c++) {
          const x = z.data[i * classes + c], own = c === y[i] ? 1 : 0;
          values[i] += (x * x) / 2 - own * x;
          if (coefficients) grad[i * classes + c] = coefficients[i] * (x - own);
        }
      }
      return { values, gradients: () => ({ grad: gradient(grad) }) };
    },
  };
});
const z = Float32Array.from({ length: 24 }, (_, i) => Math.sin(3 * i));

describe("defineLoss", () => {
  it.each(lossChecks({
    name: "toyLoss",
    loss: toyLoss,
    cases: [{ name: "four classes", arguments: [{ dtype: "float32", shape: [6, 4], data: z }, { dtype: "int32", shape: [6], data: Int32Array.of(0, 3, 1, 2, 2, 0) }] }],
    reference: ([row, [label]]) => row.reduce((sum, x) => sum + (x * x) / 2, 0) - row[label],
    bound: { rtol: 3e-7, atol: 1e-7 }, // one rounding
    gradientBound: { atol: 1e-6 },
    labels: { argument: 1, classes: 4 },
    extreme: 1e3,
  }))("$name", ({ run }) => run());

  it("has the same values with the classes on another axis, and the gradient in the order of the scores", () => {
    // [2, 4, 3] is [2, 3, 4] with the last two axes exchanged.
    const moved = Float32Array.from({ length: 24 }, (_, i) => z[Math.floor(i / 12) * 12 + (i % 3) * 4 + (Math.floor(i / 3) % 4)]), labels = { data: Int32Array.of(0, 3, 1, 2, 2, 0), shape: [2, 3] };
    const last = toyLoss.withGrad({ data: z, shape: [2, 3, 4] }, labels, { reduction: "none" }), first = toyLoss.withGrad({ data: moved, shape: [2, 4, 3] }, labels, { reduction: "none", axis: 1 });
    expect(first.loss.shape).toEqual([2, 3]);
    expectExact(first.loss, last.loss);
    expect(first.grad.shape).toEqual([2, 4, 3]);
    expectExact(first.grad.data, moved.map((_, i) => last.grad.data[Math.floor(i / 12) * 12 + (i % 3) * 4 + (Math.floor(i / 3) % 4)]));
  });

  it("takes weights of the leading axes for all that lies below", () => {
    const scores = { data: z, shape: [2, 3, 4] }, labels = { data: Int32Array.of(0, 3, 1, 2, 2, 0), shape: [2, 3] };
    const rows = toyLoss(scores, labels, { weight: [1, 3] }), each = toyLoss(scores, labels, { weight: [[1, 1, 1], [3, 3, 3]] });
    expectExact(rows, each);
    expectExact(toyLoss(scores, labels, { where: [0, 1] }), toyLoss({ data: z.subarray(12), shape: [1, 3, 4] }, [[2, 2, 0]]));
  });

  it("has these messages", () => {
    expect(() => toyLoss([1, 2], [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: toyLoss: expected \`logits\` of shape [B, ..., C], got [2]]`);
    expect(() => toyLoss([[1, 2]], [[0]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: toyLoss: expected \`labels\` of shape [1], got [1, 1]]`);
    expect(() => toyLoss([[1, 2]], [0], { axis: 2 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: toyLoss: expected \`axis\` an integer in [-2, 2), got 2]`);
    expect(() => toyLoss.withGrad([[1, 2]], [0], { reduction: "none", upstream: [1, 2] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: toyLoss.withGrad: expected \`upstream\` of shape [1], got [2]]`);
    expect(() => toyLoss([[1, 2]], [0], { reduction: "average" as "mean" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: toyLoss: expected \`reduction\` "mean", "sum" or "none", got average]`);
    expect(() => toyLoss([[1, 2]], [0], 0.5 as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: toyLoss: expected \`options\` an object such as { reduction }, got Number]`);
    expect(() => toyLoss.withGrad([[1, 2]], [0], [1] as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: toyLoss.withGrad: expected \`options\` an object such as { reduction }, got Array]`);
    expect(() => toyLoss([[1, 2]], [0], { data: Float32Array.of(1), shape: [1] } as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: toyLoss: expected \`options\` an object such as { reduction }, got Object]`);
    expect(() => (toyLoss as (...args: unknown[]) => unknown)([[1, 2]], [0], [1], {})).toThrowErrorMatchingInlineSnapshot(`[TypeError: toyLoss: expected \`options\` as the last argument, after 2 others, got 4 arguments]`);
    expect(() => toyLoss([[1, 2]], [0], { weight: [1, 1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: toyLoss: expected \`weight\` of shape [1], got [2]]`);
    expect(() => scoreRows("f", "scores", { data: new Float32Array(0), shape: [1, 0] }, {})).toThrowErrorMatchingInlineSnapshot(`[RangeError: f: expected \`scores\` with at least one class, got shape [1, 0]]`);
  });

  it("rounds once: values may be float64", () => {
    const loss = defineLoss("third", 1, (where, [x]: readonly [TensorLike]) => ({ shape: asFloat32(where, "x", x).shape, pass: () => ({ values: Float64Array.of(1 / 3, 1 / 3), gradients: () => ({}) }) }));
    expectClose(loss([1, 2], { reduction: "sum" }).item(), Math.fround(2 / 3), { atol: 0 });
  });
});

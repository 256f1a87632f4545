import { expectClose, expectExact } from "@logits/testkit";
import type { TensorLike } from "@logits/tensor";
import { describe, expect, it } from "vitest";
import fixtures from "./fixtures/torch.json" with { type: "json" };
import * as torch from "./torch.ts";
import type { TorchLoss } from "./torch.ts";

interface Fixture {
  readonly loss: string;
  readonly shape: number[];
  readonly x: number[];
  readonly t: number[];
  readonly tShape: number[];
  readonly options: object;
  readonly up: number[];
  readonly value: (number | string)[];
  readonly grad: (number | string)[];
}

describe("presets of torch", () => {
  const cases = fixtures.cases as unknown as Fixture[], names = [...new Set(cases.map(({ loss }) => loss))];
  it("has many cases of every function", () => {
    expect(cases.length).toBeGreaterThanOrEqual(200);
    expect(names.toSorted()).toEqual(Object.keys(torch).toSorted());
  });

  it.each(names)("%s answers as torch 1.13, value and gradient at 1e-6", (name) => {
    const loss = (torch as unknown as Record<string, TorchLoss>)[name];
    for (const { shape, x, t, tShape, options, up, value, grad } of cases.filter((one) => one.loss === name)) {
      const label = `${name} ${JSON.stringify(options)} [${shape}] [${tShape}]`, args = [{ data: Float32Array.from(x), shape }, { data: Float32Array.from(t), shape: tShape }] as const;
      const integers: readonly [TensorLike, TensorLike] = /crossEntropy|nll|multiMargin|multilabelMargin/.test(name) && !(name === "crossEntropy" && `${shape}` === `${tShape}`) ? [args[0], { data: Int32Array.from(t), shape: tShape }] : args;
      const given = { ...options, upstream: Float32Array.from(up) }, got = loss.withGrad(...integers, given);
      // Rounded twice where a sum is divided; 8 digits in the file.
      expectClose(got.loss.data, value.map(Number), { rtol: 1e-6, atol: 1e-6, label });
      expectClose(got.grad.data, grad.map(Number), { rtol: 1e-6, atol: 1e-6, label: `${label} gradient` });
      expect(got.grad.shape).toEqual(shape);
      expectExact(loss(...integers, options).data, got.loss.data);
    }
  });

  it("gives NaN, and a zero gradient, where all labels are ignored, as torch does", () => {
    const { loss, grad } = torch.crossEntropy.withGrad([[1, 2]], [-100]);
    expect(loss.item()).toBe(NaN);
    expectExact(grad.data, [0, 0]);
    expect(torch.crossEntropy([[1, 2]], [-100], { reduction: "sum" }).item()).toBe(0);
  });

  it("gives NaN, and a zero gradient, where the weights of all labels are 0", () => {
    for (const labelSmoothing of [0, 0.1]) {
      const { loss, grad } = torch.crossEntropy.withGrad([[1, 2], [0, 3]], [0, 0], { weight: [0, 1], labelSmoothing });
      expect(loss.item()).toBe(NaN);
      expectExact(grad.data, [0, 0, 0, 0]);
    }
  });

  it("takes one row without a batch in multilabelSoftMarginLoss, as torch does", () => {
    for (const reduction of ["mean", "sum", "none"] as const) {
      const one = torch.multilabelSoftMarginLoss.withGrad([2, -1], [1, 0], { reduction, weight: [1, 3] }), batch = torch.multilabelSoftMarginLoss.withGrad([[2, -1]], [[1, 0]], { reduction, weight: [1, 3] });
      expect([one.loss.shape, one.grad.shape]).toEqual([[], [2]]);
      expectExact(one.loss.data, batch.loss.data);
      expectExact(one.grad.data, batch.grad.data);
    }
  });

  it("says what it refuses", () => {
    expect(() => torch.crossEntropy([[1, 2]], [2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: crossEntropy: expected \`labels\` in [0, 2), got 2 at index 0]`);
    expect(() => torch.crossEntropy(new Float32Array(0), [2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: crossEntropy: expected \`logits\` with at least one class, got shape [1, 0]]`);
    expect(() => torch.crossEntropy([[1, 2]], [0], { weight: [1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: crossEntropy: expected \`weight\` of shape [2], got [1]]`);
    expect(() => torch.nllLoss([[1, 2]], [0, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: nllLoss: expected \`labels\` of shape [1], got [2]]`);
    expect(() => torch.klDiv([[1, 2]], [1, 2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: klDiv: expected \`target\` of shape [1, 2], got [2]]`);
    expect(() => torch.klDiv([[1, 2]], [[1, 2]], { reduction: "average" as "mean" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: klDiv: expected \`reduction\` "mean", "sum" or "none", got average]`);
    expect(() => torch.binaryCrossEntropyWithLogits([[1, 2]], [[1, 2]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: binaryCrossEntropy: expected \`targets\` in [0, 1], got 2 at index 1]`);
    expect(() => torch.binaryCrossEntropyWithLogits([[1, 2]], [[1, 0]], { weight: [1, 2, 3] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: binaryCrossEntropyWithLogits: expected \`weight\` of shape [1, 2] or its last axes, got [3]]`);
    expect(() => torch.softMarginLoss([1], [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: softMarginLoss: expected \`target\` -1 or 1, got 0 at index 0]`);
    expect(() => torch.multiMarginLoss([[1, 2]], [2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: multiMarginLoss: expected \`labels\` in [0, 2), got 2 at index 0]`);
    expect(() => torch.multilabelMarginLoss([[1, 2]], [[0]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: multilabelMarginLoss: expected \`target\` of shape [1, 2], got [1, 1]]`);
    expect(() => torch.multilabelMarginLoss([[1, 2]], [[2, -1]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: multilabelMarginLoss: expected \`target\` in [-1, 2), got 2 at index 0]`);
  });
});

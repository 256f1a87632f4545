import { Tensor } from "@logits/tensor";
import { expectClose } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import optaxCases from "./fixtures/optax.json" with { type: "json" };
import smpCases from "./fixtures/segmentationModels.json" with { type: "json" };
import timmCases from "./fixtures/timm.json" with { type: "json" };
import * as optax from "./optax.ts";
import type { PresetLoss } from "./preset.ts";
import * as smp from "./segmentation-models.ts";
import * as timm from "./timm.ts";

interface Case {
  loss: string;
  shape: number[];
  x: number[];
  y: number[];
  yShape: number[];
  integer: boolean;
  options: any;
  value: number;
  grad: number[];
}

const sum = (x: { data: ArrayLike<number> }): number => Array.from(x.data).reduce((a, b) => a + b, 0);

describe.each([
  ["segmentation-models", smp, smpCases, 90],
  ["optax", optax, optaxCases, 40],
  ["timm", timm, timmCases, 25],
] as const)("presets/%s", (_, module, { cases }, least) => {
  it(`${cases.length} cases at 1e-6, values and gradients`, () => {
    expect(cases.length).toBeGreaterThanOrEqual(least);
    const covered = new Set<string>();
    for (const [i, { loss, shape, x, y, yShape, integer, options, value, grad }] of (cases as unknown as Case[]).entries()) {
      const of = (module as unknown as Record<string, PresetLoss<any>>)[loss], z = new Tensor("float32", shape, Float32Array.from(x)), t = integer ? new Tensor("int32", yShape, Int32Array.from(y)) : new Tensor("float32", yShape, Float32Array.from(y));
      const got = of.withGrad(z, t, options), label = `${i}: ${loss} ${JSON.stringify(options)} ${shape}`;
      expectClose(sum(got.loss), value, { atol: 1e-6, rtol: 1e-6, label });
      expectClose(sum(of(z, t, options)), value, { atol: 1e-6, rtol: 1e-6, label });
      expect(got.grad.shape, label).toEqual(shape);
      expectClose(got.grad.data, grad, { atol: 1e-6, rtol: 1e-6, label: `${label}, gradient` });
      covered.add(loss);
    }
    expect([...covered].sort()).toEqual(Object.keys(module).sort());
  });
});

it("hands on an upstream and keeps the shape of what is not reduced", () => {
  const { loss, grad } = optax.l2Loss.withGrad([[1, 2]], [[0, 4]], { upstream: [[2, 3]] });
  expectClose(loss.data, [0.5, 2], { ulp: 0 });
  expectClose(grad.data, [2, -6], { ulp: 0 });
  expect(loss.shape).toEqual([1, 2]);
  expectClose(timm.asymmetricLossMultiLabel.withGrad([[1], [2]], [[1], [0]], { upstream: [4] }).grad.data, timm.asymmetricLossMultiLabel.withGrad([[1], [2]], [[1], [0]]).grad.data.map((g) => 4 * g), { ulp: 1 });
});

describe("segmentation-models", () => {
  const z = (shape: number[], seed = 0): Tensor<"float32"> => new Tensor("float32", shape, Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(3.7 * i + seed)));
  it("focalLoss drops the pixels of an ignored class, not its scores elsewhere", () => {
    const x = z([1, 3, 1, 2]), { loss, grad } = smp.focalLoss.withGrad(x, [[[1, 0]]], { mode: "multiclass", ignoreIndex: 0 });
    const alone = smp.focalLoss.withGrad(new Tensor("float32", [1, 3, 1, 1], Float32Array.of(x.data[0], x.data[2], x.data[4])), [[[1]]], { mode: "multiclass" });
    expectClose(loss.item(), alone.loss.item(), { ulp: 1 });
    expectClose(grad.data, Array.from(alone.grad.data).flatMap((g) => [g, 0]), { atol: 1e-7 });
  });
  it("lovaszLoss of several classes, per image, is the mean over images, however many classes occur in each", () => {
    const x = z([3, 3, 2, 2]), labels = [[[0, 0], [0, 9]], [[0, 1], [2, 1]], [[9, 9], [9, 9]]], { loss, grad } = smp.lovaszLoss.withGrad(x, labels, { mode: "multiclass", perImage: true, ignoreIndex: 9 });
    const each = labels.map((y, b) => smp.lovaszLoss.withGrad(new Tensor("float32", [1, 3, 2, 2], x.data.slice(12 * b, 12 * b + 12)), [y], { mode: "multiclass", ignoreIndex: 9 }));
    expectClose(loss.item(), each.reduce((total, one) => total + one.loss.item(), 0) / 3, { rtol: 2e-7 });
    expectClose(grad.data, each.flatMap((one) => Array.from(one.grad.data, (g) => g / 3)), { atol: 1e-7 });
  });
});

it("says what is wrong", () => {
  expect(() => smp.focalLoss([[[[2]], [[1]]]], [[[7]]], { mode: "multiclass" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: focalLoss: expected \`targets\` in [0, 2), got 7 at index 0]`);
  expect(() => smp.focalLoss([[[[2]], [[1]]]], [[[0, 1]]], { mode: "multiclass" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: focalLoss: expected \`targets\` of shape [1, 1, 1], got [1, 1, 2]]`);
  expect(() => timm.binaryCrossEntropy([[1, 2]], [7])).toThrowErrorMatchingInlineSnapshot(`[RangeError: binaryCrossEntropy: expected \`targets\` in [0, 2), got 7 at index 0]`);
  expect(() => timm.binaryCrossEntropy([[1, 2]], [0, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: binaryCrossEntropy: expected \`targets\` of shape [1], got [2]]`);
  expect(() => smp.diceLoss([[1, 2]], [0], { mode: "multi" as "binary" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: diceLoss: expected \`mode\` "binary", "multiclass" or "multilabel", got "multi"]`);
  expect(() => optax.hingeLoss([1], [3])).toThrowErrorMatchingInlineSnapshot(`[RangeError: hingeLoss: expected \`targets\` in [-1, 1], got 3 at index 0]`);
  expect(() => timm.binaryCrossEntropy([[1, 2]], [[1, 0, 0]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: binaryCrossEntropy: expected \`targets\` of shape [1, 2], got [1, 3]]`);
});

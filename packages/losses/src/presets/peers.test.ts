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

it("says what is wrong", () => {
  expect(() => smp.diceLoss([[1, 2]], [0], { mode: "multi" as "binary" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: diceLoss: expected \`mode\` one of binary, multiclass, multilabel, got multi]`);
  expect(() => optax.hingeLoss([1], [3])).toThrowErrorMatchingInlineSnapshot(`[RangeError: hingeLoss: expected \`targets\` in [0, 1], got 2 at index 0]`);
  expect(() => timm.binaryCrossEntropy([[1, 2]], [[1, 0, 0]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: binaryCrossEntropy: expected \`targets\` of shape [1, 2], got [1, 3]]`);
});

import { expectClose, type LossLike } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import fixtures from "./fixtures/classification.json" with { type: "json" };
import * as losses from "./index.ts";
import { smoothLabels } from "./softCrossEntropy.ts";

interface Fixture {
  readonly loss: string;
  readonly shape: readonly [number, number];
  readonly x: number[];
  readonly y: number[];
  readonly options: object;
  readonly value: number;
  readonly grad: number[];
}

describe("fixtures of torch", () => {
  const cases = fixtures.cases as unknown as Fixture[], names = [...new Set(cases.map(({ loss }) => loss))];
  it("are many", () => expect(cases.length).toBeGreaterThanOrEqual(200));

  it.each(names)("%s: values and gradients at 1e-6", (name) => {
    const loss = (losses as unknown as Record<string, LossLike>)[name];
    for (const { shape, x, y, options, value, grad } of cases.filter((one) => one.loss === name)) {
      const targets = name === "brierLoss" ? smoothLabels(y, shape[1], 0) : y, even = name === "earlyLearningLoss" ? [{ dtype: "float32", shape, data: new Float32Array(x.length).fill(0.9 / shape[1]) }] : [];
      const got = loss.withGrad({ data: Float32Array.from(x), shape }, ...(name === "entropyLoss" ? [] : [targets]), ...even, options) as unknown as { loss: { item(): number }; grad: { data: Float32Array } };
      // Values and gradients of size 1, rounded once; 8 digits in the file.
      expectClose(got.loss.item(), value, { rtol: 1e-6, atol: 1e-6, label: `${name} ${JSON.stringify(options)}` });
      expectClose(got.grad.data, grad, { rtol: 1e-6, atol: 1e-6, label: `${name} ${JSON.stringify(options)} gradient` });
    }
  });
});

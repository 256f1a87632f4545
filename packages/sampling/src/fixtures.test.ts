import { readFileSync } from "node:fs";
import { Tensor } from "@logits/tensor";
import { expectClose } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { Sampler, importanceLoss, loadLoss, noisyTopKGating, type SamplerOptions } from "./index.ts";

type Numbers = readonly (number | string)[];

function cases<Case>(name: string): Case[] {
  return (JSON.parse(readFileSync(new URL(`fixtures/${name}.json`, import.meta.url), "utf8")) as { cases: Case[] }).cases;
}

const floats = (shape: readonly number[], data: Numbers): Tensor<"float32"> => new Tensor("float32", shape, Float32Array.from(data, Number));

describe("distributions as transformers (Python) has them, in float64", () => {
  const all = cases<{ options: Omit<SamplerOptions, "seed">; tokens: number[][]; shape: number[]; logits: Numbers; probabilities: Numbers }>("distributions");

  it.each(all.map((one, i) => [`${JSON.stringify(one.options)}, case ${i}`, one] as const))("%s", (_, { options, tokens, shape, logits, probabilities }) => {
    expectClose(new Sampler({ seed: 1, ...options }).distribution(floats(shape, logits), { tokens }), { shape, data: probabilities.map(Number) }, { rtol: 1e-5, atol: 1e-12 }); // float32 weights at distances up to 50
  });

  it("is not empty", () => expect(all.length).toBe(39));
});

describe("gates and losses of experts by torch's autograd, in float64", () => {
  it.each(cases<{ shape: number[]; k: number; logits: Numbers; noiseLogits: Numbers; noise: Numbers; scores: Numbers; gates: Numbers; importance: number; importanceGrad: Numbers; load: number; loadGrads: Numbers[] }>("gating"))(
    "shape $shape, k = $k",
    ({ shape, k, logits, noiseLogits, noise, scores, gates, importance, importanceGrad, load, loadGrads }) => {
      const h = floats(shape, scores);
      expectClose(noisyTopKGating(h, { k }).gates, { shape, data: gates.map(Number) }, { atol: 1e-6 }); // scores rounded to float32
      const first = importanceLoss.withGrad(h, { k });
      expectClose(first.loss.item(), importance, { rtol: 1e-6 });
      expectClose(first.grad, { shape, data: importanceGrad.map(Number) }, { atol: 1e-6 });
      const second = loadLoss.withGrad(floats(shape, logits), floats(shape, noiseLogits), floats(shape, noise), { k });
      expectClose(second.loss.item(), load, { rtol: 1e-6 });
      expectClose(second.grads.logits, { shape, data: loadGrads[0].map(Number) }, { atol: 1e-6 });
      expectClose(second.grads.noiseLogits, { shape, data: loadGrads[1].map(Number) }, { atol: 1e-6 });
    },
  );
});

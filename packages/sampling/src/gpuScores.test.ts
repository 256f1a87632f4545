import { logitStatistics } from "@logits/core-wasm";
import { drawToken, tokenRows, type TokenRules } from "@logits/core-wasm/sampling";
import { Tensor, tensor } from "@logits/tensor";
import { expectClose, expectExact } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { Sampler, type GpuScores, type SamplerOptions } from "./index.ts";
import { applyChanges, type ScoreChange } from "./penalties.ts";

// A backend whose GPU is this memory. The real one is in tools/webgpu.

let alive = 0;
const kept = (held: Tensor): object => (alive++, { held, dispose: () => alive-- });

function there(held: Tensor<"float32">): GpuScores {
  return {
    shape: held.shape, location: "gpu-buffer",
    gpu: { read: async (tensors) => Object.fromEntries(Object.entries(tensors as Record<string, { held: Tensor }>).map(([name, { held: values }]) => [name, values])) },
    operations: {
      logitStatistics: (_, options) => Object.fromEntries(Object.entries(logitStatistics(held, options) as Record<string, Tensor>).map(([name, values]) => [name, kept(values)])),
      sampleTokens(_, options) {
        const { uniforms, guidance, changes, epsilons, ...rules } = options as TokenRules & { uniforms: number[]; guidance?: { references: { held: Tensor<"float32"> }[]; weights: number[]; margin: number }; changes?: { scores: ReadonlyMap<number, ScoreChange>; only: boolean }[]; epsilons?: number[] };
        const { rows, row } = tokenRows("test", "logits", held);
        const draws = Array.from({ length: rows }, (__, r) => {
          const of = changes?.[r], at = r * held.shape[1];
          const guide = (x: Float32Array): void => {
            const top = Math.max(...x);
            if (guidance) x.forEach((v, c) => (x[c] = v < top - guidance.margin ? -Infinity : guidance.references.reduce((sum, reference, i) => sum + guidance.weights[i + 1] * reference.held.data[at + c], guidance.weights[0] * v)));
          };
          const told = { ...((of || guidance) && { edit: (x: Float32Array) => (guide(x), applyChanges(x, of?.scores ?? new Map())) }), ...(of?.only && { allowed: Int32Array.from(of.scores.keys()) }) };
          return drawToken("test", row(r), r, { ...rules, ...(epsilons && { surprise: -Math.log(epsilons[r]) }) }, uniforms[r], told);
        });
        const rest = held.shape.slice(0, -1), floats = (values: number[]): object => kept(new Tensor("float32", rest, Float32Array.from(values))), ints = (values: number[]): object => kept(new Tensor("int32", rest, Int32Array.from(values)));
        return { tokens: ints(draws.map(({ token }) => token)), candidates: ints(draws.map((draw) => draw.kept)), scores: floats(draws.map(({ token }, r) => row(r) instanceof Float32Array ? (row(r) as Float32Array)[token] : NaN)), drawLogProbabilities: floats(draws.map((draw) => draw.drawLogProbability)), surprises: floats(draws.map(({ surprise = NaN }) => surprise)) };
      },
    },
  };
}

describe("sampleAsync", () => {
  const logits = tensor([[2, 1, 0, -1, 3], [0, 0, -Infinity, 1, 5]]);

  it("takes the numbers that sample takes, and says what it says", async () => {
    const everything: SamplerOptions[] = [
      { temperature: 0 }, { seed: 1 }, { seed: 2, topK: 3, temperature: 0.5 }, { seed: 3, topP: 0.9, minP: 0.01, stream: 5 }, { seed: 4, typicalP: 0.5 }, { seed: 5, eta: 0.3 },
      { seed: 6, logitBias: { 1: 2, 4: -Infinity } }, { seed: 7, repetitionPenalty: 1.5, presencePenalty: 0.5, frequencyPenalty: 0.25, temperature: 2 }, { seed: 8, allowed: (tokens) => (tokens.length > 1 ? [1, 3] : undefined), repetitionPenalty: 2 },
    ];
    for (const options of everything) {
      const sampler = new Sampler(options);
      for (const context of [{ position: 7, tokens: [[1, 2, 1], []] }, { tokens: [[1, 2, 4], [3]], promptLength: 1 }]) {
        const want = sampler.sample(logits, context), got = await sampler.sampleAsync(there(logits), context);
        for (const name of ["tokens", "candidates", "margins", "drawLogProbabilities"] as const) expectExact(got[name], want[name], name);
        expectClose(got.logProbabilities, want.logProbabilities, { atol: 1e-6 }); // a sum of two float32 of up to 5
        expectClose(got.entropies, want.entropies, { rtol: 2e-5 }); // the bound of the statistics
      }
    }
    expect(alive).toBe(0);
    const sampler = new Sampler({ seed: 1 });
    expectExact((await sampler.sampleAsync(logits, { position: 0 })).tokens, sampler.sample(logits, { position: 0 }).tokens);
  });

  it("moves the bounds of mirostat as sample does", async () => {
    const options = { seed: 1, mirostat: { surprise: 1, rate: 0.5 } }, one = new Sampler(options), other = new Sampler(options);
    for (let position = 0; position < 20; position++) {
      const want = one.sample(logits, { position }), got = await other.sampleAsync(there(logits), { position });
      for (const name of ["tokens", "candidates"] as const) expectExact(got[name], want[name], `${name} ${position}`);
    }
    expect(alive).toBe(0);
  });

  it("guides by references that are there too", async () => {
    const other = tensor([[1, 2, -1, 0, 0], [1, 1, 1, -3, 0]]), third = tensor([[0, 1, -2, 0, 2], [0, 0, 1, -1, 1]]);
    for (const [guidance, references] of [[{ kind: "classifier-free", scale: 2 }, [other]], [{ kind: "contrastive", plausibility: 0.2 }, [other]], [{ kind: "comparator", beta: 0.5 }, [other, third]]] as const) {
      const sampler = new Sampler({ seed: 1, guidance, logitBias: { 1: 1 } });
      const want = sampler.sample(logits, { position: 0, references }), got = await sampler.sampleAsync(there(logits), { position: 0, references: references.map((x) => Object.assign(there(x), { held: x })) });
      for (const name of ["tokens", "candidates", "drawLogProbabilities"] as const) expectExact(got[name], want[name], `${guidance.kind} ${name}`);
      await expect(sampler.sampleAsync(there(logits), { position: 0 })).rejects.toThrow(`\`references\` ${references.length} tensors, as \`guidance\` says, got 0`);
    }
  });

  it("says what is wrong, and sample names it", async () => {
    const sampler = new Sampler({ seed: 1 });
    expect(() => sampler.sample(there(logits) as never, { position: 0 })).toThrowErrorMatchingInlineSnapshot(`[TypeError: Sampler.sample: expected \`logits\` in memory, got a tensor on the GPU. Use await sampler.sampleAsync(logits, context), or read it: await logits.read()]`);
    await expect(sampler.sampleAsync(there(logits))).rejects.toThrow("expected `position` an integer from 0 up, or `tokens`, got neither");
    await expect(sampler.sampleAsync(there(logits), { tokens: [1, 2] })).rejects.toThrow("`tokens` a list for each of 2 rows");
    await expect(sampler.sampleAsync({ location: "gpu-buffer", shape: [2] } as never, { position: 0 })).rejects.toThrowErrorMatchingInlineSnapshot(`[TypeError: Sampler.sampleAsync: expected \`logits\` a tensor that brings its operations, got a GPU tensor of another library. Adopt it: gpu.tensor(logits) with gpu = await webgpu({ device }) of @logits/webgpu]`);
  });
});

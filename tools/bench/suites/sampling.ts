import type { SamplerOptions } from "@logits/sampling";
import { logits } from "../inputs.ts";
import * as plain from "./plainSampling.ts";
import type { Case, Suite } from "./suite.ts";
import { versus } from "./versus.ts";

const V = 151_936, SEED = 7;

/** One token of a vocabulary of 151,936 with all its numbers, from scores in WASM memory, beside one softmax of the same row; `sort` is what sorting costs. */
function draw(name: string, options: Omit<SamplerOptions, "seed">, loops: (x: Float32Array, temperature: number, u: number, weights: Float64Array, masses: Float64Array) => plain.Drawn, sorting = false): Case {
  return versus(name, "none", async ({ seed, library }) => {
    const { Sampler } = await import("@logits/sampling"), { randomSource } = await import("@logits/tensor");
    const x = library.core.alloc([1, V]), out = library.core.alloc([1, V]), sampler = new Sampler({ seed: SEED, ...options }), temperature = options.temperature ?? 1;
    const weights = new Float64Array(V), masses = new Float64Array(4096), values = logits(V, seed), u = randomSource(SEED).uniform();
    x.data.set(values);
    const read = ({ token, kept }: plain.Drawn): number[] => [token, kept];
    const array = { data: values, dims: [1, V] };
    return {
      ours: () => { const { tokens, candidates } = sampler.sample(x, { position: 0 }); return [tokens.data[0], candidates.data[0]]; },
      loops: () => read(loops(values, temperature, u, weights, masses)),
      tolerance: 0,
      beside: {
        softmax: () => void library.softmax(x, { out }),
        fromArray: () => void sampler.sample(array, { position: 0 }),
        ...(sorting && { sort: () => void plain.sortedTopP(values, temperature, options.topP ?? 1, u, weights) }),
      },
      figures: (median) => ({
        nsPerToken: (median("ours") * 1e6) / V, softmaxPasses: median("ours") / median("softmax"), fromArrayMs: median("fromArray"), loopsRatio: median("loops") / median("ours"),
        ...(sorting && { sortMs: median("sort"), sortRatio: median("sort") / median("ours") }),
      }),
    };
  });
}

export const sampling: Suite = {
  name: "sampling",
  about: "one token of 151,936 under a rule, with log-probability, entropy, margin and nucleus size, beside one softmax pass and plain JavaScript",
  cases: [
    draw("top-p 0.9", { topP: 0.9 }, (x, t, u, weights, masses) => plain.histogramTopP(x, t, 0.9, u, weights, masses), true),
    draw("top-p 0.9 at temperature 0.8", { topP: 0.9, temperature: 0.8 }, (x, t, u, weights, masses) => plain.histogramTopP(x, t, 0.9, u, weights, masses), true),
    draw("min-p 0.05", { minP: 0.05, temperature: 0.8 }, (x, t, u, weights) => plain.minP(x, t, 0.05, u, weights)),
    draw("top-k 50", { topK: 50, temperature: 0.8 }, (x, t, u, weights) => plain.topK(x, t, 50, u, weights)),
  ],
};

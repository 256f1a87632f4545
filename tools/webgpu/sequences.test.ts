import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { expected } from "./adapter.ts";
import { inChromium, type PageAnswer } from "./chromium.ts";

// Chains and tokens in Chromium, against the same page's WebAssembly.

const folder = mkdtempSync(join(tmpdir(), "logits-webgpu-sequences-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const page = `
import { chainForwardBackward, chainViterbi, compileChain } from "@logits/core-wasm/chains";
import { Sampler } from "@logits/sampling";
import { Tensor, randomSource } from "@logits/tensor";
import * as there from "@logits/webgpu";

async function run() {
  if (!(await navigator.gpu?.requestAdapter())) return { missing: "no adapter" };
  const gpu = await there.webgpu(), uncaught = [], random = randomSource(1);
  gpu.device.onuncapturederror = ({ error }) => uncaught.push(error.message);
  const draw = (...shape) => new Tensor("float32", shape, Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => 8 * (random.uniform() - 0.5)));
  let sums = 0, marginals = 0, states = 0, tokens = 0, drawn = 0;
  for (const [C, lengths] of [[2, [5, 0, 1]], [9, [20, 7]], [33, [12]]]) {
    const N = lengths.reduce((a, b) => a + b), transitions = draw(C, C), emissions = draw(N, C), offsets = Int32Array.from([0, ...lengths]);
    for (let b = 1; b < offsets.length; b++) offsets[b] += offsets[b - 1];
    const ours = compileChain(transitions), want = chainForwardBackward(ours, emissions, { offsets, marginals: true }), best = chainViterbi(ours, emissions, { offsets });
    const chain = there.compileChain(gpu.tensor(transitions)), x = gpu.tensor(emissions), found = there.chainViterbi(chain, x, { offsets });
    const got = await gpu.read({ ...there.chainForwardBackward(chain, x, { offsets, marginals: true }), states: found.states });
    sums = Math.max(sums, ...got.logPartition.data.map((v, b) => Math.abs(v - want.logPartition[b]) / (1 + Math.abs(v))));
    marginals = Math.max(marginals, ...got.marginals.data.map((v, i) => Math.abs(v - want.marginals[i])));
    states += got.states.data.filter((state, t) => state !== best.states[t]).length;
  }
  for (const options of [{}, { topK: 20 }, { topP: 0.8, temperature: 0.7 }, { minP: 0.05 }]) {
    const sampler = new Sampler({ ...options, seed: 2 }), logits = draw(20, 700);
    const want = sampler.sample(logits, { position: 1 }).tokens.data, got = (await sampler.sampleAsync(gpu.tensor(logits), { position: 1 })).tokens.data;
    drawn += got.length;
    tokens += got.filter((token, r) => token !== want[r]).length;
  }
  return { faults: [], uncaught, sums, marginals, states, tokens, drawn };
}
`;

interface Answer extends PageAnswer {
  readonly uncaught?: readonly string[];
  readonly sums?: number;
  readonly marginals?: number;
  readonly states?: number;
  readonly tokens?: number;
  readonly drawn?: number;
}

it("chains and tokens in Chromium are those of WebAssembly", async () => {
  const { missing, faults, uncaught, sums, marginals, states, tokens, drawn }: Answer = await inChromium<Answer>(folder, "sequences", page);
  if (missing) {
    console.log(`chains and tokens in Chromium: did not run (${missing})`);
    if (expected) expect(missing).toBe("");
    return;
  }
  console.log(`chains and tokens in Chromium: log Z within ${sums!.toExponential(1)} relative, marginals within ${marginals!.toExponential(1)}, ${states} states and ${tokens} of ${drawn} tokens differ`);
  // Scores of up to 4 and 33 states: a step is within (33 / 4 + 8 + 32) 2^-24 = 3e-6, the longest sequence has 20.
  expect([faults, uncaught, states, tokens, drawn]).toEqual([[], [], 0, 0, 80]);
  expect(sums).toBeLessThan(6e-5);
  expect(marginals).toBeLessThan(1.2e-4);
});

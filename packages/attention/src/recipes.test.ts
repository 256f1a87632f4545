import * as tensors from "@logits/tensor";
import { Tensor } from "@logits/tensor";
import { expectClose, expectExact, recipe, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import * as own from "./index.ts";

type Rows = Tensor<"float32">;
const modules = { "@logits/attention": own, "@logits/tensor": tensors };
const random = (shape: readonly number[], seed: number): Rows => {
  const { normal } = testRandom(seed);
  return new Tensor("float32", [...shape], Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => normal()));
};

describe("block-causal attention [paper:next-block-prediction-video-generation-via-semi-autoregressive-modeling]", () => {
  const { blockCausal, nextBlock } = recipe<{ blockCausal(query: Rows, key: Rows, value: Rows, block: number): Rows; nextBlock(tokens: Int32Array, block: number): Int32Array }>("block-causal-attention", ["blockCausal", "nextBlock"], modules);
  const [q, k, v] = [1, 2, 3].map((seed) => random([2, 23, 4], seed));

  it("is attention under the mask of blocks, causal for blocks of one and whole for one block", () => {
    for (const block of [1, 4, 5, 22]) {
      const mask = new Tensor("uint8", [23, 23], Uint8Array.from({ length: 529 }, (_, at) => Number(Math.floor((at % 23) / block) <= Math.floor(Math.floor(at / 23) / block))));
      expectExact(blockCausal(q, k, v, block).data, own.attention(q, k, v, { mask }).output.data);
    }
    expectExact(blockCausal(q, k, v, 1).data, own.attention(q, k, v, { causal: true }).output.data);
    expectExact(blockCausal(q, k, v, 23).data, own.attention(q, k, v).output.data);
  });

  it("aims one block ahead", () => {
    expectExact(nextBlock(Int32Array.of(5, 6, 7, 8, 9), 2), [7, 8, 9, -1, -1]);
  });
});

describe("outlier-efficient Hopfield retrieval [paper:outlier-efficient-hopfield-layers-for-large-transformer-based-models]", () => {
  const { step, retrieve } = recipe<{ step(states: Rows, patterns: Rows, beta: number): { states: Rows; energy: Float64Array }; retrieve(states: Rows, patterns: Rows, beta: number): Rows }>("outlier-efficient-hopfield", ["step", "retrieve"], modules);
  const patterns = random([20, 32], 4);

  it("the step is softmax with an appended zero, whose share is lost", () => {
    const states = random([5, 32], 5), beta = 0.1, { states: got, energy } = step(states, patterns, beta);
    for (let i = 0; i < 5; i++) {
      const weights = Array.from({ length: 20 }, (_, j) => Math.exp(beta * states.row(i).data.reduce((sum, x, f) => sum + x * patterns.data[j * 32 + f], 0))), total = weights.reduce((a, w) => a + w, 1);
      expectClose(got.row(i).data, Array.from({ length: 32 }, (_, f) => weights.reduce((sum, w, j) => sum + (w / total) * patterns.data[j * 32 + f], 0)), { atol: 2e-6, rtol: 2e-6 });
      expectClose(energy[i], 0.5 * states.row(i).data.reduce((sum, x) => sum + x * x, 0) - Math.log(total) / beta, { rtol: 2e-6 });
    }
  });

  it("never raises the energy", () => {
    for (const beta of [0.05, 0.3, 2]) {
      let states = random([8, 32], 6), before: Float64Array = new Float64Array(8).fill(Infinity);
      for (let n = 0; n < 15; n++) {
        const { states: next, energy } = step(states, patterns, beta);
        // Rounding of energies near 16 / beta.
        for (let i = 0; i < 8; i++) expect(energy[i]).toBeLessThanOrEqual(before[i] + 1e-5 / beta);
        [states, before] = [next, energy];
      }
    }
  });

  it("completes a noisy pattern, and steps to 0 where none is near", () => {
    const noise = random([20, 32], 7), noisy = new Tensor("float32", [20, 32], patterns.data.map((x, i) => x + 0.3 * noise.data[i]));
    expectClose(retrieve(noisy, patterns, 2).data, patterns.data, { atol: 1e-3 });
    // From a state far from all patterns.
    const same = new Tensor("float32", [3, 32], new Float32Array(96).fill(5)), away = new Tensor("float32", [1, 32], new Float32Array(32).fill(-1));
    expectClose(step(away, same, 1).states.data, new Float32Array(32), { atol: 1e-6 });
    expectExact(step(away, new Tensor("float32", [0, 32], new Float32Array(0)), 1).states.data, new Float32Array(32));
  });
});

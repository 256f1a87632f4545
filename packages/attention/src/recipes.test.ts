import * as tensors from "@logits/tensor";
import { Tensor } from "@logits/tensor";
import { expectExact, recipe, testRandom } from "@logits/testkit";
import { describe, it } from "vitest";
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

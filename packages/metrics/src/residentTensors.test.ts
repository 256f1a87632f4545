import { core } from "@logits/core-wasm";
import { Tensor, tensor } from "@logits/tensor";
import { testRandom } from "@logits/testkit";
import { expect, it, vi } from "vitest";
import { auroc, negativeLogLikelihood, riskCoverage } from "./index.ts";

// The set-up of the tests has loaded the kernels: modules that are loaded are not mocked. Here memory grows at every operation, which leaves views that were taken before it empty.
vi.hoisted(() => vi.resetModules());
vi.mock("../../core-wasm/src/memory.ts", async (original) => {
  const memory = await original<typeof import("../../core-wasm/src/memory.ts")>();
  return { ...memory, scratch(size: number) {
    memory.grow(1);
    return memory.scratch(size);
  } };
});

const { normal, uniform } = testRandom(5), rows = 60, logits = tensor(Float32Array.from({ length: rows * 3 }, normal), [rows, 3]), labels = new Tensor("int32", [rows], Int32Array.from({ length: rows }, (_, i) => i % 3));
const scores = tensor(Float32Array.from({ length: rows }, uniform), [rows]), marks = new Tensor("uint8", [rows], Uint8Array.from({ length: rows }, () => Number(uniform() < 0.5)));

function resident(x: Tensor): Tensor {
  const held = core.alloc(x.shape, x.dtype);
  held.data.set(x.data as never);
  return held;
}

it("gives the same for resident tensors, though memory grows", () => {
  expect(auroc(resident(scores), resident(marks))).toBe(auroc(scores, marks));
  expect(riskCoverage(resident(scores), resident(marks))).toEqual(riskCoverage(scores, marks));
  expect(negativeLogLikelihood(resident(logits), resident(labels))).toBe(negativeLogLikelihood(logits, labels));
});

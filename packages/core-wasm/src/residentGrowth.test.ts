import { Tensor } from "@logits/tensor";
import { testRandom } from "@logits/testkit";
import { expect, it, vi } from "vitest";
import * as core from "./index.ts";

// The set-up of the tests has loaded the package: modules that are loaded are not mocked. Here memory grows at every operation, which leaves views that were taken before it empty.
vi.hoisted(() => vi.resetModules());
vi.mock("./memory.ts", async (original) => {
  const memory = await original<typeof import("./memory.ts")>();
  return { ...memory, scratch(size: number) {
    memory.grow(1);
    return memory.scratch(size);
  } };
});

const random = (seed: number, ...shape: number[]): Tensor<"float32"> => {
  const { normal } = testRandom(seed);
  return new Tensor("float32", shape, Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => normal()));
};
const resident = (x: Tensor<"float32">): Tensor<"float32"> => {
  const held = core.core.alloc(x.shape);
  held.data.set(x.data);
  return held;
};

const pairs = { softmaxGrad: core.softmaxGrad, logSoftmaxGrad: core.logSoftmaxGrad, sparsemaxGrad: core.sparsemaxGrad, entmax15Grad: core.entmax15Grad };
const rows = { softmax: core.softmax, logSoftmax: core.logSoftmax, sparsemax: core.sparsemax, entmax15: core.entmax15, logSumExp: core.logSumExp };

it.each(Object.entries(pairs))("%s of resident tensors, though memory grows", (_name, f) => {
  const y = core.softmax(random(1, 3, 4, 5)), u = random(2, 3, 4, 5);
  for (const axis of [-1, 0, 1]) expect(f(resident(y), resident(u), { axis }).data).toEqual(f(y, u, { axis }).data);
});

it.each(Object.entries(rows))("%s of resident tensors, though memory grows", (_name, f) => {
  const x = random(3, 3, 4, 5);
  for (const axis of [-1, 0, 1]) expect(f(resident(x), { axis }).data).toEqual(f(x, { axis }).data);
});

it("a product of resident matrices and the best of rows, though memory grows", () => {
  const [a, b] = [random(4, 2, 3, 5), random(5, 2, 5, 4)];
  expect(core.matmul(resident(a), resident(b)).data).toEqual(core.matmul(a, b).data);
  expect(core.matmul(resident(a), b).data).toEqual(core.matmul(a, b).data);
  expect(core.topK(resident(a), 2).indices.data).toEqual(core.topK(a, 2).indices.data);
});

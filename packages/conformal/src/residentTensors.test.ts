import { core } from "@logits/core-wasm";
import { Tensor, tensor } from "@logits/tensor";
import { testRandom } from "@logits/testkit";
import { expect, it, vi } from "vitest";
import { SplitConformal, clusterClasses } from "./index.ts";

// The set-up of the tests has loaded the kernels: modules that are loaded are not mocked. Here memory grows at every operation, which leaves views that were taken before it empty.
vi.hoisted(() => vi.resetModules());
vi.mock("../../core-wasm/src/memory.ts", async (original) => {
  const memory = await original<typeof import("../../core-wasm/src/memory.ts")>();
  return { ...memory, scratch(size: number) {
    memory.grow(1);
    return memory.scratch(size);
  } };
});

const { normal } = testRandom(5), rows = 60, logits = tensor(Float32Array.from({ length: rows * 3 }, normal), [rows, 3]), labels = new Tensor("int32", [rows], Int32Array.from({ length: rows }, (_, i) => i % 3));

function resident(x: Tensor): Tensor {
  const held = core.alloc(x.shape, x.dtype);
  held.data.set(x.data as never);
  return held;
}

it("gives the same for resident tensors, though memory grows", () => {
  const want = SplitConformal.fit(logits, labels), got = SplitConformal.fit(resident(logits), resident(labels));
  expect(JSON.stringify(got)).toBe(JSON.stringify(want));
  expect(got.predictionSet(resident(logits), { alpha: 0.2 }).sizes.data).toEqual(want.predictionSet(logits, { alpha: 0.2 }).sizes.data);
  const groups = new Tensor("int32", [rows], Int32Array.from({ length: rows }, (_, i) => i % 2)), weights = new Tensor("float32", [rows], Float32Array.from({ length: rows }, (_, i) => 1 + (i % 4)));
  const of = (h: (x: Tensor) => Tensor) => SplitConformal.fit(h(logits), h(labels), { groups: h(groups), weights: h(weights), classGroups: h(new Tensor("int32", [3], Int32Array.of(0, 1, 0))) });
  expect(JSON.stringify(of(resident))).toBe(JSON.stringify(of((x) => x)));
  const sets = (h: (x: Tensor) => Tensor) => Array.from(of(h).predictionSet(h(logits), { alpha: 0.2, groups: h(groups), weights: h(weights) }).mask.data);
  expect(sets(resident)).toEqual(sets((x) => x));
  expect(clusterClasses(resident(logits), resident(labels))).toEqual(clusterClasses(logits, labels));
});

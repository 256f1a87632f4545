import { core } from "@logits/core-wasm";
import { Tensor } from "@logits/tensor";
import { expectExact, testRandom } from "@logits/testkit";
import { expect, it, vi } from "vitest";
import { DecisionHead, LinearHead, MultiLabelHead, PrototypeHead, ZeroShotScorer } from "./index.ts";

// The set-up of the tests has loaded the kernels: modules that are loaded are not mocked. Here memory grows at every operation, which leaves views that were taken before it empty.
vi.hoisted(() => vi.resetModules());
vi.mock("../../core-wasm/src/memory.ts", async (original) => {
  const memory = await original<typeof import("../../core-wasm/src/memory.ts")>();
  return { ...memory, scratch(size: number) {
    memory.wasmMemory().grow(0);
    return memory.scratch(size);
  } };
});

const { normal, uniform } = testRandom(5), count = 400, width = 4, CLASSES = ["a", "b", "c"];
const floats = (...shape: number[]): Tensor => new Tensor("float32", shape, Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => normal()));
const labels = new Tensor("int32", [count], Int32Array.from({ length: count }, (_, i) => i % 3));
const logits = new Tensor("float32", [count, 3], Float32Array.from({ length: count * 3 }, (_, i) => normal() + 2 * Number(i % 3 === Math.floor(i / 3) % 3)));
const features = new Tensor("float32", [count, width], Float32Array.from({ length: count * width }, (_, i) => normal() + 2 * Number(i % width === Math.floor(i / width) % 3)));
const targets = new Tensor("uint8", [count, 3], Uint8Array.from(logits.data, (z) => Number(uniform() < 1 / (1 + Math.exp(-z)))));
const three = floats(3), matrix = floats(width, 3), prompts = floats(3, width);

type Hold = (x: Tensor) => Tensor;

function resident(x: Tensor): Tensor {
  const held = core.alloc(x.shape, x.dtype);
  held.data.set(x.data as never);
  return held;
}

const scorers: Readonly<Record<string, (h: Hold) => { logits(features: Tensor): Tensor }>> = {
  LinearHead: (h) => LinearHead.fit(h(features), h(labels), { classWeight: h(new Tensor("float32", [3], Float32Array.of(1, 2, 3))) }),
  "LinearHead.fromWeights": (h) => LinearHead.fromWeights(h(matrix), h(three)),
  "PrototypeHead, tied": (h) => PrototypeHead.fit(h(features), h(labels), { kind: "tied" }),
  "PrototypeHead, cosine": (h) => PrototypeHead.fit(h(features), h(labels), { kind: "cosine" }),
  ZeroShotScorer: (h) => ZeroShotScorer.fit(h(prompts), h(features), h(labels)),
};

it.each(Object.entries(scorers))("%s of resident tensors, though memory grows", (_name, fit) => {
  const want = fit((x) => x), got = fit(resident);
  expect(JSON.stringify(got)).toBe(JSON.stringify(want));
  expectExact(got.logits(resident(features)).data, want.logits(features).data);
});

it("DecisionHead of resident tensors, though memory grows", () => {
  const of = (h: Hold) => DecisionHead.fit({ logits: h(logits), features: h(features), labels: h(labels), classes: CLASSES }, { seed: 4, method: "aps", detector: "mahalanobis" });
  const want = of((x) => x), got = of(resident), ids = new Tensor("int32", [count], Int32Array.from({ length: count }, (_, n) => 3 * n));
  expect(JSON.stringify(got)).toBe(JSON.stringify(want));
  expect(got.decideAll({ logits: resident(logits), features: resident(features) }, { ids: resident(ids) })).toEqual(want.decideAll({ logits, features }, { ids }));
  expect(JSON.stringify(got.evaluate({ logits: resident(logits), features: resident(features), labels: resident(labels) }))).toBe(JSON.stringify(want.evaluate({ logits, features, labels })));
});

it("DecisionHead around a scorer of resident tensors, though memory grows", () => {
  const of = (h: Hold) => DecisionHead.fit({ features: h(features), labels: h(labels), classes: CLASSES, scorer: LinearHead.fromWeights(h(matrix), h(three)) }, { seed: 4 });
  expect(JSON.stringify(of(resident))).toBe(JSON.stringify(of((x) => x)));
});

it("MultiLabelHead of resident tensors, though memory grows", () => {
  const of = (h: Hold) => MultiLabelHead.fit({ logits: h(logits), targets: h(targets), classes: CLASSES }, { seed: 4 });
  const want = of((x) => x), got = of(resident);
  expect(JSON.stringify(got)).toBe(JSON.stringify(want));
  expect(got.decideAll(resident(logits))).toEqual(want.decideAll(logits));
});

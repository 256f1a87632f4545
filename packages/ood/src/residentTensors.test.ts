import { core } from "@logits/core-wasm";
import { Tensor } from "@logits/tensor";
import { expectExact, testRandom } from "@logits/testkit";
import { expect, it, vi } from "vitest";
import * as ood from "./index.ts";

// The set-up of the tests has loaded the kernels: modules that are loaded are not mocked. Here memory grows at every operation, which leaves views that were taken before it empty.
vi.hoisted(() => vi.resetModules());
vi.mock("../../core-wasm/src/memory.ts", async (original) => {
  const memory = await original<typeof import("../../core-wasm/src/memory.ts")>();
  return { ...memory, scratch(size: number) {
    memory.wasmMemory().grow(0);
    return memory.scratch(size);
  } };
});

// More rows than a detector takes at a time.
const { normal } = testRandom(5), count = 1100, width = 4, classes = 3;
const floats = (...shape: number[]): Tensor => new Tensor("float32", shape, Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => Math.abs(normal())));
const features = floats(count, width), weights = floats(width, classes), bias = floats(classes), logits = new Tensor("float32", [count, classes], Float32Array.from({ length: count * classes }, (_, i) => {
  let sum = bias.data[i % classes];
  for (let j = 0; j < width; j++) sum += features.data[Math.floor(i / classes) * width + j] * weights.data[j * classes + (i % classes)];
  return sum;
}));
const labels = new Tensor("int32", [count], Int32Array.from({ length: count }, (_, n) => {
  const row = logits.data.subarray(n * classes, (n + 1) * classes);
  return row.indexOf(Math.max(...row) as never);
}));

function resident(x: Tensor): Tensor {
  const held = core.alloc(x.shape, x.dtype);
  held.data.set(x.data as never);
  return held;
}

const far = new Tensor("float32", features.shape, features.data.map((x) => 3 * x) as Float32Array);

type Hold = (x: Tensor) => Tensor;
const both = (h: Hold) => ({ features: h(features), logits: h(logits) }), head = (h: Hold) => ({ weights: h(weights), bias: h(bias) });

const fits: Readonly<Record<string, (h: Hold) => ood.Detector>> = {
  MahalanobisDetector: (h) => ood.MahalanobisDetector.fit(h(features), h(labels)),
  RelativeMahalanobisDetector: (h) => ood.RelativeMahalanobisDetector.fit(h(features), h(labels)),
  "NearestNeighborDetector, as the rows are": (h) => ood.NearestNeighborDetector.fit(h(features), { normalize: false }),
  NearestNeighborDetector: (h) => ood.NearestNeighborDetector.fit(h(features), { maxRows: 50 }),
  NeighborGuidedDetector: (h) => ood.NeighborGuidedDetector.fit(h(features), h(logits)),
  ResidualDetector: (h) => ood.ResidualDetector.fit(h(features), { dimension: 1 }),
  VimDetector: (h) => ood.VimDetector.fit(h(features), h(logits), { dimension: 2, head: head(h) }),
  NecoDetector: (h) => ood.NecoDetector.fit(h(features), h(labels), { dimension: 3 }),
  SsdDetector: (h) => ood.SsdDetector.fit(h(features), { clusters: h(labels) }),
  GaussianPrototypes: (h) => ood.GaussianPrototypes.fit(h(features), h(labels)),
  KLMatchingDetector: (h) => ood.KLMatchingDetector.fit(h(logits)),
  OpenMaxDetector: (h) => ood.OpenMaxDetector.fit(h(logits), h(labels)),
  HopfieldDetector: (h) => ood.HopfieldDetector.fit(h(features), h(logits), h(labels)),
  LogitDetector: () => ood.LogitDetector.of("energy"),
  "ShapedEnergyDetector, ReAct": (h) => ood.ShapedEnergyDetector.fit("react", head(h), { features: h(features) }),
  HeadDetector: (h) => ood.HeadDetector.fit("gradNorm", head(h)),
  FeatureEnsemble: (h) => ood.FeatureEnsemble.fit(h(features), h(labels), { widths: [1, 3], outliers: h(far), inliers: h(features) }),
};

it.each(Object.entries(fits))("%s of resident tensors, though memory grows", (_name, fit) => {
  const want = fit((x) => x), got = fit(resident);
  expect(JSON.stringify(got)).toBe(JSON.stringify(want));
  expectExact(got.score(both(resident)).data, want.score(both((x) => x)).data);
});

it("divides and measures resident tensors, though memory grows", () => {
  const part = new Tensor("float32", [40, width], features.data.slice(0, 40 * width) as Float32Array);
  expect(JSON.stringify(ood.kMeans(resident(part), 3))).toBe(JSON.stringify(ood.kMeans(part, 3)));
  expect(JSON.stringify(ood.groupRows(resident(part), { counts: [2], references: 1, restarts: 1, normalize: false }))).toBe(JSON.stringify(ood.groupRows(part, { counts: [2], references: 1, restarts: 1, normalize: false })));
});

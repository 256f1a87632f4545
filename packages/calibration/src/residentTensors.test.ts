import { Tensor, tensor } from "@logits/tensor";
import { testRandom } from "@logits/testkit";
import { expect, it, vi } from "vitest";
import { core } from "@logits/core-wasm";
import * as calibration from "./index.ts";

// The set-up of the tests has loaded the kernels: modules that are loaded are not mocked. Here memory grows at every operation, which leaves views that were taken before it empty.
vi.hoisted(() => vi.resetModules());
vi.mock("../../core-wasm/src/memory.ts", async (original) => {
  const memory = await original<typeof import("../../core-wasm/src/memory.ts")>();
  return { ...memory, scratch(size: number) {
    memory.grow(1);
    return memory.scratch(size);
  } };
});

const { normal, uniform } = testRandom(5), rows = 60, classes = 3;
const labels = new Tensor("int32", [rows], Int32Array.from({ length: rows }, (_, i) => i % classes));
const logits = tensor(Float32Array.from({ length: rows * classes }, (_, i) => normal() + Number(i % classes === Math.floor(i / classes) % classes)), [rows, classes]);
const scores = tensor(Float32Array.from({ length: rows }, uniform), [rows]), yes = new Tensor("uint8", [rows], Uint8Array.from({ length: rows }, () => Number(uniform() < 0.5)));

function resident(x: Tensor): Tensor {
  const held = core.alloc(x.shape, x.dtype);
  held.data.set(x.data as never);
  return held;
}

it.each(["TemperatureScaling", "EnsembleTemperatureScaling", "VectorScaling", "MatrixScaling", "DirichletScaling"] as const)("%s of resident tensors, though memory grows", (name) => {
  const want = calibration[name].fit(logits, labels), got = calibration[name].fit(resident(logits), resident(labels));
  expect(JSON.stringify(got)).toBe(JSON.stringify(want));
  expect(got.transform(resident(logits)).data).toEqual(want.transform(logits).data);
});

it("SdmEstimator of resident tensors, though memory grows", () => {
  const features = tensor(Float32Array.from({ length: rows * 2 }, (_, i) => normal() + 4 * Number(i % 2 === Math.floor(i / 2) % 3)), [rows, 2]), given = { features, logits, labels };
  const held = () => ({ features: resident(features), logits: resident(logits), labels: resident(labels) });
  expect(JSON.stringify(calibration.SdmEstimator.fit(held(), held(), { accuracy: 0.4 }))).toBe(JSON.stringify(calibration.SdmEstimator.fit(given, given, { accuracy: 0.4 })));
});

it.each(["PlattScaling", "BetaCalibration", "IsotonicCalibration", "HistogramBinning", "VennAbers"] as const)("%s of resident tensors, though memory grows", (name) => {
  expect(JSON.stringify(calibration[name].fit(resident(scores), resident(yes)))).toBe(JSON.stringify(calibration[name].fit(scores, yes)));
});

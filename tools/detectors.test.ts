import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { matmul } from "@logits/core-wasm";
import { selectDetector, type DetectorFactory } from "@logits/head";
import { accuracy, auroc } from "@logits/metrics";
import { PValueFusion, fitDetector, type Detector } from "@logits/ood";
import { Tensor } from "@logits/tensor";
import { describe, expect, it } from "vitest";
import { CANDIDATES, fitOn, judge, part, type Method } from "./fixtures/compareDetectors.ts";
import { fashionData, intentData, type DetectorData, type Outputs } from "./fixtures/detectorData.ts";
import { PIXELS, idx, npz, scaled } from "./fixtures/images.ts";
import { featuresOf, layersOf } from "./fixtures/network.ts";

// All queries only under LOGITS_SLOW: else every fifth of the training and a third of the others.
const slow = process.env.LOGITS_SLOW !== undefined, images = fashionData(), queries = slow ? intentData(1) : few(intentData(5));

function few(data: DetectorData): DetectorData {
  return { ...data, inside: { ...data.inside, ...part(data.inside, 0, 1500, 0) }, outside: part(data.outside, 0, 500, 0) };
}

/** Detectors by method, fitted when they are asked for. */
function fitted(data: DetectorData): (method: Method) => Detector {
  const kept = new Map<Method, Detector>();
  return (method) => {
    if (!kept.has(method)) kept.set(method, fitOn(data, method));
    return kept.get(method)!;
  };
}

const detectors = new Map([images, queries].map((data) => [data, fitted(data)]));

function areas(data: DetectorData, methods: readonly Method[]): number[] {
  return methods.map((method) => {
    const { scores, outside } = judge(detectors.get(data)!(method), data.inside, data.outside);
    return auroc(scores, outside);
  });
}

describe("detectors on a network for clothes that is shown letters", () => {
  it("the network is right on 0.900 of the test images", () => {
    expect(accuracy(images.inside.logits, images.inside.labels)).toBe(0.9);
  });

  it("energy and max logit beat msp by at least 0.05 AUROC", () => {
    const [msp, maxLogit, energy] = areas(images, ["msp", "maxLogit", "energy"]);
    expect(Math.min(maxLogit, energy) - msp).toBeGreaterThanOrEqual(0.05);
  });

  it("kNN, relative Mahalanobis and ViM beat all three", () => {
    const [msp, maxLogit, energy, ...others] = areas(images, ["msp", "maxLogit", "energy", "knn", "relativeMahalanobis", "vim"]);
    for (const area of others) expect(area).toBeGreaterThan(Math.max(msp, maxLogit, energy));
  });
});

describe.each([images, queries])("$name", (data) => {
  const own = detectors.get(data)!, { fit, inside, outside, head } = data;
  const count = inside.features.shape[0], half = count >> 1, far = outside.features.shape[0], farHalf = far >> 1;

  it.each(slow ? [1, 2, 3] : [1])("fused p-values are never worse than the median detector, halves %i", (seed) => {
    const reference = part(inside, 0, half, seed), rest = part(inside, half, count, seed), area = (detector: Detector): number => {
      const { scores, outside: positives } = judge(detector, rest, outside);
      return auroc(scores, positives);
    };
    const single = CANDIDATES.map((method) => area(own(method))).sort((a, b) => a - b), median = (single[(single.length >> 1) - 1] + single[single.length >> 1]) / 2;
    for (const method of ["fisher", "harmonic"] as const) expect(area(PValueFusion.fit(CANDIDATES.map(own), reference, { method })), method).toBeGreaterThanOrEqual(median);
  });

  it.each(slow ? [1, 2, 3, 4, 5, 6] : [1])("the detector selected on one half of the outsiders is within 0.01 of the best on the other, halves %i", (seed) => {
    const [low, high] = [part(outside, 0, farHalf, seed), part(outside, farHalf, far, seed)];
    const factories = CANDIDATES.map((method): DetectorFactory => (rows) => fitDetector(method, { ...rows, head, classes: rows.classes }));
    const { best } = selectDetector(factories, { logits: fit.logits, features: fit.features, labels: fit.labels, outliers: low }, { seed });
    const area = CANDIDATES.map((method) => {
      const { scores, outside: positives } = judge(own(method), inside, high);
      return auroc(scores, positives);
    });
    expect(Math.max(...area) - area[best]).toBeLessThanOrEqual(0.01);
  });
});

// The folder of the original data, as in tools/fixtures/README.md.
const { LOGITS_DATA: folder } = process.env;

it.runIf(slow && folder !== undefined && existsSync(folder))("all 10,000 images of clothes and 10,000 letters through the network: the same order", () => {
  const widths = [PIXELS, 256, 128, 10], parameters = new Float32Array(Uint8Array.from(gunzipSync(readFileSync(join(import.meta.dirname, "../data/detectors/network.f32.gz")))).buffer);
  const { weights, bias } = layersOf(widths, parameters)[2], outputs = (pixels: Float32Array): Outputs => {
    const features = new Tensor("float32", [pixels.length / PIXELS, 128], featuresOf(widths, parameters, pixels)), logits = matmul(features, weights);
    for (let i = 0; i < logits.size; i++) logits.data[i] += bias[i % 10];
    return { features, logits };
  };
  const inside = outputs(scaled(idx(join(folder!, "fashion-mnist/t10k-images-idx3-ubyte.gz")))), outside = outputs(scaled(npz(join(folder!, "kmnist-test/kmnist-test-imgs.npz"))));
  const fit = outputs(scaled(idx(join(folder!, "fashion-mnist/train-images-idx3-ubyte.gz")))), labels = Int32Array.from(idx(join(folder!, "fashion-mnist/train-labels-idx1-ubyte.gz")));
  const area = (method: Method): number => {
    const { scores, outside: positives } = judge(fitOn({ ...images, fit: { ...fit, labels } }, method), inside, outside);
    return auroc(scores, positives);
  };
  const [msp, maxLogit, energy] = (["msp", "maxLogit", "energy"] as const).map(area);
  expect(Math.min(maxLogit, energy) - msp).toBeGreaterThanOrEqual(0.05);
  for (const method of ["knn", "relativeMahalanobis", "vim"] as const) expect(area(method), method).toBeGreaterThan(Math.max(maxLogit, energy));
}, 600_000);

import { expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { runSteps } from "@logits/tensor";
import { FeatureEnsemble, GaussianPrototypes, HeadDetector, HopfieldDetector, KLMatchingDetector, LogitDetector, MahalanobisDetector, NearestNeighborDetector, NecoDetector, NeighborGuidedDetector, OpenMaxDetector, RelativeMahalanobisDetector, ResidualDetector, ShapedEnergyDetector, SsdDetector, VimDetector, detectorFromJSON, fitDetector, fitDetectorAsync, fitDetectorSteps, type Detector, type DetectorSpec } from "./index.ts";

const random = testRandom(1);
const features = { data: Float32Array.from({ length: 240 }, () => Math.abs(random.normal())), shape: [60, 4] };
const labels = Int32Array.from({ length: 60 }, (_, i) => i % 3);
const logits = { data: Float32Array.from({ length: 180 }, () => random.normal()), shape: [60, 3] };
const head = { weights: { data: Float32Array.from({ length: 12 }, () => random.normal()), shape: [4, 3] }, bias: [1, 0, 2] };
const rows = { features, labels, logits, head, classes: 3 };

const SPECS: readonly [DetectorSpec, () => { score(rows: object): { data: Float32Array } }][] = [
  ["msp", () => LogitDetector.of("msp")], ["maxLogit", () => LogitDetector.of("maxLogit")], ["energy", () => LogitDetector.of("energy")], ["entropy", () => LogitDetector.of("entropy")], ["margin", () => LogitDetector.of("margin")],
  [{ method: "energy", temperature: 2 }, () => LogitDetector.of("energy", { temperature: 2 })],
  ["mahalanobis", () => MahalanobisDetector.fit(features, labels)], [{ method: "mahalanobis", shrinkage: 0.1 }, () => MahalanobisDetector.fit(features, labels, { shrinkage: 0.1 })],
  ["knn", () => NearestNeighborDetector.fit(features)], [{ method: "knn", k: 3, normalize: false }, () => NearestNeighborDetector.fit(features, { k: 3, normalize: false })],
  [{ method: "knn", maxRows: 20, scan: "int8" }, () => NearestNeighborDetector.fit(features, { maxRows: 20 })],
  ["odin", () => LogitDetector.of("odin")], ["gen", () => LogitDetector.of("gen")], [{ method: "gen", gamma: 0.5, top: 2 }, () => LogitDetector.of("gen", { gamma: 0.5, top: 2 })],
  ["klMatching", () => KLMatchingDetector.fit(logits)], ["openMax", () => OpenMaxDetector.fit(logits, labels)], [{ method: "openMax", tail: 5, revised: 2 }, () => OpenMaxDetector.fit(logits, labels, { tail: 5, revised: 2 })],
  ["she", () => HopfieldDetector.fit(features, logits, labels)], [{ method: "she", metric: "cosine" }, () => HopfieldDetector.fit(features, logits, labels, { metric: "cosine" })],
  ["nnGuide", () => NeighborGuidedDetector.fit(features, logits)], [{ method: "nnGuide", k: 3, maxRows: 30, seed: 5 }, () => NeighborGuidedDetector.fit(features, logits, { k: 3, maxRows: 30, seed: 5 })],
  ...(["react", "ashP", "ashB", "ashS", "scale", "dice"] as const).map((method) => [{ method, level: 0.5, temperature: 2 }, () => ShapedEnergyDetector.fit(method, head, { features, level: 0.5, temperature: 2 })] as [DetectorSpec, () => ShapedEnergyDetector]),
  ["react", () => ShapedEnergyDetector.fit("react", head, { features })],
  ...(["fdbd", "nci", "gradNorm"] as const).map((method) => [method, () => HeadDetector.fit(method, head, { features })] as [DetectorSpec, () => HeadDetector]),
  [{ method: "nci", alpha: 0.1 }, () => HeadDetector.fit("nci", head, { features, alpha: 0.1 })],
];

describe("fitDetector", () => {
  it.each(SPECS)("makes %o, and detectorFromJSON reads it back", async (spec, make) => {
    const want = make().score(rows).data;
    const detector = fitDetector(spec, rows);
    expectExact(detector.score(rows).data, want);
    expectExact((await fitDetectorAsync(spec, rows)).score(rows).data, want);
    const restored = detectorFromJSON(JSON.parse(JSON.stringify(detector)));
    expect([restored.method, restored.needs]).toEqual([detector.method, detector.needs]);
    expectExact(restored.score(rows).data, want);
  });

  it("needs no rows for detectors of logits, and passes the number of classes on", () => {
    expect(fitDetector("energy").needs).toEqual(["logits"]);
    expect((fitDetector("mahalanobis", { features, labels, classes: 9 }) as MahalanobisDetector).classes).toBe(9);
  });

  it("says what is wrong", () => {
    expect(() => fitDetector("magic" as never)).toThrowErrorMatchingInlineSnapshot(`[RangeError: fitDetector: expected \`spec\` "msp", "maxLogit", "energy", "entropy", "margin", "odin", "gen", "mahalanobis", "knn", "klMatching", "openMax", "she", "nnGuide", "react", "ashP", "ashB", "ashS", "scale", "dice", "fdbd", "nci", "gradNorm", "relativeMahalanobis", "ssd", "featureEnsemble", "gaussianPrototypes", "vim", "residual", "neco", got magic]`);
    expect(() => fitDetector(undefined as never)).toThrowErrorMatchingInlineSnapshot(`[RangeError: fitDetector: expected \`spec\` "msp", "maxLogit", "energy", "entropy", "margin", "odin", "gen", "mahalanobis", "knn", "klMatching", "openMax", "she", "nnGuide", "react", "ashP", "ashB", "ashS", "scale", "dice", "fdbd", "nci", "gradNorm", "relativeMahalanobis", "ssd", "featureEnsemble", "gaussianPrototypes", "vim", "residual", "neco", got undefined]`);
    expect(() => fitDetector("toString" as never)).toThrowErrorMatchingInlineSnapshot(`[RangeError: fitDetector: expected \`spec\` "msp", "maxLogit", "energy", "entropy", "margin", "odin", "gen", "mahalanobis", "knn", "klMatching", "openMax", "she", "nnGuide", "react", "ashP", "ashB", "ashS", "scale", "dice", "fdbd", "nci", "gradNorm", "relativeMahalanobis", "ssd", "featureEnsemble", "gaussianPrototypes", "vim", "residual", "neco", got toString]`);
    expect(() => fitDetector({ method: "knn", temperature: 2 } as never, rows)).toThrowErrorMatchingInlineSnapshot(`[RangeError: fitDetector: expected \`spec\` with the settings of knn (k, normalize, maxRows, scan), got temperature]`);
    expect(() => runSteps(fitDetectorSteps("myFit", "magic" as never, rows, "detector"))).toThrowErrorMatchingInlineSnapshot(`[RangeError: myFit: expected \`detector\` "msp", "maxLogit", "energy", "entropy", "margin", "odin", "gen", "mahalanobis", "knn", "klMatching", "openMax", "she", "nnGuide", "react", "ashP", "ashB", "ashS", "scale", "dice", "fdbd", "nci", "gradNorm", "relativeMahalanobis", "ssd", "featureEnsemble", "gaussianPrototypes", "vim", "residual", "neco", got magic]`);
    expect(() => fitDetector("knn", { labels })).toThrowErrorMatchingInlineSnapshot(`[RangeError: fitDetector: expected \`features\` for the method knn, got none]`);
    expect(() => fitDetector("scale", { features })).toThrowErrorMatchingInlineSnapshot(`[RangeError: fitDetector: expected \`head\` for the method scale, got none]`);
    expect(() => fitDetector("nnGuide", { features })).toThrowErrorMatchingInlineSnapshot(`[RangeError: fitDetector: expected \`logits\` for the method nnGuide, got none]`);
    expect(() => fitDetector("mahalanobis", { features })).toThrowErrorMatchingInlineSnapshot(`[RangeError: fitDetector: expected \`labels\` for the method mahalanobis, got none]`);
    expect(() => fitDetector({ method: "margin", temperature: 2 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: LogitDetector.of: expected \`temperature\` 1 for margin, whose order a temperature does not change, got 2]`);
    expect(() => detectorFromJSON({ format: "logits/other", version: 1 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: detectorFromJSON: expected \`format\` that of a detector of @logits/ood, got "logits/other"]`);
    expect(() => detectorFromJSON("{}")).toThrowErrorMatchingInlineSnapshot(`[FormatError: detectorFromJSON: expected \`json\` an object, got String. Pass JSON.parse(text)]`);
    expect(() => detectorFromJSON({ version: 1 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: detectorFromJSON: expected \`format\` that of a detector of @logits/ood, got undefined]`);
    expect(() => detectorFromJSON({ ...fitDetector("energy").toJSON(), version: 2 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: LogitDetector.fromJSON: expected \`version\` 1, got 2. Upgrade @logits/ood to read it]`);
  });
});

describe("Gaussian and subspace detectors by name", () => {
  const random = testRandom(9), x = { dtype: "float32" as const, shape: [60, 4], data: Float32Array.from({ length: 240 }, () => random.normal()) }, y = Int32Array.from({ length: 60 }, (_, i) => i % 3), z = { dtype: "float32" as const, shape: [60, 3], data: Float32Array.from({ length: 180 }, () => 3 + random.normal()) };
  const head = { weights: [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]], bias: [1, 2, 3] }, rows = { features: x, labels: y, logits: z, classes: 3, head };
  const pairs: readonly [Parameters<typeof fitDetector>[0], () => Detector][] = [
    ["relativeMahalanobis", () => RelativeMahalanobisDetector.fit(x, y)],
    [{ method: "ssd", normalize: false }, () => SsdDetector.fit(x, { normalize: false })],
    [{ method: "featureEnsemble", widths: [1, 3] }, () => FeatureEnsemble.fit(x, y, { widths: [1, 3] })],
    [{ method: "gaussianPrototypes", covariance: "shared" }, () => GaussianPrototypes.fit(x, y, { covariance: "shared" })],
    [{ method: "vim", dimension: 1 }, () => VimDetector.fit(x, z, { dimension: 1, head })],
    ["residual", () => ResidualDetector.fit(x, { head })],
    [{ method: "neco", maxLogit: false }, () => NecoDetector.fit(x, y, { maxLogit: false })],
  ];
  it.each(pairs.map(([spec, make]) => [typeof spec === "string" ? spec : spec.method, spec, make] as const))("%s is what its class fits, and is read from JSON by its format", (_, spec, make) => {
    const detector = fitDetector(spec, rows), want = make().score({ features: x, logits: z }).data;
    expectExact(detector.score({ features: x, logits: z }).data, want);
    expectExact(detectorFromJSON(JSON.parse(JSON.stringify(detector))).score({ features: x, logits: z }).data, want);
  });
});

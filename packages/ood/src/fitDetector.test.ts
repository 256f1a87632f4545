import { expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { runSteps } from "@logits/tensor";
import { LogitDetector, MahalanobisDetector, NearestNeighborDetector, detectorFromJSON, fitDetector, fitDetectorAsync, fitDetectorSteps, type DetectorSpec } from "./index.ts";

const random = testRandom(1);
const features = { data: Float32Array.from({ length: 240 }, () => random.normal()), shape: [60, 4] };
const labels = Int32Array.from({ length: 60 }, (_, i) => i % 3);
const logits = { data: Float32Array.from({ length: 180 }, () => random.normal()), shape: [60, 3] };
const rows = { features, labels, logits, classes: 3 };

const SPECS: readonly [DetectorSpec, () => { score(rows: object): { data: Float32Array } }][] = [
  ["msp", () => LogitDetector.of("msp")], ["maxLogit", () => LogitDetector.of("maxLogit")], ["energy", () => LogitDetector.of("energy")], ["entropy", () => LogitDetector.of("entropy")], ["margin", () => LogitDetector.of("margin")],
  [{ method: "energy", temperature: 2 }, () => LogitDetector.of("energy", { temperature: 2 })],
  ["mahalanobis", () => MahalanobisDetector.fit(features, labels)], [{ method: "mahalanobis", shrinkage: 0.1 }, () => MahalanobisDetector.fit(features, labels, { shrinkage: 0.1 })],
  ["knn", () => NearestNeighborDetector.fit(features)], [{ method: "knn", k: 3, normalize: false }, () => NearestNeighborDetector.fit(features, { k: 3, normalize: false })],
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
    expect(() => fitDetector("magic" as never)).toThrowErrorMatchingInlineSnapshot(`[RangeError: fitDetector: expected \`spec\` "msp", "maxLogit", "energy", "entropy", "margin", "mahalanobis", "knn", got magic]`);
    expect(() => fitDetector(undefined as never)).toThrowErrorMatchingInlineSnapshot(`[RangeError: fitDetector: expected \`spec\` "msp", "maxLogit", "energy", "entropy", "margin", "mahalanobis", "knn", got undefined]`);
    expect(() => fitDetector("toString" as never)).toThrowErrorMatchingInlineSnapshot(`[RangeError: fitDetector: expected \`spec\` "msp", "maxLogit", "energy", "entropy", "margin", "mahalanobis", "knn", got toString]`);
    expect(() => fitDetector({ method: "knn", temperature: 2 } as never, rows)).toThrowErrorMatchingInlineSnapshot(`[RangeError: fitDetector: expected \`spec\` with the settings of knn (k, normalize), got temperature]`);
    expect(() => runSteps(fitDetectorSteps("myFit", "magic" as never, rows, "detector"))).toThrowErrorMatchingInlineSnapshot(`[RangeError: myFit: expected \`detector\` "msp", "maxLogit", "energy", "entropy", "margin", "mahalanobis", "knn", got magic]`);
    expect(() => fitDetector("knn", { labels })).toThrowErrorMatchingInlineSnapshot(`[RangeError: fitDetector: expected \`features\` for the method knn, got none]`);
    expect(() => fitDetector("mahalanobis", { features })).toThrowErrorMatchingInlineSnapshot(`[RangeError: fitDetector: expected \`labels\` for the method mahalanobis, got none]`);
    expect(() => fitDetector({ method: "margin", temperature: 2 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: LogitDetector.of: expected \`temperature\` 1 for margin, whose order a temperature does not change, got 2]`);
    expect(() => detectorFromJSON({ format: "logits/other", version: 1 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: detectorFromJSON: expected \`format\` that of a detector of @logits/ood, got "logits/other"]`);
    expect(() => detectorFromJSON("{}")).toThrowErrorMatchingInlineSnapshot(`[FormatError: detectorFromJSON: expected \`json\` an object, got String. Pass JSON.parse(text)]`);
    expect(() => detectorFromJSON({ version: 1 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: detectorFromJSON: expected \`format\` that of a detector of @logits/ood, got undefined]`);
    expect(() => detectorFromJSON({ ...fitDetector("energy").toJSON(), version: 2 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: LogitDetector.fromJSON: expected \`version\` 1, got 2. Upgrade @logits/ood to read it]`);
  });
});

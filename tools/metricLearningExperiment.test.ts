import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { METHODS, metricLearning, type MetricLearningResult } from "./experiments/metricLearning.ts";

it("the experiment on letters runs in small, and its figures are those of the file's methods", () => {
  const { methods } = metricLearning(1, 3, 1024, 20, ["cross-entropy", "ArcFace", "SupCon"]);
  for (const { recallKnown, recallUnknown, rejection } of methods) {
    // A letter in twenty by chance, one in six; 0.5 for an area.
    expect(recallKnown.a).toBeGreaterThan(0.5);
    expect(recallUnknown.a).toBeGreaterThan(0.6);
    expect(rejection.a).toBeGreaterThan(0.55);
    for (const effect of [recallKnown, recallUnknown, rejection]) expect(effect.low).toBeLessThanOrEqual(effect.high);
  }
  const written = JSON.parse(readFileSync(join(import.meta.dirname, "../docs/data/experiments/metric-learning.json"), "utf8")) as MetricLearningResult;
  expect(written.methods.map(({ method, rate }) => [method, rate])).toEqual(Object.entries(METHODS).map(([method, { rate }]) => [method, rate]));
});

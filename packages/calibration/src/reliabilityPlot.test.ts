import { svg } from "@logits/metrics/plot";
import { describe, expect, it } from "vitest";
import { reliabilityDiagram } from "./reliabilityDiagram.ts";
import { reliabilityPlot } from "./reliabilityPlot.ts";

const diagram = reliabilityDiagram({ confidence: [0.55, 0.6, 0.65, 0.7, 0.9, 0.95, 0.95, 1], correct: [1, 0, 1, 1, 1, 1, 1, 1] }, { bins: 4 });

describe("reliabilityPlot", () => {
  it("shows the filled bins: share of the rows, mean confidence, accuracy and its interval", () => {
    const { series, title, description } = reliabilityPlot(diagram, { title: "Before", colour: 2 });
    const [low, high] = [diagram.bins[2], diagram.bins[3]];
    expect(title).toBe("Before");
    expect(description).toBe("8 rows in 2 bins; in 0 of them the mean confidence lies outside of the interval of the accuracy.");
    expect(series[0]).toEqual({ kind: "bars", low: [0.5, 0.75], high: [0.75, 1], value: [0.5, 0.5], colour: "soft" });
    expect(series[2]).toEqual({
      kind: "points", x: [low.meanConfidence, high.meanConfidence], y: [low.accuracy, high.accuracy], low: [low.interval![0], high.interval![0]], high: [low.interval![1], high.interval![1]], colour: 2,
    });
  });

  it("counts the bins that are off", () => {
    const confidence = new Array<number>(200).fill(0.9), correct = confidence.map((_, i) => Number(i % 2 === 0));
    expect(reliabilityPlot(reliabilityDiagram({ confidence, correct })).description).toContain("in 1 of them");
  });

  it("is drawn without a number that is none, also with one row", () => {
    for (const one of [diagram, reliabilityDiagram({ confidence: [1], correct: [0] })]) expect(svg(reliabilityPlot(one))).not.toMatch(/NaN|Infinity|Not drawn|Beyond/);
  });
});

import { svg } from "@logits/metrics/plot";
import { describe, expect, it } from "vitest";
import { coverageByClassPlot, coverageBySizePlot } from "./coveragePlot.ts";
import { evidencePlot } from "./evidencePlot.ts";

const entry = (rows: number, coverage: number | null) => ({ rows, coverage, interval: coverage === null ? null : ([Math.max(0, coverage - 0.1), Math.min(1, coverage + 0.1)] as const) });

describe("coverageBySizePlot", () => {
  const report = { alpha: 0.1, bySize: [{ low: 1, high: 1, ...entry(300, 0.95) }, { low: 3, high: 5, ...entry(40, 0.75) }, { low: 6, high: 10, ...entry(0, null) }] };

  it("shows shares, intervals, rows and the promise; groups without rows are left out", () => {
    const { x, series, description } = coverageBySizePlot(report);
    expect(x.categories).toEqual(["1", "3 to 5"]);
    expect(series[0]).toMatchObject({ kind: "rule", axis: "y", at: 0.9 });
    expect(series[1]).toEqual({ kind: "points", x: [0, 1], y: [0.95, 0.75], low: [0.85, 0.65], high: [1, 0.85], labels: ["300", "40"], colour: 1 });
    expect(description).toBe("Promised 90.0 % over all rows. 1 classes: 95.0 % of 300 rows; 3 to 5 classes: 75.0 % of 40 rows.");
    expect(svg(coverageBySizePlot(report))).not.toMatch(/NaN|Infinity|Not drawn|Beyond/);
    expect(svg(coverageBySizePlot({ alpha: 0.1, bySize: [] }))).not.toMatch(/NaN|Infinity/);
  });
});

describe("coverageByClassPlot", () => {
  const report = { alpha: 0.1, byClass: [{ label: 0, ...entry(50, 0.96) }, { label: 1, ...entry(9, 0.6) }, { label: 2, ...entry(0, null) }, { label: 3, ...entry(50, 0.6) }] };

  it("shows the worst class at first and names it; of equal ones that of the smaller index", () => {
    const { series } = coverageByClassPlot(report, { names: ["cat", "<dog>"] });
    expect(series[1]).toMatchObject({ x: [1, 2, 3], y: [0.6, 0.6, 0.96] });
    expect(series[2]).toMatchObject({ x: [1], y: [0.6], labels: ["<dog>, 9 rows"] });
    expect(coverageByClassPlot(report).description).toBe("Promised 90.0 % over all rows. From 60.0 % for class 1 to 96.0 % for class 0.");
    expect(svg(coverageByClassPlot(report, { names: ["cat", "<dog>"] }))).toContain("&#60;dog&#62;, 9 rows");
    expect(coverageByClassPlot({ alpha: 0.1, byClass: [] }).description).toBe("Promised 90.0 % over all rows. No rows.");
  });
});

describe("evidencePlot", () => {
  it("says at which row each stream raises an alarm, and draws the height at which it does", () => {
    const plot = evidencePlot({ quiet: [0, 0.1, -0.2], loud: Float64Array.of(1, 3, 5) }, { level: 0.05 });
    expect(plot.description).toBe("quiet: no alarm in 3 rows. loud: alarm at row 2 of 3.");
    // ln 20 = 2.9957.
    expect((plot.series[0] as { at: number }).at).toBeCloseTo(2.995732273553991, 12);
    expect(plot.series[2]).toMatchObject({ name: "loud", x: Float64Array.of(1, 2, 3), y: Float64Array.of(1, 3, 5), colour: 2 });
    expect(svg(evidencePlot({ one: [] }))).not.toMatch(/NaN|Infinity/);
    expect(evidencePlot({ one: [0] }).series[1].name).toBeUndefined();
  });

  it("says what is wrong", () => {
    expect(() => evidencePlot({})).toThrowErrorMatchingInlineSnapshot(`[RangeError: evidencePlot: expected \`evidence\` with 1 to 6 streams, got 0]`);
    expect(() => evidencePlot({ a: [0] }, { level: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: evidencePlot: expected \`level\` in (0, 1), got 1]`);
  });
});

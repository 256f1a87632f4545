import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import type { DetectorMeasures, Measures, ReportMetrics, SetMeasures } from "./types.ts";
import { sizes } from "./words.ts";

const BEFORE = "#d9622b";
const AFTER = "#2a7fb8";
const style = { background: "transparent", fontSize: "12px", overflow: "visible" };

/** A figure as SVG text, drawn when the report is written: the page runs no script. */
function draw(options: Plot.PlotOptions): string {
  const { document } = parseHTML("<!doctype html><html><body></body></html>");
  return (Plot.plot({ document, style, ...options } as Plot.PlotOptions) as unknown as { outerHTML: string }).outerHTML;
}

/** Accuracy against confidence, with the band in which a perfectly calibrated model would lie. */
export function reliabilityFigure(measures: Measures, name: "before" | "after"): string {
  const bins = measures.reliability.filter((bin) => bin.count > 0);
  const largest = Math.max(...bins.map((bin) => bin.count));
  return draw({
    width: 420, height: 380, marginLeft: 48, ariaLabel: `Reliability diagram, ${name} calibration`,
    x: { domain: [0, 1], label: "confidence" },
    y: { domain: [0, 1], label: "accuracy", grid: true },
    r: { domain: [0, largest], range: [0, 13] },
    marks: [
      Plot.rect(bins, { x1: "lower", x2: "upper", y1: (bin) => bin.band[0], y2: (bin) => bin.band[1], fill: "currentColor", fillOpacity: 0.14 }),
      Plot.line([[0, 0], [1, 1]], { stroke: "currentColor", strokeOpacity: 0.5, strokeDasharray: "4 4" }),
      Plot.link(bins, { x1: "confidence", x2: "confidence", y1: "confidence", y2: "accuracy", stroke: name === "before" ? BEFORE : AFTER, strokeWidth: 1.5 }),
      Plot.dot(bins, { x: "confidence", y: "accuracy", r: "count", fill: name === "before" ? BEFORE : AFTER, fillOpacity: 0.85 }),
    ],
  });
}

/** How many rows have which confidence, before and after. */
export function confidenceFigure(before: Measures, after: Measures): string {
  const rows = [["before", before], ["after", after]].flatMap(([name, measures]) => (measures as Measures).reliability.map((bin) => ({ ...bin, name })));
  return draw({
    width: 860, height: 220, marginLeft: 60, ariaLabel: "Histogram of confidences before and after calibration",
    x: { domain: [0, 1], label: "confidence" },
    y: { label: "rows", grid: true },
    color: { domain: ["before", "after"], range: [BEFORE, AFTER] },
    fx: { label: null, domain: ["before", "after"] },
    marks: [Plot.rectY(rows, { fx: "name", x1: "lower", x2: "upper", y: "count", fill: "name", fillOpacity: 0.85, inset: 0.5 }), Plot.ruleY([0])],
  });
}

/** Share of errors among the most confident rows. */
export function riskCoverageFigure(before: Measures, after: Measures): string {
  return draw({
    width: 420, height: 320, marginLeft: 52, ariaLabel: "Risk-coverage curves before and after calibration",
    x: { domain: [0, 1], label: "coverage (share of rows answered)" },
    y: { label: "risk (share of errors among them)", grid: true, zero: true },
    marks: [
      Plot.ruleY([0]),
      Plot.line(before.riskCoverage, { x: "coverage", y: "risk", stroke: BEFORE, strokeWidth: 2, strokeDasharray: "5 4" }),
      Plot.line(after.riskCoverage, { x: "coverage", y: "risk", stroke: AFTER, strokeWidth: 2 }),
    ],
  });
}

/** How large the sets are, and how often sets of that size hold the right label. */
export function setSizeFigure(sets: SetMeasures): string {
  const rows = sets.bySize.map((bucket) => ({ ...bucket, name: sizes(bucket) }));
  const names = rows.map((row) => row.name);
  return draw({
    width: 420, height: 320, marginLeft: 52, ariaLabel: `Coverage by set size, ${sets.method}`,
    x: { label: "labels in the set", domain: names, type: "band" },
    y: { label: "coverage", domain: [0, 1], grid: true },
    marks: [
      Plot.ruleY([1 - sets.alpha], { stroke: "currentColor", strokeDasharray: "4 4" }),
      Plot.ruleX(rows, { x: "name", y1: (row) => row.interval[0], y2: (row) => row.interval[1], stroke: AFTER, strokeWidth: 2 }),
      Plot.dot(rows, { x: "name", y: "share", fill: AFTER, r: 5 }),
      Plot.text(rows, { x: "name", y: 0.03, text: (row) => `${row.rows} rows`, fontSize: 11 }),
    ],
  });
}

/** Coverage of every class, worst first. */
export function classFigure(sets: SetMeasures): string {
  const rows = sets.byClass.toSorted((a, b) => a.share - b.share).map((entry, rank) => ({ ...entry, rank: rank + 1 }));
  return draw({
    width: 860, height: 260, marginLeft: 52, ariaLabel: `Coverage by class, ${sets.method}`,
    x: { label: "classes, worst first", domain: [0, rows.length + 1] },
    y: { label: "coverage", domain: [0, 1], grid: true },
    marks: [
      Plot.ruleY([1 - sets.alpha], { stroke: "currentColor", strokeDasharray: "4 4" }),
      Plot.ruleX(rows, { x: "rank", y1: (row) => row.interval[0], y2: (row) => row.interval[1], stroke: AFTER, strokeOpacity: 0.45 }),
      Plot.dot(rows, { x: "rank", y: "share", fill: AFTER, r: 3 }),
      Plot.text(rows.slice(0, 1), { x: "rank", y: "share", text: (row) => `${row.label} (${row.rows} rows)`, textAnchor: "start", dx: 4, dy: 16, fontSize: 11 }),
    ],
  });
}

/** Scores of the test rows, and of the outliers, as shares of each, with the threshold. */
export function detectorFigure({ histogram, threshold, method, falsePositives, outliers }: DetectorMeasures): string {
  const bars = histogram.flatMap(({ lower, upper, inside, outside }) => [
    { lower, upper, share: inside / falsePositives.rows, name: "test rows" },
    ...(outliers ? [{ lower, upper, share: outside / outliers.rows, name: "outliers" }] : []),
  ]);
  const shown = threshold !== null && threshold > histogram[0].lower && threshold < histogram.at(-1)!.upper;
  return draw({
    width: 860, height: outliers ? 310 : 230, marginLeft: 60, marginRight: 70, marginBottom: 44, ariaLabel: `Histogram of the scores of the ${method} detector`,
    x: { label: "score, higher = less like the rows of the fit", labelOffset: 38 },
    y: { label: "share of the rows", grid: true },
    color: { domain: ["test rows", "outliers"], range: [AFTER, BEFORE] },
    fy: { label: null, domain: outliers ? ["test rows", "outliers"] : ["test rows"], axis: outliers ? "right" : null },
    marks: [
      Plot.rectY(bars, { fy: "name", x1: "lower", x2: "upper", y: "share", fill: "name", fillOpacity: 0.85, inset: 0.5 }),
      Plot.ruleY([0]),
      ...(shown ? [
        Plot.ruleX([threshold], { stroke: "currentColor", strokeDasharray: "4 4" }),
        Plot.text([{ name: "test rows" }], { fy: "name", x: threshold, frameAnchor: "top", text: () => "flagged from here", textAnchor: "start", dx: 5, dy: 2, fontSize: 11 }),
      ] : []),
    ],
  });
}

/** All figures of a report, by name. */
export function figures(metrics: ReportMetrics): Record<string, string> {
  const { before, after, sets } = metrics;
  return {
    reliabilityBefore: reliabilityFigure(before, "before"),
    reliabilityAfter: reliabilityFigure(after, "after"),
    confidence: confidenceFigure(before, after),
    riskCoverage: riskCoverageFigure(before, after),
    setSize: setSizeFigure(sets[0]),
    classes: classFigure(sets[0]),
    ...(metrics.detector && { detector: detectorFigure(metrics.detector) }),
  };
}

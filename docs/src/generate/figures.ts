import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as Plot from "@observablehq/plot";
import type { BenchRecord } from "../../../tools/bench/types.ts";
import { AFTER, BEFORE, draw } from "./draw.ts";
import type { Metrics } from "./report.ts";

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

/** Accuracy against confidence, with the band in which a perfectly calibrated model would lie. */
function reliability(name: "before" | "after", { before, after, temperature, rows }: Metrics): string {
  const measures = name === "before" ? before : after;
  const bins = measures.reliability.filter(({ count }) => count > 0);
  const colour = name === "before" ? BEFORE : AFTER;
  const words = `Of ${rows.shown} rows the model is right on ${percent(measures.accuracy)} and claims ${percent(measures.meanConfidence)} on average. Calibration error ${measures.ece.toFixed(4)}.`;
  return draw(`reliability-${name}`, `Accuracy against confidence, ${name === "before" ? "as the model gives it" : `scores divided by ${temperature.toFixed(3)}`}`, words, {
    width: 380, height: 350, marginLeft: 44, marginBottom: 36, marginTop: 26, marginRight: 16,
    x: { domain: [0, 1], label: "confidence", ticks: 5 },
    y: { domain: [0, 1], label: "accuracy", grid: true, ticks: 5 },
    r: { domain: [0, Math.max(...before.reliability.map(({ count }) => count))], range: [0, 15] },
    marks: [
      Plot.rect(bins, { x1: "lower", x2: "upper", y1: (bin) => bin.band[0], y2: (bin) => bin.band[1], fill: "currentColor", fillOpacity: 0.13 }),
      Plot.line([[0, 0], [1, 1]], { stroke: "currentColor", strokeOpacity: 0.5, strokeDasharray: "4 4" }),
      Plot.link(bins, { x1: "confidence", x2: "confidence", y1: "confidence", y2: "accuracy", stroke: colour, strokeWidth: 1.5 }),
      Plot.dot(bins, { x: "confidence", y: "accuracy", r: "count", fill: colour }),
    ],
  });
}

const PEERS = ["LiteRT", "TensorFlow.js", "ONNX Runtime", "jax-js", "plain loops"];
const COLOURS = ["var(--figure-1)", "var(--figure-2)", "var(--figure-3)", "var(--figure-4)", "var(--figure-5)"];
const SYMBOLS = ["circle", "square", "triangle", "diamond", "times"] as const;

/** A peer of the bench by the name of its project; undefined for those that solve another problem. */
function project(name: string): string | undefined {
  if (name.includes("constant weights") || name === "sort") return undefined;
  return PEERS[["litert", "tfjs", "onnx", "jax", "loops"].findIndex((start) => name.startsWith(start))];
}

/** Every contender's time as a multiple of ours, one line for each case; left of the line at 1 it is faster than we are. */
function times(suite: string, records: readonly BenchRecord[]): string {
  const rows = records.filter((record) => record.suite === suite);
  const points = rows.flatMap((record) =>
    Object.entries(record.peers).flatMap(([name, time]) => (project(name) === undefined ? [] : [{ case: record.case, variant: record.variant === "simd" ? "baseline SIMD" : "relaxed SIMD", peer: project(name), times: time / record.ours }])),
  );
  const cases = [...new Set(rows.map((record) => record.case))];
  const slower = points.filter(({ times }) => times < 1);
  const words = `${points.length} comparisons in ${cases.length} cases; in ${slower.length} of them the other library is faster.`;
  const legend = PEERS.map((peer, i) => (points.some((point) => point.peer === peer) ? `<span><svg viewBox="-6 -6 12 12" width="12" height="12" aria-hidden="true"><path d="${shape(SYMBOLS[i])}" style="${SYMBOLS[i] === "times" ? `stroke:${COLOURS[i]};stroke-width:2;fill:none` : `fill:${COLOURS[i]}`}"/></svg> ${peer}</span>` : "")).join("");
  return `<p class="legend">${legend}</p>${draw(`times-${suite}`, `Time of other libraries as a multiple of ours, ${suite}`, words, {
    width: 660, height: 80 + 30 * cases.length, marginLeft: 112, marginRight: 16, marginBottom: 40,
    x: { type: "log", inset: 10, label: "time as a multiple of ours (1 = as fast, right = slower than ours)", grid: true, ticks: 5, tickFormat: (x: number) => `${x}` },
    y: { domain: cases, label: null },
    fx: { label: null, domain: ["relaxed SIMD", "baseline SIMD"] },
    symbol: { domain: PEERS, range: [...SYMBOLS] },
    color: { domain: PEERS, range: COLOURS },
    marks: [
      Plot.ruleX([1], { stroke: "currentColor", strokeWidth: 1.5 }),
      Plot.dot(points.filter(({ peer }) => peer !== "plain loops"), { fx: "variant", x: "times", y: "case", symbol: "peer", fill: "peer", r: 5 }),
      Plot.dot(points.filter(({ peer }) => peer === "plain loops"), { fx: "variant", x: "times", y: "case", symbol: "peer", stroke: "peer", strokeWidth: 2, r: 5 }),
    ],
  })}`;
}

const shape = (symbol: (typeof SYMBOLS)[number]): string =>
  ({ circle: "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0", square: "M-4,-4h8v8h-8z", triangle: "M0,-5L5,4H-5Z", diamond: "M0,-6L4,0L0,6L-4,0Z", times: "M-4,-4L4,4M-4,4L4,-4" })[symbol];

interface Accuracy {
  readonly functions: Readonly<Record<string, Readonly<Record<string, { readonly maxUlp: number; readonly at: number; readonly inputs: number }>>>>;
}

/** The largest error of each elementwise function over every float32. */
function errors({ functions }: Accuracy): string {
  const rows = Object.entries(functions).flatMap(([name, variants]) => Object.entries(variants).map(([variant, { maxUlp }]) => ({ name, variant: variant === "simd" ? "baseline SIMD" : "relaxed SIMD", maxUlp })));
  const worst = rows.toSorted((a, b) => b.maxUlp - a.maxUlp)[0];
  return draw("errors", "Largest error of the elementwise functions, in units in the last place", `The largest is that of ${worst.name}, ${worst.maxUlp.toFixed(2)} units.`, {
    width: 660, height: 90 + 28 * Object.keys(functions).length, marginLeft: 72, marginRight: 44, marginBottom: 40,
    x: { label: "largest error over all float32, in units in the last place", grid: true, domain: [0, 1.25 * worst.maxUlp] },
    y: { label: null, domain: Object.keys(functions) },
    fx: { label: null, domain: ["relaxed SIMD", "baseline SIMD"] },
    marks: [
      Plot.barX(rows, { fx: "variant", x: "maxUlp", y: "name", fill: AFTER, insetTop: 4, insetBottom: 4 }),
      Plot.text(rows, { fx: "variant", x: "maxUlp", y: "name", text: ({ maxUlp }) => maxUlp.toFixed(2), textAnchor: "start", dx: 4, fill: "currentColor" }),
      Plot.ruleX([0]),
    ],
  });
}

/** Our error beside that of the peers, softmax of the bench. */
function softmaxErrors(records: readonly BenchRecord[]): string {
  const rows = records.filter(({ suite, variant, ulp }) => suite === "softmax" && variant === "relaxed-simd" && ulp !== undefined);
  const points = rows.flatMap((record) => [
    { case: record.case, who: "Logits", ulp: record.ulp! },
    ...Object.entries(record.peersUlp ?? {}).flatMap(([name, ulp]) => (project(name) === undefined ? [] : [{ case: record.case, who: project(name)!, ulp }])),
  ]);
  const names = ["Logits", ...PEERS], colours = ["currentColor", ...COLOURS], symbols = ["star", ...SYMBOLS];
  const cases = [...new Set(rows.map((record) => record.case))];
  const legend = `<span>★ Logits</span>${PEERS.map((peer, i) => `<span><svg viewBox="-6 -6 12 12" width="12" height="12" aria-hidden="true"><path d="${shape(SYMBOLS[i])}" style="${SYMBOLS[i] === "times" ? `stroke:${COLOURS[i]};stroke-width:2;fill:none` : `fill:${COLOURS[i]}`}"/></svg> ${peer}</span>`).join("")}`;
  return `<p class="legend">${legend}</p>${draw("softmax-errors", "Largest error of softmax, ours and others, in units in the last place", `Ours lies between ${Math.min(...rows.map((r) => r.ulp!)).toFixed(0)} and ${Math.max(...rows.map((r) => r.ulp!)).toFixed(0)} units.`, {
    width: 660, height: 70 + 30 * cases.length, marginLeft: 92, marginRight: 16, marginBottom: 40,
    x: { type: "log", inset: 10, label: "largest error of softmax, units in the last place of float32", grid: true, ticks: 5, tickFormat: (x: number) => `${x}` },
    y: { domain: cases, label: null },
    symbol: { domain: names, range: symbols as never },
    color: { domain: names, range: colours },
    marks: [
      Plot.dot(points.filter(({ who }) => who !== "plain loops"), { x: "ulp", y: "case", symbol: "who", fill: "who", r: 5 }),
      Plot.dot(points.filter(({ who }) => who === "plain loops"), { x: "ulp", y: "case", symbol: "who", stroke: "who", strokeWidth: 2, r: 5 }),
    ],
  })}`;
}

/** All drawings of the site, into `<out>/figures`. */
export function writeFigures(root: string, out: string, metrics: Metrics): void {
  const records = JSON.parse(readFileSync(join(root, "docs/data/bench.json"), "utf8")) as BenchRecord[];
  const accuracy = JSON.parse(readFileSync(join(root, "packages/core-wasm/accuracy.json"), "utf8")) as Accuracy;
  const suites = [...new Set(records.map(({ suite }) => suite))];
  const drawn: Record<string, string> = {
    "reliability-before": reliability("before", metrics),
    "reliability-after": reliability("after", metrics),
    errors: errors(accuracy),
    "softmax-errors": softmaxErrors(records),
    ...Object.fromEntries(suites.map((suite) => [`times-${suite}`, times(suite, records)])),
  };
  mkdirSync(join(out, "figures"), { recursive: true });
  for (const [name, svg] of Object.entries(drawn)) writeFileSync(join(out, "figures", `${name}.svg`), svg);
}

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { reliabilityPlot } from "../../../packages/calibration/dist/index.js";
import { svg, type Plot, type PlotColour, type PlotShape } from "../../../packages/metrics/dist/plot.js";
import { connectedComponents, cosineMap, kMeans, mapSvg, stableThreshold } from "../../../packages/ood/dist/index.js";
import { Tensor, randomSource } from "../../../packages/tensor/dist/index.js";
import type { BenchRecord } from "../../../tools/bench/types.ts";
import type { Metrics } from "./report.ts";

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

/** Accuracy against confidence, with the intervals that the rows support. */
function reliability(name: "before" | "after", { before, after, temperature, rows }: Metrics): string {
  const measures = name === "before" ? before : after;
  const bins = measures.reliability.map(({ lower, upper, count, confidence, accuracy, interval }) => ({ low: lower, high: upper, count, meanConfidence: confidence, accuracy, interval, band: null }));
  const plot = reliabilityPlot({ n: rows.shown, bins }, { title: `Accuracy against confidence, ${name === "before" ? "as the model gives it" : `scores divided by ${temperature.toFixed(3)}`}`, colour: name === "before" ? 2 : 1 });
  const description = `Of ${rows.shown} rows the model is right on ${percent(measures.accuracy)} and claims ${percent(measures.meanConfidence)} on average. Calibration error ${measures.ece.toFixed(4)}.`;
  return svg({ ...plot, description }, { id: `reliability-${name}`, width: 400, height: 360 });
}

interface Peer {
  readonly start: string;
  readonly name: string;
  readonly colour: PlotColour;
  readonly shape: PlotShape;
}

/** Libraries of the bench, by the beginning of their name there: each has a colour and a form. */
const PEERS: readonly Peer[] = [
  { start: "litert", name: "LiteRT", colour: 2, shape: "circle" },
  { start: "tfjs", name: "TensorFlow.js", colour: 1, shape: "square" },
  { start: "onnx", name: "ONNX Runtime", colour: 3, shape: "triangle" },
  { start: "jax", name: "jax-js", colour: 4, shape: "diamond" },
  { start: "loops", name: "plain loops", colour: 5, shape: "cross" },
];
const VARIANTS = { "relaxed-simd": "relaxed SIMD", simd: "baseline SIMD" } as const;

/** The peer of a contender; undefined for those that solve another problem. */
function peerOf(name: string): Peer | undefined {
  return name.includes("constant weights") || name === "sort" ? undefined : PEERS.find(({ start }) => name.startsWith(start));
}

interface Timing {
  readonly at: number;
  readonly times: number;
  readonly peer: Peer;
}

/** Points of each peer that has some, in the order of `PEERS`. */
function byPeer(points: readonly Timing[]): Plot["series"] {
  return PEERS.filter((peer) => points.some((point) => point.peer === peer)).map(({ name, colour, shape }) => {
    const own = points.filter(({ peer }) => peer.name === name);
    return { kind: "points", name, colour, shape, x: own.map(({ times }) => times), y: own.map(({ at }) => at) } as const;
  });
}

/** Pictures of one size, side by side where there is room. */
const pair = (...pictures: readonly string[]): string => `<div class="pictures">${pictures.join("")}</div>`;

/** Every contender's time as a multiple of ours, one line for each case; left of the line at 1 it is faster than we are. */
function times(suite: string, records: readonly BenchRecord[]): string {
  const rows = records.filter((record) => record.suite === suite), cases = [...new Set(rows.map((record) => record.case))];
  const pointsOf = (variant: string): Timing[] =>
    rows.filter((record) => record.variant === variant).flatMap((record) => Object.entries(record.peers).flatMap(([name, time]) => {
      const peer = peerOf(name);
      return peer === undefined ? [] : [{ at: cases.indexOf(record.case), times: time / record.ours, peer }];
    }));
  const all = rows.flatMap(({ variant }) => pointsOf(variant).map((point) => point.times)), domain = [Math.min(1, ...all) / 1.3, Math.max(1, ...all) * 1.3] as const;
  return pair(...(Object.keys(VARIANTS) as (keyof typeof VARIANTS)[]).filter((variant) => rows.some((record) => record.variant === variant)).map((variant) => {
    const points = pointsOf(variant), slower = points.filter((point) => point.times < 1).length;
    return svg({
      title: `Time of other libraries as a multiple of ours, ${suite}, ${VARIANTS[variant]}`,
      description: `${points.length} comparisons in ${cases.length} cases; in ${slower} of them the other library is faster.`,
      x: { label: `${VARIANTS[variant]}: time as a multiple of ours`, log: true, domain },
      y: { label: "", categories: cases },
      series: [{ kind: "rule", axis: "x", at: 1 }, ...byPeer(points)],
    }, { id: `times-${suite}-${variant}`, width: 320, height: 100 + 30 * cases.length });
  }));
}

interface Accuracy {
  readonly functions: Readonly<Record<string, Readonly<Record<string, { readonly maxUlp: number; readonly at: number; readonly inputs: number }>>>>;
}

/** The largest error of each elementwise function over every float32. */
function errors({ functions }: Accuracy): string {
  const names = Object.keys(functions), worst = Math.max(...Object.values(functions).flatMap((variants) => Object.values(variants).map(({ maxUlp }) => maxUlp)));
  return pair(...(Object.keys(VARIANTS) as (keyof typeof VARIANTS)[]).map((variant) => {
    const shown = names.flatMap((name, at) => (functions[name][variant] === undefined ? [] : [{ at, maxUlp: functions[name][variant].maxUlp }]));
    return svg({
      title: `Largest error of the elementwise functions, in units in the last place, ${VARIANTS[variant]}`,
      description: shown.map(({ at, maxUlp }) => `${names[at]} ${maxUlp.toFixed(2)}`).join(", "),
      x: { label: `${VARIANTS[variant]}: units in last place`, domain: [0, worst] },
      y: { label: "", categories: names },
      series: [{ kind: "bars", along: "x", low: shown.map(({ at }) => at - 0.3), high: shown.map(({ at }) => at + 0.3), value: shown.map(({ maxUlp }) => maxUlp), labels: shown.map(({ maxUlp }) => maxUlp.toFixed(2)), colour: 1 }],
    }, { id: `errors-${variant}`, width: 320, height: 60 + 26 * names.length });
  }));
}

/** Our error beside that of the peers, softmax of the bench. */
function softmaxErrors(records: readonly BenchRecord[]): string {
  const rows = records.filter(({ suite, variant, ulp }) => suite === "softmax" && variant === "relaxed-simd" && ulp !== undefined);
  const cases = [...new Set(rows.map((record) => record.case))];
  const points = rows.flatMap((record) => Object.entries(record.peersUlp ?? {}).flatMap(([name, times]) => {
    const peer = peerOf(name);
    return peer === undefined ? [] : [{ at: cases.indexOf(record.case), times, peer }];
  }));
  return svg({
    title: "Largest error of softmax, ours and others, in units in the last place",
    description: `Ours lies between ${Math.min(...rows.map((r) => r.ulp!)).toFixed(0)} and ${Math.max(...rows.map((r) => r.ulp!)).toFixed(0)} units.`,
    x: { label: "largest error, units in the last place of float32", log: true },
    y: { label: "", categories: cases },
    series: [{ kind: "points", name: "Logits", colour: "ink", shape: "circle", x: rows.map(({ ulp }) => ulp!), y: rows.map((record) => cases.indexOf(record.case)) }, ...byPeer(points)],
  }, { id: "softmax-errors", width: 400, height: 100 + 30 * cases.length });
}

interface Detectors {
  readonly tables: readonly { readonly name: string; readonly detectors: readonly { readonly method: string; readonly needs: readonly string[]; readonly auroc: number }[] }[];
}

const NEEDS: readonly { readonly needs: string; readonly name: string; readonly colour: PlotColour; readonly shape: PlotShape }[] = [
  { needs: "logits", name: "from logits", colour: 1, shape: "circle" },
  { needs: "features", name: "from features", colour: 2, shape: "square" },
  { needs: "features,logits", name: "from both", colour: 3, shape: "triangle" },
];

/** The area under the ROC curve of every detector, best first. */
function detectors({ tables }: Detectors): string {
  return pair(...tables.map(({ name, detectors }) => {
    const sorted = detectors.toSorted((a, b) => b.auroc - a.auroc);
    return svg({
      title: `Area under the ROC curve of each detector, ${name}`,
      description: sorted.map(({ method, auroc }) => `${method} ${auroc.toFixed(3)}`).join(", "),
      x: { label: `${name}: area under the ROC curve`, domain: [0.5, 1] },
      y: { label: "", categories: sorted.map(({ method }) => method) },
      series: NEEDS.map(({ needs, name, colour, shape }) => {
        const own = sorted.flatMap((one, at) => (one.needs.toSorted().join() === needs ? [{ at, ...one }] : []));
        return { kind: "points", name, colour, shape, x: own.map(({ auroc }) => auroc), y: own.map(({ at }) => at) };
      }),
    }, { id: `detectors-${name.toLowerCase()}`, width: 360, height: 90 + 20 * sorted.length });
  }));
}

interface AttentionLength {
  readonly lengths: readonly number[];
  readonly methods: readonly { readonly name: string; readonly all: readonly { readonly mean: number; readonly low: number; readonly high: number }[] }[];
}

/** What each picture of the experiment on length shows: the methods' names in the file, and how they are called there. */
const LENGTH_PANELS: readonly { readonly id: string; readonly label: string; readonly methods: Readonly<Record<string, string>> }[] = [
  { id: "positions", label: "biases, with softmax", methods: { "softmax, KERPLE": "KERPLE", "softmax, ALiBi": "ALiBi", "softmax, T5": "T5", "softmax, none": "none", "softmax, window, KERPLE": "window of 64" } },
  { id: "rotations", label: "rotations, as trained or scaled", methods: { "softmax, RoPE, interpolated": "interpolated", "softmax, RoPE": "as trained", "softmax, RoPE, YaRN": "YaRN" } },
  { id: "normalisers", label: "other normalisers", methods: { "sigmoid, ALiBi": "sigmoid, ALiBi", "sigmoid, KERPLE": "sigmoid, KERPLE", "softmax-one, KERPLE": "softmax-one, KERPLE", "entmax15, KERPLE": "entmax15, KERPLE" } },
  { id: "linear", label: "linear forms", methods: { "linear exp, decay": "exp, decay", "linear exp, none": "exp", "linear elu, decay": "elu + 1, decay", "linear elu, none": "elu + 1" } },
];
const LENGTH_SHAPES: readonly PlotShape[] = ["circle", "square", "triangle", "diamond", "cross"];

/** Right answers by length, means and ranges over the seeds. */
function attentionLength({ lengths, methods }: AttentionLength): string {
  return pair(...LENGTH_PANELS.map(({ id, label, methods: shown }) => {
    const lines = Object.entries(shown).map(([name, short], at) => {
      const { all } = methods.find((method) => method.name === name)!, mean = all.map((one) => one.mean), colour = (at + 1) as PlotColour, aside = (at - 2) * 0.03, x = lengths.map((_, i) => i + aside);
      const series: Plot["series"] = [{ kind: "line", x, y: mean, colour }, { kind: "points", name: short, colour, shape: LENGTH_SHAPES[at], x, y: mean, low: all.map((one) => one.low), high: all.map((one) => one.high) }];
      return { series, words: `${short}: ${mean.map(percent).join(", ")}` };
    });
    return svg({
      title: `Right answers at 1, 2, 4 and 8 times the length of the training: ${label}`,
      description: lines.map(({ words }) => words).join("; "),
      x: { label: `${label}: steps`, categories: lengths.map(String) },
      y: { label: "right answers", percent: true, domain: [0, 1] },
      series: [{ kind: "rule", axis: "y", at: 1 / 16, dashed: true, colour: "soft", ...(id === "linear" ? {} : { label: "chance" }) }, ...lines.flatMap(({ series }) => series)],
    }, { id: `length-${id}`, width: 340, height: 300 });
  }));
}

/** Patches of a woven cloth with a scratch and a hole, beside those of a whole one: the map, and the regions that stand out by themselves. */
function anomalyMap(): string {
  const random = randomSource(3, 0), side = 40;
  const cloth = (damage: (i: number, j: number) => boolean): Tensor<"float32"> => new Tensor("float32", [side, side, 5], Float32Array.from({ length: side * side * 5 }, (_, at) => {
    const f = at % 5, j = Math.floor(at / 5) % side, i = Math.floor(at / 5 / side), thread = (i % 2) + 2 * (j % 2);
    return (damage(i, j) ? (f === 4 ? 1.6 : f === thread ? 0.6 : 0) : f === thread ? 2 : 0) + 0.5 * random.uniform();
  }));
  const bank = kMeans({ data: cloth(() => false).data, shape: [side * side, 5] }, 12).centres;
  const map = cosineMap(cloth((i, j) => (i > 7 && i < 26 && Math.abs(j - 6 - 0.6 * i) < 1) || (i - 29) ** 2 + (j - 30) ** 2 < 13), { bank }), { threshold } = stableThreshold(map);
  const { regions } = connectedComponents({ data: Uint8Array.from(map.data, (value) => Number(value > threshold)), shape: [side, side] });
  return mapSvg(map, { title: "Cosine map of a cloth with a scratch and a hole", regions, id: "anomaly-map" });
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
    "anomaly-map": anomalyMap(),
    "attention-length": attentionLength(JSON.parse(readFileSync(join(root, "docs/data/experiments/attention-length.json"), "utf8")) as AttentionLength),
    melody: readFileSync(join(root, "docs/data/experiments/melody.svg"), "utf8"),
    detectors: detectors(JSON.parse(readFileSync(join(root, "docs/data/detectors.json"), "utf8")) as Detectors),
    "softmax-errors": softmaxErrors(records),
    ...Object.fromEntries(suites.map((suite) => [`times-${suite}`, times(suite, records)])),
  };
  mkdirSync(join(out, "figures"), { recursive: true });
  for (const [name, svg] of Object.entries(drawn)) writeFileSync(join(out, "figures", `${name}.svg`), svg);
}

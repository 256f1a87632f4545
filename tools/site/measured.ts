/**
 * Writes the tables of docs/performance.md, docs/where-we-lose.md and docs/accuracy.md from docs/data/bench.json (`bench all --minutes 10 --out docs/data/bench.json`, until no case is left),
 * docs/data/bars.json and packages/core-wasm/accuracy.json, and those of docs/ood/which-detector.md from docs/data/detectors.json (tools/fixtures/measureDetectors.ts). With `--check` it writes nothing and fails where a page says something else than the data.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BenchRecord, Variant } from "../bench/types.ts";
import { detectorSections, type DetectorData } from "./detectors.ts";

const root = join(import.meta.dirname, "../..");
const json = <T>(path: string): T => JSON.parse(readFileSync(join(root, path), "utf8")) as T;

interface Bar {
  readonly suite: string;
  readonly case?: string;
  /** The bar is for the geometric mean of these. */
  readonly cases?: readonly string[];
  readonly variant?: Variant;
  readonly figure: string;
  readonly atLeast?: number;
  readonly atMost?: number;
}
interface Accuracy {
  readonly functions: Readonly<Record<string, Readonly<Record<Variant, { readonly maxUlp: number; readonly at: number; readonly inputs: number }>>>>;
}

const NAMES: Record<Variant, string> = { "relaxed-simd": "relaxed", simd: "baseline" };
const table = (header: readonly string[], rows: readonly (readonly string[])[]): string =>
  [header, header.map(() => "---"), ...rows].map((row) => `| ${row.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`).join("\n");
const time = (ms: number): string => (ms >= 1000 ? `${(ms / 1000).toPrecision(3)} s` : ms >= 1 ? `${ms.toPrecision(3)} ms` : `${(1000 * ms).toPrecision(3)} us`);
const plain = (name: string): string => name.replace(/ \((relaxed|compat)\)/, "").replace("tfjs-wasm", "TensorFlow.js").replace("onnxruntime-web", "ONNX Runtime").replace("litert", "LiteRT");

/** What a bar looks at. */
function figureOf(record: BenchRecord, figure: string): number | null {
  if (figure === "ratio") return record.ratio;
  return figure === "milliseconds" ? record.ours : record.figures[figure];
}

/** What a bar's figure is counted in. */
const FIGURES: Record<string, string> = {
  fractionOfPeak: "of the core's multiply-add rate", microseconds: "microseconds", milliseconds: "milliseconds", softmaxPasses: "softmax passes", withArgmaxPasses: "softmax passes with the index of the largest",
  gflops: "GFLOP/s", backwardGflops: "GFLOP/s backwards", ofMatmul: "of the rate of matmul", ofBandwidth: "of the read bandwidth", int8Times: "times as fast with int8", sigmoidRatio: "times the time of a softmax",
  setsMicrosecondsPerRow: "microseconds a row", scratchMiB: "MiB", memoryGrownMiB: "MiB", slowestOverFastest: "times from the smallest to the largest vocabulary",
};

const unitOf = (figure: string, fastest: string | null): string => (figure === "ratio" ? `times as fast as ${fastest === "loops" ? "plain JavaScript" : "the fastest WASM peer"}` : FIGURES[figure]);

/** Every generated section by its name: `<!-- begin: name -->` to `<!-- end: name -->` in the pages. */
export function sections(records: readonly BenchRecord[], bars: readonly Bar[], { functions }: Accuracy): Record<string, string> {
  const suites = Map.groupBy(records, ({ suite }) => suite);
  const all: Record<string, string> = {};
  // A suite with bars has its sections before it is measured.
  for (const { suite } of bars) for (const section of ["suite", "figures"]) all[`${section}-${suite}`] = "Not measured yet.";

  const of = (pick: (meta: BenchRecord["meta"]) => string | number): string => [...new Set(records.map(({ meta }) => `${pick(meta)}`))].join(", ");
  const loads = records.map(({ meta }) => meta.load);
  all.conditions = table(["what", "value"], [
    ["when", of(({ date }) => date.slice(0, 10))],
    ["machine", of(({ cpu, cores, platform }) => `${cpu}, ${cores} cores, ${platform}`)],
    ["load when the runs began", `${Math.min(...loads)} to ${Math.max(...loads)}`],
    ["Node, V8", of(({ node, v8 }) => `${node}, ${v8}`)],
    ["clock", of(({ clock }) => (clock === "cpu" ? "time that the thread ran (`--clock cpu`)" : "wall"))],
    ["seed", of(({ seed }) => seed)],
    ["commits", of(({ commit }) => commit)],
    ["versions", [...new Map(records.flatMap(({ meta }) => Object.entries(meta.versions))).entries()].map(([name, version]) => `${name} ${version}`).join(", ")],
  ]);

  for (const [suite, group] of suites) {
    const cases = Map.groupBy(group, (record) => record.case);
    const cell = (record: BenchRecord | undefined): string[] => {
      if (record === undefined) return ["", ""];
      const versus = record.fastest ?? Object.entries(record.peers).toSorted(([, a], [, b]) => a - b)[0]?.[0];
      const ratio = record.ratio ?? (versus === undefined ? undefined : record.peers[versus] / record.ours);
      return [time(record.ours), ratio === undefined ? "" : `${ratio < 1 ? "**" : ""}${ratio.toFixed(2)}${ratio < 1 ? "**" : ""} (${plain(versus!)})`];
    };
    all[`suite-${suite}`] = table(
      ["case", "relaxed", "ratio", "baseline", "ratio"],
      [...cases].map(([name, variants]) => [name, ...cell(variants.find(({ variant }) => variant === "relaxed-simd")), ...cell(variants.find(({ variant }) => variant === "simd"))]),
    );
  }

  // What stands beside the times, by name; a suite whose figures are times in other words has no such table.
  for (const [suite, group] of suites) {
    const rows = group.flatMap(({ case: name, variant, figures }) => [[name, NAMES[variant], Object.entries(figures).map(([figure, value]) => `${figure} ${Number(value.toPrecision(3))}`).join(", ")]]);
    all[`figures-${suite}`] = table(["case", "variant", "figures"], rows);
  }

  const slower = records.flatMap((record) => Object.entries(record.peers).filter(([, peer]) => peer < record.ours).map(([name, peer]) => [`${record.suite} ${record.case}`, NAMES[record.variant], plain(name), time(peer), time(record.ours), (record.ours / peer).toFixed(2)]));
  const comparisons = records.reduce((total, { peers }) => total + Object.keys(peers).length, 0);
  all.slower = slower.length === 0 ? "None in this run." : table(["case", "variant", "who", "theirs", "ours", "times slower"], slower);
  all.count = `${comparisons} comparisons of ${records.length} cases and variants; in ${slower.length} of them another contender is faster.`;

  const failed = bars.flatMap((bar) => {
    const group = records.filter(({ suite, case: name, variant }) => suite === bar.suite && (bar.cases?.includes(name) ?? (bar.case ?? name) === name) && (bar.variant ?? variant) === variant);
    const figures = group.map((record) => ({ name: `${record.suite} ${record.case}`, variant: record.variant, got: figureOf(record, bar.figure), fastest: record.fastest }));
    const judged = bar.cases === undefined ? figures : [{ name: `${bar.suite}, geometric mean of ${group.length} cases`, variant: bar.variant!, got: Math.exp(figures.reduce((sum, { got }) => sum + Math.log(got!), 0) / figures.length), fastest: null }];
    return judged.flatMap(({ name, variant, got, fastest }) => {
      if (got === null || got === undefined || (got >= (bar.atLeast ?? -Infinity) && got <= (bar.atMost ?? Infinity))) return [];
      return [[name, NAMES[variant], `${bar.atLeast === undefined ? `at most ${bar.atMost}` : `at least ${bar.atLeast}`} ${unitOf(bar.figure, fastest)}`, got.toPrecision(3)]];
    });
  });
  all.bars = failed.length === 0 ? "None in this run." : table(["case", "variant", "we wanted", "we got"], failed);

  const twice = (value: number): string => value.toFixed(2);
  all.functions = table(
    ["function", "relaxed", "worst at", "baseline", "worst at", "inputs"],
    Object.entries(functions).map(([name, { "relaxed-simd": relaxed, simd }]) => [`\`${name}\``, twice(relaxed.maxUlp), `${relaxed.at.toPrecision(4)}`, twice(simd.maxUlp), `${simd.at.toPrecision(4)}`, simd.inputs === 2 ** 32 ? "all 2^32" : `${simd.inputs}`]),
  );
  const softmax = records.filter(({ suite, ulp }) => suite === "softmax" && ulp !== undefined);
  all["softmax-errors"] = softmax.length === 0 ? "" : table(
    ["rows x columns", "variant", "ours", "others"],
    softmax.map((record) => [record.case, NAMES[record.variant], record.ulp!.toFixed(1), Object.entries(record.peersUlp ?? {}).map(([name, ulp]) => `${plain(name)} ${ulp.toFixed(1)}`).join(", ")]),
  );
  return all;
}

const PAGES = ["docs/performance.md", "docs/where-we-lose.md", "docs/accuracy.md", "docs/ood/which-detector.md"];

/** A page with its generated sections as the data say. */
export function filled(page: string, text: string, all: Readonly<Record<string, string>>): string {
  return text.replace(/(<!-- begin: ([\w-]+) -->\n)[\s\S]*?(<!-- end: \2 -->)/g, (_, begin: string, name: string, end: string) => {
    if (!(name in all)) throw new Error(`${page}: expected a section that the data have (${Object.keys(all).join(", ")}), got ${name}`);
    return `${begin}\n${all[name]}\n\n${end}`;
  });
}

if (import.meta.main) {
  const all = { ...sections(json("docs/data/bench.json"), json("docs/data/bars.json"), json("packages/core-wasm/accuracy.json")), ...detectorSections(json<DetectorData>("docs/data/detectors.json")) };
  const stale = PAGES.filter((page) => {
    const text = readFileSync(join(root, page), "utf8"), now = filled(page, text, all);
    if (!process.argv.includes("--check")) writeFileSync(join(root, page), now);
    return now !== text;
  });
  if (process.argv.includes("--check") && stale.length > 0) {
    console.error(`${stale.join(", ")}: expected the figures of docs/data, got others. Run node tools/site/measured.ts`);
    process.exitCode = 1;
  } else console.log(stale.length === 0 ? "measured pages: as the data say" : `wrote ${stale.join(", ")}`);
}

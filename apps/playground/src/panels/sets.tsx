import { areaY, barY, dot, line, ruleX, ruleY, type PlotOptions } from "@observablehq/plot";
import type { ConformalMethod, SizeCoverage } from "@logits/conformal";
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Example, SetsResult } from "../jobs/sets.ts";
import { DataPicker } from "../ui/dataPicker.tsx";
import { COLOURS, Figure } from "../ui/figure.tsx";
import { between, count, fixed, percent, probability } from "../ui/format.ts";
import { Live, Numbers, Progress, Promises, Select, Slider, Stat, Stats, Table } from "../ui/parts.tsx";
import type { PanelProps } from "../ui/shared.ts";
import { run } from "../worker/client.ts";
import { useJob } from "../worker/useJob.ts";

const ALPHAS = Array.from({ length: 25 }, (_, i) => 0.01 + 0.02 * i);
const METHODS = [["lac", "LAC: the smallest sets on average"], ["aps", "APS: larger sets where the model is unsure"]] as const;

export default function Sets({ shared }: PanelProps): JSX.Element {
  const { set, seed, info } = shared;
  const [alpha, setAlpha] = useState(0.1);
  const [method, setMethod] = useState<ConformalMethod>("lac");
  const job = useJob((control) => run("sets", "at", { key: set, seed, method, alpha }, control), [set, seed, method, alpha]);
  const curve = useJob((control) => run("sets", "curve", { key: set, seed, method, alphas: ALPHAS }, control), [set, seed, method]);
  const result = job.value;
  const name = (label: number): string => info?.names[label] ?? `class ${label}`;
  return (
    <>
      <p class="lead">Instead of one answer that may be wrong: a set of answers that holds the right one as often as you ask for. You choose the share α of sets that may miss it.</p>
      <DataPicker shared={shared} />
      <section class="card" aria-label="Promise">
        <div class="columns">
          <Slider label="Sets that may miss the right class: α" name="alpha" min={0.01} max={0.5} step={0.005} value={alpha} shown={`α = ${fixed(alpha, 3)}`} onValue={setAlpha} />
          <Select label="How sets are made" name="method" value={method} options={METHODS} onValue={(value) => setMethod(value as ConformalMethod)} />
        </div>
        {result && <Summary alpha={alpha} result={result} />}
        <Progress job={job} name="sets" />
      </section>
      {result && (
        <>
          <div class="figures">
            {curve.value && (
              <Figure title={<>Measured coverage along α <span class="key"><span style={{ "--colour": COLOURS.after }}>measured</span><span style={{ "--colour": "var(--line)" }}>promised</span></span></>} height={290}
                label="Coverage along alpha: the measured line stays near the promised one, 1 − α" draw={() => coverageAlong(curve.value!, alpha, result.report.coverage!)} data={[curve.value, alpha, result]} />
            )}
            <Figure title="Size of the sets" label={`Histogram of set sizes, ${fixed(result.report.meanSize, 2)} classes on average`} height={290} draw={() => sizesOf(result.sizes)} data={[result]} />
            <Figure title="Coverage by size of the set" label="Coverage by size of the set, with intervals" height={270} draw={() => bySize(result.report.bySize, alpha)} data={[result, alpha]} />
            <Figure title="Coverage by class, worst first" label={`Coverage of each class, from ${percent(result.report.worstClass.coverage!)} for ${name(result.report.worstClass.label)}`} height={270}
              draw={() => byClass(result, alpha)} data={[result, alpha]} />
          </div>
          <p class="hint">Worst class: <strong data-name="worst-class">{name(result.report.worstClass.label)}</strong>, covered in {percent(result.report.worstClass.coverage!)} of {result.report.worstClass.rows} rows. With many classes of few rows each, some look bad by chance; the lines are 95 % intervals. An empty set gets the most probable class, so the coverage never falls below the accuracy.</p>
          <section class="card left-table" aria-label="Examples"><Examples examples={result.examples} name={name} /></section>
          <Numbers caption="coverage by size of the set" name="by-size" head={["Classes in the set", "Rows", "Coverage", "95 % interval"]}
            rows={result.report.bySize.map((group) => [sizeName(group), count(group.rows), percent(group.coverage!), between(group.interval!)])} />
          <Promises
            promised={[
              `The set of a new row like these holds its right class with probability at least ${percent(1 - alpha)}. It rests on ${count(result.calibrationRows)} calibration rows that nothing else has seen.`,
              `For these very calibration rows the coverage lies between ${between(result.expected.interval)} in 95 of 100 draws.`,
              "Nothing is assumed about the model: with a bad one the promise holds too, with larger sets.",
            ]}
            not={["Coverage of each class or each size of set: it is a promise about all rows together. Look at the pictures.", "That a set with a single class is right that often.", "Anything about rows from another source: see the panel Shift."]} />
        </>
      )}
    </>
  );
}

function Summary({ alpha, result }: { readonly alpha: number; readonly result: SetsResult }): JSX.Element {
  const { report, chance, quantile } = result;
  const promised = 1 - alpha, fine = report.coverage! >= chance[0];
  return (
    <>
      <Stats>
        <Stat name="promised" label="Promised coverage" value={percent(promised)} note="at least, over draws of the rows" />
        <Stat name="coverage" label="Measured on test rows" value={percent(report.coverage!)} note={`${count(report.covered)} of ${count(report.rows)} sets hold the right class`} />
        <Stat name="mean-size" label="Classes in a set" value={fixed(report.meanSize, 2)} note="on average" />
        <Stat name="quantile" label="Threshold of the score" value={quantile === Infinity ? "none" : fixed(quantile, 4)} note={quantile === Infinity ? "too few calibration rows: every set holds all classes" : "classes with a score up to this are in"} />
      </Stats>
      <Live name="sets-summary">
        Promised {percent(promised)}, measured {percent(report.coverage!)}. {fine
          ? `That is in line with the promise: with so many rows chance alone gives ${between(chance)}.`
          : `That is lower than chance explains (${between(chance)}): these test rows are unlike the calibration rows, or this draw is one of the unlucky few. Split anew to see.`}
      </Live>
    </>
  );
}

function Examples({ examples, name }: { readonly examples: readonly Example[]; readonly name: (label: number) => string }): JSX.Element {
  const most = 6;
  return (
    <Table caption="Sets of the first test rows" head={["Right class", "Held?", "The set, most probable first"]} rows={examples.map(({ label, classes, probabilities }) => [
      name(label),
      classes.includes(label) ? "yes" : "no",
      <>{classes.slice(0, most).map((c, i) => <>{i > 0 && ", "}{c === label ? <strong>{name(c)}</strong> : name(c)} {probability(probabilities[i])}</>)}{classes.length > most && ` and ${classes.length - most} more`}</>,
    ])} />
  );
}

function sizeName({ low, high }: SizeCoverage): string {
  return high === Infinity ? `${low} or more` : low === high ? `${low}` : `${low} to ${high}`;
}

function coverageAlong(points: readonly { readonly alpha: number; readonly coverage: number; readonly low: number; readonly high: number }[], alpha: number, coverage: number): PlotOptions {
  return {
    marginLeft: 46, marginRight: 12, marginBottom: 38,
    x: { label: "α", domain: [0, 0.5] },
    y: { label: "coverage", tickFormat: "%", grid: true, domain: [0.45, 1] },
    marks: [
      areaY(points, { x: "alpha", y1: "low", y2: "high", fill: COLOURS.quiet }),
      line([[0, 1], [0.5, 0.5]], { stroke: COLOURS.line, strokeDasharray: "4 4" }),
      line(points, { x: "alpha", y: "coverage", stroke: COLOURS.after, strokeWidth: 2 }),
      ruleX([alpha], { stroke: COLOURS.line, strokeOpacity: 0.6 }),
      dot([{ alpha, coverage }], { x: "alpha", y: "coverage", fill: COLOURS.before, r: 5 }),
    ],
  };
}

function sizesOf(sizes: readonly number[]): PlotOptions {
  const shown = 12, bars = sizes.slice(1, shown).map((rows, i) => ({ size: `${i + 1}`, rows }));
  const more = sizes.slice(shown).reduce((sum, rows) => sum + rows, 0);
  if (more > 0) bars.push({ size: `${shown}+`, rows: more });
  return {
    marginLeft: 52, marginRight: 12, marginBottom: 38,
    x: { label: "classes in the set", type: "band", domain: bars.map((bar) => bar.size) },
    y: { label: "rows", grid: true, ticks: 5 },
    marks: [barY(bars, { x: "size", y: "rows", fill: COLOURS.after }), ruleY([0], { stroke: COLOURS.line })],
  };
}

function bySize(groups: readonly SizeCoverage[], alpha: number): PlotOptions {
  const rows = groups.map((group) => ({ ...group, name: sizeName(group), from: group.interval![0], to: group.interval![1] }));
  return {
    marginLeft: 46, marginRight: 12, marginBottom: 38,
    x: { label: "classes in the set", type: "band", domain: rows.map((row) => row.name) },
    y: { label: "coverage", tickFormat: "%", grid: true, domain: [0, 1] },
    marks: [ruleY([1 - alpha], { stroke: COLOURS.line, strokeDasharray: "4 4" }), ruleX(rows, { x: "name", y1: "from", y2: "to", stroke: COLOURS.after, strokeWidth: 2 }), dot(rows, { x: "name", y: "coverage", fill: COLOURS.after, r: 5 })],
  };
}

function byClass({ report }: SetsResult, alpha: number): PlotOptions {
  const rows = report.byClass.filter((entry) => entry.rows > 0).sort((a, b) => a.coverage! - b.coverage!).map((entry, i) => ({ ...entry, rank: i + 1, from: entry.interval![0], to: entry.interval![1] }));
  return {
    marginLeft: 46, marginRight: 12, marginBottom: 38,
    x: { label: "classes, worst first", domain: [0, rows.length + 1], ticks: 5, tickFormat: (value: number) => (Number.isInteger(value) && value > 0 ? `${value}` : "") },
    y: { label: "coverage", tickFormat: "%", grid: true, domain: [0, 1] },
    marks: [ruleY([1 - alpha], { stroke: COLOURS.line, strokeDasharray: "4 4" }), ruleX(rows, { x: "rank", y1: "from", y2: "to", stroke: COLOURS.after, strokeOpacity: 0.45 }), dot(rows, { x: "rank", y: "coverage", fill: COLOURS.after, r: 2.5 })],
  };
}

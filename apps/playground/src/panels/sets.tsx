import { coverageByClassPlot, coverageBySizePlot, type ConformalMethod, type SizeCoverage } from "@logits/conformal";
import type { Plot } from "@logits/metrics/plot";
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { ComparedMethod, Example, MethodResult, SetsResult } from "../jobs/sets.ts";
import { DataPicker } from "../ui/dataPicker.tsx";
import { Figure } from "../ui/figure.tsx";
import { between, count, fixed, percent, probability } from "../ui/format.ts";
import { Live, Numbers, Progress, Promises, Select, Slider, Stat, Stats, Table } from "../ui/parts.tsx";
import type { PanelProps } from "../ui/shared.ts";
import { run } from "../worker/client.ts";
import { useJob } from "../worker/useJob.ts";

const ALPHAS = Array.from({ length: 25 }, (_, i) => 0.01 + 0.02 * i);
const METHODS = [
  ["lac", "LAC: the smallest sets on average"], ["margin", "margin: distance to the best class"], ["raps", "RAPS: APS with a price on every rank"], ["saps", "SAPS: the top probability and ranks"],
  ["aps", "APS: larger sets where the model is unsure"], ["topk", "top-k: ranks alone"],
] as const;
const NAMES: Readonly<Record<ComparedMethod, string>> = { lac: "LAC", margin: "margin", raps: "RAPS", saps: "SAPS", aps: "APS", topk: "top-k", each: "LAC, class by class" };

export default function Sets({ shared }: PanelProps): JSX.Element {
  const { set, seed, info } = shared;
  const [alpha, setAlpha] = useState(0.1);
  const [method, setMethod] = useState<ConformalMethod>("lac");
  const job = useJob((control) => run("sets", "at", { key: set, seed, method, alpha }, control), [set, seed, method, alpha]);
  const curve = useJob((control) => run("sets", "curve", { key: set, seed, method, alphas: ALPHAS }, control), [set, seed, method]);
  const methods = useJob((control) => run("sets", "compare", { key: set, seed, alpha }, control), [set, seed, alpha]);
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
            {curve.value && <Figure height={290} plot={coverageAlong(curve.value, alpha, result.report.coverage!)} />}
            <Figure height={290} plot={sizesOf(result.sizes, result.report.meanSize)} />
            <Figure height={270} plot={coverageBySizePlot(result.report)} />
            <Figure height={270} title="Coverage by class, worst first" plot={coverageByClassPlot(result.report, { names: info?.names ?? [] })} />
          </div>
          <p class="hint">Worst class: <strong data-name="worst-class">{name(result.report.worstClass.label)}</strong>, covered in {percent(result.report.worstClass.coverage!)} of {result.report.worstClass.rows} rows. With many classes of few rows each, some look bad by chance; the lines are 95 % intervals. An empty set gets the most probable class, so the coverage never falls below the accuracy.</p>
          {methods.value && <Methods list={methods.value} alpha={alpha} method={method} name={name} />}
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

function Methods({ list, alpha, method, name }: { readonly list: readonly MethodResult[]; readonly alpha: number; readonly method: ConformalMethod; readonly name: (label: number) => string }): JSX.Element {
  return (
    <section class="card" aria-label="Methods side by side">
      <h3>Methods side by side</h3>
      <Table name="methods" caption={`The same promise of ${percent(1 - alpha)} over all rows; the last one makes it for each class`} head={["Method", "Coverage", "Classes in a set", "Sets of one class", "Worst class", "Classes short of the promise"]}
        rows={list.map((entry) => [
          entry.name === method ? <strong>{NAMES[entry.name]}</strong> : NAMES[entry.name], percent(entry.coverage), fixed(entry.meanSize, 2), percent(entry.single), `${name(entry.worst.label)}: ${percent(entry.worst.coverage)} of ${entry.worst.rows}`, count(entry.short),
        ])} />
      <p class="hint">Short of the promise: even the upper end of the class's 95 % interval is below it. Sets with a promise for each class are larger, because every class rests on its own few calibration rows.</p>
    </section>
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

function coverageAlong(points: readonly { readonly alpha: number; readonly coverage: number; readonly low: number; readonly high: number }[], alpha: number, coverage: number): Plot {
  const x = points.map((point) => point.alpha);
  return {
    title: "Measured coverage along α",
    x: { label: "α", domain: [0, 0.5] },
    y: { label: "coverage", percent: true, domain: [0.45, 1] },
    series: [
      { kind: "band", x, low: points.map((point) => point.low), high: points.map((point) => point.high), colour: "soft" },
      { kind: "line", name: "promised", x: [0, 0.5], y: [1, 0.5], colour: "soft", dashed: true },
      { kind: "line", name: "measured", x, y: points.map((point) => point.coverage), colour: 1 },
      { kind: "points", name: "here", x: [alpha], y: [coverage], colour: 2 },
    ],
  };
}

function sizesOf(sizes: readonly number[], mean: number): Plot {
  const shown = 12, bars = sizes.slice(1, shown).map((rows, i) => ({ size: `${i + 1}`, rows }));
  const more = sizes.slice(shown).reduce((sum, rows) => sum + rows, 0);
  if (more > 0) bars.push({ size: `${shown}+`, rows: more });
  return {
    title: "Size of the sets",
    description: `${fixed(mean, 2)} classes on average.`,
    x: { label: "classes in the set", categories: bars.map((bar) => bar.size) },
    y: { label: "rows", zero: true },
    series: [{ kind: "bars", low: bars.map((_, i) => i - 0.4), high: bars.map((_, i) => i + 0.4), value: bars.map((bar) => bar.rows), colour: 1 }],
  };
}

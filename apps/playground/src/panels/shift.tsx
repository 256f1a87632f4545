import { evidencePlot } from "@logits/conformal";
import type { Plot } from "@logits/metrics/plot";
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Report, Shift as ShiftBy, Shifted, Stream } from "../jobs/shift.ts";
import { DataPicker } from "../ui/dataPicker.tsx";
import { Figure } from "../ui/figure.tsx";
import { between, count, fixed, pValue, percent } from "../ui/format.ts";
import { Live, Progress, Promises, Slider, Stat, Stats } from "../ui/parts.tsx";
import type { PanelProps } from "../ui/shared.ts";
import { run } from "../worker/client.ts";
import { useJob } from "../worker/useJob.ts";

const ALPHA = 0.05, RATE = 0.05, ALARM = 0.01;
const NONE: ShiftBy = { scale: 1, noise: 0, mix: 0 };

export default function Shift({ shared }: PanelProps): JSX.Element {
  const { set, seed, info } = shared;
  const [by, setBy] = useState(NONE);
  const job = useJob((control) => run("shift", "shift", { key: set, seed, alpha: ALPHA, rate: RATE, ...by }, control), [set, seed, by.scale, by.noise, by.mix]);
  const result = job.value;
  const changed = by.scale !== 1 || by.noise > 0 || by.mix > 0;
  return (
    <>
      <p class="lead">Every promise here rests on one assumption: new rows come from the same source as the calibration rows. Break it, and watch two promises break with it, and what notices.</p>
      <DataPicker shared={shared} />
      <section class="card" aria-label="Shift">
        <div class="columns">
          <Slider label="Temperature of the new scores" name="scale" min={-2} max={2} step={0.05} value={Math.log2(by.scale)} shown={by.scale === 1 ? "1, unchanged" : `scores divided by ${fixed(by.scale, 2)}`} onValue={(value) => setBy({ ...by, scale: 2 ** value })} mark={{ value: 0, label: "unchanged" }} />
          <Slider label="Labels drawn anew" name="noise" min={0} max={0.5} step={0.01} value={by.noise} shown={percent(by.noise, 0)} onValue={(noise) => setBy({ ...by, noise })} />
          <Slider label={info && info.outliers > 0 ? "Rows of no class mixed in" : "Rows mixed in whose scores lie"} name="mix" min={0} max={0.5} step={0.01} value={by.mix} shown={percent(by.mix, 0)} onValue={(mix) => setBy({ ...by, mix })} />
        </div>
        <div class="row">
          <button type="button" class="small" name="unshift" onClick={() => setBy(NONE)} disabled={!changed}>Undo all shifts</button>
          <p class="hint">{info && info.outliers > 0 ? "The other source: sentences or rows that belong to no class, so no set can hold their right class." : "The other source: rows whose scores were handed to classes at random. They look like known rows and know nothing."}</p>
        </div>
        {result && <Summary result={result} />}
        <Progress job={job} name="shift" />
      </section>
      {result && (
        <>
          <div class="figures">
            <Reported title="Without labels: p-values of the detector" report={result.withoutLabels} blind="A shift may still hide: changed labels leave the scores as they are, and no method without labels can see it." />
            <Reported title="With labels: p-values of the right class" report={result.withLabels} blind="It needs labels of new rows, which are rarely there at once." />
          </div>
          <Watched stream={result.stream} changed={changed} />
          <Promises
            promised={[
              `Made for unchanged rows, from ${count(result.calibrationRows)} calibration rows: sets hold the right class for at least ${percent(1 - ALPHA)}, and at most ${percent(RATE)} of the rows are called unknown (in 95 of 100 calibrations).`,
              "A p-value of a row like the calibration rows is at most a with probability at most a. So when nothing changed, each tenth holds about a tenth of the rows.",
              `The test compares new rows with calibration rows and is exact: with nothing changed it raises a false alarm below ${ALARM} once in a hundred draws.`,
            ]}
            not={["Anything after a shift: the numbers above are what remains.", "That every shift is noticed. Uniform p-values do not prove that the source is the same.", "That a noticed shift did harm: sharper scores may even raise the coverage."]} />
        </>
      )}
    </>
  );
}

function Summary({ result }: { readonly result: Shifted }): JSX.Element {
  const { coverage, chance, unknown, falseAlarms, falseAlarmsInterval, found, rows, foreign, foreignUnlabelled, meanSize, accuracy } = result;
  const covers = coverage >= chance[0], few = falseAlarmsInterval[0] <= RATE, seen = result.withoutLabels.pValue <= ALARM, seenWithLabels = result.withLabels.pValue <= ALARM;
  return (
    <>
      <Stats>
        <Stat name="coverage" label="Coverage of the sets" value={percent(coverage)} note={`promised ${percent(1 - ALPHA)}; chance gives ${between(chance)}`} />
        <Stat name="unknown" label="Called unknown" value={percent(unknown)} note={found === null ? `promised at most ${percent(RATE)} of known rows` : `${percent(falseAlarms)} of the known rows, promised at most ${percent(RATE)}; ${percent(found)} of those from elsewhere`} />
        <Stat name="size" label="Classes in a set" value={fixed(meanSize, 2)} note="on average" />
        <Stat name="accuracy" label="Right answers" value={percent(accuracy)} note={`of ${count(rows)} new rows${foreign > 0 ? `, ${count(foreign)} from elsewhere` : ""}`} />
      </Stats>
      <div class="columns">
        <div class={`verdict ${covers ? "good" : "bad"}`} data-name="coverage-verdict"><strong>Coverage: {covers ? "the promise holds" : "the promise is broken"}</strong>{covers ? "Measured in line with what was promised." : `${percent(coverage)} is below what chance explains${foreign > 0 && foreignUnlabelled ? "; no set can hold the right class of a row that has none" : ""}.`}</div>
        <div class={`verdict ${few ? "good" : "bad"}`} data-name="unknown-verdict"><strong>False alarms: {few ? "the promise holds" : "more than promised"}</strong>{few ? `${percent(falseAlarms)} of the known rows are called unknown${found === null ? "" : `, and ${percent(found)} of those from elsewhere, rightly`}.` : `${percent(falseAlarms)} of the known rows: their scores have a new form.`}</div>
        <div class={`verdict ${seen || seenWithLabels ? "bad" : "plain"}`} data-name="report-verdict"><strong>Reported: {seen ? "a shift, seen without labels" : seenWithLabels ? "a shift, seen only with labels" : "no shift"}</strong>p = {pValue(result.withoutLabels.pValue)} without labels, {pValue(result.withLabels.pValue)} with.</div>
      </div>
      <Live name="shift-summary">
        {covers && few ? "Both promises hold on these rows. " : `${covers ? "Coverage holds" : "Coverage is broken"}, ${few ? "false alarms are within the promise" : "more known rows are called unknown than promised"}. `}
        {seen ? "The p-values are no longer uniform: do not rely on the promises until you calibrate anew." : seenWithLabels ? "Only labels of new rows reveal it." : covers && few ? "" : "Nothing reports it yet: more rows would."}
      </Live>
    </>
  );
}

function Reported({ title, report, blind }: { readonly title: string; readonly report: Report; readonly blind: string }): JSX.Element {
  const alarm = report.pValue <= ALARM;
  return (
    <div>
      <Figure height={240} plot={uniform(title, report.tenths, alarm)} />
      <p class="hint" style={{ padding: "6px 2px" }}>{alarm ? "Not uniform" : "In line with uniform"}: p = {pValue(report.pValue)} for “new rows and calibration rows have one source”. {blind}</p>
    </div>
  );
}

function uniform(title: string, tenths: readonly number[], alarm: boolean): Plot {
  return {
    title,
    description: `${alarm ? "Not uniform" : "Close to uniform"}: ${tenths.map((share) => percent(share, 0)).join(", ")}.`,
    x: { label: "p-value", domain: [0, 1] },
    y: { label: "share of the new rows", percent: true, domain: [0, Math.max(0.25, ...tenths)] },
    series: [
      { kind: "bars", low: tenths.map((_, i) => i / 10), high: tenths.map((_, i) => (i + 1) / 10), value: tenths, colour: alarm ? 2 : 1 },
      { kind: "rule", axis: "y", at: 0.1, dashed: true },
    ],
  };
}

/** Two monitors along a stream whose second half is changed. */
function Watched({ stream, changed }: { readonly stream: Stream; readonly changed: boolean }): JSX.Element {
  const { level, unchanged, withoutLabels, withLabels } = stream, height = -Math.log(level);
  const said = (evidence: Float64Array): string => {
    const at = evidence.findIndex((value) => value >= height);
    return at < 0 ? "no alarm" : at < unchanged ? `a false alarm at row ${count(at + 1)}` : `an alarm at row ${count(at + 1)}, ${count(at + 1 - unchanged)} rows after the change`;
  };
  const plot = evidencePlot({ "with labels": withLabels, "without labels": withoutLabels }, { level });
  return (
    <div>
      <Figure title="Watched row by row: evidence against an unchanged source" height={300} plot={{ ...plot, series: [...plot.series, ...(changed ? [{ kind: "rule", axis: "x", at: unchanged, colour: 2, label: "changed from here" } as const] : [])] }} />
      <p class="hint" style={{ padding: "6px 2px" }}>
        A stream of {count(withLabels.length)} rows{changed ? `, unchanged for the first ${count(unchanged)}` : ", unchanged"}. With labels: <strong data-name="alarm-with">{said(withLabels)}</strong>; without: <strong data-name="alarm-without">{said(withoutLabels)}</strong>.
        The monitor may be asked after every row: while nothing changes, it ever raises an alarm with probability at most {level}.
      </p>
    </div>
  );
}

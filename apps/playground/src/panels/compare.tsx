import { reliabilityPlot } from "@logits/calibration";
import type { Plot } from "@logits/metrics/plot";
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { CalibratorKey, Compared, Comparison } from "../jobs/compare.ts";
import { DataPicker } from "../ui/dataPicker.tsx";
import { Figure } from "../ui/figure.tsx";
import { count, fixed, percent } from "../ui/format.ts";
import { Live, Progress, Promises, Select, Slider, Table } from "../ui/parts.tsx";
import type { PanelProps } from "../ui/shared.ts";
import { run } from "../worker/client.ts";
import { useJob } from "../worker/useJob.ts";

const ROWS = [100, 250, 500, 1000, 2000];
const NAMES: Readonly<Record<CalibratorKey, string>> = {
  none: "the model as it is", temperature: "temperature", ensemble: "three temperatures", vector: "vector scaling", matrix: "matrix scaling", "top-beta": "beta, by the top class", "one-vs-rest": "isotonic, class by class",
};

export default function Compare({ shared }: PanelProps): JSX.Element {
  const { set, seed } = shared;
  const [step, setStep] = useState(ROWS.indexOf(500));
  const [wanted, setWanted] = useState<CalibratorKey | "chosen">("chosen");
  const job = useJob((control) => run("compare", "compare", { key: set, seed, rows: ROWS[step] }, control), [set, seed, step]);
  const result = job.value, key = wanted === "chosen" ? result?.chosen : wanted;
  const shown = result?.list.find((entry) => entry.key === key);
  const options = [["chosen", result ? `the chosen one: ${NAMES[result.chosen]}` : "the chosen one"], ...(result?.list ?? []).map((entry) => [entry.key, NAMES[entry.key]] as const)] as const;
  return (
    <>
      <p class="lead">A calibrator with more numbers can mend more, and needs more rows to find them. Which one pays depends on how many labelled rows you have. Move the slider, and see when the simple one wins.</p>
      <DataPicker shared={shared} />
      <section class="card" aria-label="Calibrators">
        <div class="columns">
          <Slider label="Labelled rows to fit on" name="rows" min={0} max={ROWS.length - 1} step={1} value={step} shown={count(ROWS[step])} onValue={setStep} />
          <Select label="Show the reliability of" name="calibrator" value={wanted} options={options} onValue={(value) => setWanted(value as CalibratorKey | "chosen")} />
        </div>
        {result && <Verdict result={result} />}
        <Progress job={job} name="compare" />
      </section>
      {result && (
        <>
          <section class="card" aria-label="Losses">
            <Table name="calibrators" caption={`On ${count(result.testRows)} rows that no fit has seen`} head={["Calibrator", "Numbers fitted", "Log loss, nats", "Brier score", "Calibration error", "Other answers"]}
              rows={result.list.map((entry) => [
                entry.key === result.chosen ? <strong>{NAMES[entry.key]} ← chosen</strong> : NAMES[entry.key], entry.parameters === null ? "as many as needed" : count(entry.parameters), loss(entry.nll), fixed(entry.brier, 4), fixed(entry.ece, 4), percent(entry.changed),
              ])} />
            <p class="hint">Log loss and Brier score are proper: no calibrator improves them by hiding what it knows. The calibration error is not: a constant would have none. A log loss of ∞: a right class got probability 0, as steps of an isotonic fit give it.</p>
          </section>
          <div class="figures">
            {shown && <Figure title={`Reliability: ${NAMES[shown.key]}`} plot={reliabilityPlot(shown.diagram, { title: `Accuracy against confidence, ${NAMES[shown.key]}`, colour: shown.key === "none" ? 2 : 1 })} height={330} />}
            <Figure plot={losses(result)} height={330} />
          </div>
          <Promises
            promised={[
              `The choice saw the ${count(result.fitRows)} fit rows only: each candidate is fitted on ${result.folds - 1} of ${result.folds} parts and tried on the one left out.`,
              "Of the candidates within one standard error of the best, the simplest is taken; the error is that of the difference, row by row.",
              `The table is measured on ${count(result.testRows)} other rows. They are for looking, not for choosing.`,
            ]}
            not={["That the chosen one is the best on the test rows: with few rows the losses are close, and the simple one is safer.", "Honest probabilities in every group of rows.", "That a lower calibration error alone is better: look at the proper losses first."]} />
        </>
      )}
    </>
  );
}

const loss = (value: number): string => (value === Infinity ? "∞" : fixed(value, 4));

function Verdict({ result }: { readonly result: Comparison }): JSX.Element {
  const of = (key: CalibratorKey): Compared => result.list.find((entry) => entry.key === key)!, chosen = of(result.chosen), none = of("none");
  const best = result.list.reduce((least, entry) => (entry.nll < least.nll ? entry : least));
  return (
    <Live name="compare-summary">
      From {count(result.fitRows)} rows the cross-validated log loss chooses <strong data-name="chosen">{NAMES[result.chosen]}</strong>. On the test rows it takes the log loss from {loss(none.nll)} to <strong data-name="chosen-nll">{loss(chosen.nll)}</strong>
      {best.key === chosen.key ? ", the lowest of all." : `; the lowest is ${loss(best.nll)}, of ${NAMES[best.key]}.`}
    </Live>
  );
}

function losses({ list, folds }: Comparison): Plot {
  const finite = list.filter(({ nll }) => nll < Infinity), tried = list.flatMap(({ crossValidated }, i) => (crossValidated && crossValidated.loss < Infinity ? [{ i, loss: crossValidated.loss }] : []));
  const none = list[0].nll;
  return {
    title: "Log loss, lower is better",
    description: finite.map(({ key, nll }) => `${NAMES[key]} ${loss(nll)}`).join(", "),
    x: { label: "log loss, nats" },
    y: { label: "", categories: list.map(({ key }) => NAMES[key]) },
    series: [
      { kind: "rule", axis: "x", at: none, dashed: true },
      { kind: "points", name: "on the test rows", x: list.map(({ nll }) => nll), y: list.map((_, i) => i), colour: 1 },
      { kind: "points", name: `by ${folds} folds of the fit rows`, shape: "diamond", x: tried.map((entry) => entry.loss), y: tried.map((entry) => entry.i), colour: 2 },
    ],
  };
}

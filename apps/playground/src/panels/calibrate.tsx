import { reliabilityPlot } from "@logits/calibration";
import type { Plot } from "@logits/metrics/plot";
import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { DataPicker } from "../ui/dataPicker.tsx";
import { Figure } from "../ui/figure.tsx";
import { between, count, fixed, percent } from "../ui/format.ts";
import { Live, Numbers, Progress, Promises, Slider, Stat, Stats } from "../ui/parts.tsx";
import type { PanelProps } from "../ui/shared.ts";
import { run } from "../worker/client.ts";
import { useJob } from "../worker/useJob.ts";

const POINTS = 33;

export default function Calibrate({ shared }: PanelProps): JSX.Element {
  const { set, seed } = shared;
  const fitted = useJob((control) => run("calibrate", "fit", { key: set, seed }, control), [set, seed]);
  const fit = fitted.value;
  const [chosen, setChosen] = useState<number | undefined>();
  useEffect(() => setChosen(undefined), [set, seed]);
  const temperature = chosen ?? fit?.temperature;
  const moved = useJob(chosen === undefined ? undefined : (control) => run("calibrate", "at", { key: set, seed, temperature: chosen }, control), [set, seed, chosen]);
  const low = Math.min(-2, Math.floor(Math.log2(fit?.temperature ?? 1) - 1)), high = Math.max(3, Math.ceil(Math.log2(fit?.temperature ?? 1) + 1));
  const temperatures = useMemo(() => Array.from({ length: POINTS }, (_, i) => 2 ** (low + ((high - low) * i) / (POINTS - 1))), [low, high]);
  const curve = useJob(fit && ((control) => run("calibrate", "curve", { key: set, seed, temperatures }, control)), [set, seed, temperatures]);
  const points = curve.value ?? [];
  const now = chosen === undefined ? fit?.after : moved.value;
  return (
    <>
      <p class="lead">A model that says “90 % sure” should be right nine times in ten. Most are not. One number, the temperature T, divides the scores and repairs the confidence without changing a single answer.</p>
      <DataPicker shared={shared} />
      <Progress job={fitted} name="calibrate" collapse />
      {fit && temperature !== undefined && now && (
        <>
          <section class="card" aria-label="Temperature">
            <Slider label="Temperature T" name="temperature" min={low} max={high} step={0.01} value={Math.log2(temperature)} shown={`T = ${fixed(temperature, 3)}`}
              mark={{ value: Math.log2(fit.temperature), label: `fitted: ${fixed(fit.temperature, 3)}` }} onValue={(value) => setChosen(2 ** value)} />
            <div class="row">
              <button type="button" class="small" name="fitted" onClick={() => setChosen(undefined)} disabled={chosen === undefined}>Back to the fitted T</button>
              <button type="button" class="small" name="uncalibrated" onClick={() => setChosen(1)} disabled={chosen === 1}>T = 1, as the model says</button>
            </div>
            <Stats>
              <Stat name="fitted-temperature" label="Fitted T" value={fixed(fit.temperature, 4)} note={fit.atBound ? "at the bound: the fit rows hold no error to learn from" : `± ${fixed(fit.standardError, 3)}, from ${count(fit.fitRows)} rows`} />
              <Stat name="nll" label="Negative log-likelihood" value={fixed(now.nll, 4)} note={`at T = 1: ${fixed(fit.before.nll, 4)}`} />
              <Stat name="ece" label="Calibration error (ECE)" value={fixed(now.ece, 4)} note={<>at T = 1: <span data-name="ece-before">{fixed(fit.before.ece, 4)}</span></>} />
              <Stat name="confidence" label="Mean confidence" value={percent(now.meanConfidence)} note={<>right: <span data-name="accuracy">{percent(fit.accuracy)}</span> at every T</>} />
            </Stats>
            <Live name="calibrate-summary">
              At T = {fixed(temperature, 3)} the mean confidence is {percent(now.meanConfidence)} and {percent(fit.accuracy)} of {count(fit.testRows)} rows are right.{" "}
              {now.ece <= fit.eceByChance ? `The calibration error ${fixed(now.ece, 4)} is what a perfectly calibrated model could show by chance (up to ${fixed(fit.eceByChance, 4)}).` : `The calibration error ${fixed(now.ece, 4)} is more than chance would give (up to ${fixed(fit.eceByChance, 4)}).`}
            </Live>
          </section>
          <div class="figures">
            <Figure title="As the model says (T = 1)" plot={reliabilityPlot(fit.before.diagram, { title: "Accuracy against confidence at T = 1", colour: 2 })} height={320} />
            <Figure title={`At T = ${fixed(temperature, 3)}`} plot={reliabilityPlot(now.diagram, { title: `Accuracy against confidence at T = ${fixed(temperature, 3)}` })} height={320} />
          </div>
          <p class="hint">Dots: accuracy of the rows of like confidence, with its 95 % interval. Dashed: where confidence equals accuracy. Bars: where the rows are.</p>
          <div class="figures">
            <Figure height={240} plot={along("Negative log-likelihood along T", points.map((point) => [point.temperature, point.nll]), [temperature, now.nll], fit.temperature, [low, high], "nats")} />
            <Figure height={240} plot={along("Calibration error along T", points.map((point) => [point.temperature, point.ece]), [temperature, now.ece], fit.temperature, [low, high], "ECE")} />
          </div>
          <Numbers caption={`reliability at T = ${fixed(temperature, 3)}`} head={["Confidence", "Rows", "Mean confidence", "Accuracy", "A calibrated model shows"]} name="bins"
            rows={now.diagram.bins.filter((bin) => bin.count > 0).map((bin) => [`${fixed(bin.low, 2)} to ${fixed(bin.high, 2)}`, count(bin.count), percent(bin.meanConfidence!), percent(bin.accuracy!), between(bin.band!)])} />
          <Promises
            promised={["The answers stay as they were: dividing by T keeps the order of the classes.", "T is the one best value on the fit rows: the loss has a single minimum, and the fit finds it.", `Everything shown is measured on the ${count(fit.testRows)} rows that the fit did not see.`]}
            not={["That each probability is right: one T for all rows can repair the average, not every group.", "Anything about rows from another source: see the panel Shift.", "An ECE of 0: it is biased upwards, so it is shown next to what chance alone gives."]} />
        </>
      )}
    </>
  );
}

function along(title: string, points: readonly (readonly [x: number, y: number])[], here: readonly [x: number, y: number], fitted: number, [low, high]: readonly [number, number], label: string): Plot {
  return {
    title,
    x: { label: "T", log: true, domain: [2 ** low, 2 ** high] },
    y: { label, zero: true },
    series: [
      { kind: "rule", axis: "x", at: fitted, dashed: true, label: "fitted" },
      { kind: "line", x: points.map(([x]) => x), y: points.map(([, y]) => y), colour: 1 },
      { kind: "points", x: [here[0]], y: [here[1]], colour: 2 },
    ],
  };
}

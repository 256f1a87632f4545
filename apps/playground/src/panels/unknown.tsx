import { riskCoveragePlot, type Plot } from "@logits/metrics/plot";
import { scorePlot, type LogitDetectorMethod } from "@logits/ood";
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Guarded, Scored } from "../jobs/unknown.ts";
import { DataPicker } from "../ui/dataPicker.tsx";
import { Figure } from "../ui/figure.tsx";
import { between, count, fixed, pValue, percent } from "../ui/format.ts";
import { Live, Progress, Promises, Select, Slider, Stat, Stats } from "../ui/parts.tsx";
import type { PanelProps } from "../ui/shared.ts";
import { run } from "../worker/client.ts";
import { useJob } from "../worker/useJob.ts";

const METHODS: readonly (readonly [LogitDetectorMethod, string])[] = [
  ["maxLogit", "maxLogit: no score is large"],
  ["energy", "energy: all scores are small"],
  ["msp", "msp: no probability is large"],
  ["entropy", "entropy: the probabilities are spread"],
  ["margin", "margin: the two best are close"],
];
const CONFIDENCES = [["0.95", "in 95 of 100 calibrations"], ["marginal", "on average over calibrations"]] as const;

export default function Unknown({ shared }: PanelProps): JSX.Element {
  const { set, seed, info, choose } = shared;
  const [wanted, setMethod] = useState<LogitDetectorMethod>("maxLogit");
  const [rate, setRate] = useState(0.05);
  const [confidence, setConfidence] = useState("0.95");
  const methods = METHODS.filter(([method]) => method !== "energy" || !info?.normalised);
  const method = methods.some(([known]) => known === wanted) ? wanted : "maxLogit";
  const scored = useJob((control) => run("unknown", "score", { key: set, seed, method }, control), [set, seed, method]);
  const guarded = useJob((control) => run("unknown", "guard", { key: set, seed, method, rate, confidence: confidence === "marginal" ? "marginal" : 0.95 }, control), [set, seed, method, rate, confidence]);
  const result = scored.value, guard = guarded.value;
  return (
    <>
      <p class="lead">A classifier gives every input an answer, even to a question that is none of its business. A detector scores how unlike the known rows a row is, and a threshold turns the score into “I do not know”, with a bound on false alarms.</p>
      <DataPicker shared={shared} />
      {info && info.outliers === 0 && (
        <div class="message"><p>This data set has no rows of no class, so only false alarms can be measured.</p>
          <button type="button" class="small" name="with-outliers" onClick={() => choose("clinc")}>Use the sentences, which have real ones</button></div>
      )}
      <section class="card" aria-label="Promise">
        <div class="columns">
          <Slider label="Known rows that may be called unknown" name="rate" min={0.005} max={0.3} step={0.005} value={rate} shown={`at most ${percent(rate)}`} onValue={setRate} />
          <Select label="The promise is kept" name="confidence" value={confidence} options={CONFIDENCES} onValue={setConfidence} />
          <Select label="Detector" name="method" value={method} options={methods} onValue={(value) => setMethod(value as LogitDetectorMethod)} />
        </div>
        {result && guard && <Summary result={result} guard={guard} rate={rate} marginal={confidence === "marginal"} />}
        <Progress job={scored} name="unknown" />
      </section>
      {result && guard && (
        <>
          <Figure height={300} title="Scores: further right is less like the known rows" plot={scorePlot(result.histogram, guard.threshold === null ? {} : { threshold: guard.threshold })} />
          <div class="figures">
            <Figure title="Risk and coverage: errors among the rows that are answered" height={290} plot={riskCurve(result, guard)} />
            <section class="card" aria-label="Detection without a threshold">
              <h3>The detector itself, whatever the threshold</h3>
              <Stats>
                <Stat name="auroc" label="AUROC" value={result.auroc === null ? "no outliers" : fixed(result.auroc, 4)} note="an outlier scores higher than a known row with this probability" />
                <Stat name="fpr95" label="FPR95" value={result.keptAt95Kept === null ? "no outliers" : percent(result.keptAt95Kept)} note="outliers kept where 95 % of the known rows are, as most papers count" />
                <Stat name="flagged95" label="The other way round" value={result.flaggedAt95Detected === null ? "no outliers" : percent(result.flaggedAt95Detected)} note="known rows flagged where 95 % of the outliers are found" />
                <Stat name="aurc" label="AURC" value={fixed(result.aurc, 4)} note="area under the risk-coverage curve; lower is better" />
              </Stats>
            </section>
          </div>
          <Promises
            promised={[
              confidence === "marginal" ? `A new row like the known ones is called unknown with probability at most ${percent(rate)}, on average over calibrations.` : `In 95 of 100 calibrations, at most ${percent(rate)} of new rows like the known ones are called unknown.`,
              `It rests on ${count(result.calibrationRows)} calibration rows that no other step has seen.`,
            ]}
            not={["How many outliers are found: that is a fact about the detector and these outliers, measured above, and other outliers may look like known rows.", "That flagged rows are wrong: some are known rows in an unusual form.", "Anything when the known rows themselves change: see the panel Shift."]} />
        </>
      )}
    </>
  );
}

function Summary({ result, guard, rate, marginal }: { readonly result: Scored; readonly guard: Guarded; readonly rate: number; readonly marginal: boolean }): JSX.Element {
  const { falsePositives, detected, threshold, needed, answered, medianPValue } = guard;
  return (
    <>
      <Stats>
        <Stat name="threshold" label="Threshold" value={threshold === null ? "none" : fixed(threshold, 3)} note={threshold === null ? `${count(needed)} calibration rows are needed` : `set on ${count(result.calibrationRows)} known rows`} />
        <Stat name="false-positives" label="False alarms" value={percent(falsePositives.rate!)} note={`${count(falsePositives.exceeding)} of ${count(falsePositives.rows)} known test rows; promised at most ${percent(rate)}`} />
        <Stat name="detected" label="Outliers found" value={detected === null ? "no outliers" : percent(detected.rate!)} note={detected === null ? "the data set has none" : `${count(detected.exceeding)} of ${count(detected.rows)}, interval ${between(detected.interval!)}`} />
        <Stat name="risk" label="Errors among the answered" value={answered.risk === null ? "none answered" : percent(answered.risk)} note={`${percent(1 - result.accuracy)} when every row is answered`} />
      </Stats>
      <Live name="unknown-summary">
        {threshold === null ? `No threshold keeps that promise with ${count(result.calibrationRows)} calibration rows, so nothing is flagged; ${count(needed)} would do. ` : `Of the known test rows ${percent(falsePositives.rate!)} are called unknown, promised at most ${percent(rate)}. `}
        {threshold !== null && falsePositives.interval![0] > rate ? (marginal ? "This draw is above the average; other splits are below it. " : "That is more than promised: such a draw is one of the few. ") : ""}
        {detected !== null && threshold !== null ? `Of the outliers ${percent(detected.rate!)} are found; the typical one has a p-value of ${pValue(medianPValue!)}.` : ""}
      </Live>
    </>
  );
}

function riskCurve({ curve, aurc }: Scored, { answered }: Guarded): Plot {
  const plot = riskCoveragePlot({ model: { coverage: curve.map((point) => point.coverage), risk: curve.map((point) => point.risk), aurc } });
  return answered.risk === null ? plot : { ...plot, series: [...plot.series, { kind: "points", x: [answered.coverage], y: [answered.risk], labels: ["with this threshold"], colour: 2 }] };
}

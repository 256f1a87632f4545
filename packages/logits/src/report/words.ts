import type { DetectorMeasures, ReportMetrics, SetMeasures, Share } from "./types.ts";

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

/** 1 - alpha as the user would write it: 0.9, not 0.90000000000000002. */
export const promised = (alpha: number): string => `${+(1 - alpha).toPrecision(12)}`;

/** "2", "3 to 5". */
export const sizes = ({ from, to }: { readonly from: number; readonly to: number }): string => (from === to ? `${from}` : `${from} to ${to}`);

/** The one with the lowest share; of equal ones the first. */
export function worst<Entry extends Share>(entries: readonly Entry[]): Entry {
  return entries.reduce((least, entry) => (entry.share < least.share ? entry : least));
}

/** What the numbers mean, one sentence or two a finding, for the page and the terminal. */
export function findings(metrics: ReportMetrics): string[] {
  const { before, after, rows, input } = metrics;
  const gap = before.meanConfidence - before.accuracy;
  // Twice the standard error of the accuracy of a calibrated model, at most.
  const chance = 2 * Math.sqrt((before.meanConfidence * (1 - before.meanConfidence)) / rows.shown);
  const verdict = Math.abs(gap) <= chance ? "no further apart than chance explains" : gap > 0 ? "it is overconfident" : "it is underconfident";
  const out = [
    `The model is right on ${percent(before.accuracy)} of the ${rows.shown} shown rows and claims ${percent(before.meanConfidence)}: ${verdict}.`,
    temperatureFinding(metrics),
    `The calibration error (15 bins of equal width) goes from ${before.ece.toFixed(4)} to ${after.ece.toFixed(4)}. A perfectly calibrated model with these confidences would show about ` +
      `${after.eceNull.mean.toFixed(4)} (95 % point ${after.eceNull.quantile95.toFixed(4)}) on ${rows.shown} rows, and at least as much as this one with p = ${after.eceNull.pValue.toFixed(3)}: ` +
      `${after.eceNull.pValue < 0.05 ? "some miscalibration is left" : "what is left cannot be told from noise"}.`,
    ...metrics.sets.map((sets) => setFinding(sets, metrics.detector)),
    ...(metrics.detector ? [detectorFinding(metrics.detector)] : []),
  ];
  if (before.ties > 0) out.push(`Rows with several classes of the same largest score: ${before.ties}; the one with the smallest index counts as the prediction.`);
  if (input.kind === "probabilities") out.push(`Probabilities below 2^-126, set to it before the logarithm: ${input.clipped}, in ${input.clippedRows} rows.`);
  return out;
}

function temperatureFinding({ before, after, temperature, temperatureStandardError: error, temperatureAtBound, rows }: ReportMetrics): string {
  const change = `On the shown rows the log-loss goes from ${before.nll.toFixed(4)} to ${after.nll.toFixed(4)} nats`;
  if (temperatureAtBound) {
    const reason = temperature < 1 ? "no fit row is wrong, or the scores are very small" : "on the fit rows the scores speak against the labels, or they are very large";
    return `The temperature ran to its bound ${temperature}: ${reason}. ${change}; do not rely on it.`;
  }
  if (error === null) return "The scores of each fit row are all equal, so they say nothing about the temperature: it stays 1.";
  return `Dividing the scores by the temperature ${temperature.toFixed(3)} (standard error ${error.toFixed(3)}, fitted on ${rows.fit} other rows) keeps the order of the classes. ${change}.`;
}

/** 0.05 as "5 %", without digits that nobody wrote. */
const plain = (share: number): string => `${+(100 * share).toPrecision(12)} %`;

/** The promise of a detector's threshold. */
export function detectorPromise({ maxFalsePositiveRate, confidence, n, needed, threshold }: DetectorMeasures): string {
  if (threshold === null) return `${n} calibration rows are too few to flag any at a rate of ${plain(maxFalsePositiveRate)} (${needed} would do), so nothing is flagged`;
  return confidence === "marginal" ? `at most ${plain(maxFalsePositiveRate)} on average over calibrations` : `at most ${plain(maxFalsePositiveRate)}, with ${plain(confidence)} confidence over the drawing of the ${n} calibration rows`;
}

function detectorFinding(detector: DetectorMeasures): string {
  const { method, selection, threshold, falsePositives, answered, outliers } = detector;
  const chosen = selection ? `, chosen among ${selection.candidates.join(", ")} by AUROC on ${selection.outliers} outliers` : "";
  if (threshold === null) return `The ${method} detector${chosen}: ${detectorPromise(detector)}.`;
  const outside = outliers ? ` Of ${outliers.rows} outliers that nothing had seen it flags ${percent(outliers.detected.share)} (AUROC ${outliers.auroc.toFixed(3)}).` : " What it does on rows that are unlike is not known: give --outliers to measure it.";
  return (
    `The ${method} detector${chosen}${selection ? "," : ""} flags ${percent(falsePositives.share)} of ${falsePositives.rows} test rows as unknown (promised: ${detectorPromise(detector)}). ` +
    `With those counted as errors the model is right on ${percent(answered.share)}.${outside}`
  );
}

function setFinding(sets: SetMeasures, detector: DetectorMeasures | null): string {
  const accepted = detector?.guarantee === "accepted";
  const name = `Prediction sets (${sets.method}, alpha ${sets.alpha}, quantile from ${sets.n} rows)`;
  if (sets.quantile === null) return `${name} hold every label: ${sets.n} rows are too few for this alpha.`;
  const [size, label] = [worst(sets.bySize), worst(sets.byClass)];
  return (
    `${name} hold the right label for ${percent(sets.coverage.share)} of ${sets.coverage.rows} ${accepted ? "accepted test rows" : "test rows"} (promised: ${+(100 - 100 * sets.alpha).toPrecision(12)} % on average), with ${sets.meanSize.toFixed(2)} labels on average. ` +
    `The promise is about all ${accepted ? "accepted rows" : "rows"} together: sets of size ${sizes(size)} hold it for ${percent(size.share)} of ${size.rows} rows, the class "${label.label}" for ${percent(label.share)} of ${label.rows}.`
  );
}

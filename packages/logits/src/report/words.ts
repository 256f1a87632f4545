import type { ReportMetrics, SetMeasures } from "./types.ts";

const percent = (x: number, digits = 1): string => `${(100 * x).toFixed(digits)} %`;

/** What the numbers mean, one sentence a finding, for the page and the terminal. */
export function findings(metrics: ReportMetrics): string[] {
  const { before, after, temperature, rows, input } = metrics;
  const gap = before.meanConfidence - before.accuracy;
  const out = [
    `The model is right on ${percent(before.accuracy)} of the ${rows.shown} shown rows and claims ${percent(before.meanConfidence)}: it is ${Math.abs(gap) < 0.005 ? "about as confident as it is right" : gap > 0 ? "overconfident" : "underconfident"}.`,
    metrics.temperatureAtBound
      ? `The temperature ran to its bound (${temperature}): on the fit rows the log-loss has no minimum inside, for instance because no row is wrong.`
      : `Dividing the scores by the temperature ${temperature.toFixed(3)} (standard error ${metrics.temperatureStandardError.toFixed(3)}, fitted on ${rows.fit} other rows) leaves every prediction as it is and takes the log-loss from ${before.nll.toFixed(4)} to ${after.nll.toFixed(4)} nats.`,
    `The calibration error (15 bins of equal width) goes from ${before.ece.toFixed(4)} to ${after.ece.toFixed(4)}. A perfectly calibrated model with these confidences would show about ${after.eceNull.mean.toFixed(4)} (95 % point ${after.eceNull.quantile95.toFixed(4)}) on ${rows.shown} rows, and at least as much as this one with p = ${after.eceNull.pValue.toFixed(2)}: ${after.eceNull.pValue < 0.05 ? "some miscalibration is left" : "what is left cannot be told from noise"}.`,
  ];
  for (const sets of metrics.sets) out.push(setFinding(sets));
  if (before.ties > 0) out.push(`Rows with several classes of the same largest score: ${before.ties}; the one with the smallest index counts as the prediction.`);
  if (input.kind === "probabilities") out.push(`Probabilities below 2^-126, set to it before the logarithm: ${input.clipped}.`);
  return out;
}

function setFinding(sets: SetMeasures): string {
  const name = `Prediction sets (${sets.method}, alpha ${sets.alpha}, quantile from ${sets.n} rows)`;
  if (sets.quantile === null) return `${name} hold every label: ${sets.n} rows are too few for this alpha.`;
    const worst = sets.byClass.reduce((least, entry) => (entry.share < least.share ? entry : least));
  const weakest = sets.bySize.reduce((least, bucket) => (bucket.share < least.share ? bucket : least));
  return (
    `${name} hold the right label for ${percent(sets.coverage.share)} of ${sets.coverage.rows} test rows (promised: ${percent(1 - sets.alpha, 0)} on average), with ${sets.meanSize.toFixed(2)} labels on average. ` +
    `The promise is about all rows together: sets of ${weakest.from === weakest.to ? weakest.from : `${weakest.from} to ${weakest.to}`} labels hold it for ${percent(weakest.share)} of ${weakest.rows} rows, the class "${worst.label}" for ${percent(worst.share)} of ${worst.rows}.`
  );
}

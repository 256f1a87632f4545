import { expectedCalibrationError, reliabilityDiagram } from "@logits/calibration";
import { coverageReport, type Coverage, type SplitConformal } from "@logits/conformal";
import { accuracy, brierScore, negativeLogLikelihood, riskCoverage } from "@logits/metrics";
import { softmax } from "@logits/core-wasm";
import type { DecisionHead, Rate } from "@logits/head";
import { scoreHistogram } from "@logits/ood";
import { randomSource, type Tensor, type TensorLike } from "@logits/tensor";
import type { DetectorMeasures, Measures, SetMeasures, Share } from "./types.ts";

type Scores = Tensor<"float32">;
type Labels = Tensor<"int32">;

/** Streams of the report's seed: one per purpose. */
const NULL_STREAM = 1;

/** Everything that is measured on rows which took no part in the fit. */
export function measure(logits: Scores, labels: Labels, seed: number): Measures {
  const probabilities = softmax(logits);
  const [rows, classes] = probabilities.shape;
  const { data } = probabilities;
  const confidence = new Float32Array(rows);
  const wrong = new Uint8Array(rows);
  let ties = 0;
  for (let n = 0; n < rows; n++) {
    let best = 0;
    let shared = false;
    for (let c = 1; c < classes; c++) {
      const [score, top] = [logits.data[n * classes + c], logits.data[n * classes + best]];
      if (score > top) [best, shared] = [c, false];
      else if (score === top) shared = true;
    }
    confidence[n] = data[n * classes + best];
    wrong[n] = best === labels.data[n] ? 0 : 1;
    if (shared) ties++;
  }
  const ece = expectedCalibrationError(probabilities, labels, { nullDistribution: { random: randomSource(seed, NULL_STREAM) } });
  const curve = riskCoverage(confidence, wrong);
  const step = Math.ceil(rows / 200);
  return {
    accuracy: accuracy(logits, labels),
    meanConfidence: confidence.reduce((total, value) => total + value, 0) / rows,
    nll: negativeLogLikelihood(logits, labels),
    brier: brierScore(probabilities, labels),
    ece: ece.value,
    eceNull: ece.null!,
    aurc: curve.aurc,
    ties,
    reliability: reliabilityDiagram(probabilities, labels).bins.map((bin) => ({
      lower: bin.low, upper: bin.high, count: bin.count, confidence: bin.meanConfidence, accuracy: bin.accuracy, interval: bin.interval, band: bin.band,
    })),
    riskCoverage: Array.from({ length: Math.ceil(rows / step) }, (_, i) => Math.min(rows - 1, (i + 1) * step - 1)).map((i) => ({ coverage: curve.coverage[i], risk: curve.risk[i] })),
  };
}

/** Coverage of prediction sets on rows that neither the calibrator nor the quantile has seen. */
export function measureSets(sets: SplitConformal, logits: Scores, labels: Labels, alpha: number, classes: readonly string[]): SetMeasures {
  const found = coverageReport(sets.predictionSet(logits, { alpha }), labels);
  const share = (entry: Coverage): Share => ({ rows: entry.rows, share: entry.coverage!, interval: entry.interval! });
  const quantile = sets.quantile(alpha);
  return {
    method: sets.method === "lac" ? "LAC" : "APS",
    alpha,
    n: sets.n,
    quantile: quantile === Infinity ? null : quantile,
    expected: sets.expectedCoverage(alpha),
    coverage: share(found),
    meanSize: found.meanSize,
    bySize: found.bySize.map((entry) => ({ from: entry.low, to: entry.high, ...share(entry) })),
    byClass: found.byClass.filter((entry) => entry.rows > 0).map((entry) => ({ label: classes[entry.label], ...share(entry) })),
  };
}

/** Rows as the head takes them. */
export interface HeadRows {
  readonly logits: TensorLike;
  readonly features?: TensorLike;
}

/** What the detector of a head does on test rows, and on rows known to be outside. `logits` of both, where the head takes probabilities: those. */
export function measureDetector(head: DecisionHead, test: HeadRows & { readonly labels: TensorLike }, outliers: HeadRows | undefined, scores: { readonly inside: Float32Array; readonly outside: Float32Array }): DetectorMeasures {
  const { detector, threshold, selection, guarantee } = head;
  if (detector === undefined || threshold === undefined) throw new Error("measureDetector: expected a head with a detector and a threshold, got one without");
  const { falsePositives, accuracy: right, outliers: found } = head.evaluate({ ...test, ...(outliers && { outliers }) });
  return {
    method: detector.method,
    selection: selection ?? null,
    maxFalsePositiveRate: threshold.maxFalsePositiveRate,
    confidence: threshold.confidence,
    n: threshold.n,
    needed: threshold.needed,
    threshold: threshold.attainable ? threshold.value : null,
    guarantee,
    falsePositives: shareOf(falsePositives!),
    answered: shareOf(right.answered),
    histogram: scoreHistogram(scores.inside, scores.outside).bins.map(({ low, high, inside, outside }) => ({ lower: low, upper: high, inside, outside })),
    outliers: found && { rows: found.rows, detected: shareOf(found.detected), auroc: found.auroc!, flaggedAt95Detected: found.flaggedAt95Detected!, keptAt95Kept: found.keptAt95Kept! },
  };
}

function shareOf({ rows, rate, interval }: Rate): Share {
  return { rows, share: rate!, interval: interval! };
}

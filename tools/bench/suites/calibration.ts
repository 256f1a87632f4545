import { philox } from "@logits/tensor";
import { labelsFor, logits } from "../inputs.ts";
import * as plain from "./plain.ts";
import type { Case, Suite } from "./suite.ts";
import { versus, type Work } from "./versus.ts";

const MILLION = 1_000_000;

/** Scores of a yes-or-no question, their sigmoids as confidences, and answers that the confidences overstate: nearly all of them distinct. */
function answered(seed: number): { scores: Float32Array; confidence: Float32Array; correct: Uint8Array; errors: Uint8Array } {
  const scores = logits(MILLION, seed, 1.5), noise = logits(MILLION, seed + 1, 1), confidence = scores.map((s) => 1 / (1 + Math.exp(-s)));
  const correct = Uint8Array.from(scores, (s, i) => (0.7 * s - 0.2 + 1.7 * noise[i] > 0 ? 1 : 0));
  return { scores, confidence, correct, errors: correct.map((yes) => 1 - yes) };
}

let held: { readonly seed: number; readonly x: Float32Array } | undefined;

/** 50,000 rows of 1,000 logits: made once, read by three cases. */
function manyLogits(seed: number): Float32Array {
  if (held?.seed !== seed) held = { seed, x: logits(50_000_000, seed) };
  return held.x;
}

const nanoseconds = (median: (who: string) => number): Record<string, number> => ({ nsPerRow: (median("ours") * 1e6) / MILLION });

function metric(name: string, reference: string, tolerance: number, make: (rows: ReturnType<typeof answered>) => Promise<{ ours: Work; loops: Work }>): Case {
  return versus(name, reference, async ({ seed }) => ({ ...(await make(answered(seed))), tolerance, figures: nanoseconds }));
}

const calibrators = (): Promise<typeof import("@logits/calibration")> => import("@logits/calibration");
const metrics = (): Promise<typeof import("@logits/metrics")> => import("@logits/metrics");

const CASES: readonly Case[] = [
  versus("vector gradient 50000x1000", "torch: 1 s and more for one evaluation; our fit: figure fitMs", async ({ seed }) => {
    const { VectorScaling } = await calibrators(), { vectorScalingGradient } = await import("@logits/core-wasm/affine");
    const rows = 50_000, cols = 1000, x = manyLogits(seed), labels = labelsFor(x, cols, 1.7, seed + 1);
    const weights = Float32Array.from({ length: cols }, (_, c) => 0.6 + (c % 7) * 0.01), bias = Float32Array.from({ length: cols }, (_, c) => ((c % 11) - 5) * 0.01);
    const gradient = new Float64Array(2 * cols);
    const start = performance.now(), fitted = VectorScaling.fit({ data: x, shape: [rows, cols] }, labels), fitMs = performance.now() - start;
    return {
      ours: () => {
        const { loss } = vectorScalingGradient(x, labels, weights, bias, { gradient: gradient.fill(0) });
        return Float64Array.of(loss / rows, ...gradient.map((value) => value / rows));
      },
      loops: () => plain.vectorGradient(x, labels, weights, bias),
      // Components of the mean gradient are about 1e-3: their difference is compared with 1e-3.
      tolerance: 1e-4,
      figures: (median) => ({ nsPerElement: (median("ours") * 1e6) / rows / cols, fitMs, fitIterations: fitted.iterations }),
    };
  }),
  metric("isotonic 1M", "scikit-learn: 0.39 s", 1e-6, async ({ scores, correct }) => {
    const { IsotonicCalibration } = await calibrators(), at = scores.subarray(0, 1000), sorted = scores.slice().sort();
    const indices = Int32Array.from(at, (s) => lowerBound(sorted, s));
    return {
      ours: () => {
        const fitted = IsotonicCalibration.fit(scores, correct);
        return Float64Array.from(at, (s) => fitted.at(s));
      },
      loops: () => {
        const fitted = plain.isotonic(scores, correct);
        // Nearly all scores are distinct; places of the others are found once.
        return fitted.length === MILLION ? Float64Array.from(indices, (i) => fitted[i]) : distinctAt(sorted, fitted, indices);
      },
    };
  }),
  metric("ECE equal mass 1M", "numpy: 4.7 to 8.9 ms for bins of equal width, which need no sort", 1e-9, async (rows) => {
    const { expectedCalibrationError } = await calibrators();
    return { ours: () => [expectedCalibrationError(rows, { binning: "equal-mass" }).value], loops: () => [plain.massError(rows.confidence, rows.correct, 15)] };
  }),
  metric("Kolmogorov-Smirnov 1M", "none has it", 1e-9, async (rows) => {
    const { calibrationTest } = await calibrators();
    return { ours: () => [calibrationTest(rows, { method: "kolmogorov-smirnov" }).value], loops: () => [plain.cumulative(rows.confidence, rows.correct)] };
  }),
  metric("AUROC 1M", "scikit-learn roc_auc_score: 0.33 to 0.39 s", 1e-9, async ({ confidence, correct }) => {
    const { auroc } = await metrics();
    return { ours: () => [auroc(confidence, correct)], loops: () => [plain.areaUnderRoc(confidence, correct)] };
  }),
  metric("AURC 1M", "none has it", 1e-9, async ({ confidence, correct, errors }) => {
    const { riskCoverage } = await metrics();
    return { ours: () => [riskCoverage(confidence, errors).aurc], loops: () => [plain.areaUnderRisk(confidence, correct)] };
  }),
  metric("smooth ECE 1M", "relplot: 0.48 s, and wrong where confidences pile up", 1e-5, async (rows) => {
    const { smoothCalibrationError } = await calibrators();
    return { ours: () => [smoothCalibrationError(rows).value], loops: () => [plain.smoothError(rows.confidence, rows.correct)] };
  }),
  metric("kernel error with test 1M", "O(N^2) in every peer: out of reach beyond 20,000 rows. Plain JavaScript: the value, without interval and test", 1e-7, async (rows) => {
    const { kernelCalibrationError } = await calibrators();
    return { ours: () => [kernelCalibrationError(rows, { bandwidth: 0.2 }).value], loops: () => [plain.kernelError(rows.confidence, rows.correct, 0.2)] };
  }),
  metric("Platt 1M", "scikit-learn: no figure", 1e-6, async ({ scores, correct }) => {
    const { PlattScaling } = await calibrators();
    return {
      ours: () => {
        const { slope, intercept } = PlattScaling.fit(scores, correct);
        return [slope, intercept];
      },
      loops: () => plain.platt(scores, correct),
    };
  }),
  ...[true, false].map((randomize) => adaptive(randomize)),
];

function lowerBound(sorted: Float32Array, value: number): number {
  let low = 0, high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Fitted values of distinct scores at places among all. */
function distinctAt(sorted: Float32Array, fitted: Float64Array, places: Int32Array): Float64Array {
  const rank = new Int32Array(sorted.length);
  for (let i = 1; i < sorted.length; i++) rank[i] = rank[i - 1] + (sorted[i] !== sorted[i - 1] ? 1 : 0);
  return Float64Array.from(places, (i) => fitted[rank[i]]);
}

/** Sets of APS on 1,000 classes, labels drawn at temperature 1: sets of about 100 classes at alpha 0.1. Checked by their sizes. */
function adaptive(randomize: boolean): Case {
  return versus(`APS ${randomize ? "randomised" : "deterministic"} 50000x1000`, "numpy: 36 to 90 microseconds a row for argsort alone", async ({ seed }) => {
    const { SplitConformal } = await import("@logits/conformal"), { softmax } = await import("@logits/core-wasm");
    const rows = 50_000, cols = 1000, x = manyLogits(seed), given = { data: x, shape: [rows, cols] }, labels = labelsFor(x, cols, 1, seed + 1);
    const fitted = SplitConformal.fit(given, labels, { method: "aps", randomize }), threshold = fitted.quantile(0.1), sizes = fitted.predictionSet(given).sizes.data;
    // Both run on 2,000 rows: what a row costs is the same in all of them. `all` (sets alone), `kept` (with the probabilities) and `fit` are ours on all rows.
    const few = 2000, part = { data: x.subarray(0, few * cols), shape: [few, cols] }, mask = new Uint8Array(few * cols);
    return {
      ours: () => fitted.predictionSet(part).sizes.data,
      loops: () => plain.adaptiveSets(part.data, cols, threshold, randomize ? uniform : () => 0, mask),
      // A score within rounding of the threshold may fall on either side: one class of a set.
      tolerance: 0,
      absolute: 1,
      beside: { all: () => void fitted.predictionSet(given, { keepProbabilities: false }), kept: () => void fitted.predictionSet(given), fit: () => void SplitConformal.fit(given, labels, { method: "aps", randomize }), softmax: () => void softmax(given) },
      figures: (median) => ({
        setsMicrosecondsPerRow: (median("all") * 1e3) / rows, withProbabilitiesMicrosecondsPerRow: (median("kept") * 1e3) / rows, fitMicrosecondsPerRow: (median("fit") * 1e3) / rows, softmaxMicrosecondsPerRow: (median("softmax") * 1e3) / rows,
        meanSize: sizes.reduce((sum, size) => sum + size, 0) / rows,
      }),
    };
  });
}

const words = new Uint32Array(4);

/** The u of a row as `SplitConformal` with seed 0 draws it. */
function uniform(row: number): number {
  philox(words, 0, 0, row, 0, 1, 0);
  return ((words[0] >>> 6) * 67108864 + (words[1] >>> 6) + 0.5) / 4503599627370496;
}

export const calibration: Suite = {
  name: "calibration",
  about: "fits, metrics and sets of @logits/calibration, metrics and conformal beside tight plain JavaScript, with figures of scikit-learn as text",
  cases: CASES,
};

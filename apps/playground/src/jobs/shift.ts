import { TemperatureScaling } from "@logits/calibration";
import { ExchangeabilityMonitor, SplitConformal } from "@logits/conformal";
import { softmax } from "@logits/core-wasm";
import { ConformalPValues, LogitDetector, Threshold } from "@logits/ood";
import { permutationTest } from "@logits/statistics";
import { Tensor, randomSource } from "@logits/tensor";
import type { Control } from "../worker/protocol.ts";
import { coverageByChance } from "./chance.ts";
import { partsOf, type Rows } from "./data.ts";

/** How the test rows are changed. */
export interface Shift {
  /** Scores are divided by it: 1 leaves them. */
  readonly scale: number;
  /** Share of the labels that are drawn anew. */
  readonly noise: number;
  /** Share of the rows that come from another source. */
  readonly mix: number;
}

/** A comparison of the new rows with the calibration rows. */
export interface Report {
  /** Shares of the new rows with a p-value in each tenth: 0.1 each where nothing changed. */
  readonly tenths: readonly number[];
  /** Of the hypothesis that new rows and calibration rows come from one source. */
  readonly pValue: number;
}

/** The evidence against an unchanged source after each row, in nats. */
export interface Stream {
  readonly level: number;
  /** Rows before the change. */
  readonly unchanged: number;
  readonly withoutLabels: Float64Array;
  readonly withLabels: Float64Array;
}

/** What became of the promises. */
export interface Shifted {
  readonly rows: number;
  readonly calibrationRows: number;
  readonly foreign: number;
  /** Whether the other source has no right class. */
  readonly foreignUnlabelled: boolean;
  readonly coverage: number;
  readonly chance: readonly [low: number, high: number];
  readonly meanSize: number;
  /** Share of all new rows that are called unknown. */
  readonly unknown: number;
  /** Share of the rows of the known source that are called unknown: the promise is about these. */
  readonly falseAlarms: number;
  readonly falseAlarmsInterval: readonly [low: number, high: number];
  /** Share of the rows from elsewhere that are called unknown; null without such rows. */
  readonly found: number | null;
  readonly accuracy: number;
  /** Two monitors along a stream: test rows as they were, then changed ones. */
  readonly stream: Stream;
  /** By the detector's scores: needs no labels. */
  readonly withoutLabels: Report;
  /** By how unusual the right label is. */
  readonly withLabels: Report;
}

interface Question {
  readonly key: string;
  readonly seed: number;
  readonly alpha: number;
  readonly rate: number;
}

const TENTHS = 10, REPETITIONS = 999, LEVEL = 0.01;

interface Fitted {
  readonly name: string;
  readonly scaling: TemperatureScaling;
  readonly conformal: SplitConformal;
  readonly detectorScores: Float32Array;
  readonly labelScores: Float32Array;
}

const detector = LogitDetector.of("maxLogit");
let last: Fitted | undefined;

async function fitted(name: string, fit: Rows, calibration: Rows, control: Control): Promise<Fitted> {
  if (last?.name === name) return last;
  const { signal } = control;
  control.progress(0, "Fitting the promises");
  const scaling = await TemperatureScaling.fitAsync(fit.logits, fit.labels, { signal, onProgress: (share) => control.progress(0.4 * share) });
  const logits = scaling.transform(calibration.logits);
  const conformal = await SplitConformal.fitAsync(logits, calibration.labels, { signal, onProgress: (share) => control.progress(0.4 + 0.2 * share) });
  last = { name, scaling, conformal, detectorScores: detector.score({ logits: calibration.logits }).data, labelScores: unusual(logits, calibration.labels.data) };
  return last;
}

/** Changes the test rows and looks at the promises that were made for unchanged ones. */
export async function shift({ key, seed, alpha, rate, scale, noise, mix }: Question & Shift, control: Control): Promise<Shifted> {
  const { set, fit, calibration, test } = await partsOf(key, seed, control);
  const { scaling, conformal, detectorScores, labelScores } = await fitted(`${key} ${seed}`, fit, calibration, control);
  control.signal.throwIfAborted();
  control.progress(0.6, "Shifting the rows");
  const { logits, labels, places } = shifted(test, set.outliers, { scale, noise, mix }, seed), rows = labels.length, foreign = places.length;
  const calibrated = scaling.transform(logits), sets = conformal.predictionSet(calibrated, { alpha }), width = set.info.classes;
  let covered = 0, right = 0;
  for (let n = 0; n < rows; n++) {
    if (labels[n] < 0) continue;
    covered += sets.mask.data[n * width + labels[n]];
    const row = logits.data.subarray(n * width, (n + 1) * width);
    right += Number(row.indexOf(Math.max(...row)) === labels[n]);
  }
  const scores = detector.score({ logits }).data, threshold = Threshold.fit(detectorScores, { maxFalsePositiveRate: rate });
  const elsewhere = new Set(places), known = threshold.exceedance(scores.filter((_, n) => !elsewhere.has(n))), found = threshold.exceedance(Float32Array.from(places, (n) => scores[n]));
  control.progress(0.7, "Comparing with the calibration rows");
  await new Promise((resume) => setTimeout(resume));
  control.signal.throwIfAborted();
  const withoutLabels = compared(detectorScores, scores, seed);
  control.progress(0.85);
  await new Promise((resume) => setTimeout(resume));
  control.signal.throwIfAborted();
  const changedScores = unusual(calibrated, labels), before = detector.score({ logits: test.logits }).data, beforeScores = unusual(scaling.transform(test.logits), test.labels.data), half = rows >> 1;
  const along = (reference: Float32Array, first: Float32Array, second: Float32Array): Float64Array => {
    const monitor = ExchangeabilityMonitor.start(reference, { level: LEVEL, seed });
    return Float64Array.from({ length: rows }, (_, n) => monitor.update(n < half ? first[n] : second[n]).logEvidence);
  };
  return {
    stream: { level: LEVEL, unchanged: half, withoutLabels: along(detectorScores, before, scores), withLabels: along(labelScores, beforeScores, changedScores) },
    rows, calibrationRows: conformal.n, foreign, foreignUnlabelled: set.outliers !== undefined,
    coverage: covered / rows, chance: coverageByChance(conformal.n, rows, alpha), meanSize: sets.sizes.data.reduce((sum, size) => sum + size, 0) / rows,
    unknown: (known.exceeding + found.exceeding) / rows, falseAlarms: known.rate!, falseAlarmsInterval: known.interval!, found: found.rate, accuracy: right / rows,
    withoutLabels, withLabels: compared(labelScores, changedScores, seed),
  };
}

/** The changed rows; label -1: no class is right. Foreign rows are outliers where there are some, else rows whose scores were handed to other classes. */
function shifted({ logits, labels }: Rows, outliers: Tensor<"float32"> | undefined, { scale, noise, mix }: Shift, seed: number): { readonly logits: Tensor<"float32">; readonly labels: Int32Array; readonly places: Int32Array } {
  const [rows, width] = logits.shape, data = logits.data.map((score) => score / scale), y = labels.data.slice();
  const random = randomSource(seed, 11), order = random.permutation(rows), relabelled = Math.round(noise * rows);
  for (const n of order.subarray(0, relabelled)) y[n] = random.integer(width);
  const other = randomSource(seed, 12), foreign = Math.min(Math.round(mix * rows), outliers?.shape[0] ?? rows), places = other.permutation(rows).subarray(0, foreign);
  const from = outliers && other.permutation(outliers.shape[0]);
  for (let i = 0; i < foreign; i++) {
    const n = places[i], row = data.subarray(n * width, (n + 1) * width);
    if (outliers && from) {
      row.set(outliers.data.subarray(from[i] * width, (from[i] + 1) * width).map((score) => score / scale));
      y[n] = -1;
    } else {
      const before = row.slice(), to = other.permutation(width);
      for (let c = 0; c < width; c++) row[to[c]] = before[c];
    }
  }
  return { logits: new Tensor("float32", [rows, width], data), labels: y, places };
}

/** 1 - p of the right class: how unusual the label is; 1 where no class is right. */
function unusual(logits: Tensor<"float32">, labels: Int32Array): Float32Array {
  const p = softmax(logits).data, width = logits.shape[1];
  return Float32Array.from(labels, (label, n) => (label < 0 ? 1 : 1 - p[n * width + label]));
}

/** P-values of the new rows in tenths; and a permutation test on the tenths of all rows together, exact because under one source every order is equally likely. */
function compared(calibration: Float32Array, rows: Float32Array, seed: number): Report {
  const tenths = new Array<number>(TENTHS).fill(0), total = calibration.length + rows.length;
  for (const p of ConformalPValues.fit(calibration).pValues(rows)) tenths[Math.min(TENTHS - 1, Math.ceil(p * TENTHS - 1e-9) - 1)] += 1 / rows.length;
  const p = ConformalPValues.fit(Float32Array.of(...calibration, ...rows)).pValues(Float32Array.of(...calibration, ...rows));
  const bin = Uint8Array.from(p, (value) => Math.min(TENTHS - 1, Math.floor(value * TENTHS))), all = new Float64Array(TENTHS);
  for (const b of bin) all[b]++;
  const pValue = permutationTest(total, (order) => {
    const own = new Float64Array(TENTHS);
    for (let i = calibration.length; i < total; i++) own[bin[order[i]]]++;
    let distance = 0;
    for (let b = 0; b < TENTHS; b++) if (all[b] > 0) distance += (own[b] - (all[b] * rows.length) / total) ** 2 / all[b];
    return distance;
  }, { random: randomSource(seed, 13), repetitions: REPETITIONS });
  return { tenths, pValue };
}

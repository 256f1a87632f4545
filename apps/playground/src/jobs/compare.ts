import {
  EnsembleTemperatureScaling, MatrixScaling, OneVsRest, TemperatureScaling, TopLabel, VectorScaling, expectedCalibrationError, reliabilityDiagram, selectCalibratorAsync, type Calibrator, type CalibratorCandidate, type CandidateResult, type ReliabilityDiagram,
} from "@logits/calibration";
import { argmax, softmax } from "@logits/core-wasm";
import { brierScore, negativeLogLikelihood } from "@logits/metrics";
import { Tensor, type LongWorkOptions } from "@logits/tensor";
import type { Control } from "../worker/protocol.ts";
import { joined, partsOf, type Rows } from "./data.ts";

/** The calibrators that are compared, the simplest first; "none": the model as it is. */
export type CalibratorKey = "none" | "temperature" | "ensemble" | "vector" | "matrix" | "top-beta" | "one-vs-rest";

/** One calibrator on rows that its fit has not seen. */
export interface Compared {
  readonly key: CalibratorKey;
  /** Numbers that it fits; null: as many as the data give it. */
  readonly parameters: number | null;
  /** Infinity where a label got probability 0. */
  readonly nll: number;
  readonly brier: number;
  readonly ece: number;
  /** Share of the rows whose most probable class is another one than the model's. */
  readonly changed: number;
  readonly diagram: ReliabilityDiagram;
  /** By cross-validation on the fit rows alone; null for those that take no part in the choice. */
  readonly crossValidated: CandidateResult | null;
}

/** All of them, and what `selectCalibrator` takes. */
export interface Comparison {
  readonly fitRows: number;
  readonly testRows: number;
  readonly folds: number;
  readonly chosen: CalibratorKey;
  readonly list: readonly Compared[];
}

type Fit = (logits: Tensor<"float32">, labels: Tensor<"int32">, options: LongWorkOptions) => Promise<Calibrator>;

/** More classes give matrix scaling more numbers to fit than there are rows. */
const MATRIX_CLASSES = 100, FOLDS = 5;
/** Those that take part in the choice, under the names of this page. */
const SELECTABLE: readonly CalibratorCandidate[] = [
  { name: "temperature", fitSteps: (where, z, y) => TemperatureScaling.fitSteps(where, z, y) },
  { name: "ensemble", fitSteps: (where, z, y) => EnsembleTemperatureScaling.fitSteps(where, z, y) },
  { name: "vector", fitSteps: (where, z, y) => VectorScaling.fitSteps(where, z, y) },
  { name: "matrix", fitSteps: (where, z, y) => MatrixScaling.fitSteps(where, z, y) },
];
const FITS: readonly (readonly [CalibratorKey, Fit, (classes: number) => number | null])[] = [
  ["temperature", (z, y, options) => TemperatureScaling.fitAsync(z, y, options), () => 1],
  ["ensemble", (z, y, options) => EnsembleTemperatureScaling.fitAsync(z, y, options), () => 3],
  ["vector", (z, y, options) => VectorScaling.fitAsync(z, y, options), (classes) => 2 * classes],
  ["matrix", (z, y, options) => MatrixScaling.fitAsync(z, y, options), (classes) => classes * (classes + 1)],
  ["top-beta", (z, y, options) => TopLabel.fitAsync(z, y, { method: "beta", ...options }), (classes) => 3 * classes],
  ["one-vs-rest", (z, y, options) => OneVsRest.fitAsync(z, y, { method: "isotonic", ...options }), () => null],
];

/** Fits every calibrator on the first `rows` fit rows, and measures all on the rows that do not fit. */
export async function compare({ key, seed, rows }: { readonly key: string; readonly seed: number; readonly rows: number }, control: Control): Promise<Comparison> {
  const { set, fit, calibration, test } = await partsOf(key, seed, control), { classes } = set.info;
  const own = first(fit, rows), other = joined(calibration, test), answers = argmax(other.logits).data, { signal } = control;
  const fits = FITS.filter(([name]) => name !== "matrix" || classes <= MATRIX_CLASSES);
  const candidates = fits.flatMap(([name]) => SELECTABLE.filter((candidate) => candidate.name === name));
  control.progress(0, "Cross-validating");
  const selected = await selectCalibratorAsync(own.logits, own.labels, { candidates, folds: Math.min(FOLDS, own.labels.size), estimate: "none", seed, signal, onProgress: (share) => control.progress(0.6 * share) });
  const measured = (name: CalibratorKey, parameters: number | null, z: Tensor<"float32">, p: Tensor<"float32">): Compared => {
    const best = argmax(p).data, at = candidates.findIndex((candidate) => candidate.name === name);
    return {
      key: name, parameters, nll: negativeLogLikelihood(z, other.labels), brier: brierScore(p, other.labels), ece: expectedCalibrationError(p, other.labels).value,
      changed: best.reduce((sum, label, n) => sum + Number(label !== answers[n]), 0) / best.length, diagram: reliabilityDiagram(p, other.labels), crossValidated: at < 0 ? null : selected.results[at],
    };
  };
  const list = [measured("none", 0, other.logits, softmax(other.logits))];
  for (const [i, [name, fitted, parameters]] of fits.entries()) {
    const from = 0.6 + (0.4 * i) / fits.length;
    control.progress(from, "Fitting all of them");
    const calibrator = await fitted(own.logits, own.labels, { signal, onProgress: (share) => control.progress(from + (0.4 * share) / fits.length) });
    list.push(measured(name, parameters(classes), calibrator.transform(other.logits), calibrator.probabilities(other.logits)));
    await new Promise((resume) => setTimeout(resume));
    signal.throwIfAborted();
  }
  return { fitRows: own.labels.size, testRows: other.labels.size, folds: Math.min(FOLDS, own.labels.size), chosen: selected.name as CalibratorKey, list };
}

function first({ logits, labels }: Rows, rows: number): Rows {
  const [n, width] = logits.shape, kept = Math.min(rows, n);
  return { logits: new Tensor("float32", [kept, width], logits.data.slice(0, kept * width)), labels: new Tensor("int32", [kept], labels.data.slice(0, kept)) };
}

import { TemperatureScaling } from "@logits/calibration";
import { SplitConformal, coverageReport, type ConformalMethod, type CoverageReport, type ExpectedCoverage } from "@logits/conformal";
import type { Tensor } from "@logits/tensor";
import type { Control } from "../worker/protocol.ts";
import { coverageByChance } from "./chance.ts";
import { partsOf } from "./data.ts";

/** One row of the test set with its set. */
export interface Example {
  readonly row: number;
  readonly label: number;
  readonly classes: readonly number[];
  readonly probabilities: readonly number[];
}

/** What sets at an alpha do on test rows. */
export interface SetsResult {
  readonly temperature: number;
  readonly calibrationRows: number;
  readonly quantile: number;
  readonly expected: ExpectedCoverage;
  /** Where the coverage on so many test rows lies in 95 of 100 draws of calibration and test rows. */
  readonly chance: readonly [low: number, high: number];
  readonly report: CoverageReport;
  /** Rows by size of the set, from 0. */
  readonly sizes: readonly number[];
  readonly examples: readonly Example[];
}

interface Question {
  readonly key: string;
  readonly seed: number;
  readonly method: ConformalMethod;
}

interface Fitted {
  readonly name: string;
  readonly temperature: number;
  readonly conformal: SplitConformal;
  readonly test: { readonly logits: Tensor<"float32">; readonly labels: Tensor<"int32"> };
}

let last: Fitted | undefined;

async function fitted({ key, seed, method }: Question, control: Control): Promise<Fitted> {
  const name = `${key} ${seed} ${method}`;
  if (last?.name === name) return last;
  const { fit, calibration, test } = await partsOf(key, seed, control), { signal } = control;
  control.progress(0, "Fitting the temperature");
  const scaling = await TemperatureScaling.fitAsync(fit.logits, fit.labels, { signal, onProgress: (share) => control.progress(0.5 * share) });
  control.progress(0.5, "Scoring the calibration rows");
  const conformal = await SplitConformal.fitAsync(scaling.transform(calibration.logits), calibration.labels, { method, seed, signal, onProgress: (share) => control.progress(0.5 + 0.4 * share) });
  last = { name, temperature: scaling.temperature, conformal, test: { logits: scaling.transform(test.logits), labels: test.labels } };
  return last;
}

/** Sets at one alpha. */
export async function at({ alpha, ...question }: Question & { readonly alpha: number }, control: Control): Promise<SetsResult> {
  const { temperature, conformal, test } = await fitted(question, control);
  const sets = conformal.predictionSet(test.logits, { alpha }), report = coverageReport(sets, test.labels), width = conformal.classes;
  const sizes = Array.from({ length: Math.max(...sets.sizes.data) + 1 }, () => 0);
  for (const size of sets.sizes.data) sizes[size]++;
  const examples = Array.from({ length: Math.min(8, test.labels.size) }, (_, row): Example => {
    const p = sets.probabilities.data.subarray(row * width, (row + 1) * width), classes = sets.labels(row).sort((a, b) => p[b] - p[a] || a - b);
    return { row, label: test.labels.data[row], classes, probabilities: classes.map((c) => p[c]) };
  });
  return { temperature, calibrationRows: conformal.n, quantile: conformal.quantile(alpha), expected: conformal.expectedCoverage(alpha), chance: coverageByChance(conformal.n, test.labels.size, alpha), report, sizes, examples };
}

/** One way to make sets, on the test rows. */
export interface MethodResult {
  readonly name: ComparedMethod;
  readonly coverage: number;
  readonly interval: readonly [low: number, high: number];
  readonly meanSize: number;
  /** Share of the rows whose set holds one class. */
  readonly single: number;
  readonly worst: { readonly label: number; readonly coverage: number; readonly rows: number };
  /** Classes whose coverage is below the promise by more than chance: even the upper end of the interval is. */
  readonly short: number;
}

/** The methods, and LAC with a quantile for each class. */
export type ComparedMethod = Exclude<ConformalMethod, "tree"> | "each";

const COMPARED: readonly ComparedMethod[] = ["lac", "margin", "raps", "saps", "aps", "topk", "each"];

/** All ways to make sets, side by side at one alpha. */
export async function compare({ key, seed, alpha }: Omit<Question, "method"> & { readonly alpha: number }, control: Control): Promise<readonly MethodResult[]> {
  const { fit, calibration, test } = await partsOf(key, seed, control), { signal } = control;
  control.progress(0, "Fitting the temperature");
  const scaling = await TemperatureScaling.fitAsync(fit.logits, fit.labels, { signal }), z = scaling.transform(calibration.logits), rows = scaling.transform(test.logits);
  const results: MethodResult[] = [];
  for (const name of COMPARED) {
    control.progress((results.length + 1) / (COMPARED.length + 1), "Comparing the methods");
    const conformal = await SplitConformal.fitAsync(z, calibration.labels, { ...(name === "each" ? { classGroups: "each" } : { method: name }), seed, signal });
    const sets = conformal.predictionSet(rows, { alpha }), report = coverageReport(sets, test.labels), { worstClass: worst } = report;
    results.push({
      name, coverage: report.coverage!, interval: report.interval!, meanSize: report.meanSize, single: sets.sizes.data.reduce((sum, size) => sum + Number(size === 1), 0) / report.rows,
      worst: { label: worst.label, coverage: worst.coverage!, rows: worst.rows }, short: report.byClass.filter(({ interval }) => interval !== null && interval[1] < 1 - alpha).length,
    });
    await new Promise((resume) => setTimeout(resume));
    signal.throwIfAborted();
  }
  return results;
}

/** Promised and measured coverage along alphas. */
export async function curve({ alphas, ...question }: Question & { readonly alphas: readonly number[] }, control: Control): Promise<readonly { readonly alpha: number; readonly coverage: number; readonly low: number; readonly high: number; readonly size: number }[]> {
  const { conformal, test } = await fitted(question, control);
  const points = [];
  for (const alpha of alphas) {
    control.signal.throwIfAborted();
    control.progress(points.length / alphas.length, "Drawing the curve");
    const { coverage, meanSize } = coverageReport(conformal.predictionSet(test.logits, { alpha }), test.labels), [low, high] = conformal.expectedCoverage(alpha).interval;
    points.push({ alpha, coverage: coverage!, low, high, size: meanSize });
    await new Promise((resume) => setTimeout(resume));
  }
  return points;
}

import { TemperatureScaling, expectedCalibrationError, reliabilityDiagram, type ReliabilityDiagram } from "@logits/calibration";
import { softmax } from "@logits/core-wasm";
import { accuracy, negativeLogLikelihood } from "@logits/metrics";
import { Tensor, randomSource } from "@logits/tensor";
import type { Control } from "../worker/protocol.ts";
import { joined, partsOf, type Rows } from "./data.ts";

/** Quality of probabilities on rows that took no part in the fit. */
export interface Quality {
  readonly nll: number;
  readonly ece: number;
  readonly meanConfidence: number;
  readonly diagram: ReliabilityDiagram;
}

/** The fit, and what it changes. */
export interface Fit {
  readonly temperature: number;
  readonly standardError: number;
  readonly atBound: boolean;
  readonly fitRows: number;
  readonly testRows: number;
  readonly accuracy: number;
  readonly before: Quality;
  readonly after: Quality;
  /** 95 % of perfectly calibrated models with the same confidences would show less. */
  readonly eceByChance: number;
}

interface Question {
  readonly key: string;
  readonly seed: number;
}

const REPETITIONS = 1000;

async function rowsOf({ key, seed }: Question, control: Control): Promise<{ readonly fit: Rows; readonly test: Rows }> {
  const { fit, calibration, test } = await partsOf(key, seed, control);
  return { fit, test: joined(calibration, test) };
}

/** Fits the temperature on one half, and measures on the other. */
export async function fit(question: Question, control: Control): Promise<Fit> {
  const { fit, test } = await rowsOf(question, control);
  control.progress(0, "Fitting the temperature");
  const scaling = await TemperatureScaling.fitAsync(fit.logits, fit.labels, { signal: control.signal, onProgress: (share) => control.progress(0.6 * share) });
  const probabilities = scaling.probabilities(test.logits);
  const chance = expectedCalibrationError(probabilities, test.labels, { nullDistribution: { random: randomSource(question.seed, 1), repetitions: REPETITIONS } });
  return {
    temperature: scaling.temperature, standardError: scaling.standardError, atBound: scaling.atBound, fitRows: fit.labels.size, testRows: test.labels.size,
    accuracy: accuracy(test.logits, test.labels), before: quality(test, 1), after: quality(test, scaling.temperature), eceByChance: chance.null!.quantile95,
  };
}

/** The quality at a temperature of the visitor's choice. */
export async function at(question: Question & { readonly temperature: number }, control: Control): Promise<Quality> {
  return quality((await rowsOf(question, control)).test, question.temperature);
}

/** Negative log-likelihood and calibration error along temperatures. */
export async function curve(question: Question & { readonly temperatures: readonly number[] }, control: Control): Promise<readonly { readonly temperature: number; readonly nll: number; readonly ece: number }[]> {
  const { test } = await rowsOf(question, control), { temperatures } = question;
  const points = [];
  for (const temperature of temperatures) {
    control.signal.throwIfAborted();
    control.progress(points.length / temperatures.length, "Drawing the curve");
    const scaled = divided(test.logits, temperature);
    points.push({ temperature, nll: negativeLogLikelihood(scaled, test.labels), ece: expectedCalibrationError(softmax(scaled), test.labels).value });
    await new Promise((resume) => setTimeout(resume));
  }
  return points;
}

function quality({ logits, labels }: Rows, temperature: number): Quality {
  const scaled = divided(logits, temperature), probabilities = softmax(scaled), diagram = reliabilityDiagram(probabilities, labels);
  const total = diagram.bins.reduce((sum, bin) => sum + bin.count * (bin.meanConfidence ?? 0), 0);
  return { nll: negativeLogLikelihood(scaled, labels), ece: expectedCalibrationError(probabilities, labels).value, meanConfidence: total / labels.size, diagram };
}

function divided(logits: Tensor<"float32">, temperature: number): Tensor<"float32"> {
  return temperature === 1 ? logits : new Tensor("float32", logits.shape, logits.data.map((score) => score / temperature));
}

import { FormatError, message } from "@logits/tensor";
import type { Calibrator } from "./calibrator.ts";
import { DirichletScaling } from "./dirichletScaling.ts";
import { EnsembleTemperatureScaling } from "./ensembleTemperatureScaling.ts";
import { MatrixScaling } from "./matrixScaling.ts";
import { OneVsRest } from "./oneVsRest.ts";
import { PriorCorrection } from "./priorCorrection.ts";
import { TemperatureScaling } from "./temperatureScaling.ts";
import { TopLabel } from "./topLabel.ts";
import { VectorScaling } from "./vectorScaling.ts";

const READERS: Readonly<Record<string, (json: unknown) => Calibrator>> = {
  "logits/temperature-scaling": TemperatureScaling.fromJSON,
  "logits/vector-scaling": VectorScaling.fromJSON,
  "logits/matrix-scaling": MatrixScaling.fromJSON,
  "logits/dirichlet-scaling": DirichletScaling.fromJSON,
  "logits/ensemble-temperature-scaling": EnsembleTemperatureScaling.fromJSON,
  "logits/prior-correction": PriorCorrection.fromJSON,
  "logits/one-vs-rest": OneVsRest.fromJSON,
  "logits/top-label": TopLabel.fromJSON,
};

/**
 * Reads any calibrator of rows of logits from its JSON, by its `format`.
 *
 * @throws FormatError for an unknown format or version, or a field that is missing or not what it must be
 * @example
 *   calibratorFromJSON(JSON.parse(text)).probabilities(logits);
 */
export function calibratorFromJSON(json: unknown): Calibrator {
  const format = typeof json === "object" && json !== null ? (json as { format?: unknown }).format : undefined;
  if (typeof format === "string" && Object.hasOwn(READERS, format)) return READERS[format](json);
  throw new FormatError(message("calibratorFromJSON", "format", "that of a calibrator of rows of logits", typeof format === "string" ? JSON.stringify(format) : typeof format));
}

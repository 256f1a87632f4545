import { FormatError, message } from "@logits/tensor";
import { TemperatureScaling } from "./temperatureScaling.ts";

/** Any calibrator of this package. */
export type Calibrator = TemperatureScaling;

/**
 * Reads any calibrator of this package from its JSON, by its `format`.
 *
 * @throws FormatError for an unknown format or version, or a field that is missing or not what it must be
 * @example
 *   calibratorFromJSON(JSON.parse(text)).probabilities(logits);
 */
export function calibratorFromJSON(json: unknown): Calibrator {
  const format = typeof json === "object" && json !== null ? (json as { format?: unknown }).format : undefined;
  if (format === "logits/temperature-scaling") return TemperatureScaling.fromJSON(json);
  throw new FormatError(message("calibratorFromJSON", "format", '"logits/temperature-scaling"', typeof format === "string" ? JSON.stringify(format) : typeof format));
}

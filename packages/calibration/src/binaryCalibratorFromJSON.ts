import { FormatError, message } from "@logits/tensor";
import { BetaCalibration } from "./betaCalibration.ts";
import type { BinaryCalibrator } from "./binaryCalibrator.ts";
import { HistogramBinning, ScalingBinning } from "./binning.ts";
import { CrossVennAbers } from "./crossVennAbers.ts";
import { IsotonicCalibration } from "./isotonicCalibration.ts";
import { PlattScaling } from "./plattScaling.ts";
import { SplineCalibration } from "./splineCalibration.ts";
import { VennAbers } from "./vennAbers.ts";

const READERS: Readonly<Record<string, (json: unknown) => BinaryCalibrator>> = {
  "logits/platt-scaling": PlattScaling.fromJSON,
  "logits/beta-calibration": BetaCalibration.fromJSON,
  "logits/isotonic-calibration": IsotonicCalibration.fromJSON,
  "logits/histogram-binning": HistogramBinning.fromJSON,
  "logits/scaling-binning": ScalingBinning.fromJSON,
  "logits/venn-abers": VennAbers.fromJSON,
  "logits/cross-venn-abers": CrossVennAbers.fromJSON,
  "logits/spline-calibration": SplineCalibration.fromJSON,
};

/**
 * Reads any calibrator of a yes-or-no score from its JSON, by its `format`.
 *
 * @throws FormatError for an unknown format or version, or a field that is missing or not what it must be
 * @example
 *   binaryCalibratorFromJSON(JSON.parse(text)).probabilities(scores);
 */
export function binaryCalibratorFromJSON(json: unknown): BinaryCalibrator {
  const format = typeof json === "object" && json !== null ? (json as { format?: unknown }).format : undefined;
  if (typeof format === "string" && Object.hasOwn(READERS, format)) return READERS[format](json);
  throw new FormatError(message("binaryCalibratorFromJSON", "format", "that of a calibrator of a yes-or-no score", typeof format === "string" ? JSON.stringify(format) : typeof format));
}

export { TemperatureScaling, type TemperatureScalingJSON } from "./temperatureScaling.ts";
export { calibratorFromJSON, type Calibrator } from "./calibratorFromJSON.ts";
export { probabilitiesToLogits, type LogitsOfProbabilities } from "./probabilitiesToLogits.ts";
export {
  expectedCalibrationError,
  type ExpectedCalibrationError,
  type ExpectedCalibrationErrorOptions,
  type NullDistribution,
} from "./expectedCalibrationError.ts";
export { reliabilityDiagram, type ReliabilityBin, type ReliabilityDiagram, type ReliabilityDiagramOptions } from "./reliabilityDiagram.ts";
export { type Confidences } from "./confidences.ts";

export { TemperatureScaling, type TemperatureScalingJSON } from "./temperatureScaling.ts";
export { VectorScaling } from "./vectorScaling.ts";
export { MatrixScaling } from "./matrixScaling.ts";
export { DirichletScaling, type DirichletScalingOptions } from "./dirichletScaling.ts";
export type { AffineScaling, AffineScalingJSON, AffineScalingOptions } from "./affineScaling.ts";
export { calibratorFromJSON } from "./calibratorFromJSON.ts";
export type { Calibrator, CalibratorJSON } from "./calibrator.ts";
export { probabilitiesToLogits, type LogitsOfProbabilities } from "./probabilitiesToLogits.ts";
export {
  expectedCalibrationError,
  type ExpectedCalibrationError,
  type ExpectedCalibrationErrorOptions,
  type NullDistribution,
} from "./expectedCalibrationError.ts";
export { reliabilityDiagram, type ReliabilityBin, type ReliabilityDiagram, type ReliabilityDiagramOptions } from "./reliabilityDiagram.ts";
export { type Confidences } from "./confidences.ts";

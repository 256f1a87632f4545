export { TemperatureScaling, type TemperatureScalingJSON } from "./temperatureScaling.ts";
export { EnsembleTemperatureScaling, type EnsembleTemperatureScalingJSON, type EnsembleTemperatureScalingOptions } from "./ensembleTemperatureScaling.ts";
export { PriorCorrection, type PriorCorrectionJSON, type PriorCorrectionOptions } from "./priorCorrection.ts";
export { VectorScaling } from "./vectorScaling.ts";
export { MatrixScaling } from "./matrixScaling.ts";
export { DirichletScaling, type DirichletScalingOptions } from "./dirichletScaling.ts";
export type { AffineScaling, AffineScalingJSON, AffineScalingOptions } from "./affineScaling.ts";
export { PlattScaling, type PlattScalingJSON } from "./plattScaling.ts";
export { BetaCalibration, type BetaCalibrationJSON } from "./betaCalibration.ts";
export { IsotonicCalibration, type IsotonicCalibrationJSON, type IsotonicCalibrationOptions } from "./isotonicCalibration.ts";
export { HistogramBinning, ScalingBinning, type BinningJSON, type HistogramBinningOptions, type ScalingBinningOptions } from "./binning.ts";
export { VennAbers, type VennAbersJSON } from "./vennAbers.ts";
export { CrossVennAbers, type CrossVennAbersJSON, type CrossVennAbersOptions } from "./crossVennAbers.ts";
export { SplineCalibration, type SplineCalibrationJSON, type SplineCalibrationOptions } from "./splineCalibration.ts";
export { OneVsRest, type OneVsRestJSON, type OneVsRestOptions } from "./oneVsRest.ts";
export { TopLabel, type TopLabelJSON, type TopLabelOptions } from "./topLabel.ts";
export { TemperatureScalingAccumulator, type LabelledBatch, type TemperatureScalingAccumulatorOptions } from "./temperatureScalingAccumulator.ts";
export { PriorCorrectionAccumulator } from "./priorCorrectionAccumulator.ts";
export { HistogramBinningAccumulator, type BinaryBatch, type HistogramBinningAccumulatorOptions } from "./histogramBinningAccumulator.ts";
export { MultiLabelCalibration, type MultiLabelCalibrationJSON, type MultiLabelCalibrationOptions } from "./multiLabelCalibration.ts";
export type { BinaryMethod } from "./binaryMethod.ts";
export { selectCalibrator, selectCalibratorAsync, type CalibratorCandidate, type CandidateResult, type SelectCalibratorOptions, type SelectedCalibrator } from "./selectCalibrator.ts";
export { binaryCalibratorFromJSON } from "./binaryCalibratorFromJSON.ts";
export type { BinaryCalibrator } from "./binaryCalibrator.ts";
export { calibratorFromJSON } from "./calibratorFromJSON.ts";
export type { Calibrator, CalibratorJSON } from "./calibrator.ts";
export { VarianceScaling, VarianceScalingAccumulator, type RegressionBatch, type VarianceScalingJSON } from "./varianceScaling.ts";
export { PitRecalibration, type PitRecalibrationJSON } from "./pitRecalibration.ts";
export { correctnessAwareLoss } from "./correctnessAwareLoss.ts";
export { sdmActivation, sdmLoss } from "./sdmActivation.ts";
export { SdmEstimator, type SdmEstimatorJSON, type SdmEstimatorOptions, type SdmPrediction, type SdmRows } from "./sdmEstimator.ts";
export { probabilitiesToLogits, type LogitsOfProbabilities } from "./probabilitiesToLogits.ts";
export {
  expectedCalibrationError,
  type ExpectedCalibrationError,
  type ExpectedCalibrationErrorOptions,
  type NullDistribution,
} from "./expectedCalibrationError.ts";
export { kernelCalibrationError, type KernelCalibrationError, type KernelCalibrationErrorOptions } from "./kernelCalibrationError.ts";
export { brierDecomposition, type BrierDecomposition, type BrierDecompositionOptions } from "./brierDecomposition.ts";
export { calibrationRefinement, type CalibrationRefinement, type CalibrationRefinementOptions } from "./calibrationRefinement.ts";
export { detectionCalibrationError, type DetectionCalibrationError, type DetectionCalibrationErrorOptions, type Detections } from "./detectionCalibrationError.ts";
export { calibrationTest, type CalibrationTest, type CalibrationTestOptions } from "./calibrationTest.ts";
export { smoothCalibrationError, type SmoothCalibrationError, type SmoothCalibrationErrorOptions } from "./smoothCalibrationError.ts";
export { reliabilityDiagram, type ReliabilityBin, type ReliabilityDiagram, type ReliabilityDiagramOptions } from "./reliabilityDiagram.ts";
export { type Confidences } from "./confidences.ts";
export { reliabilityPlot, type ReliabilityPlotOptions } from "./reliabilityPlot.ts";

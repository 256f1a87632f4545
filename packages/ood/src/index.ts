export { type Detector, type DetectorNeeds, type DetectorRows } from "./detector.ts";
export { LogitDetector, type LogitDetectorJSON, type LogitDetectorMethod, type LogitDetectorOptions } from "./logitDetector.ts";
export { Threshold, type Exceedance, type ThresholdJSON, type ThresholdOptions } from "./threshold.ts";
export { ConformalPValues, type ConformalPValuesJSON } from "./conformalPValues.ts";

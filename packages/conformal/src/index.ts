export {
  SplitConformal,
  type ConformalMethod,
  type ExpectedCoverage,
  type PredictionSetOptions,
  type SplitConformalJSON,
  type SplitConformalOptions,
} from "./splitConformal.ts";
export { PredictionSets } from "./predictionSets.ts";
export {
  coverageByClass,
  coverageBySize,
  coverageReport,
  type ClassCoverage,
  type Coverage,
  type CoverageOptions,
  type CoverageReport,
  type SizeCoverage,
} from "./coverage.ts";

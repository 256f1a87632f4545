export type { ConformalMethod } from "./conformalMethod.ts";
export type { TuneOptions, TunedOptions } from "./tunePenalty.ts";
export {
  SplitConformal,
  type ConformalRowOptions,
  type PValueOptions,
  type PredictionSetOptions,
  type SplitConformalJSON,
  type SplitConformalOptions,
} from "./splitConformal.ts";
export { clusterClasses, clusterClassesAsync, type ClusterClassesOptions } from "./clusterClasses.ts";
export type { ExpectedCoverage, ScoreTableJSON } from "./scoreTable.ts";
export { PredictionSets } from "./predictionSets.ts";
export {
  coverageByClass,
  coverageByGroup,
  coverageBySize,
  coverageReport,
  type ClassCoverage,
  type Coverage,
  type CoverageOptions,
  type CoverageReport,
  type GroupCoverage,
  type SizeCoverage,
} from "./coverage.ts";
export {
  ConformalRegression,
  type ConformalRegressionJSON,
  type ConformalRegressionOptions,
  type RegressionIntervalOptions,
  type RegressionIntervals,
  type RegressionMethod,
} from "./conformalRegression.ts";
export { AdaptiveAlpha, type AdaptiveAlphaJSON, type AdaptiveAlphaOptions } from "./adaptiveAlpha.ts";
export { conformalRiskControl, conformalRiskControlAsync, type ConformalRiskControlOptions, type RiskControl } from "./conformalRiskControl.ts";
export { learnThenTest, learnThenTestAsync, type Correction, type LearnThenTest, type LearnThenTestOptions } from "./learnThenTest.ts";
export { ExchangeabilityMonitor, type ExchangeabilityMonitorJSON, type ExchangeabilityMonitorOptions } from "./exchangeabilityMonitor.ts";
export { PValueMonitor, type PValueMonitorJSON, type PValueMonitorOptions, type PValueSide } from "./pValueMonitor.ts";
export { nestedLogits, type NestedLogitsOptions } from "./nestedLogits.ts";
export { treeLogits } from "./treeLogits.ts";
export { RiskMonitor, type RiskMonitorJSON, type RiskMonitorOptions } from "./riskMonitor.ts";
export { MultiLabelConformal, type MultiLabelConformalJSON, type MultiLabelConformalOptions, type MultiLabelPromise } from "./multiLabelConformal.ts";
export { coverageByClassPlot, coverageBySizePlot, type CoverageByClass, type CoverageBySize } from "./coveragePlot.ts";
export { evidencePlot, type EvidencePlotOptions } from "./evidencePlot.ts";

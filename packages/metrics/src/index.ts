export type { Estimate } from "./estimate.ts";
export { accuracy, topKAccuracy, type TopKAccuracyOptions } from "./accuracy.ts";
export { negativeLogLikelihood, type NegativeLogLikelihoodOptions } from "./negativeLogLikelihood.ts";
export { brierScore } from "./brierScore.ts";
export { auroc } from "./auroc.ts";
export { falsePositiveRateAtRecall, type FalsePositiveRateAtRecallOptions } from "./falsePositiveRateAtRecall.ts";
export { confusionMatrix, f1Score, type ConfusionMatrixOptions, type F1ScoreOptions } from "./f1Score.ts";
export { riskCoverage, type RiskCoverage } from "./riskCoverage.ts";

export { linearCrossEntropy, linearSoftCrossEntropy, linearStatistics, type LinearCrossEntropyOptions, type LinearGradients, type LinearStatistics } from "./linearCrossEntropy.ts";
export { denseRows, type RowGradient } from "./rowGradient.ts";
export { countNoise, logUniformNoise, sampleNegatives, type Negatives, type NoiseDistribution } from "./negatives.ts";
export {
  blackOutLoss,
  estimateLogPartition,
  importanceSampledLoss,
  memoryBankLoss,
  nceLoss,
  sampledBinaryLoss,
  sampledSoftmaxLoss,
  samplingCorrection,
  type MemoryBankOptions,
  type NceOptions,
  type SampledBinaryOptions,
  type SampledGradients,
  type SampledLoss,
  type SampledOptions,
  type SamplingCriterion,
} from "./sampledLoss.ts";

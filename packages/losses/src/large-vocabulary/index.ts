export { linearCrossEntropy, linearSoftCrossEntropy, linearStatistics, type LinearCrossEntropyOptions, type LinearGradients, type LinearStatistics, type LinearStatisticsOptions } from "./linearCrossEntropy.ts";
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
export { adaptiveLogSoftmax, adaptiveSoftmaxLoss, type AdaptiveGradients, type AdaptiveWeights } from "./adaptiveSoftmaxLoss.ts";
export { hierarchicalSoftmaxLoss, huffmanTree, type HierarchicalSoftmaxOptions, type WordTree } from "./hierarchicalSoftmaxLoss.ts";
export { SphericalHead, sphericalZLoss, type SphericalResult, type SphericalShape, type SphericalZOptions } from "./sphericalZLoss.ts";
export { partialFcLoss, sampleClasses, type CentersLoss, type PartialLoss, type PartialOptions } from "./partialFc.ts";
export { hardestNegativesLoss, type HardestNegativesOptions } from "./hardestNegativesLoss.ts";

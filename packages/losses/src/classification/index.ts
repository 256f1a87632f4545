export { crossEntropy, type CrossEntropyOptions } from "./crossEntropy.ts";
export { smoothLabels, softCrossEntropy, type SoftCrossEntropyOptions } from "./softCrossEntropy.ts";
export { hierarchicalCrossEntropyLoss, type HierarchicalCrossEntropyOptions } from "./hierarchical.ts";
export { partialLabelLoss } from "./partialLabels.ts";
export { focalLoss, type FocalOptions } from "./focal.ts";
export { polyLoss, type PolyOptions } from "./poly.ts";
export { compSumLoss, generalizedCrossEntropyLoss, labelMaeLoss, type CompSumOptions, type GeneralizedCrossEntropyOptions } from "./compSum.ts";
export {
  bootstrapLoss,
  forwardCorrectionLoss,
  normalizedCrossEntropyLoss,
  symmetricCrossEntropyLoss,
  taylorCrossEntropyLoss,
  type BootstrapOptions,
  type ForwardCorrectionOptions,
  type NormalizedCrossEntropyOptions,
  type SymmetricCrossEntropyOptions,
  type TaylorCrossEntropyOptions,
} from "./robust.ts";
export { earlyLearningLoss, TemporalEnsemble, type EarlyLearningOptions } from "./earlyLearning.ts";
export { aldrLoss, ldrLoss, type AldrOptions, type LdrOptions } from "./distributionallyRobust.ts";
export {
  classBalancedWeights,
  ldamLoss,
  ldamMargins,
  logitAdjustedLoss,
  seesawLoss,
  type ClassBalancedOptions,
  type LdamOptions,
  type LogitAdjustedOptions,
  type SeesawOptions,
} from "./longTail.ts";
export { brierLoss, confidencePenaltyLoss, entropyLoss, type ConfidencePenaltyOptions } from "./entropy.ts";
export { jensenShannonConsistencyLoss } from "./jensenShannon.ts";
export { entmax15Loss, entmaxLoss, fenchelYoungLoss, sparsemaxLoss, type EntmaxOptions, type FenchelYoungOptions, type Potential } from "./fenchelYoung.ts";
export { evidentialLoss, type EvidentialOptions } from "./evidential.ts";
export { coralLoss, cornLoss, cumulativeLinkLoss, earthMoversLoss } from "./ordinal.ts";

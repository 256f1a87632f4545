export { dpoLoss, type DpoOptions, type PreferenceOptions, type SmoothedPreferenceOptions } from "./dpoLoss.ts";
export { aotLoss, apoDownLoss, apoZeroLoss, discopopLoss, exoLoss, ipoLoss, noiseContrastiveAlignmentLoss, robustDpoLoss, slicLoss, sppoLoss, type AotOptions, type DiscopopOptions } from "./dpoFamily.ts";
export { cpoLoss, orpoLoss, rewardModelLoss, simpoLoss, type RewardModelOptions, type SimpoOptions } from "./withoutReference.ts";
export { bcoLoss, coverageLoss, grpoLoss, ktoLoss, type AnswerLoss, type BcoOptions, type CoverageOptions, type GrpoOptions, type KtoOptions } from "./answerLosses.ts";
export { sequenceLogProbs, type SequenceLogProbs, type SequenceLogProbsOptions } from "./sequenceLogProbs.ts";
export type { PairGradients, PairLoss, ReferenceLoss } from "./pairLoss.ts";

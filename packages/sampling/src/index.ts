export { Sampler, type SampleContext, type Samples, type Tokens } from "./sampler.ts";
export { type GpuScores } from "./gpuScores.ts";
export { type MirostatOptions, type SamplerOptions } from "./rules.ts";
export { type GenerateOptions, type GenerationResult, type ProcessorList, type ProcessorLogits } from "./generate.ts";
export {
  classifierFreeGuidance, comparatorDecoding, contrastiveDecoding, type ClassifierFreeOptions, type ComparatorOptions, type Guidance, type PlausibilityOptions,
} from "./guidance.ts";
export { perplexity, sequenceScores, tokenScores, type SequenceScoreOptions, type SequenceScores, type TokenScoreOptions, type TokenScores } from "./tokenScores.ts";
export { speculativeSampling, type Speculation, type SpeculativeOptions } from "./speculative.ts";
export { importanceLoss, loadLoss, noisyTopKGating, type BalanceOptions, type Gating, type NoisyTopKOptions } from "./gating.ts";
export { depthRouting, type DepthRouting, type DepthRoutingOptions } from "./depthRouting.ts";

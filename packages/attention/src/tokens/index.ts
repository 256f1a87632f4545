export { attentionEntropy, type AttentionEntropyOptions, type AttentionEntropyWithGrad } from "./attentionEntropy.ts";
export { attentionReceived, type AttentionReceivedOptions } from "./attentionReceived.ts";
export { attentionRollout, type RolloutLayer, type RolloutOptions } from "./attentionRollout.ts";
export { attentionSink, type AttentionSink, type AttentionSinkOptions } from "./attentionSink.ts";
export { keepTokens, type KeepTokensOptions, type KeptTokens } from "./keepTokens.ts";
export { mergeTokens, type MergedTokens, type MergeTokensOptions } from "./mergeTokens.ts";
export { attentionRelevance, linearRelevance, matmulRelevance, softmaxRelevance, type AttentionRelevanceOptions, type RelevanceOptions } from "./relevance.ts";

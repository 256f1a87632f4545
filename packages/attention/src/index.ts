export { attention, type AttentionGradientOptions, type AttentionOutput, type AttentionWithGrad } from "./attention.ts";
export { KeyValueCache, type AttendOptions, type KeyValueCacheOptions } from "./keyValueCache.ts";
export type { AttentionOptions } from "./options.ts";
export { blockList, fixedBlocks, haloBlocks, stridedBlocks, type HaloBlocks, type KeyBlocks, type SparseBlocksOptions } from "./keyBlocks.ts";
export { mergeAttention } from "./mergeAttention.ts";
export type { RowGradients, RowNormalizer } from "./rowNormalizer.ts";
export { toeplitz } from "./toeplitz.ts";
export { alibi, alibiSlopes, kerple, t5Bias, type PositionBias, type T5BiasOptions } from "./positionBias.ts";
export { RotaryEmbedding, type RotaryEmbeddingOptions, type RotaryScaling } from "./rotaryEmbedding.ts";

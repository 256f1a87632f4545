export { attention, type AttentionGradientOptions, type AttentionOutput, type AttentionWithGrad } from "./attention.ts";
export { KeyValueCache, type AttendOptions, type KeyValueCacheOptions } from "./keyValueCache.ts";
export type { AttentionOptions } from "./options.ts";
export { mergeAttention } from "./mergeAttention.ts";
export { alibi, alibiSlopes, kerple, t5Bias, type PositionBias, type T5BiasOptions } from "./positionBias.ts";

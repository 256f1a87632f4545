export type { FeatureMap, FeatureMapName } from "./featureMaps.ts";
export { linearAttention, type LinearAttentionGradientOptions, type LinearAttentionOutput, type LinearAttentionWithGrad } from "./linearAttention.ts";
export type { LinearAttentionOptions } from "./problem.ts";
export type { LinearNormalizer } from "./rowScale.ts";

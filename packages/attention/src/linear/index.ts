export type { FeatureMap, FeatureMapName } from "./featureMaps.ts";
export { linearAttention, type LinearAttentionGradientOptions, type LinearAttentionOutput, type LinearAttentionWithGrad } from "./linearAttention.ts";
export type { LinearAttentionOptions } from "./problem.ts";
export type { LinearNormalizer } from "./rowScale.ts";
export { hiddenAttention } from "./hiddenAttention.ts";
export { LinearAttentionState, type LinearAttentionStateJSON, type LinearAttentionStateOptions } from "./linearAttentionState.ts";
export { selectiveScan, type SelectiveScanGradientOptions, type SelectiveScanOptions, type SelectiveScanOutput, type SelectiveScanWithGrad } from "./selectiveScan.ts";
export { softmaxFreeAttention, type SoftmaxFreeAttentionGradientOptions, type SoftmaxFreeAttentionOptions, type SoftmaxFreeAttentionOutput, type SoftmaxFreeAttentionWithGrad } from "./softmaxFreeAttention.ts";

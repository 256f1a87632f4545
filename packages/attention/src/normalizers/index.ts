export type { RowNormalizer } from "../rowNormalizer.ts";
export { entmax15, relu, softmax, sparsemax } from "./elementary.ts";
export { rowNormalizer, type RowNormalizerDefinition, type Rows } from "./rowNormalizer.ts";
export { reweightedSoftplus, softplus, type ReweightedSoftplusOptions } from "./softplus.ts";

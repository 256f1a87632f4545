export { distillationLoss } from "./distillationLoss.ts";
export { jeffreysLoss, jensenShannonLoss, reverseKlLoss, skewKlLoss, totalVariationLoss, type JensenShannonOptions, type SkewKlOptions } from "./divergences.ts";
export { dkdLoss, type DkdOptions, type LabelledDistillationLoss } from "./dkdLoss.ts";
export { distLoss, type DistOptions } from "./distLoss.ts";
export { pldLoss } from "./pldLoss.ts";
export { binaryKlLoss, marginMseLoss, type BinaryKlOptions } from "./scoreDistillation.ts";
export { relationDistillationLoss, type RelationDistillationOptions } from "./relationDistillationLoss.ts";
export type { DistillationLoss } from "./divergence.ts";
export type { DistillationOptions } from "./studentLoss.ts";

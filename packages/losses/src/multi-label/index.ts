export { binaryCrossEntropy, type BinaryCrossEntropyOptions } from "./binaryCrossEntropy.ts";
export { qualityFocalLoss, sigmoidFocalLoss, varifocalLoss, type QualityFocalOptions, type SigmoidFocalOptions, type VarifocalOptions } from "./focal.ts";
export { asymmetricLoss, type AsymmetricOptions } from "./asymmetric.ts";
export { entropyMaximizationLoss, type EntropyMaximizationOptions } from "./singlePositive.ts";
export { hingeEmbeddingLoss, hingeLoss, modifiedHuberLoss, perceptronLoss, type HingeOptions } from "./hinge.ts";
export { crammerSingerLoss, multilabelMarginLoss, westonWatkinsLoss, type MulticlassHingeOptions } from "./multiclassHinge.ts";
export { anyLoss, type AnyLossOptions } from "./anyLoss.ts";
export type { ElementLoss } from "../elementLoss.ts";

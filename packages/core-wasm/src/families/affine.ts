// What the fit of vector scaling needs; for @logits/calibration, not part of the package's index.
export { vectorScalingGradient, type VectorScalingLoss, type VectorScalingSums } from "../vectorScalingGradient.ts";
export { logisticSums, type LogisticRows } from "../logisticSums.ts";

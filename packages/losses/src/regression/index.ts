export {
  absoluteErrorLoss, huberLoss, logCoshLoss, quantileLoss, smoothL1Loss, squaredErrorLoss, wingLoss,
  type HuberOptions, type QuantileOptions, type SmoothL1Options, type WingOptions,
} from "./robust.ts";
export { gaussianLoss, intervalLoss, laplaceLoss, poissonLoss, tweedieLoss, type IntervalOptions, type LikelihoodOptions, type TweedieOptions } from "./likelihood.ts";
export { concordanceLoss, cosineDistanceLoss, scaleInvariantSnrLoss, type CosineOptions, type ScaleInvariantSnrOptions } from "./vectors.ts";
export type { ElementLoss, NamedGradients } from "../elementLoss.ts";

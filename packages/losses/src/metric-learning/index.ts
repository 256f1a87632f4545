export { adaCosScale, adaFaceLoss, curricularFaceLoss, madaCos, magFaceLoss, targetCosines, type AdaFaceOptions, type CurricularFaceOptions, type MagFaceOptions } from "./adaptiveMargins.ts";
export { equiangularBasisVectors, simplexEtf } from "./basisVectors.ts";
export type { ClassLoss, ClassLossOptions } from "./classCosines.ts";
export { hyperbolicConfusionLoss, hyperbolicCrossEntropy, type HyperbolicOptions } from "./hyperbolic.ts";
export {
  arcFaceLoss,
  combinedMarginLoss,
  cosFaceLoss,
  marginSoftmaxLoss,
  normalizedSoftmaxLoss,
  sphereFaceLoss,
  type CombinedMarginOptions,
  type CosineSoftmaxOptions,
  type MarginOptions,
  type MarginSoftmaxOptions,
} from "./marginSoftmax.ts";
export { p2sGradLoss, proxyNcaLoss, softTripleLoss, type SoftTripleOptions } from "./proxies.ts";
export { sphereFace2Bias, sphereFace2Loss, type SphereFace2Options } from "./sphereFace2.ts";
export { arcFaceMargin, combinedMargin, cosFaceMargin, sphereFaceMargin, type TargetMargin } from "./targetMargins.ts";
export { angularLoss, liftedStructureLoss, swapTripletMarginLoss, type AngularOptions, type LiftedStructureOptions, type SwapTripletOptions } from "./matrixLoss.ts";
export { metrixLoss, type MetrixOptions } from "./metrix.ts";
export { batchHardTriplets, distanceWeightedTriplets, multiSimilarityPairs, type MinedPairs } from "./miners.ts";
export { proxyAnchorLoss, type ProxyAnchorOptions } from "./proxyAnchor.ts";
export { tripletListLoss, type TripletListOptions } from "./tripletList.ts";
export { contrastiveLoss, marginLoss, thresholdConsistentMarginLoss, type ContrastiveOptions, type MarginLossOptions, type ThresholdConsistentMarginOptions } from "./pairwise.ts";
export { fastApLoss, rankedListLoss, type FastApOptions, type RankedListOptions } from "./ranked.ts";
export { tripletMarginLoss, type TripletMarginOptions } from "./triplet.ts";
export type { DistanceOptions, TermAverage } from "./tupleLoss.ts";
export {
  circleLoss,
  generalizedLiftedStructureLoss,
  multiSimilarityLoss,
  ncaLoss,
  nPairLoss,
  tupletMarginLoss,
  type CircleOptions,
  type LiftedOptions,
  type MultiSimilarityOptions,
  type NcaOptions,
  type TupletMarginOptions,
} from "./weightedPairs.ts";

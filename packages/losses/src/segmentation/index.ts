export {
  diceLoss, focalTverskyLoss, generalizedDiceLoss, jaccardLoss, logCoshDiceLoss, matthewsLoss, tverskyLoss,
  type DiceOptions, type FocalTverskyOptions, type MatthewsOptions, type OverlapOptions, type TverskyOptions,
} from "./overlap.ts";
export { selfAdjustingDiceLoss, type SelfAdjustingDiceOptions } from "./selfAdjustingDice.ts";
export { lovaszHingeLoss, lovaszSoftmaxLoss } from "./lovasz.ts";
export { boundaryLoss, signedDistance } from "./boundary.ts";
export { structuralSimilarityLoss, type StructuralSimilarityOptions } from "./structuralSimilarity.ts";
export { clDiceLoss, type ClDiceOptions } from "./clDice.ts";
export type { RegionLoss, RegionOptions } from "./regions.ts";
export type { PlaneLoss, PlaneOptions } from "./planes.ts";

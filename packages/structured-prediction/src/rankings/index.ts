export { PlackettLuce, type PlackettLuceOptions, type RankMarginals, type RankingGradients } from "./plackettLuce.ts";
export { fitPlackettLuce, type PlackettLuceFit, type PlackettLuceFitOptions } from "./fitPlackettLuce.ts";
export { pointerBeam, pointerLoss, pointerScores, type PointerPath, type PointerSearch, type PointerWeights } from "./pointer.ts";
export { tiedRankingLogProb, type TiedRankingOptions } from "./ties.ts";
export { sinkhorn, type SinkhornOptions, type SinkhornPlan } from "./sinkhorn.ts";
export { assignment, type Assignment } from "./assignment.ts";

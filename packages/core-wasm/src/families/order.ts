// What ranking metrics, bins of equal mass and monotone fits start from; for other packages, not part of the package's index.
export { tallySteps, withTally, type Tally } from "../tally.ts";
export { residualMoments } from "../residualMoments.ts";
export { differenceSums, massBins, pairsWon, riskSums, type DifferenceSums, type MassBins, type RiskSums } from "../tallySums.ts";
export { poolSteps, type PooledBlocks } from "../pooledBlocks.ts";
export { firstOutside, onesOf } from "../listChecks.ts";

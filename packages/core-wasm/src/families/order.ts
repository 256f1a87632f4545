// What ranking metrics, bins of equal mass and monotone fits start from; for other packages, not part of the package's index.
export { tallySteps, withTally, type Tally } from "../tally.ts";
export { residualMoments } from "../residualMoments.ts";

export type { StructuredDistribution } from "./structuredDistribution.ts";
export { LinearChain, type ChainGradients, type ChainMarginals, type ChainRewards, type GivenOptions } from "./linearChain.ts";
export { ChainModel, type ChainModelOptions, type ChainStates } from "./chainModel.ts";
export { type SequenceOptions } from "./sequences.ts";
export { automaton, type Automaton } from "./automaton.ts";
export { crfLoss, type CrfLossOptions } from "./crfLoss.ts";
export { fromFlair, fromPytorchCrf, type ChainParameters } from "./importChain.ts";

// Chains of states: partition sums, marginals, best paths.
export { compileChain, type ChainArcs, type ChainOptions, type ChainStructure, type CompiledChain } from "../chain.ts";
export { chainForwardBackward, type ChainForwardBackwardOptions, type ChainSums } from "../chainForwardBackward.ts";
export { chainViterbi, type ChainPaths } from "../chainViterbi.ts";

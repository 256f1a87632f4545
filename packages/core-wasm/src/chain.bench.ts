import { tensor, type Tensor } from "@logits/tensor";
import { compileChain, type CompiledChain } from "./chain.ts";
import { chainForwardBackward } from "./chainForwardBackward.ts";
import { chainViterbi } from "./chainViterbi.ts";

/** Transitions between -1 and 1, made once for each number of states. */
const chains = new Map<number, CompiledChain>();
function chainOf(states: number): CompiledChain {
  let chain = chains.get(states);
  if (!chain) chains.set(states, (chain = compileChain(tensor(Array.from({ length: states }, (_, i) => Array.from({ length: states }, (_, j) => ((i * 7 + j * 13) % 21) / 10 - 1))))));
  return chain;
}

/** Rows of emissions as one sequence. */
export const cases: readonly { name: string; rows: number; cols: number; run(x: Tensor<"float32">): unknown }[] = [9, 33, 64].flatMap((cols) => [
  { name: `forward-backward with marginals and counts, ${cols} states`, rows: 4096, cols, run: (x) => chainForwardBackward(chainOf(cols), x, { marginals: true, pairs: "counts" }) },
  { name: `Viterbi, ${cols} states`, rows: 4096, cols, run: (x) => chainViterbi(chainOf(cols), x) },
]);

import { asFloat32, asOffsets, checkShape, rangeError, type Tensor, type TensorLike } from "@logits/tensor";
import type { CompiledChain } from "./chain.ts";

/** Sequences one after another in the rows of one tensor. */
export interface ChainRows {
  readonly emissions: Tensor<"float32">;
  /** Row where each sequence begins, and the number of rows. */
  readonly offsets: Int32Array;
  readonly transitions: Tensor<"float32"> | undefined;
}

/** Which rows are one sequence, and transitions that differ from row to row. */
export interface ChainRowsOptions {
  /** int32 [B + 1]: sequence b has the rows [offsets[b], offsets[b + 1]); from 0 to N, not decreasing. Default: one sequence. */
  readonly offsets?: TensorLike;
  /** float32 [N, C, C]: the scores of the transitions into each row, instead of the chain's; those into the first row of a sequence count nothing. */
  readonly transitions?: TensorLike;
}

/** Checks what `chainForwardBackward` and `chainViterbi` take. */
export function chainRows(where: string, chain: CompiledChain, given: TensorLike, options: ChainRowsOptions): ChainRows {
  const emissions = asFloat32(where, "emissions", given);
  checkShape(where, "emissions", emissions, ["N", chain.states]);
  const n = emissions.shape[0];
  const offsets = asOffsets(where, "offsets", options.offsets, n);
  const transitions = options.transitions === undefined ? undefined : asFloat32(where, "transitions", options.transitions);
  if (transitions !== undefined) {
    const { shape } = transitions;
    checkShape(where, "transitions", { shape }, [n, chain.states, chain.states]);
    if (chain.structure !== "dense") throw rangeError(where, "transitions", "with a dense chain", `one whose structure is ${chain.structure}`, 'Compile with structure "dense"');
  }
  return { emissions, offsets, transitions };
}

/** Parts of a block of scratch, each on 16 bytes: their bytes together, and their addresses once the block has one. */
export function layout<Name extends string>(sizes: Record<Name, number>): { readonly bytes: number; at(base: number): Record<Name, number> } {
  let bytes = 0;
  const offsets = {} as Record<Name, number>;
  for (const name in sizes) {
    offsets[name] = bytes;
    bytes += Math.ceil(sizes[name] / 16) * 16;
  }
  return {
    bytes,
    at(base) {
      const addresses = { ...offsets };
      for (const name in addresses) addresses[name] += base;
      return addresses;
    },
  };
}

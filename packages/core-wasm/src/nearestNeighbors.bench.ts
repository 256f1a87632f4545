import type { Tensor } from "@logits/tensor";
import { nearestNeighbors } from "./nearestNeighbors.ts";
import { core } from "./resident.ts";

/** One query and many over a large resident bank, a coreset, the nearest of a hundred class means; the queries are the bank's first rows. */
export const cases: readonly { name: string; rows: number; cols: number; run(bank: Tensor<"float32">): unknown }[] = [
  [1, 50000, 512, 10],
  [1000, 50000, 512, 50],
  [1, 500, 512, 10],
  [100, 100, 512, 1],
].map(([queries, rows, cols, k]) => {
  let held: Tensor<"float32"> | undefined;
  return {
    name: `${queries} of ${rows} x ${cols}, k = ${k}`, rows, cols,
    run: (bank) => {
      if (held === undefined) {
        held = core.alloc(bank.shape);
        held.data.set(bank.data);
      }
      return nearestNeighbors({ data: bank.data.subarray(0, queries * cols), shape: [queries, cols] }, held, k);
    },
  };
});

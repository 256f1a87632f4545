import type { Tensor } from "@logits/tensor";
import { argsort } from "./argsort.ts";

/** Sizes that occur: one ranking of a class row, a vocabulary, a data set's scores. */
export const cases: readonly { name: string; rows: number; cols: number; run(x: Tensor<"float32">): unknown }[] = [
  [1, 100],
  [1000, 100],
  [1, 151936],
  [1, 1000000],
].map(([rows, cols]) => ({ name: `${rows} x ${cols}`, rows, cols, run: (x) => argsort(x) }));

import type { Tensor } from "@logits/tensor";
import { entmax15 } from "./entmax15.ts";

/** Attention rows, class rows and vocabularies. */
export const cases: readonly { name: string; rows: number; cols: number; run(x: Tensor<"float32">): unknown }[] = [
  [50000, 10],
  [1000, 100],
  [256, 1000],
  [1, 151936],
].map(([rows, cols]) => ({ name: `${rows} x ${cols}`, rows, cols, run: (x) => entmax15(x) }));

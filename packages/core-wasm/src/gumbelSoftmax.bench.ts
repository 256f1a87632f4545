import type { Tensor } from "@logits/tensor";
import { gumbelSoftmax } from "./gumbelSoftmax.ts";

/** Class rows and a vocabulary, soft and hard. */
export const cases: readonly { name: string; rows: number; cols: number; run(x: Tensor<"float32">): unknown }[] = [
  [50000, 10],
  [256, 1000],
  [1, 151936],
].flatMap(([rows, cols]) => [
  { name: `soft ${rows} x ${cols}`, rows, cols, run: (x: Tensor<"float32">) => gumbelSoftmax(x, { seed: 1 }) },
  { name: `hard ${rows} x ${cols}`, rows, cols, run: (x: Tensor<"float32">) => gumbelSoftmax(x, { seed: 1, hard: true }) },
]);

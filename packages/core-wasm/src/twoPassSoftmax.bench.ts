import type { Tensor } from "@logits/tensor";
import { softmax } from "./softmax.ts";
import { twoPassSoftmax } from "./twoPassSoftmax.ts";

/** In the cache and beyond it, beside our own three passes. */
export const cases: readonly { name: string; rows: number; cols: number; run(x: Tensor<"float32">): unknown; softmax(x: Tensor<"float32">): unknown }[] = [
  [256, 1000],
  [1, 32000],
  [1, 151936],
  [32, 151936],
  [1, 4000000],
].map(([rows, cols]) => ({ name: `${rows} x ${cols}`, rows, cols, run: (x) => twoPassSoftmax(x), softmax: (x) => softmax(x) }));

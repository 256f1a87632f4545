import type { Tensor } from "@logits/tensor";
import { matmul } from "./matmul.ts";

/** Square, the layers of a transformer, a retrieval of few queries, one row of scores for a vocabulary, and small ones. */
export const cases: readonly { name: string; m: number; k: number; n: number; run(a: Tensor<"float32">, b: Tensor<"float32">): unknown }[] = [
  [512, 512, 512],
  [1024, 768, 1024],
  [64, 64, 64],
  [8, 8, 8],
  [4, 768, 3072],
  [1, 768, 32000],
  [1000, 512, 1],
].map(([m, k, n]) => ({ name: `${m} x ${k} x ${n}`, m, k, n, run: (a, b) => matmul(a, b) }));

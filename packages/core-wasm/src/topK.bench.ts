import type { Tensor } from "@logits/tensor";
import { topK } from "./topK.ts";

/** Sampling from a vocabulary (k = 40), and the five best classes of ImageNet, CIFAR-100 and CIFAR-10. */
export const cases: readonly { name: string; rows: number; cols: number; k: number; run(x: Tensor<"float32">): unknown }[] = [
  [1, 151936, 40],
  [32, 151936, 40],
  [1, 32000, 40],
  [256, 1000, 5],
  [5000, 100, 5],
  [50000, 10, 5],
].map(([rows, cols, k]) => ({ name: `${k} of ${rows} x ${cols}`, rows, cols, k, run: (x) => topK(x, k) }));

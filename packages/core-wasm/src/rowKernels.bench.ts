import type { Tensor } from "@logits/tensor";
import { argmax } from "./argmax.ts";
import { entropy } from "./entropy.ts";
import { max } from "./max.ts";
import { sum } from "./sum.ts";

/** Class rows and vocabularies. */
export const cases: readonly { name: string; rows: number; cols: number; run(x: Tensor<"float32">): unknown }[] = [sum, max, argmax, entropy].flatMap((operation) =>
  [[50000, 10], [256, 1000], [1, 151936]].map(([rows, cols]) => ({ name: `${operation.name} ${rows} x ${cols}`, rows, cols, run: (x: Tensor<"float32">) => operation(x) })),
);

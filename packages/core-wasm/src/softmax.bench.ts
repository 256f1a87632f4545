import type { Tensor } from "@logits/tensor";
import { logSoftmax, logSumExp, softmax } from "./softmax.ts";

/** Tokens of vocabularies, class rows wide and narrow. */
export const cases: readonly { name: string; rows: number; cols: number; run(x: Tensor<"float32">): unknown }[] = [softmax, logSoftmax, logSumExp].flatMap((operation) =>
  [[1, 10], [64, 10], [50000, 10], [50000, 100], [256, 1000], [1, 32000], [1, 151936], [128, 32000]].map(([rows, cols]) => ({ name: `${operation.name} ${rows} x ${cols}`, rows, cols, run: (x: Tensor<"float32">) => operation(x) })),
);

import type { Tensor } from "@logits/tensor";
import { labelSums } from "./labelSums.ts";

export const cases: readonly { name: string; rows: number; cols: number; run(x: Tensor<"float32">): unknown }[] = [[50000, 10], [256, 1000], [32, 151936]].map(([rows, cols]) => {
  const labels = Int32Array.from({ length: rows }, (_, i) => i % cols), grad = new Float32Array(rows * cols);
  const run = (x: Tensor<"float32">): unknown => labelSums("bench", x, labels, (_, gap, others, __, scales) => {
    scales.scale = 1 / (1 + others);
    scales.label = gap;
  }, grad);
  return { name: `${rows} x ${cols}`, rows, cols, run };
});

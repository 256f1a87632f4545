import type { Tensor } from "@logits/tensor";
import { addGram } from "./addGram.ts";

/** Scatter of features: of a small network, of a sentence encoder, of a wide one. */
export const cases: readonly { name: string; rows: number; cols: number; run(x: Tensor<"float32">): unknown }[] = [
  [5000, 64],
  [5000, 512],
  [50000, 512],
  [2000, 2048],
].map(([rows, cols]) => ({
  name: `${rows} x ${cols}`, rows, cols,
  run: (x) => {
    const gram = new Float64Array(cols * cols);
    addGram(gram, x);
    return gram;
  },
}));

import type { Tensor } from "@logits/tensor";
import { sampleCategorical } from "./sampleCategorical.ts";

/** One token of a vocabulary, one class for each row, many draws from one row. */
export const cases: readonly { name: string; rows: number; cols: number; count: number; run(x: Tensor<"float32">): unknown }[] = [
  [1, 151936, 1],
  [256, 1000, 1],
  [50000, 10, 1],
  [1, 1000, 100000],
].map(([rows, cols, count]) => ({ name: `${count} from each of ${rows} x ${cols}`, rows, cols, count, run: (x) => sampleCategorical(x, count, { seed: 1 }) }));

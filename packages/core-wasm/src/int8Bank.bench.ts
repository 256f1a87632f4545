import type { Tensor } from "@logits/tensor";
import { farthestPoints } from "./farthestPoints.ts";
import { Int8Bank } from "./int8Bank.ts";

let held: Int8Bank | undefined;

/** One query over a large bank that is kept as bytes too (beside nearestNeighbors.bench.ts), its bytes made anew, and 100 rows that stand for it. */
export const cases: readonly { name: string; rows: number; cols: number; run(bank: Tensor<"float32">): unknown }[] = [
  { name: "1 of 50000 x 512, k = 10", rows: 50000, cols: 512, run: (bank) => (held ??= Int8Bank.of(bank)).nearest({ data: bank.data.subarray(0, 512), shape: [1, 512] }, 10) },
  { name: "bytes of 50000 x 512", rows: 50000, cols: 512, run: (bank) => Int8Bank.of(bank).dispose() },
  { name: "farthestPoints, 100 of 5000 x 512", rows: 5000, cols: 512, run: (x) => farthestPoints(x, 100) },
];

import type { Tensor } from "@logits/tensor";
import { logitStatistics, type LogitStatistic } from "./logitStatistics.ts";

const EVERY: readonly LogitStatistic[] = ["maxProbability", "otherProbability", "maxLogit", "energy", "entropy", "margin", "argmax", "concentration", "uniformDistance", "generalizedEntropy"];

/** CIFAR-10, CIFAR-100 and ImageNet classes in batches, one row of ImageNet, a vocabulary. */
export const cases: readonly { name: string; rows: number; cols: number; run(x: Tensor<"float32">): unknown }[] = [
  [50000, 10],
  [5000, 100],
  [50000, 1000],
  [256, 1000],
  [1, 1000],
  [1, 151936],
].flatMap(([rows, cols]) => [
  { name: `all seven, ${rows} x ${cols}`, rows, cols, run: (x: Tensor<"float32">) => logitStatistics(x) },
  { name: `all ten, ${rows} x ${cols}`, rows, cols, run: (x: Tensor<"float32">) => logitStatistics(x, { select: EVERY }) },
  { name: `generalizedEntropy, ${rows} x ${cols}`, rows, cols, run: (x: Tensor<"float32">) => logitStatistics(x, { select: ["generalizedEntropy"] }) },
  { name: `energy, ${rows} x ${cols}`, rows, cols, run: (x: Tensor<"float32">) => logitStatistics(x, { select: ["energy"] }) },
  { name: `margin, ${rows} x ${cols}`, rows, cols, run: (x: Tensor<"float32">) => logitStatistics(x, { select: ["margin"] }) },
]);

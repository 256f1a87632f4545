import type { Tensor } from "@logits/tensor";
import { MahalanobisDetector } from "./mahalanobis.ts";

/** A fit and the scores of as many rows, 100 or 1,000 classes in turn. */
export const cases: readonly { name: string; rows: number; cols: number; run(x: Tensor<"float32">): unknown }[] = [[5000, 64, 100], [5000, 512, 100], [4096, 768, 1000]].flatMap(([rows, cols, classes]) => {
  let detector: MahalanobisDetector | undefined;
  const labels = Int32Array.from({ length: rows }, (_, i) => i % classes);
  return [
    { name: `fit ${rows} x ${cols}`, rows, cols, run: (x: Tensor<"float32">) => MahalanobisDetector.fit(x, labels) },
    { name: `score ${rows} x ${cols}`, rows, cols, run: (x: Tensor<"float32">) => (detector ??= MahalanobisDetector.fit(x, labels)).score({ features: x }) },
  ];
});

import type { Tensor } from "@logits/tensor";
import { FeatureStatistics } from "./featureStatistics.ts";

/** Statistics of rows of 100 classes: check, hash, centring and covariance. */
export const cases: readonly { name: string; rows: number; cols: number; run(x: Tensor<"float32">): unknown }[] = [[5000, 64], [50000, 512]].map(([rows, cols]) => {
  const labels = Int32Array.from({ length: rows }, (_, i) => i % 100);
  return { name: `${rows} x ${cols}`, rows, cols, run: (x: Tensor<"float32">) => new FeatureStatistics({ classes: 100, features: cols }).update({ features: x, labels }) };
});

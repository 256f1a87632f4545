import type { Tensor } from "@logits/tensor";
import { ResidualDetector } from "./residual.ts";

/** The principal subspace of rows, and the residuals of as many. */
export const cases: readonly { name: string; rows: number; cols: number; run(x: Tensor<"float32">): unknown }[] = [[5000, 64], [5000, 512]].flatMap(([rows, cols]) => {
  let detector: ResidualDetector | undefined;
  return [
    { name: `fit ${rows} x ${cols}`, rows, cols, run: (x: Tensor<"float32">) => ResidualDetector.fit(x) },
    { name: `score ${rows} x ${cols}`, rows, cols, run: (x: Tensor<"float32">) => (detector ??= ResidualDetector.fit(x)).score({ features: x }) },
  ];
});

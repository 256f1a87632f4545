import type { Tensor } from "@logits/tensor";
import { SplitConformal } from "./splitConformal.ts";

/** Scores of labelled rows, and their sets at alpha 0.1: the label of a row is its largest or one of its next, in turn, so that sets have several classes. */
export const cases: readonly { name: string; rows: number; cols: number; run(x: Tensor<"float32">): unknown }[] = (["lac", "aps", "raps", "saps"] as const).flatMap((method) => {
  const rows = 2000, cols = 1000;
  let labels: Int32Array | undefined, fitted: SplitConformal | undefined;
  const labelsOf = (x: Tensor<"float32">): Int32Array =>
    (labels ??= Int32Array.from({ length: rows }, (_, n) => {
      const row = x.row(n).data, order = Array.from(row, (_value, c) => c).sort((a, b) => row[b] - row[a]);
      return order[(n % 4) * (n % 7)];
    }));
  return [
    { name: `fit ${rows} x ${cols}, ${method}`, rows, cols, run: (x: Tensor<"float32">) => SplitConformal.fit(x, labelsOf(x), { method }) },
    { name: `sets ${rows} x ${cols}, ${method}`, rows, cols, run: (x: Tensor<"float32">) => (fitted ??= SplitConformal.fit(x, labelsOf(x), { method })).predictionSet(x) },
  ];
});

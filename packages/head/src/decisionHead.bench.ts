import type { Tensor } from "@logits/tensor";
import { DecisionHead } from "./decisionHead.ts";

/** 1,000 decisions one by one, and as one batch: without a detector, and with msp. */
export const cases: readonly { name: string; rows: number; cols: number; run(x: Tensor<"float32">): unknown }[] = [3, 150].flatMap((cols) =>
  [undefined, "msp" as const].flatMap((detector) => {
    const rows = 1000;
    let head: DecisionHead | undefined;
    const fitted = (logits: Tensor<"float32">): DecisionHead => (head ??= fit(logits, detector));
    const name = detector ?? "no detector";
    return [
      { name: `decide ${rows} x ${cols}, ${name}`, rows, cols, run: (x: Tensor<"float32">) => Array.from({ length: rows }, (_, n) => fitted(x).decide(x.row(n))) },
      { name: `decideAll ${rows} x ${cols}, ${name}`, rows, cols, run: (x: Tensor<"float32">) => fitted(x).decideAll(x) },
    ];
  }),
);

function fit(logits: Tensor<"float32">, detector: "msp" | undefined): DecisionHead {
  const [rows, cols] = logits.shape, labels = Int32Array.from({ length: rows }, (_, n) => n % cols);
  return DecisionHead.fit({ logits, labels, classes: Array.from({ length: cols }, (_, c) => `${c}`) }, { alpha: 0.9, ...(detector && { detector }) });
}

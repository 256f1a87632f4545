import type { Tensor } from "@logits/tensor";
import { LinearHead } from "./linearHead.ts";
import { PrototypeHead } from "./prototypeHead.ts";

/** Fits on embeddings, and the logits of as many rows; 20 classes in turn, moved apart. */
export const cases: readonly { name: string; rows: number; cols: number; run(x: Tensor<"float32">): unknown }[] = [[2000, 64], [5000, 384]].flatMap(([rows, cols]) => {
  const labels = Int32Array.from({ length: rows }, (_, n) => n % 20);
  let moved: { data: Float32Array; shape: number[] } | undefined;
  const apart = (x: Tensor<"float32">) => (moved ??= { data: Float32Array.from(x.data, (v, i) => v / 10 + (i % cols === Math.floor(i / cols) % 20 ? 2 : 0)), shape: [rows, cols] });
  let linear: LinearHead | undefined;
  return [
    { name: `LinearHead.fit ${rows} x ${cols}`, rows, cols, run: (x: Tensor<"float32">) => LinearHead.fit(apart(x), labels) },
    { name: `LinearHead.logits ${rows} x ${cols}`, rows, cols, run: (x: Tensor<"float32">) => (linear ??= LinearHead.fit(apart(x), labels)).logits(apart(x)) },
    ...(["mean", "tied", "diagonal", "cosine"] as const).map((kind) => ({ name: `PrototypeHead.fit ${kind} ${rows} x ${cols}`, rows, cols, run: (x: Tensor<"float32">) => PrototypeHead.fit(apart(x), labels, { kind }) })),
  ];
});

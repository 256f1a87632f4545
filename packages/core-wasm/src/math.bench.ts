import type { Tensor } from "@logits/tensor";
import { erf } from "./erf.ts";
import { exp } from "./exp.ts";
import { expm1 } from "./expm1.ts";
import { log } from "./log.ts";
import { log1p } from "./log1p.ts";
import { sigmoid } from "./sigmoid.ts";
import { softplus } from "./softplus.ts";
import { tanh } from "./tanh.ts";

/** A row of scores and a layer. Positive inputs serve all eight. */
export const cases: readonly { name: string; rows: number; cols: number; run(x: Tensor<"float32">): unknown }[] = [exp, log, log1p, expm1, tanh, erf, sigmoid, softplus].flatMap((operation) =>
  [1000, 1_000_000].map((cols) => ({ name: `${operation.name} ${cols}`, rows: 1, cols, run: (x: Tensor<"float32">) => operation(x) })),
);

import type { Tensor } from "@logits/tensor";
import { symmetricEigen } from "./symmetricEigen.ts";

/** Eigenvalues and eigenvectors of the lower triangle of a square matrix; making the matrix is part of it. */
export const cases: readonly { name: string; rows: number; cols: number; run(x: Tensor<"float32">): unknown }[] = [64, 256, 512, 768].map((size) => ({
  name: `vectors ${size}`, rows: size, cols: size,
  run: (x) => symmetricEigen(Float64Array.from(x.data)),
}));

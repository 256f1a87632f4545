import { relaxed, simd } from "#wasm/select";
import { family } from "./family.ts";

/** The kernels of the `select` family. They return the first row with a NaN, else -1. */
export const kernels: () => {
  f32_argsort(x: number, y: number, rows: number, cols: number, descending: number, scratch: number): number;
  f32_top_k_scratch(cols: number, k: number): number;
  f32_top_k(x: number, rows: number, cols: number, k: number, values: number, indices: number, byIndex: number, scratch: number): number;
} = family("select", { simd, relaxed });

import { describe, rangeError, typeError } from "@logits/tensor";
import { relaxed, simd } from "#wasm/linalg";
import { family } from "./family.ts";
import { wasmMemory } from "./memory.ts";

/** The kernels of the `linalg` family. */
export const kernels: () => {
  f64_dots(a: number, aRow: number, b: number, bRow: number, c: number, cRow: number, m: number, n: number, k: number, scale: number, lower: number): void;
  f64_add_floats(sums: number, x: number, count: number): void;
  f64_cholesky_panel(a: number, aRow: number, m: number, from: number, w: number, least: number): number;
  f64_solve_panel(b: number, bRow: number, l: number, lRow: number, m: number, from: number, w: number): void;
} = family("linalg", { simd, relaxed });

/** Columns of a panel of the factorisation. */
export const PANEL = 32;

/** The memory as float64; not kept, because growth detaches it. */
export function doubleView(): Float64Array {
  return new Float64Array(wasmMemory().buffer);
}

/** Columns [0, cols) of rows [from, to) of x [., width] to `at`, `cols` apart. */
export function copyIn(x: Float64Array, width: number, from: number, to: number, cols: number, at: number): void {
  const view = doubleView();
  let target = at >>> 3;
  for (let i = from; i < to; i++, target += cols) view.set(x.subarray(i * width, i * width + cols), target);
}

/** The size of a square matrix of float64; `n` where it is known. */
export function checkSquare(where: string, argument: string, x: Float64Array, n?: number): number {
  if (!(x instanceof Float64Array)) throw typeError(where, argument, "a Float64Array", describe(x));
  const size = n ?? Math.round(Math.sqrt(x.length));
  if (x.length !== size * size) throw rangeError(where, argument, n === undefined ? "of F * F numbers" : `of ${n} * ${n} numbers`, `${x.length}`);
  return size;
}

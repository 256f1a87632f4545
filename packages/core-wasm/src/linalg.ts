import { relaxed, simd } from "#wasm/linalg";
import { doubleView } from "./doubles.ts";
import { family } from "./family.ts";

/** The kernels of the `linalg` family. */
export const kernels: () => {
  f64_dots(a: number, aRow: number, b: number, bRow: number, c: number, cRow: number, m: number, n: number, k: number, scale: number, lower: number): void;
  f64_add_floats(sums: number, x: number, count: number): void;
  f64_cholesky_panel(a: number, aRow: number, m: number, from: number, w: number, least: number): number;
  f64_solve_panel(b: number, bRow: number, l: number, lRow: number, m: number, from: number, w: number): void;
} = family("linalg", { simd, relaxed });

/** Columns of a panel of the factorisation. */
export const PANEL = 32;

/** Columns [0, cols) of rows [from, to) of x [., width] to `at`, `cols` apart. */
export function copyIn(x: Float64Array, width: number, from: number, to: number, cols: number, at: number): void {
  const view = doubleView();
  let target = at >>> 3;
  for (let i = from; i < to; i++, target += cols) view.set(x.subarray(i * width, i * width + cols), target);
}

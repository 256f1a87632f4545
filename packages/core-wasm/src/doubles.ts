import { describe, rangeError, typeError } from "@logits/tensor";
import { wasmMemory } from "./memory.ts";

/** The memory as float64; not kept, because growth detaches it. */
export function doubleView(): Float64Array {
  return new Float64Array(wasmMemory().buffer);
}

/** The size of a square matrix of float64; `n` where it is known. */
export function checkSquare(where: string, argument: string, x: Float64Array, n?: number): number {
  if (!(x instanceof Float64Array)) throw typeError(where, argument, "a Float64Array", describe(x));
  const size = n ?? Math.round(Math.sqrt(x.length));
  if (x.length !== size * size) throw rangeError(where, argument, n === undefined ? "of F * F numbers" : `of ${n} * ${n} numbers`, `${x.length}`);
  return size;
}

import { describe, rangeError, typeError } from "@logits/tensor";

/** A copy of the start, checked: finite numbers, at least one. */
export function startOf(where: string, x0: Float64Array | readonly number[]): Float64Array {
  if (!(x0 instanceof Float64Array || Array.isArray(x0))) throw typeError(where, "x0", "a Float64Array or an array of numbers", describe(x0));
  const x = Float64Array.from(x0);
  if (x.length === 0) throw rangeError(where, "x0", "with at least 1 element", "0");
  for (let i = 0; i < x.length; i++) if (x[i] - x[i] !== 0) throw rangeError(where, "x0", "of finite numbers", `${x[i]} at index ${i}`);
  return x;
}

/** Largest absolute component. */
export function normOf(gradient: Float64Array): number {
  let norm = 0;
  for (let i = 0; i < gradient.length; i++) norm = Math.max(norm, Math.abs(gradient[i]));
  return norm;
}

/**
 * Checks what an objective gave: a value that is a number, not -Infinity, and, where the value is finite, a finite gradient.
 * +Infinity is the value of a point outside the domain.
 */
export function checkEvaluation(where: string, value: number, gradient: Float64Array, evaluations: number): void {
  if (typeof value !== "number" || value !== value || value === -Infinity) {
    throw rangeError(where, "f", "to return a number above -Infinity", `${value} at evaluation ${evaluations}`);
  }
  if (value === Infinity) return;
  for (let i = 0; i < gradient.length; i++) {
    if (gradient[i] - gradient[i] !== 0) throw rangeError(where, "f", "to give a finite gradient", `${gradient[i]} at index ${i}, evaluation ${evaluations}`);
  }
}

/** Checks that the start lies in the domain. */
export function checkStart(where: string, value: number): void {
  if (value === Infinity) throw rangeError(where, "x0", "in the domain of `f`", "a start of value Infinity");
}

/** A tolerance: a finite number >= 0. */
export function checkTolerance(where: string, argument: string, value: number): void {
  if (!(value >= 0 && value < Infinity)) throw rangeError(where, argument, "a finite number >= 0", `${value}`);
}

export function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

import { rangeError } from "./errors.ts";
import type { Tensor } from "./tensor.ts";

/**
 * Checks the shape of an argument: a number is the size of its axis, a letter of the glossary leaves it free.
 * `checkShape("softmaxCrossEntropy", "logits", x, ["B", "C"])` wants two axes, `checkShape(where, "labels", y, [rows])` one of `rows` elements, `checkShape(where, "upstream", u, x.shape)` the shape of x.
 *
 * @throws RangeError with the shape that was wanted and the one that came
 */
export function checkShape(where: string, argument: string, x: { readonly shape: readonly number[] }, shape: readonly (number | string)[]): void {
  if (x.shape.length !== shape.length || shape.some((size, axis) => typeof size === "number" && size !== x.shape[axis])) throw rangeError(where, argument, `of shape [${shape.join(", ")}]`, `[${x.shape.join(", ")}]`);
}

/** Checks labels in [0, C) and names the first that is not; `ignore` is let through. */
export function checkLabels(where: string, argument: string, labels: Tensor<"int32">, classes: number, ignore?: number): void {
  const { data } = labels;
  for (let i = 0; i < data.length; i++) {
    if ((data[i] < 0 || data[i] >= classes) && data[i] !== ignore) throw rangeError(where, argument, `in [0, ${classes})`, `${data[i]} at index ${i}`);
  }
}

/** Checks a number strictly greater than 0 and finite (temperatures, scales). */
export function checkPositive(where: string, argument: string, value: number): void {
  if (!(value > 0 && value < Infinity)) throw rangeError(where, argument, "a finite number > 0", `${value}`);
}

/** Checks an integer in [low, high]. */
export function checkInteger(where: string, argument: string, value: number, low: number, high: number): void {
  if (!(Number.isInteger(value) && value >= low && value <= high)) throw rangeError(where, argument, `an integer in [${low}, ${high}]`, `${value}`);
}

/** Checks that no element is NaN, where NaN has no meaning; names its row. */
export function checkNoNaN(where: string, argument: string, x: Tensor<"float32">, cols: number): void {
  const { data } = x;
  for (let i = 0; i < data.length; i++) {
    if (data[i] !== data[i]) throw rangeError(where, argument, "without NaN", `NaN in row ${Math.floor(i / cols)}, column ${i % cols}`);
  }
}

/** The axis as an index from 0: negative counts from the end. */
export function checkAxis(where: string, axis: number, rank: number): number {
  const index = axis < 0 ? axis + rank : axis;
  if (!(Number.isInteger(index) && index >= 0 && index < rank)) throw rangeError(where, "axis", `an integer in [-${rank}, ${rank})`, `${axis}`);
  return index;
}

import { asFloat32, checkShape, rangeError, type TensorLike } from "@logits/tensor";

/** Checks a number in [low, high]; NaN is none. */
export function checkRange(where: string, argument: string, value: number, low: number, high: number = Infinity): void {
  if (!(value >= low && value <= high) || value === Infinity) throw rangeError(where, argument, high === Infinity ? `a finite number >= ${low}` : `in [${low}, ${high}]`, `${value}`);
}

/** Checks a number in [0, 1). */
export function checkShare(where: string, argument: string, value: number): void {
  if (!(value >= 0 && value < 1)) throw rangeError(where, argument, "in [0, 1)", `${value}`);
}

/** Checks that a word or number is one of those there are. */
export function checkChoice<T extends string | number | false>(where: string, argument: string, value: T, choices: readonly T[]): void {
  if (choices.includes(value)) return;
  const names = choices.map((choice) => JSON.stringify(choice));
  throw rangeError(where, argument, `${names.slice(0, -1).join(", ")} or ${names[names.length - 1]}`, JSON.stringify(value) ?? `${value}`);
}

/** One number for each class, finite and at least 0; a copy, since the elements of a resident tensor move when memory grows. */
export function perClass(where: string, argument: string, given: TensorLike, classes: number): Float32Array {
  const { data, shape } = asFloat32(where, argument, given), bad = data.findIndex((v) => !(v >= 0 && v < Infinity));
  checkShape(where, argument, { shape }, [classes]);
  if (bad >= 0) throw rangeError(where, argument, "finite and not negative", `${data[bad]} at index ${bad}`);
  return data.slice();
}

/** What the comparators take: a number, an array of numbers (typed, or nested with one level per axis), or anything with a shape and data. */
export type Comparable = number | ArrayLike<number> | readonly unknown[] | { readonly shape: readonly number[]; readonly data: ArrayLike<number> };

/** How far `got` may be from `want`. At least one bound must be written; an element passes if it is within any of the two. */
export interface Closeness {
  /** Absolute part of `|got - want| <= atol + rtol * |want|`. */
  readonly atol?: number;
  /** Relative part of `|got - want| <= atol + rtol * |want|`. */
  readonly rtol?: number;
  /** Largest distance in units in the last place, both sides rounded to float32. */
  readonly ulp?: number;
  /** Printed first in the message of a failure. */
  readonly label?: string;
}

/** Thrown by every comparator and battery of this package. */
export class AssertionError extends Error {
  constructor(text: string, options?: ErrorOptions) {
    super(text, options);
    this.name = "AssertionError";
  }
}

const word = new Float32Array(1);
const bits = new Int32Array(word.buffer);

function ordered(x: number): number {
  word[0] = x;
  return bits[0] < 0 ? -2147483648 - bits[0] : bits[0];
}

/**
 * How many float32 values lie between `a` and `b`, both rounded to float32 first.
 * -0 and 0 are the same place (0); Infinity is one step beyond the largest float32; NaN and NaN 0, NaN and a number Infinity.
 */
export function ulpDistance(a: number, b: number): number {
  if (a !== a || b !== b) return a !== a && b !== b ? 0 : Infinity;
  return Math.abs(ordered(a) - ordered(b));
}

/**
 * Fails unless every element of `got` is within the bound of `want`.
 *
 * NaN equals only NaN, an infinity only the same infinity, lengths must match, and shapes where both sides have one
 * (nested arrays have one; a flat array and a number have none). 0 and -0 are close; use `expectExact` to tell them apart.
 * Comparing an array with itself is an error, as is a call without a bound.
 *
 * @example
 *   expectClose(softmax(x), [0.25, 0.75], { atol: 1e-6, label: "softmax" });
 */
export function expectClose(got: Comparable, want: Comparable, closeness: Closeness): void {
  const { atol, rtol, ulp, label } = closeness ?? {};
  const where = label ?? "expectClose";
  const bounds = { atol, rtol, ulp };
  const written = Object.entries(bounds).filter(([, bound]) => bound !== undefined);
  if (written.length === 0) throw new AssertionError(`${where}: no bound was given; write atol, rtol or ulp (or use expectExact)`);
  for (const [name, bound] of written) {
    if (!(typeof bound === "number" && bound >= 0 && bound < Infinity)) throw new AssertionError(`${where}: expected a finite \`${name}\` >= 0, got ${show(bound)}`);
  }
  const withinDifference = atol !== undefined || rtol !== undefined;
  compare(where, got, want, (g, w) => {
    if (g !== g || w !== w) return g !== g && w !== w ? undefined : "NaN matches only NaN";
    if (!Number.isFinite(g) || !Number.isFinite(w)) return g === w ? undefined : "an infinity matches only itself";
    const error = Math.abs(g - w);
    const bound = (atol ?? 0) + (rtol ?? 0) * Math.abs(w);
    if (withinDifference && error <= bound) return undefined;
    if (ulp !== undefined && ulpDistance(g, w) <= ulp) return undefined;
    const difference = `error ${error}` + (withinDifference ? ` > bound ${bound}` : "");
    return ulp === undefined ? difference : `${difference}, ${ulpDistance(g, w)} ulp > bound ${ulp} ulp`;
  });
}

/** Fails unless every element of `got` is the same value as in `want` by `Object.is` (NaN is NaN, -0 is not 0), in the same shape. */
export function expectExact(got: Comparable, want: Comparable, label = "expectExact"): void {
  compare(label, got, want, (g, w) => (Object.is(g, w) ? undefined : `error ${Math.abs(g - w)}, expected the same value`));
}

interface Flat {
  readonly shape: readonly number[] | undefined;
  readonly data: ArrayLike<number>;
}

function compare(where: string, gotSide: Comparable, wantSide: Comparable, fault: (got: number, want: number) => string | undefined): void {
  const got = flatten(where, "got", gotSide);
  const want = flatten(where, "want", wantSide);
  const shape = got.shape ?? want.shape;
  if (got.data.length !== want.data.length || (got.shape && want.shape && `${got.shape}` !== `${want.shape}`)) {
    throw new AssertionError(`${where}: got ${size(got)}, want ${size(want)}`);
  }
  if (sameMemory(got.data, want.data)) throw new AssertionError(`${where}: got and want are the same array, so this comparison cannot fail; compare with a copy`);
  let first = "";
  let failures = 0;
  for (let i = 0; i < got.data.length; i++) {
    const g = numberAt(where, "got", got.data, i);
    const w = numberAt(where, "want", want.data, i);
    const reason = fault(g, w);
    if (reason === undefined) continue;
    if (failures++ === 0) first = `at index ${i}${place(i, shape)}: got ${show(g)}, want ${show(w)}, ${reason}`;
  }
  if (failures > 0) throw new AssertionError(`${where}: ${first} (${failures} of ${got.data.length} elements fail)`);
}

function flatten(where: string, side: string, x: Comparable): Flat {
  if (typeof x === "number") return { shape: undefined, data: [x] };
  if (Array.isArray(x)) {
    const shape: number[] = [];
    for (let level: unknown = x; Array.isArray(level); level = level[0]) shape.push(level.length);
    const data = shape.length > 1 ? (x.flat(shape.length - 1) as number[]) : (x as number[]);
    if (shape.length > 1 && !rectangular(x, shape, 0)) throw new AssertionError(`${where}: ${side} is ragged, its first rows have shape [${shape.join(", ")}]`);
    return { shape: shape.length > 1 ? shape : undefined, data };
  }
  if (typeof x === "object" && x !== null) {
    if ("data" in x) {
      const { data } = x;
      const shape = "shape" in x ? x.shape : (x as { dims?: readonly number[] }).dims;
      if (!Array.isArray(shape) || typeof data !== "object" || data === null || typeof data.length !== "number") {
        throw new AssertionError(`${where}: ${side} has no shape and data that can be compared`);
      }
      const elements = shape.reduce((product, dim) => product * dim, 1);
      if (elements !== data.length) throw new AssertionError(`${where}: ${side} has shape [${shape.join(", ")}] but ${data.length} elements`);
      return { shape, data };
    }
    if (typeof (x as ArrayLike<number>).length === "number") return { shape: undefined, data: x as ArrayLike<number> };
  }
  throw new AssertionError(`${where}: ${side} is ${x === null ? "null" : typeof x}, which cannot be compared`);
}

function rectangular(x: unknown, shape: readonly number[], axis: number): boolean {
  if (axis === shape.length) return !Array.isArray(x);
  return Array.isArray(x) && x.length === shape[axis] && x.every((row) => rectangular(row, shape, axis + 1));
}

function sameMemory(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  if (a.length === 0) return false;
  if (a === b) return true;
  return ArrayBuffer.isView(a) && ArrayBuffer.isView(b) && a.buffer === b.buffer && a.byteOffset === b.byteOffset && a.constructor === b.constructor;
}

function numberAt(where: string, side: string, data: ArrayLike<number>, i: number): number {
  const x: unknown = data[i];
  if (typeof x !== "number") throw new AssertionError(`${where}: ${side} is no number at index ${i}, but ${typeof x}`);
  return x;
}

function place(i: number, shape: readonly number[] | undefined): string {
  if (!shape || shape.length < 2) return "";
  const indices: number[] = [];
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    indices.unshift(i % shape[axis]);
    i = Math.floor(i / shape[axis]);
  }
  return shape.length === 2 ? ` (row ${indices[0]}, column ${indices[1]})` : ` [${indices.join(", ")}]`;
}

function size(x: Flat): string {
  return `${x.shape ? `shape [${x.shape.join(", ")}], ` : ""}${x.data.length} elements`;
}

function show(x: unknown): string {
  return Object.is(x, -0) ? "-0" : String(x);
}

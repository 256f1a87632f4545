import { asFloat32, asMask, type TensorLike } from "./convert.ts";
import { rangeError } from "./errors.ts";
import { Tensor, sizeOf } from "./tensor.ts";

/** How one value per row becomes the result. */
export type Reduction = "mean" | "sum" | "none";

/** The options that every loss has. */
export interface LossOptions {
  /** Default "mean": divided by the sum of the weights of the rows that take part; none taking part gives 0. */
  readonly reduction?: Reduction;
  /** float32 [B], one weight per value, finite and not negative; for values of more axes, theirs or the leading ones. */
  readonly weight?: TensorLike;
  /** uint8 [B], 1 = takes part; shapes as for `weight`. */
  readonly where?: TensorLike;
  /** Rows with this label take no part. */
  readonly ignoreIndex?: number;
}

/** A loss is a value: callable, and with `withGrad`. Predictions first, targets second, one options object last. */
export interface Loss<Arguments extends readonly unknown[], Options extends LossOptions = LossOptions, Gradients = { readonly grad: Tensor<"float32"> }> {
  (...args: [...Arguments, options?: Options]): Tensor<"float32">;
  /** Value and gradient in one pass. `upstream` has the shape of the value; default 1. */
  withGrad(...args: [...Arguments, options?: Options & { readonly upstream?: TensorLike }]): { readonly loss: Tensor<"float32"> } & Gradients;
}

/** What every value contributes: its weight, 0 where it takes no part. `undefined` = 1 everywhere. `weight` and `where` have the shape of the values, or of their leading axes: [B] for values [B, T]. */
export function rowWeights(where: string, values: number | readonly number[], options: LossOptions): Float32Array | undefined {
  if (options.weight === undefined && options.where === undefined) return undefined;
  const shape = typeof values === "number" ? [values] : values, out = new Float32Array(sizeOf(shape)).fill(1);
  if (options.weight !== undefined) {
    const weight = asFloat32(where, "weight", options.weight), each = repeats(where, "weight", weight.shape, shape);
    const bad = weight.data.findIndex((w) => !(w >= 0 && w < Infinity));
    if (bad >= 0) throw rangeError(where, "weight", "finite and not negative", `${weight.data[bad]} at index ${bad}`);
    for (let i = 0; i < out.length; i++) out[i] = weight.data[Math.floor(i / each)];
  }
  if (options.where !== undefined) {
    const mask = asMask(where, "where", options.where), each = repeats(where, "where", mask.shape, shape);
    for (let i = 0; i < out.length; i++) if (mask.data[Math.floor(i / each)] === 0) out[i] = 0;
  }
  return out;
}

/** Checks the name of a reduction. */
export function checkReduction(where: string, reduction: Reduction = "mean"): void {
  if (reduction !== "mean" && reduction !== "sum" && reduction !== "none") throw rangeError(where, "reduction", '"mean", "sum" or "none"', `${reduction}`);
}

/** How many values one element of an argument over the leading axes of `shape` stands for. */
function repeats(where: string, argument: string, given: readonly number[], shape: readonly number[]): number {
  if (given.length > shape.length || given.some((n, i) => n !== shape[i])) throw rangeError(where, argument, `of shape [${shape.join(", ")}]`, `[${given.join(", ")}]`);
  return Math.max(1, sizeOf(shape.slice(given.length)));
}

/**
 * Reduces values with weights: `none` keeps their shape (0 where one takes no part), `sum` and `mean` give shape []. Sums in float64.
 * A value that takes no part is never read, so a NaN in it does not matter.
 */
export function reduceRows(values: Float32Array | Float64Array, weights: Float32Array | undefined, reduction: Reduction = "mean", shape: readonly number[] = [values.length]): Tensor<"float32"> {
  const rows = values.length;
  if (reduction === "none") {
    if (weights === undefined && values instanceof Float32Array) return new Tensor("float32", shape, values);
    return new Tensor("float32", shape, Float32Array.from(values, (value, i) => (weights === undefined ? value : weights[i] === 0 ? 0 : weights[i] * value)));
  }
  checkReduction("reduceRows", reduction);
  let total = 0;
  let mass = 0;
  for (let i = 0; i < rows; i++) {
    const weight = weights ? weights[i] : 1;
    if (weight === 0) continue;
    total += weight * values[i];
    mass += weight;
  }
  return new Tensor("float32", [], Float32Array.of(reduction === "sum" ? total : mass === 0 ? 0 : total / mass));
}

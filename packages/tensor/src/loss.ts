import { asFloat32, asMask, type TensorLike } from "./convert.ts";
import { rangeError } from "./errors.ts";
import { Tensor } from "./tensor.ts";

/** How one value per row becomes the result. */
export type Reduction = "mean" | "sum" | "none";

/** The options that every loss has. */
export interface LossOptions {
  /** Default "mean": divided by the sum of the weights of the rows that take part; none taking part gives 0. */
  readonly reduction?: Reduction;
  /** float32 [B], one weight per row, finite and not negative. */
  readonly weight?: TensorLike;
  /** uint8 [B], 1 = takes part. */
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

/** What every row contributes: its weight, 0 where it takes no part. `undefined` = 1 everywhere. */
export function rowWeights(where: string, rows: number, options: LossOptions): Float32Array | undefined {
  if (options.weight === undefined && options.where === undefined) return undefined;
  const out = new Float32Array(rows).fill(1);
  if (options.weight !== undefined) {
    const weight = asFloat32(where, "weight", options.weight);
    if (weight.size !== rows) throw rangeError(where, "weight", `of shape [${rows}]`, `[${weight.shape.join(", ")}]`);
    out.set(weight.data);
    const bad = out.findIndex((w) => !(w >= 0 && w < Infinity));
    if (bad >= 0) throw rangeError(where, "weight", "finite and not negative", `${out[bad]} at index ${bad}`);
  }
  if (options.where !== undefined) {
    const mask = asMask(where, "where", options.where);
    if (mask.size !== rows) throw rangeError(where, "where", `of shape [${rows}]`, `[${mask.shape.join(", ")}]`);
    for (let i = 0; i < rows; i++) if (mask.data[i] === 0) out[i] = 0;
  }
  return out;
}

/**
 * Reduces one value per row: `none` keeps [B] (0 where a row takes no part), `sum` and `mean` give shape []. Sums in float64.
 * A row that takes no part is never read, so a NaN in it does not matter.
 */
export function reduceRows(values: Float32Array, weights: Float32Array | undefined, reduction: Reduction = "mean"): Tensor<"float32"> {
  const rows = values.length;
  if (reduction === "none") {
    return new Tensor("float32", [rows], weights ? values.map((value, i) => (weights[i] === 0 ? 0 : weights[i] * value)) : values);
  }
  if (reduction !== "mean" && reduction !== "sum") throw rangeError("reduceRows", "reduction", '"mean", "sum" or "none"', `${reduction}`);
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

import { asFloat32, asInt32, rangeError, type Tensor, type TensorLike } from "@logits/tensor";

/** Sizes, or letters for those that are free. */
type Shape = readonly (number | string)[];

function checked<T extends Tensor>(where: string, argument: string, x: T, shape: Shape): T {
  if (x.shape.length !== shape.length || shape.some((size, k) => typeof size === "number" && size !== x.shape[k])) throw rangeError(where, argument, `of shape [${shape.join(", ")}]`, `[${x.shape.join(", ")}]`);
  return x;
}

/** A float32 argument of that shape. */
export function floats(where: string, argument: string, x: TensorLike, shape: Shape): Tensor<"float32"> {
  return checked(where, argument, asFloat32(where, argument, x), shape);
}

/** An int32 argument of that shape. */
export function integers(where: string, argument: string, x: TensorLike, shape: Shape): Tensor<"int32"> {
  return checked(where, argument, asInt32(where, argument, x), shape);
}

/** The weights of rows, 0 where the label is the one that takes no part. */
export function labelledWeights(weights: Float32Array | undefined, y: Int32Array, ignoreIndex: number | undefined): Float32Array | undefined {
  return ignoreIndex === undefined ? weights : Float32Array.from(y, (label, i) => (label === ignoreIndex ? 0 : weights ? weights[i] : 1));
}

/** Indices of the rows that take part. */
export function taking(rows: number, weights: Float32Array | undefined): number[] {
  return Array.from({ length: rows }, (_, i) => i).filter((i) => weights?.[i] !== 0);
}

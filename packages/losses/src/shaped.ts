import { asFloat32, asInt32, rangeError, type Tensor, type TensorLike } from "@logits/tensor";

/** Sizes, or letters for those that are free. */
type Shape = readonly (number | string)[];

/** An argument that has that shape, or an error that says so. */
export function shaped<T extends Tensor>(where: string, argument: string, x: T, shape: Shape): T {
  if (x.shape.length !== shape.length || shape.some((size, k) => typeof size === "number" && size !== x.shape[k])) throw rangeError(where, argument, `of shape [${shape.join(", ")}]`, `[${x.shape.join(", ")}]`);
  return x;
}

/** A float32 argument of that shape. */
export function floats(where: string, argument: string, x: TensorLike, shape: Shape): Tensor<"float32"> {
  return shaped(where, argument, asFloat32(where, argument, x), shape);
}

/** An int32 argument of that shape. */
export function integers(where: string, argument: string, x: TensorLike, shape: Shape): Tensor<"int32"> {
  return shaped(where, argument, asInt32(where, argument, x), shape);
}

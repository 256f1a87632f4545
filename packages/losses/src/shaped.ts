import { asFloat32, asInt32, checkShape, type Tensor, type TensorLike } from "@logits/tensor";

/** Sizes, or letters for those that are free. */
type Shape = readonly (number | string)[];

/** An argument that has that shape, or an error that says so. */
export function shaped<T extends Tensor>(where: string, argument: string, x: T, shape: Shape): T {
  checkShape(where, argument, x, shape);
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

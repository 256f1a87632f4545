import type { Tensor } from "@logits/tensor";

/** The data of a tensor for later: those of a resident one move when memory grows, so they are copied. `given`: what the tensor was made from, where that is another object. */
export function lasting<D extends "float32" | "int32">(x: Tensor<D>, given: unknown = x): Tensor<D>["data"] {
  return (typeof (given as { readonly dispose?: unknown }).dispose === "function" ? x.data.slice() : x.data) as Tensor<D>["data"];
}

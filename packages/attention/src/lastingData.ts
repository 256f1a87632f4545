import type { DataOf, DType, Tensor } from "@logits/tensor";

/** The elements, for longer than the next operation: the view of a resident tensor is copied, since WebAssembly memory that grows leaves it empty. */
export function lastingData<D extends DType>(x: Tensor<D>): DataOf<D> {
  const { data } = x;
  // A resident tensor makes its view anew each time.
  return data === x.data ? data : (data.slice() as DataOf<D>);
}

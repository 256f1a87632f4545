import type { DataOf, DType, Tensor } from "./tensor.ts";

/** The elements of a tensor for longer than the next operation: those of a resident one are copied, since memory that grows leaves their view empty. */
export function lastingData<D extends DType>(x: Tensor<D>): DataOf<D> {
  const { data } = x;
  // A resident tensor makes its view anew each time.
  return data === x.data ? data : (data.slice() as DataOf<D>);
}

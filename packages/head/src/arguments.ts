import { Tensor, asFloat32, asInt32, asMask, lastingData, type DType, type TensorLike } from "@logits/tensor";

// A head keeps its rows while calibrators and detectors ask for memory: elements of a resident tensor are copied, since memory that grows leaves a view of them empty.

/** The argument as float32, to keep. */
export function float32Of(where: string, argument: string, x: TensorLike): Tensor<"float32"> {
  return kept(asFloat32(where, argument, x));
}

/** The argument as int32, to keep. */
export function int32Of(where: string, argument: string, x: TensorLike): Tensor<"int32"> {
  return kept(asInt32(where, argument, x));
}

/** The argument as a mask, to keep. */
export function maskOf(where: string, argument: string, x: TensorLike): Tensor<"uint8"> {
  return kept(asMask(where, argument, x));
}

function kept<D extends DType>(x: Tensor<D>): Tensor<D> {
  const data = lastingData(x);
  return data === x.data ? x : new Tensor(x.dtype, x.shape, data);
}

import { asInt32, checkLabels, rangeError, rowWeights, type RowLossOptions, type TensorLike } from "@logits/tensor";

/** Labels in [0, classes) of values of the given shape, where classes are not the columns of a matrix of scores; rows of `ignoreIndex` get the weight 0. */
export function labelled(where: string, labels: TensorLike, shape: readonly number[], classes: number, options: RowLossOptions): { readonly y: Int32Array; readonly weights: Float32Array | undefined } {
  const y = asInt32(where, "labels", labels), { ignoreIndex } = options;
  if (`${y.shape}` !== `${shape}`) throw rangeError(where, "labels", `of shape [${shape.join(", ")}]`, `[${y.shape.join(", ")}]`);
  checkLabels(where, "labels", y, classes, ignoreIndex);
  let weights = rowWeights(where, shape, options);
  if (ignoreIndex !== undefined) weights = (weights ?? new Float32Array(y.size).fill(1)).map((w, i) => (y.data[i] === ignoreIndex ? 0 : w));
  return { y: y.data, weights };
}

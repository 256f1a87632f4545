import { asFloat32, asInt32, checkLabels, checkShape, rangeError, rowWeights, type LossOptions, type Tensor, type TensorLike } from "@logits/tensor";

/** Labels of rows of the given shape, and the weights of the rows; those of `ignoreIndex` have 0. */
export function labelWeights(where: string, labels: TensorLike, shape: readonly number[], words: number, options: LossOptions): { readonly y: Int32Array; readonly weights: Float32Array | undefined } {
  const { ignoreIndex } = options, y = asInt32(where, "labels", labels), weights = rowWeights(where, shape, options);
  if (`${y.shape}` !== `${shape}`) throw rangeError(where, "labels", `of shape [${shape.join(", ")}]`, `[${y.shape.join(", ")}]`);
  checkLabels(where, "labels", y, words, ignoreIndex);
  return { y: y.data, weights: ignoreIndex === undefined ? weights : Float32Array.from(y.data, (label, i) => (label === ignoreIndex ? 0 : weights ? weights[i] : 1)) };
}

/** A matrix [rows, D], or an error that says so in these letters. */
export function matrix(where: string, argument: string, x: TensorLike, letter: string, width: number): Tensor<"float32"> {
  const made = asFloat32(where, argument, x);
  if (made.shape.length !== 2 || made.shape[1] !== width) throw rangeError(where, argument, `of shape [${letter}, ${width}]`, `[${made.shape.join(", ")}]`);
  return made;
}

/** Hidden states [B, D]. */
export function hiddenRows(where: string, hidden: TensorLike): Tensor<"float32"> {
  const x = asFloat32(where, "hidden", hidden);
  checkShape(where, "hidden", x, ["B", "D"]);
  return x;
}

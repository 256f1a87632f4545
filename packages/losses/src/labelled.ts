import { checkLabels, rowWeights, type LossOptions, type TensorLike } from "@logits/tensor";
import { integers } from "./shaped.ts";

/** Labels in [0, classes) of values of the given shape, where classes are not the columns of a matrix of scores; rows of `ignoreIndex` get the weight 0. */
export function labelled(where: string, labels: TensorLike, shape: readonly number[], classes: number, options: LossOptions, weights: Float32Array | undefined = rowWeights(where, shape, options)): { readonly y: Int32Array; readonly weights: Float32Array | undefined } {
  const y = integers(where, "labels", labels, shape), { ignoreIndex } = options;
  checkLabels(where, "labels", y, classes, ignoreIndex);
  // A copy: the elements of a resident tensor move when memory grows.
  return { y: y.data.slice(), weights: withoutIgnored(weights, y.data, ignoreIndex) };
}

/** The weights of rows or elements, 0 where the label is the one that takes no part. */
export function withoutIgnored(weights: Float32Array | undefined, labels: ArrayLike<number>, ignoreIndex: number | undefined): Float32Array | undefined {
  return ignoreIndex === undefined ? weights : Float32Array.from(labels, (label, i) => (label === ignoreIndex ? 0 : weights ? weights[i] : 1));
}

/** Indices of the rows that take part: of a weight above 0, or all. */
export function takingPart(rows: number, weights: Float32Array | undefined): number[] {
  return Array.from({ length: rows }, (_, i) => i).filter((i) => weights?.[i] !== 0);
}

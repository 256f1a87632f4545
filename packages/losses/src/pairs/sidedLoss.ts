import { checkVectors, similarityPass, type Similarity } from "@logits/core-wasm/similarity";
import { Tensor, rangeError, rowWeights, type LossOptions, type LossPlan, type TensorLike } from "@logits/tensor";
import { takingPart } from "../labelled.ts";
import { checkChoice } from "../range.ts";
import type { PairRow } from "./pairLoss.ts";

/** Options of a loss on the similarities of two sides. */
export interface SidedLossOptions extends LossOptions {
  /** How vectors are compared. Default "cosine". */
  readonly similarity?: "cosine" | "dot";
}

/** Two sides of which row i belongs to row i; the right one may have more rows. */
export interface Sides {
  readonly left: Tensor<"float32">;
  readonly right: Tensor<"float32">;
  /** Rows of the left side that take part, indices. */
  readonly rows: readonly number[];
  /** Rows of the right side that stand in the columns: the same, and those beyond the left side's. Column i belongs to row i. */
  readonly columns: readonly number[];
  readonly weights: Float32Array | undefined;
}

/** How the sides are compared: "cosine" where nothing is said. */
export function similarityOf(where: string, { similarity = "cosine" }: SidedLossOptions): "cosine" | "dot" {
  checkChoice(where, "similarity", similarity, ["cosine", "dot"]);
  return similarity;
}

/** Checks both sides of a loss; `[left, right]` are their names. */
export function sidesOf(where: string, names: readonly [string, string], left: TensorLike, right: TensorLike, options: LossOptions, more: boolean): Sides {
  const a = checkVectors(where, names[0], left), [n, features] = a.shape, b = checkVectors(where, names[1], right, features), [m] = b.shape;
  if (more ? m < n : m !== n) throw rangeError(where, names[1], `of shape [${n}${more ? " or more" : ""}, ${features}]`, `[${b.shape.join(", ")}]`);
  const weights = rowWeights(where, n, options), rows = takingPart(n, weights);
  return { left: a, right: b, rows, columns: [...rows, ...takingPart(m, undefined).slice(n)], weights };
}

/** A pass over the similarities of both sides: the value of each row, and the gradients of the sides. */
export function sidedPass({ left, right, rows, columns }: Sides, similarity: Similarity, row: PairRow, values: Float64Array, coefficients: Float64Array | undefined): [left: Float32Array, right: Float32Array] | undefined {
  const grads = similarityPass({ data: left.data, rows }, { data: right.data, rows: columns }, left.shape[1], similarity, (i, s) => {
    values[rows[i]] += row(i, s, coefficients?.[rows[i]]);
  }, coefficients !== undefined);
  return grads && [grads.left, grads.right!];
}

/** The plan of a loss with the gradients of both sides under their names. */
export function sidedPlan<Gradients>(sides: Sides, pass: (values: Float64Array, coefficients: Float64Array | undefined) => readonly [Float32Array, Float32Array] | undefined, grads: (left: Tensor<"float32">, right: Tensor<"float32">) => Gradients): LossPlan<Gradients> {
  const { left, right, weights } = sides;
  return {
    shape: [left.shape[0]],
    weights,
    pass(coefficients) {
      const values = new Float64Array(left.shape[0]), got = pass(values, coefficients);
      return { values, gradients: () => grads(new Tensor("float32", left.shape, got![0]), new Tensor("float32", right.shape, got![1])) };
    },
  };
}

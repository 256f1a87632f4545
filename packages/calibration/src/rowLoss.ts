import { Tensor, asFloat32, asInt32, checkLabels, checkShape, rangeError, rowWeights, type LossOptions, type TensorLike } from "@logits/tensor";

/** Checked logits [B, C] and labels [B] of a loss, with the weight of each row; `undefined` weights are 1. */
export interface LossRows {
  readonly z: Tensor<"float32">;
  readonly y: Int32Array;
  readonly rows: number;
  readonly classes: number;
  readonly weights: Float32Array | undefined;
}

/** Checks the arguments that every loss on logits has. Rows of `ignoreIndex` get the weight 0. */
export function lossRows(where: string, logits: TensorLike, labels: TensorLike, options: LossOptions): LossRows {
  const z = asFloat32(where, "logits", logits), y = asInt32(where, "labels", labels);
  checkShape(where, "logits", z, ["B", "C"]);
  const [rows, classes] = z.shape;
  if (classes === 0) throw rangeError(where, "logits", "with at least one class", `shape [${rows}, 0]`);
  if (y.shape.length !== 1 || y.size !== rows) throw rangeError(where, "labels", `of shape [${rows}]`, `[${y.shape.join(", ")}]`);
  checkLabels(where, "labels", y, classes, options.ignoreIndex);
  let weights = rowWeights(where, rows, options);
  if (options.ignoreIndex !== undefined) {
    weights ??= new Float32Array(rows).fill(1);
    for (let i = 0; i < rows; i++) if (y.data[i] === options.ignoreIndex) weights[i] = 0;
  }
  return { z, y: y.data, rows, classes, weights };
}

/** The gradient of the reduced loss: `grads` (d value / d logits, [B, C]) of each row times its weight and its upstream. A row that takes no part may hold anything; its gradient is 0. */
export function reducedGrad(where: string, { z, rows, classes, weights }: LossRows, grads: Float32Array, { reduction = "mean", upstream }: LossOptions & { readonly upstream?: TensorLike }): Tensor<"float32"> {
  const up = upstream === undefined ? undefined : asFloat32(where, "upstream", upstream), size = reduction === "none" ? rows : 1;
  if (up !== undefined && up.size !== size) throw rangeError(where, "upstream", `of shape [${reduction === "none" ? rows : ""}]`, `[${up.shape.join(", ")}]`);
  const mass = reduction !== "mean" ? 1 : weights === undefined ? rows : weights.reduce((sum, weight) => sum + weight, 0);
  for (let i = 0; i < rows; i++) {
    const weight = weights === undefined ? 1 : weights[i];
    const factor = weight === 0 ? 0 : ((up === undefined ? 1 : up.data[reduction === "none" ? i : 0]) * weight) / mass;
    for (let c = i * classes; c < (i + 1) * classes; c++) grads[c] = weight === 0 ? 0 : factor * grads[c];
  }
  return new Tensor("float32", z.shape, grads);
}

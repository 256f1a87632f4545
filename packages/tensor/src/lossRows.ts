import { checkAxis, checkLabels, checkShape } from "./check.ts";
import { asFloat32, asInt32, type TensorLike } from "./convert.ts";
import { rangeError } from "./errors.ts";
import { rowWeights, type LossOptions } from "./loss.ts";
import { Tensor, sizeOf } from "./tensor.ts";

/** Options of a loss on rows of scores. */
export interface RowLossOptions extends LossOptions {
  /** The axis of the classes; negative counts from the end. Default -1; 1 for images [B, C, H, W]. */
  readonly axis?: number;
}

/** Rows of scores, checked: whatever the axis of the classes was, they stand side by side here. */
export interface ScoreRows {
  /** float32 [rows, classes]. */
  readonly z: Tensor<"float32">;
  readonly rows: number;
  readonly classes: number;
  /** The shape of the scores without the axis of the classes: of labels, weights and the values of the loss. */
  readonly shape: readonly number[];
  readonly weights: Float32Array | undefined;
  /** float32 [rows, classes] in the shape and order of the scores. */
  gradient(data: Float32Array): Tensor<"float32">;
}

/** Scores with a label for each row. */
export interface LossRows extends ScoreRows {
  readonly y: Int32Array;
}

/**
 * Checks the scores of a loss, [B, C] or of more axes, and its weights.
 *
 * @param where - for messages
 * @param argument - its name
 * @param scores - float32 [B, C] or [..., C], at least two axes, C at least 1
 * @param options - `axis`, `weight`, `where`
 * @returns the rows
 * @throws RangeError for another shape, no class, weights or a mask that are none
 * @example
 *   scoreRows("myLoss", "logits", [[1, 2, 3]], {}).classes; // 3
 * Source: this library.
 */
export function scoreRows(where: string, argument: string, scores: TensorLike, options: RowLossOptions): ScoreRows {
  const x = asFloat32(where, argument, scores), size = x.shape.length;
  if (size < 2) throw rangeError(where, argument, "of shape [B, ..., C]", `[${x.shape.join(", ")}]`);
  const index = checkAxis(where, options.axis ?? -1, size), classes = x.shape[index], shape = x.shape.filter((_, i) => i !== index), rows = sizeOf(shape), inner = sizeOf(x.shape.slice(index + 1));
  if (classes === 0) throw rangeError(where, argument, "with at least one class", `shape [${x.shape.join(", ")}]`);
  return {
    // More axes are copied: a view of a resident tensor would be lost when memory grows.
    z: size === 2 && inner === 1 ? x : new Tensor("float32", [rows, classes], swapped(x.data, classes, inner)),
    rows,
    classes,
    shape,
    weights: rowWeights(where, shape, options),
    gradient: (data) => new Tensor("float32", x.shape, inner === 1 ? data : swapped(data, inner, classes)),
  };
}

/**
 * Checks the scores and the integer labels of a loss. Rows of `ignoreIndex` get the weight 0.
 *
 * @param where - for messages
 * @param logits - float32 [B, C] or [..., C], at least two axes, C at least 1
 * @param labels - int32, the shape of the logits without the axis of the classes; in [0, C) or `ignoreIndex`
 * @param options - `axis`, `weight`, `where`, `ignoreIndex`
 * @returns the rows with their labels
 * @throws RangeError for another shape, a label outside [0, C) (with its index), weights or a mask that are none
 * @example
 *   lossRows("myLoss", [[1, 2, 3]], [2], {}).y; // Int32Array [2]
 * Source: this library.
 */
export function lossRows(where: string, logits: TensorLike, labels: TensorLike, options: RowLossOptions): LossRows {
  const scores = scoreRows(where, "logits", logits, options), { shape, rows, classes } = scores, { ignoreIndex } = options, y = asInt32(where, "labels", labels);
  checkShape(where, "labels", y, shape);
  checkLabels(where, "labels", y, classes, ignoreIndex);
  let { weights } = scores;
  if (ignoreIndex !== undefined) {
    weights ??= new Float32Array(rows).fill(1);
    for (let i = 0; i < rows; i++) if (y.data[i] === ignoreIndex) weights[i] = 0;
  }
  // A copy: the elements of a resident tensor move when memory grows.
  return { ...scores, y: y.data.slice(), weights };
}

/** [outer, a, b] to [outer, b, a]. */
function swapped(data: Float32Array, a: number, b: number): Float32Array {
  if (b === 1) return data.slice();
  const out = new Float32Array(data.length);
  for (let base = 0; base < data.length; base += a * b) for (let i = 0; i < a; i++) for (let j = 0; j < b; j++) out[base + j * a + i] = data[base + i * b + j];
  return out;
}

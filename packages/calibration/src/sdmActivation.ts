import { logSoftmax, softmax } from "@logits/core-wasm";
import { log } from "@logits/statistics";
import { Tensor, asFloat32, checkShape, defineLoss, lastingData, lossRows, rangeError, type Loss, type TensorLike } from "@logits/tensor";

/**
 * SDM activation: softmax with a base that grows with similarity to known rows, and an exponent that shrinks with distance from them.
 *
 *   p[b, c] = (2 + q[b])^(d[b] z[b, c]) / sum_k (2 + q[b])^(d[b] z[b, k])
 *
 * q counts the nearest known rows in succession that were classified rightly as this row is; d is 1 for a row closer to them than every calibration row, 0 for one farther than all of them. q = e - 2 and d = 1 is softmax; d = 0 is uniform,
 * whatever the logits. One d for all classes of a row keeps the order of the classes. `SdmEstimator` computes q and d.
 *
 * @param logits - float32 [B, C], C at least 1; -Infinity = impossible class
 * @param similarity - float32 [B], q, finite and not negative
 * @param distance - float32 [B], d, in [0, 1]
 * @returns float32 [B, C]. Impossible classes have probability 0 also where d is 0. A row with NaN or +Infinity, or of -Infinity only: NaN
 * @throws RangeError for another shape, a q that is negative or not finite, a d outside [0, 1] (with its index)
 * @example
 *   sdmActivation([[1, 0], [1, 0]], [0, 6], [1, 1]); // 2 / 3 and 8 / 9 for the first class
 * Source: Schmaltz, "Similarity-distance-magnitude universal verification", 2025 (arXiv:2502.20167); "Similarity-distance-magnitude activations", 2025 (arXiv:2509.12760).
 */
export function sdmActivation(logits: TensorLike, similarity: TensorLike, distance: TensorLike): Tensor<"float32"> {
  return softmax(scaled("sdmActivation", logits, similarity, distance).scaledLogits);
}

/**
 * Loss of the SDM activation: negative log-likelihood in the base 2 + q of the row.
 *
 *   loss[b] = -log_(2 + q[b]) p[b, labels[b]],   p = sdmActivation(logits, similarity, distance)
 *
 * The change of base keeps rows with many similar ones from having louder gradients: the loss is d (z_max - z_label) where q is large. q = e - 2 and d = 1 is cross-entropy.
 *
 * @param logits - float32 [B, C], C at least 1; -Infinity = impossible class
 * @param labels - int32 [B], in [0, C)
 * @param similarity - float32 [B], q, finite and not negative; no gradient is published
 * @param distance - float32 [B], d, in [0, 1]; no gradient is published
 * @param options - those of every loss: `reduction` ("mean"), `weight`, `where`, `ignoreIndex`
 * @returns float32 [B] ("none") or []; +Infinity where the label is impossible. A row with NaN or +Infinity, or of -Infinity only: NaN. `withGrad`: `grad` [B, C], d (p_c - [c = label])
 * @throws RangeError as `sdmActivation`, and for a label outside [0, C) (with its index), weights or a mask that are none
 * @example
 *   sdmLoss([[1, 0]], [0], [6], [1]); // log_8(9 / 8) = 0.0566
 * Source: as `sdmActivation`.
 */
export const sdmLoss: Loss<[logits: TensorLike, labels: TensorLike, similarity: TensorLike, distance: TensorLike]> = /* @__PURE__ */ defineLoss("sdmLoss", 4, (where, [logits, labels, similarity, distance], options) => {
  const { z, y, rows, classes, shape, weights, gradient } = lossRows(where, logits, labels, options), { scaledLogits, bases, d } = scaled(where, z, similarity, distance, weights);
  return {
    shape,
    weights,
    pass(coefficients) {
      const logP = logSoftmax(scaledLogits).data, p = coefficients && softmax(scaledLogits).data, values = new Float64Array(rows), grad = new Float32Array(p ? z.size : 0);
      for (let i = 0; i < rows; i++) {
        if (weights !== undefined && weights[i] === 0) continue;
        values[i] = -logP[i * classes + y[i]] / bases[i];
        if (p) for (let c = 0; c < classes; c++) grad[i * classes + c] = coefficients[i] * d[i] * (p[i * classes + c] - Number(c === y[i]));
      }
      return { values, gradients: () => ({ grad: gradient(grad) }) };
    },
  };
});

/** Logits times d ln(2 + q), with ln(2 + q) of each row. Rows of weight 0 are not checked. */
function scaled(where: string, logits: TensorLike, similarity: TensorLike, distance: TensorLike, weights?: Float32Array): { scaledLogits: Tensor<"float32">; bases: Float64Array; d: Float32Array } {
  const z = asFloat32(where, "logits", logits);
  checkShape(where, "logits", z, ["B", "C"]);
  const [rows, classes] = z.shape;
  const read = (argument: string, x: TensorLike, expected: string, holds: (value: number) => boolean): Float32Array => {
    const given = asFloat32(where, argument, x), data = lastingData(given);
    checkShape(where, argument, given, [rows]);
    for (let i = 0; i < rows; i++) if (weights?.[i] !== 0 && !holds(data[i])) throw rangeError(where, argument, expected, `${data[i]} at index ${i}`);
    return data;
  };
  const q = read("similarity", similarity, "finite and not negative", (x) => x >= 0 && x < Infinity);
  const d = read("distance", distance, "in [0, 1]", (x) => x >= 0 && x <= 1);
  const out = new Float32Array(z.size), bases = new Float64Array(rows);
  for (let i = 0; i < rows; i++) {
    bases[i] = log(2 + q[i]);
    for (let c = i * classes; c < (i + 1) * classes; c++) out[c] = z.data[c] === -Infinity ? -Infinity : d[i] * bases[i] * z.data[c];
  }
  return { scaledLogits: new Tensor("float32", z.shape, out), bases, d };
}

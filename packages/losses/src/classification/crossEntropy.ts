import { softCapped } from "@logits/core-wasm/labels";
import { checkPositive, type RowLossOptions, type TensorLike } from "@logits/tensor";
import { labelLoss, type LabelLoss } from "../labelLoss.ts";
import { checkRange, checkShare, perClass } from "../range.ts";

/** Options of `crossEntropy`. */
export interface CrossEntropyOptions extends RowLossOptions {
  /** The share of the target that is spread evenly over the possible classes, in [0, 1). Default 0. */
  readonly labelSmoothing?: number;
  /** float32 [C], finite and not negative: the weight of a row is that of its label, in the mean too; with smoothing, a class's part of the target counts by its weight. Rows whose label has weight 0 take no part. */
  readonly classWeight?: TensorLike;
  /** Adds this times log Z squared, >= 0: keeps log Z near 0. Default 0. */
  readonly zLoss?: number;
  /** Replaces logits by cap tanh(logits / cap), > 0; -Infinity stays. Default: none. */
  readonly softCap?: number;
}

/**
 * Cross-entropy of logits with integer labels, in nats: log Z less the label's score.
 *
 *   loss[b] = log sum_c exp(logits[b, c]) - logits[b, labels[b]]
 *
 * With label smoothing e over the C possible classes, class weights w and zLoss l:
 *   loss[b] = (1 - e) (log Z - x_y) + (e / C) sum_c (w_c / w_y) (log Z - x_c) + l (log Z)^2,   weighted by w_y
 *
 * @param logits - float32 [B, C] or [B, ..., C]: unnormalised log-probabilities; -Infinity = impossible class, which is as if it did not exist
 * @param labels - int32 [B] or [B, ...], in [0, C)
 * @param options - those of every loss: `reduction` ("mean"), `weight`, `where`, `ignoreIndex`; `axis` of the classes; `labelSmoothing`, `classWeight`, `zLoss`, `softCap`
 * @returns float32 of the labels' shape ("none") or []; +Infinity where the labelled class is impossible. A row with NaN or +Infinity, or of -Infinity only: NaN.
 *   `withGrad`: `grad`, p - onehot(label) where nothing else is asked for, the shape of the logits
 * @throws RangeError for another shape, a label outside [0, C) (with its index), weights or a mask that are none, options outside their range
 * @example
 *   crossEntropy([[2, 0]], [0]); // log(1 + exp(-2)) = 0.1269
 * Source: Goodfellow, Bengio, Courville, Deep Learning (2016), 6.2.2.3; smoothing: Szegedy et al., CVPR 2016, section 7; zLoss: Chowdhery et al., "PaLM", JMLR 2023, section 5; softCap: Bello et al., ICLR 2017.
 */
export const crossEntropy: LabelLoss<CrossEntropyOptions> = /* @__PURE__ */ labelLoss("crossEntropy", (options, { z, y, classes, rows, weights }, where) => {
  const { labelSmoothing = 0, classWeight, zLoss = 0, softCap } = options;
  checkShare(where, "labelSmoothing", labelSmoothing);
  checkRange(where, "zLoss", zLoss, 0);
  const w = classWeight === undefined ? undefined : perClass(where, "classWeight", classWeight, classes);
  if (softCap !== undefined) checkPositive(where, "softCap", softCap);
  const scores = softCap === undefined ? z : softCapped(where, z, softCap), x = scores.data, shares = labelSmoothing > 0 ? new Float64Array(rows) : undefined;
  let mass = 0;
  return {
    scores,
    weights: w === undefined ? weights : Float32Array.from({ length: rows }, (_, i) => (weights?.[i] === 0 ? 0 : (weights?.[i] ?? 1) * w[y[i]])),
    value(logP, _, row, logZ) {
      const plain = zLoss * logZ * logZ - (1 - labelSmoothing) * logP;
      if (shares === undefined) return plain;
      let sum = 0, possible = 0;
      mass = 0;
      for (let c = 0, i = row * classes; c < classes; c++, i++) {
        if (x[i] === -Infinity) continue;
        const factor = w === undefined ? 1 : w[c];
        possible++;
        mass += factor;
        sum += factor * (logZ - x[i]);
      }
      const share = (shares[row] = labelSmoothing / possible / (w === undefined ? 1 : w[y[row]]));
      mass *= share;
      return plain + share * sum;
    },
    slope: () => 1 - labelSmoothing,
    ...((shares !== undefined || zLoss > 0) && { mass: (_: number, logZ: number) => mass + 2 * zLoss * logZ }),
    finish(grad, coefficients) {
      if (shares === undefined && softCap === undefined) return;
      for (let row = 0; row < rows; row++) {
        if (coefficients[row] === 0) continue;
        const end = (row + 1) * classes;
        if (shares !== undefined) {
          const share = coefficients[row] * shares[row];
          for (let c = 0, i = end - classes; i < end; c++, i++) if (x[i] !== -Infinity) grad[i] -= share * (w === undefined ? 1 : w[c]);
        }
        if (softCap === undefined) continue;
        for (let i = end - classes, inverse = 1 / softCap; i < end; i++) if (x[i] !== -Infinity) grad[i] *= 1 - x[i] * inverse * (x[i] * inverse);
      }
    },
  };
});

import { labelSums } from "@logits/core-wasm/labels";
import type { LossPlan, ScoreRows, Tensor } from "@logits/tensor";

/**
 * The value of a row from its probabilities. `pull` (zeros at first) receives d value / d log p[c], as if each could move alone: the gradient is pull - p sum(pull).
 * Where a class is impossible, p is 0 and log p -Infinity. The coefficient, 0 without a gradient, is for what else the loss differentiates.
 */
export type RowValue = (row: number, p: Float64Array, logP: Float64Array, pull: Float64Array, coefficient: number) => number;

/**
 * Plans a loss of whole rows of probabilities. Sums by the kernel of the label's losses; log p in float64 from the scores, p at the maximum in float64 too, so that what is left of 1 keeps its digits.
 */
export function rowPlan(where: string, { z, rows, classes, shape, weights, gradient }: ScoreRows, value: RowValue): LossPlan<{ readonly grad: Tensor<"float32"> }> {
  return {
    shape,
    weights,
    pass(coefficients) {
      // The probabilities; then the gradient in their place.
      const out = new Float32Array(z.size), values = new Float64Array(rows), tops = new Int32Array(rows), maxima = new Float64Array(rows), logSums = new Float64Array(rows);
      let x = z.data;
      const p = new Float64Array(classes), logP = new Float64Array(classes), pull = new Float64Array(classes);
      for (let row = 0, i = 0; row < rows; row++) for (let c = 0, best = -Infinity; c < classes; c++, i++) {
        if (x[i] > best) {
          best = x[i];
          tops[row] = c;
        }
      }
      labelSums(where, z, tops, (row, _gap, others, max, scales, own, logSum) => {
        maxima[row] = max;
        logSums[row] = logSum;
        scales.scale = scales.label = 1 / (own + others);
      }, out);
      // Anew: the kernel may have let the memory grow, where a resident tensor lies.
      x = z.data;
      for (let row = 0; row < rows; row++) {
        const at = row * classes;
        if (weights?.[row] === 0) {
          out.fill(0, at, at + classes);
          continue;
        }
        for (let c = 0; c < classes; c++) {
          p[c] = out[at + c];
          logP[c] = x[at + c] - maxima[row] - logSums[row];
        }
        const top = tops[row];
        let rest = 0, total = 0;
        for (let c = 0; c < classes; c++) if (c !== top) rest += p[c];
        p[top] = 1 - rest;
        pull.fill(0);
        const coefficient = coefficients === undefined ? 0 : coefficients[row];
        values[row] = value(row, p, logP, pull, coefficient);
        for (let c = 0; c < classes; c++) total += pull[c];
        for (let c = 0; c < classes; c++) out[at + c] = coefficient * (pull[c] - p[c] * total);
      }
      return { values, gradients: () => ({ grad: gradient(out) }) };
    },
  };
}

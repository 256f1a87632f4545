import { softmax } from "@logits/core-wasm";
import { log } from "@logits/statistics";
import { asFloat32, defineLoss, rangeError, scoreRows, type Loss, type LossPlan, type RowLossOptions, type ScoreRows, type Tensor, type TensorLike } from "@logits/tensor";
import { meanRow } from "./predictions.ts";

/** Options of `batchPriorLoss` beside those of every loss. */
export interface BatchPriorOptions extends RowLossOptions {
  /** How often each class should be answered, [C]; normalised. Default: all equally often. */
  readonly prior?: TensorLike;
}

/**
 * Keeps a batch from being answered with few classes: the divergence of a prior from the mean prediction.
 *
 *   loss = sum_c prior[c] log(prior[c] / m[c]),   m = mean of softmax(logits[b]) over the rows, weighted by `weight`
 *
 * One value for the batch, whatever the reduction.
 *
 * @param logits - float32 [B, C] or [B, ..., C]; -Infinity = impossible class
 * @param options - `prior` (uniform), `weight` and `where` of the rows; `axis` of the classes
 * @returns float32 []: 0 where the mean is the prior, and where no row takes part; +Infinity where a class of the prior is impossible in all rows. `withGrad`: `grad`
 * @throws RangeError for another shape, a prior that is none
 * @example
 *   batchPriorLoss([[9, 0], [9, 0]]); // the mean is (1, 0): large
 * Source: Arazo et al., "Pseudo-labeling and confirmation bias in deep semi-supervised learning", IJCNN 2020 (arXiv:1908.02983), R_A.
 */
export const batchPriorLoss: Loss<[logits: TensorLike], BatchPriorOptions> = /* @__PURE__ */ defineLoss("batchPriorLoss", 1, (where, [logits], options) => {
  const rows = scoreRows(where, "logits", logits, options), { classes } = rows, given = options.prior === undefined ? undefined : asFloat32(where, "prior", options.prior);
  const list = given === undefined ? new Float64Array(classes).fill(1) : Float64Array.from(given.data), sum = list.reduce((a, b) => a + b, 0);
  if (list.length !== classes || list.some((x) => !(x >= 0)) || !(sum > 0 && sum < Infinity)) throw rangeError(where, "prior", `${classes} frequencies, not all 0`, `[${Array.from(list).join(", ")}]`);
  const prior = list.map((x) => x / sum);
  return batchPlan(rows, (m) => ({ value: prior.reduce((total, q, c) => total + (q === 0 ? 0 : q * (log(q) - log(m[c]))), 0), slopes: prior.map((q, c) => (q === 0 ? 0 : -q / m[c])) }));
});

/**
 * The negative entropy of the mean prediction: minimised, it spreads the answers over the classes.
 *
 *   loss = sum_c m[c] log m[c],   m = mean of softmax(logits[b]) over the rows
 *
 * One value for the batch, whatever the reduction; -log C at the least.
 *
 * @param logits - float32 [B, C] or [B, ..., C]
 * @param options - `weight` and `where` of the rows; `axis` of the classes
 * @returns float32 []; 0 where no row takes part. `withGrad`: `grad`
 * @throws RangeError for another shape
 * @example
 *   negativeMeanEntropy([[0, 0]]); // -log 2 = -0.6931
 * Source: Assran et al., "PAWS", ICCV 2021 (arXiv:2104.13963), me-max.
 */
export const negativeMeanEntropy: Loss<[logits: TensorLike], RowLossOptions> = /* @__PURE__ */ defineLoss("negativeMeanEntropy", 1, (where, [logits], options) =>
  batchPlan(scoreRows(where, "logits", logits, options), (m) => ({ value: m.reduce((total, x) => total + (x === 0 ? 0 : x * log(x)), 0), slopes: m.map((x) => (x === 0 ? 0 : log(x) + 1)) })));

/** A loss of the mean prediction: `term` gives its value and its derivatives by the mean. */
export function batchPlan(rows: ScoreRows, term: (mean: Float64Array) => { readonly value: number; readonly slopes: Float64Array }): LossPlan<{ readonly grad: Tensor<"float32"> }> {
  const { z, classes, weights, gradient } = rows;
  return {
    shape: [],
    pass(coefficients?: Float64Array) {
      const p = clean(softmax(z).data, classes, weights), mass = weights === undefined ? rows.rows : weights.reduce((a, b) => a + b, 0), grad = new Float32Array(coefficients ? p.length : 0);
      if (mass === 0) return { values: Float64Array.of(0), gradients: () => ({ grad: gradient(grad) }) };
      const { value, slopes } = term(meanRow(p, classes, weights));
      if (coefficients) {
        for (let i = 0; i < rows.rows; i++) {
          const first = i * classes, w = (coefficients[0] * (weights?.[i] ?? 1)) / mass;
          if (w === 0) continue;
          let inner = 0;
          for (let c = 0; c < classes; c++) inner += p[first + c] * slopes[c];
          for (let c = 0; c < classes; c++) grad[first + c] = w * p[first + c] * (slopes[c] - inner);
        }
      }
      return { values: Float64Array.of(value), gradients: () => ({ grad: gradient(grad) }) };
    },
  };
}

/** Rows without weight may hold NaN. */
function clean(p: Float32Array, classes: number, weights: Float32Array | undefined): Float32Array {
  weights?.forEach((w, i) => { if (w === 0) p.fill(0, i * classes, (i + 1) * classes); });
  return p;
}

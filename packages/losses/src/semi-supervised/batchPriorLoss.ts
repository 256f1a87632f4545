import { softmax } from "@logits/core-wasm";
import { exp, log, logAddExp } from "@logits/statistics";
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
  return batchPlan(rows, (_, logM) => ({ value: prior.reduce((total, q, c) => total + (q === 0 ? 0 : q * (log(q) - logM[c])), 0), slopes: prior.map((q) => -q) }));
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
  batchPlan(scoreRows(where, "logits", logits, options), (m, logM) => ({ value: m.reduce((total, x, c) => total + (x === 0 ? 0 : x * logM[c]), 0), slopes: m.map((x, c) => (x === 0 ? 0 : x * (logM[c] + 1))) })));

/** A loss of the mean prediction: `term` gives its value and its derivatives by the logarithm of the mean. */
export function batchPlan(rows: ScoreRows, term: (mean: Float64Array, logMean: Float64Array) => { readonly value: number; readonly slopes: Float64Array }): LossPlan<{ readonly grad: Tensor<"float32"> }> {
  const { z, classes, weights, gradient } = rows;
  return {
    shape: [],
    pass(coefficients?: Float64Array) {
      const p = clean(softmax(z).data, classes, weights), mass = weights === undefined ? rows.rows : weights.reduce((a, b) => a + b, 0), grad = new Float32Array(coefficients ? p.length : 0);
      if (mass === 0) return { values: Float64Array.of(0), gradients: () => ({ grad: gradient(grad) }) };
      const mean = meanRow(p, classes, weights), logMean = mean.map(log), tops = Int32Array.from({ length: rows.rows }, (_, i) => topOf(p, i * classes, classes) + i * classes);
      // What float32 cannot hold is read off the scores: the largest probability of the row is far from its end.
      const logP = (i: number, c: number): number => z.data[i * classes + c] - z.data[tops[i]] + log(p[tops[i]]);
      for (let c = 0; c < classes; c++) {
        if (!(mean[c] < FAINT)) continue;
        logMean[c] = -Infinity;
        for (let i = 0; i < rows.rows; i++) if (weights?.[i] !== 0) logMean[c] = logAddExp(logMean[c], logP(i, c) + log((weights?.[i] ?? 1) / mass));
      }
      const { value, slopes } = term(mean, logMean);
      if (coefficients) {
        // p / mean: how much more of the class this row has.
        const share = (i: number, c: number): number => (mean[c] < FAINT ? (logMean[c] === -Infinity ? 0 : exp(logP(i, c) - logMean[c])) : p[i * classes + c] / mean[c]);
        for (let i = 0; i < rows.rows; i++) {
          const first = i * classes, w = (coefficients[0] * (weights?.[i] ?? 1)) / mass;
          if (w === 0) continue;
          let inner = 0;
          for (let c = 0; c < classes; c++) inner += share(i, c) * slopes[c];
          for (let c = 0; c < classes; c++) grad[first + c] = w * (share(i, c) * slopes[c] - p[first + c] * inner);
        }
      }
      return { values: Float64Array.of(value), gradients: () => ({ grad: gradient(grad) }) };
    },
  };
}

/** Means below this have addends at the end of float32. */
const FAINT = 1e-30;

/** Place of the largest of the classes from `first` on. */
function topOf(p: Float32Array, first: number, classes: number): number {
  let best = 0;
  for (let c = 1; c < classes; c++) if (p[first + c] > p[first + best]) best = c;
  return best;
}

/** Rows without weight may hold NaN. */
function clean(p: Float32Array, classes: number, weights: Float32Array | undefined): Float32Array {
  weights?.forEach((w, i) => { if (w === 0) p.fill(0, i * classes, (i + 1) * classes); });
  return p;
}

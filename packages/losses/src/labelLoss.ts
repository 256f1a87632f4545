import { labelSums } from "@logits/core-wasm/labels";
import { defineLoss, lossRows, type Loss, type LossPlan, type LossRows, type RowLossOptions, type Tensor, type TensorLike } from "@logits/tensor";

/** A loss of one row as a function of log p and 1 - p of its label. */
export interface LabelTerms {
  /** Scores in place of the logits, float32 [rows, classes]: theirs plus what does not depend on them. */
  readonly scores?: Tensor<"float32">;
  /** Weights in place of the rows' own. */
  readonly weights?: Float32Array | undefined;
  /** The value from log p[label], q = 1 - p[label], the row and log Z; called before `slope` and `mass` of its row. */
  value(logP: number, q: number, row: number, logZ: number): number;
  /** -d value / d log p[label]: the gradient is slope (p - onehot(label)). */
  slope(logP: number, q: number, row: number): number;
  /** d value / d log Z beside it: adds mass p to the gradient. */
  mass?(row: number, logZ: number): number;
  /** Changes the gradient [rows, classes] in place, where the value depends on the logits in other ways too, or the scores do. Rows with the coefficient 0 hold 0. */
  finish?(grad: Float32Array, coefficients: Float64Array): void;
}

/** A loss with logits and integer labels as its arguments. */
export type LabelLoss<Options extends RowLossOptions = RowLossOptions> = Loss<[logits: TensorLike, labels: TensorLike], Options>;

/**
 * Makes a loss that depends on a row of logits through the probability of its label alone: value and slope of one row are all that differs between cross-entropy, focal, generalised and robust losses.
 * Softmax and gradient are one pass of a kernel; 1 - p is a sum, not a difference, so it keeps its digits where p is near 1.
 */
export function labelLoss<Options extends RowLossOptions = RowLossOptions>(name: string, terms: (options: Options, rows: LossRows, where: string) => LabelTerms): LabelLoss<Options> {
  return defineLoss(name, 2, (where, [logits, labels]: [TensorLike, TensorLike], options: Options) => {
    const rows = lossRows(where, logits, labels, options);
    return labelPlan(where, rows, terms(options, rows, where));
  });
}

/** The plan of `labelLoss`, for losses with further arguments. */
export function labelPlan(where: string, rows: LossRows, { scores = rows.z, weights = rows.weights, value, slope, mass, finish }: LabelTerms): LossPlan<{ readonly grad: Tensor<"float32"> }> {
  const { shape, z, y } = rows;
  return {
    shape,
    weights,
    pass(coefficients) {
      const values = new Float64Array(rows.rows), grad = coefficients && new Float32Array(z.size);
      // A row without weight may have any label.
      labelSums(where, scores, weights === undefined ? y : y.map((label, i) => (weights[i] === 0 ? 0 : label)), (row, gap, others, max, scales, own, logSum) => {
        if (weights?.[row] === 0) return;
        const sum = own + others, logP = gap - logSum, q = others / sum, logZ = max + logSum;
        values[row] = value(logP, q, row, logZ);
        if (coefficients === undefined) return;
        const a = coefficients[row] * slope(logP, q, row), b = mass === undefined ? 0 : coefficients[row] * mass(row, logZ);
        scales.scale = (a + b) / sum;
        scales.label = b * (own / sum) - a * q;
      }, grad);
      if (coefficients) finish?.(grad!, coefficients);
      return { values, gradients: () => ({ grad: rows.gradient(grad!) }) };
    },
  };
}

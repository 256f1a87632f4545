import { defineLoss, lossRows, scoreRows, type Loss, type LossPlan, type RowLossOptions, type ScoreRows, type Tensor, type TensorLike } from "@logits/tensor";
import { checkTargets } from "./elementLoss.ts";
import { targetRows } from "./targetRows.ts";

/** One row of a loss: reads z and t from `at` to `at + size`, returns the value, and calls `add(j, slope)` with d value / d z[j], where a gradient is asked for; slopes of one j add up. */
export type VectorTerms = (z: Float32Array, t: Float32Array, at: number, size: number, label: number, add?: (j: number, slope: number) => void) => number;

function vectorPlan({ rows, classes, z, shape, weights, gradient }: ScoreRows, terms: VectorTerms, targets: Float32Array, labels?: Int32Array): LossPlan<{ readonly grad: Tensor<"float32"> }> {
  return {
    shape,
    weights,
    pass(coefficients) {
      const values = new Float64Array(rows), grad = new Float32Array(coefficients ? z.size : 0), slopes = new Float64Array(classes);
      for (let r = 0; r < rows; r++) {
        if (weights?.[r] === 0) continue;
        slopes.fill(0);
        values[r] = terms(z.data, targets, r * classes, classes, labels === undefined ? 0 : labels[r], coefficients && ((j, slope) => void (slopes[j] += slope)));
        if (coefficients) for (let j = 0; j < classes; j++) grad[r * classes + j] = coefficients[r] * slopes[j];
      }
      return { values, gradients: () => ({ grad: gradient(grad) }) };
    },
  };
}

/** Makes a loss with one value for each row of scores with an integer label. */
export function labelledVectorLoss<Options extends RowLossOptions = RowLossOptions>(name: string, terms: (options: Options, where: string) => VectorTerms): Loss<[scores: TensorLike, labels: TensorLike], Options> {
  return defineLoss(name, 2, (where, [scores, labels]: [TensorLike, TensorLike], options: Options) => {
    const rows = lossRows(where, scores, labels, options);
    return vectorPlan(rows, terms(options, where), rows.z.data, rows.y);
  });
}

/** Makes a loss with one value for each row of predictions with a row of targets. */
export function vectorLoss<Options extends RowLossOptions = RowLossOptions>(
  name: string,
  terms: (options: Options, where: string) => VectorTerms,
  range?: readonly [low: number, high: number],
  predictions: string = "predictions",
): Loss<[predictions: TensorLike, targets: TensorLike], Options> {
  return defineLoss(name, 2, (where, [x, t]: [TensorLike, TensorLike], options: Options) => {
    const rows = scoreRows(where, predictions, x, options), targets = targetRows(where, "targets", t, rows, options, predictions);
    if (range !== undefined) checkTargets(where, targets.z.data, rows.weights && rows.z.data.map((_, i) => rows.weights![Math.floor(i / rows.classes)]), range);
    return vectorPlan(rows, terms(options, where), targets.z.data);
  });
}

import { log } from "@logits/statistics";
import { asFloat32, defineLoss, rangeError, scoreRows, type Loss, type RowLossOptions, type TensorLike } from "@logits/tensor";
import { batchPlan } from "./batchPriorLoss.ts";

/** Options of `fairnessLoss` beside those of every loss. */
export interface FairnessOptions extends RowLossOptions {
  /** [C], `prediction` of a `FreeMatchThreshold`. */
  readonly prediction: TensorLike;
  /** [C], its `histogram`. */
  readonly histogram: TensorLike;
}

/**
 * Self-adaptive fairness of FreeMatch: the mean prediction of the strong view, each class divided by how often it is answered, shall not lose classes that the running mean has.
 *
 *   loss = sum_c a[c] log(b[c] + 1e-12),   a = normalise(prediction / histogram),   b = normalise(mean p / frequency of the answers)
 *
 * One value for the batch, whatever the reduction: minus a cross-entropy, so it is minimised where the two differ most; this is how the paper and its code have it. A class that is never answered has the quotient 0. Frequencies are constants.
 *
 * @param logits - float32 [B, C], of the strong view
 * @param options - `prediction`, `histogram`; `weight`: the trust of the threshold; `where`; `axis` of the classes
 * @returns float32 []; 0 where no row takes part. `withGrad`: `grad`
 * @throws RangeError for another shape, another number of classes
 * @example
 *   const { labels, weight } = rule.select(weakLogits);
 *   fairnessLoss.withGrad(strongLogits, { prediction: rule.prediction, histogram: rule.histogram, weight });
 * Source: Wang et al., "FreeMatch", ICLR 2023 (arXiv:2205.07246), equations 9 to 11, and USB's code.
 */
export const fairnessLoss: Loss<[logits: TensorLike], FairnessOptions> = /* @__PURE__ */ defineLoss("fairnessLoss", 1, (where, [logits], options: FairnessOptions) => {
  const rows = scoreRows(where, "logits", logits, options), { z, classes, weights } = rows;
  const [prediction, histogram] = (["prediction", "histogram"] as const).map((name) => {
    const x = asFloat32(where, name, options[name]);
    if (x.size !== classes) throw rangeError(where, name, `of shape [${classes}]`, `[${x.shape.join(", ")}]`);
    return Float64Array.from(x.data);
  });
  const counts = new Float64Array(classes);
  for (let i = 0; i < rows.rows; i++) {
    const weight = weights?.[i] ?? 1;
    if (weight === 0) continue;
    let best = 0;
    for (let c = 1; c < classes; c++) if (z.data[i * classes + c] > z.data[i * classes + best]) best = c;
    counts[best] += weight;
  }
  const mass = counts.reduce((a, b) => a + b, 0), scale = counts.map((n) => (n === 0 ? 0 : mass / n)), a = normalised(prediction.map((x, c) => (histogram[c] === 0 ? 0 : x / histogram[c])));
  return batchPlan(rows, (mean) => {
    const parts = mean.map((m, c) => m * scale[c]), sum = parts.reduce((x, y) => x + y, 0), b = parts.map((x) => x / sum);
    const inner = b.reduce((total, x, c) => total + (a[c] * x) / (x + 1e-12), 0);
    return { value: a.reduce((total, x, c) => total + x * log(b[c] + 1e-12), 0), slopes: b.map((x, c) => (a[c] / (x + 1e-12) - inner) * x) };
  });
});

function normalised(x: Float64Array): Float64Array {
  const sum = x.reduce((a, b) => a + b, 0);
  return x.map((v) => v / sum);
}

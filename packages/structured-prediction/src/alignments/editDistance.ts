import { softmax } from "@logits/core-wasm";
import { asFloat32, checkShape, defineLoss, lastingData, scoreRows, type Loss, type RowLossOptions, type TensorLike } from "@logits/tensor";

/** How two sequences differ. */
export interface Edits {
  /** Substitutions, insertions and deletions together. */
  readonly distance: number;
  readonly substitutions: number;
  /** Of `hypothesis`, which `reference` lacks. */
  readonly insertions: number;
  /** Of `reference`, which `hypothesis` lacks. */
  readonly deletions: number;
  /** Pairs of indices, [hypothesis, reference], in order; -1 where one has nothing. */
  readonly alignment: readonly (readonly [number, number])[];
}

/**
 * The fewest substitutions, insertions and deletions that turn one sequence into another: word errors, where the elements are words.
 *
 * @param hypothesis - a list, compared by `===`
 * @param reference - a list
 * @returns the distance, its parts and an alignment; of several best ones that which substitutes first, then deletes
 * @example
 *   editDistance("kitten".split(""), "sitting".split("")).distance; // 3
 * Source: Levenshtein, 1966; Wagner, Fischer, "The string-to-string correction problem", JACM 21 (1974).
 */
export function editDistance(hypothesis: ArrayLike<unknown>, reference: ArrayLike<unknown>): Edits {
  const n = hypothesis.length, m = reference.length, W = m + 1, cost = new Int32Array((n + 1) * W);
  for (let i = 0; i <= n; i++) for (let j = 0; j <= m; j++) {
    if (i === 0 || j === 0) cost[i * W + j] = i + j;
    else cost[i * W + j] = Math.min(cost[(i - 1) * W + j - 1] + Number(hypothesis[i - 1] !== reference[j - 1]), cost[i * W + j - 1] + 1, cost[(i - 1) * W + j] + 1);
  }
  const alignment: [number, number][] = [];
  let substitutions = 0, insertions = 0, deletions = 0;
  for (let i = n, j = m; i > 0 || j > 0; ) {
    const here = cost[i * W + j], changed = i > 0 && j > 0 ? Number(hypothesis[i - 1] !== reference[j - 1]) : 2;
    if (changed < 2 && here === cost[(i - 1) * W + j - 1] + changed) {
      substitutions += changed;
      alignment.push([--i, --j]);
    } else if (j > 0 && here === cost[i * W + j - 1] + 1) {
      deletions++;
      alignment.push([-1, --j]);
    } else {
      insertions++;
      alignment.push([--i, -1]);
    }
  }
  return { distance: cost[n * W + m], substitutions, insertions, deletions, alignment: alignment.reverse() };
}

/**
 * The expected number of errors over a list of hypotheses: minimum word error rate training.
 *
 *   loss[b] = sum_i p[b, i] (errors[b, i] - mean of errors[b]),   p = softmax(scores)
 *
 * The mean only makes the loss smaller; the gradient is that of the expected errors.
 *
 * @param scores - float32 [B, N]: log-probabilities of N hypotheses, or logits of a rescorer; -Infinity = none (a shorter list)
 * @param errors - float32, the shape of the scores: `editDistance(...).distance` of each
 * @param options - those of every loss, `axis`
 * @returns float32 [B] ("none") or []. A row of scores with NaN or +Infinity, or of -Infinity only: NaN. `withGrad`: `grad`, p (errors - expected errors)
 * @throws RangeError for another shape
 * @example
 *   expectedErrorLoss([[1, 0]], [[0, 2]]); // p of the wrong one is 0.2689: 0.5379 expected, less the mean 1
 * Source: Prabhavalkar et al., "Minimum word error rate training for attention-based sequence-to-sequence models", ICASSP 2018 (arXiv:1712.01818), equation 3.
 */
export const expectedErrorLoss: Loss<[scores: TensorLike, errors: TensorLike], RowLossOptions> = /* @__PURE__ */ defineLoss("expectedErrorLoss", 2, (where, [scores, errors], options) => {
  const x = asFloat32(where, "scores", scores), given = asFloat32(where, "errors", errors), { z, rows, classes, shape, weights, gradient } = scoreRows(where, "scores", x, options);
  checkShape(where, "errors", given, x.shape);
  const e = lastingData(scoreRows(where, "errors", given, { axis: options.axis ?? -1 }).z);
  return {
    shape,
    weights,
    pass(coefficients) {
      const p = softmax(z).data, values = new Float64Array(rows), grad = new Float32Array(coefficients ? z.size : 0);
      for (let i = 0; i < rows; i++) {
        if (weights?.[i] === 0) continue;
        const first = i * classes, own = Array.from({ length: classes }, (_, k) => first + k).filter((k) => z.data[k] !== -Infinity || p[k] !== p[k]), mean = own.reduce((sum, k) => sum + e[k], 0) / own.length;
        for (const k of own) values[i] += p[k] * (e[k] - mean);
        if (coefficients) for (const k of own) grad[k] = coefficients[i] * p[k] * (e[k] - mean - values[i]);
      }
      return { values, gradients: () => ({ grad: gradient(grad) }) };
    },
  };
});

import { exp, logAddExp } from "@logits/statistics";
import { Tensor, checkPositive, defineLoss, rangeError, type Loss, type LossOptions, type TensorLike } from "@logits/tensor";
import { sidesOf } from "../pairs/sidedLoss.ts";
import { floats } from "../shaped.ts";
import { pairedRow } from "./pairedLoss.ts";
import { batchWeights } from "./uniformityLoss.ts";

/** Options of `cosentLoss`. */
export interface CosentLossOptions extends LossOptions {
  /** lambda, above 0. Default 20. */
  readonly scale?: number;
}

/**
 * CoSENT: pairs of sentences that should be more similar than others must have the larger cosine.
 *
 *   loss = log(1 + sum_{i, j: y_i < y_j} exp(lambda (cos_i - cos_j))),   cos_i = cos(first_i, second_i)
 *
 * Sorted by y the sum is two running sums: N log N, not N^2.
 *
 * @param first - float32 [N, F], F at least 1
 * @param second - float32 [N, F]
 * @param targets - float32 [N], how similar the pair should be; only the order counts, equal targets are not compared
 * @param options - `scale`; `reduction` of this one value, `weight` [1], `where` [N]: pairs that take part
 * @returns float32 [1] ("none") or []; `grads.first`, `grads.second`. All targets equal: 0
 * @throws RangeError for other shapes, a NaN target, a scale that is not above 0
 * @example
 *   cosentLoss([[1, 0], [1, 0]], [[1, 0], [0, 1]], [0, 1]); // log(1 + exp(20))
 * Source: Su, "CoSENT: a more effective sentence vector scheme than Sentence-BERT", 2022; Huang, Peng, et al., "CoSENT: Consistent Sentence Embedding via Similarity Ranking", TASLP 2024.
 */
export const cosentLoss: Loss<[first: TensorLike, second: TensorLike, targets: TensorLike], CosentLossOptions, { readonly grads: { readonly first: Tensor<"float32">; readonly second: Tensor<"float32"> } }> =
  /* @__PURE__ */ defineLoss("cosentLoss", 3, (where, [first, second, targets]: [TensorLike, TensorLike, TensorLike], options: CosentLossOptions) => {
    const { scale = 20 } = options, { left, right } = sidesOf(where, ["first", "second"], first, second, {}, false), [n, features] = left.shape, y = floats(where, "targets", targets, [n]);
    checkPositive(where, "scale", scale);
    const { rows, weights } = batchWeights(where, n, options, 1);
    for (const i of rows) if (y.data[i] !== y.data[i]) throw rangeError(where, "targets", "without NaN", `NaN at index ${i}`);
    rows.sort((i, j) => y.data[i] - y.data[j]);
    return {
      shape: [1],
      weights,
      pass(coefficients) {
        const paired = rows.map((i) => pairedRow(left.data, right.data, i, features)), s = paired.map(({ square }) => scale * (1 - square / 2)), count = rows.length;
        // below[k]: log sum of exp(s) over smaller targets; above[k]: of exp(-s) over larger ones.
        const below = new Float64Array(count).fill(-Infinity), above = new Float64Array(count).fill(-Infinity);
        const run = (out: Float64Array, sign: number, order: (k: number) => number): void => {
          let sum = -Infinity, start = 0;
          for (let k = 1; k < count; k++) {
            if (y.data[rows[order(k)]] !== y.data[rows[order(k - 1)]]) for (; start < k; start++) sum = logAddExp(sum, sign * s[order(start)]);
            out[order(k)] = sum;
          }
        };
        run(below, 1, (k) => k);
        run(above, -1, (k) => count - 1 - k);
        let value = 0;
        for (let k = 0; k < count; k++) value = logAddExp(value, below[k] - s[k]);
        const a = new Float32Array(left.size), b = new Float32Array(right.size);
        // d value / d s_k = (share of pairs in which k should be smaller) - (share in which it should be larger); s = scale (1 - square / 2).
        if (coefficients) paired.forEach(({ push }, k) => push((-coefficients[0] * scale * (exp(s[k] + above[k] - value) - exp(below[k] - s[k] - value))) / 2, a, b));
        return { values: Float64Array.of(value), gradients: () => ({ grads: { first: new Tensor("float32", left.shape, a), second: new Tensor("float32", right.shape, b) } }) };
      },
    };
  });

import { exp } from "@logits/statistics";
import { asFloat32, checkInteger, checkShape, defineLoss, rangeError, rowWeights, Tensor, type Loss, type LossOptions, type TensorLike } from "@logits/tensor";
import { logSoftmaxRow } from "../logSoftmaxRow.ts";
import { klTerm } from "./divergence.ts";

/** Options of `relationDistillationLoss`. */
export interface RelationDistillationOptions extends LossOptions {
  /** Relation heads: the features of both are cut into as many equal parts. Default 1. */
  readonly heads?: number;
}

/**
 * MiniLMv2's relation distillation: how tokens attend to each other by one kind of vectors (queries, keys or values), whatever the widths and numbers of heads of the two models.
 *
 *   loss[b, i] = (1 / A) sum_a KL(R_t[a, i, :] || R_s[a, i, :]),   R[a, i, j] = softmax_j(x[i, a] . x[j, a] / sqrt(width of a))
 *
 * The method's loss is the sum of three: queries with queries, keys with keys, values with values.
 *
 * @param student - float32 [B, T, F], queries, keys or values of a layer, all heads side by side; F divisible by `heads`
 * @param teacher - float32 [B, T, F'], the same of the teacher's layer; F' divisible by `heads`. No gradient
 * @param options - `heads` A (1; the paper has 48), and those of every loss; `where` [B, T]: a token that takes no part is neither query nor key
 * @returns float32 [B, T] ("none") or []. `withGrad`: `grad` [B, T, F]
 * @throws RangeError for other shapes or heads that do not divide them, weights or a mask that are none
 * @example
 *   relationDistillationLoss([[[1, 0], [0, 1]]], [[[2], [0]]]); // 0.1923
 * Source: Wang, Bao, Huang, Dong, Wei, "MiniLMv2", Findings of ACL 2021.
 */
export const relationDistillationLoss: Loss<[student: TensorLike, teacher: TensorLike], RelationDistillationOptions> = /* @__PURE__ */ defineLoss("relationDistillationLoss", 2, (where, [student, teacher], options) => {
  const x = asFloat32(where, "student", student), y = asFloat32(where, "teacher", teacher), [batch, tokens] = x.shape, shape = [batch, tokens], { heads = 1 } = options;
  checkShape(where, "student", x, ["B", "T", "F"]);
  checkShape(where, "teacher", y, [batch, tokens, "F"]);
  checkInteger(where, "heads", heads, 1, x.shape[2]);
  for (const [name, { shape: of }] of [["student", x], ["teacher", y]] as const) if (of[2] % heads !== 0) throw rangeError(where, name, `with features divisible by ${heads} heads`, `${of[2]}`);
  const weights = rowWeights(where, shape, options);
  return {
    shape,
    weights,
    pass(coefficients) {
      const values = new Float64Array(batch * tokens), grad = new Float32Array(coefficients ? x.size : 0), d = new Float64Array(grad.length);
      for (let b = 0; b < batch; b++) {
        const kept = Array.from({ length: tokens }, (_, i) => b * tokens + i).filter((i) => weights?.[i] !== 0), n = kept.length, width = x.shape[2] / heads;
        for (let a = 0; a < heads; a++) for (const i of kept) {
          const s = relation(x, kept, i, a), t = relation(y, kept, i, a);
          for (let j = 0; j < n; j++) {
            const p = exp(t[j]);
            values[i] += klTerm(p, t[j], s[j]) / heads;
            if (coefficients === undefined) continue;
            // The score of i and j: both vectors change it.
            const g = (coefficients[i] * (exp(s[j]) - p)) / (heads * Math.sqrt(width)), at = i * x.shape[2] + a * width, to = kept[j] * x.shape[2] + a * width;
            for (let f = 0; f < width; f++) {
              d[at + f] += g * x.data[to + f];
              d[to + f] += g * x.data[at + f];
            }
          }
        }
      }
      grad.set(d);
      return { values, gradients: () => ({ grad: new Tensor("float32", x.shape, grad) }) };
    },
  };

  /** Log-probabilities of the keys for one query and head. */
  function relation({ data, shape: [, , features] }: Tensor<"float32">, keys: readonly number[], i: number, head: number): Float64Array {
    const width = features / heads, at = i * features + head * width;
    const row = Float64Array.from(keys, (j) => {
      let dot = 0;
      for (let f = 0; f < width; f++) dot += data[at + f] * data[j * features + head * width + f];
      return dot / Math.sqrt(width);
    });
    logSoftmaxRow(row);
    return row;
  }
});

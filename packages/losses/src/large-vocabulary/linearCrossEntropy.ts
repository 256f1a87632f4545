import { vocabularyPass, type VocabularyProblem, type VocabularyStatistics } from "@logits/core-wasm/vocabulary";
import { asFloat32, checkCsr, checkInteger, checkPositive, checkShape, defineLoss, isCsr, rangeError, rowWeights, watchedOptions, Tensor, type CsrMatrix, type Loss, type LossOptions, type LossPlan, type TensorLike } from "@logits/tensor";
import { labelled, takingPart } from "../labelled.ts";
import { checkRange, perClass } from "../range.ts";

/** Options of `linearCrossEntropy` and its kin. */
export interface LinearCrossEntropyOptions extends LossOptions {
  /** float32 [V], added to the logits; -Infinity: an impossible word, which is as if it did not exist. */
  readonly bias?: TensorLike;
  /** The share of the target that is spread evenly over the possible words, in [0, 1). Default 0. */
  readonly labelSmoothing?: number;
  /** float32 [V], finite and not negative. With labels, the weight of a row is that of its label, in the mean too, and rows whose label has weight 0 take no part; with targets, factors of these that do not enter the mean. */
  readonly classWeight?: TensorLike;
  /** Adds this times log Z squared, >= 0: keeps log Z near 0. Default 0. */
  readonly zLoss?: number;
  /** Replaces logits by cap tanh(logits / cap), > 0; -Infinity stays. Default: none. */
  readonly softCap?: number;
  /** Words whose share of the gradient stays below this in every row of a block are left out of the gradients. Default 0: none is. */
  readonly skip?: number;
  /** How many of the largest log-probabilities `statistics` has, in [0, V]. Default 0. */
  readonly topK?: number;
}

/** Options of `linearStatistics`. */
export type LinearStatisticsOptions = Pick<LinearCrossEntropyOptions, "topK" | "bias" | "softCap" | "where" | "ignoreIndex">;

/** What the pass knows about each row beside its loss; rows that take no part: 0, indices -1. A row with a logit of NaN or +Infinity: NaN, indices -1. */
export interface LinearStatistics {
  /** float32 [B]: log Z. */
  readonly logSumExp: Tensor<"float32">;
  /** float32 [B], nats. */
  readonly entropy: Tensor<"float32">;
  /** float32 [B]: log p of the label; with targets 0. */
  readonly labelLogProb: Tensor<"float32">;
  /** int32 [B]: the likeliest word, the smallest index where equal. */
  readonly argmax: Tensor<"int32">;
  /** float32 and int32 [B, topK]: the largest log-probabilities, largest first, equal ones by index; -Infinity and -1 where fewer words are possible. */
  readonly topLogProbs: Tensor<"float32">;
  readonly topIndices: Tensor<"int32">;
  /** Share of the rows that take part whose likeliest word is the label; 0 where none does, or with targets. */
  readonly accuracy: number;
}

/** Gradients of a linear layer. */
export interface LinearGradients {
  readonly grads: {
    /** The shape of `hidden`; for a CSR matrix one value for each of its elements. */
    readonly hidden: Tensor<"float32">;
    /** [V, D]. */
    readonly weights: Tensor<"float32">;
    /** [V]; zeros are not made up where no bias was given: it is absent. */
    readonly bias?: Tensor<"float32">;
  };
  /** By-products of the same pass. */
  readonly statistics: LinearStatistics;
}

interface LinearPlan extends LossPlan<LinearGradients> {
  statistics(): LinearStatistics;
}

function plan(where: string, hidden: TensorLike | CsrMatrix, weights: TensorLike, options: LinearCrossEntropyOptions, aim: { readonly labels: TensorLike } | { readonly targets: TensorLike | CsrMatrix }): LinearPlan {
  const given = isCsr(hidden) ? checkCsr(where, "hidden", hidden) : asFloat32(where, "hidden", hidden), w = asFloat32(where, "weights", weights), { labelSmoothing = 0, zLoss = 0, softCap, skip = 0, topK = 0 } = options;
  checkShape(where, "weights", w, ["V", "D"]);
  const [words, width] = w.shape, shape = given.shape.slice(0, -1), rows = shape.reduce((a, n) => a * n, 1);
  if (given.shape.length < 2 || given.shape[shape.length] !== width) throw rangeError(where, "hidden", `of shape [..., ${width}]`, `[${given.shape.join(", ")}]`);
  if (words === 0) throw rangeError(where, "weights", "with at least one word", `shape [${w.shape.join(", ")}]`);
  checkRange(where, "labelSmoothing", labelSmoothing, 0, 1 - 2 ** -24);
  checkRange(where, "zLoss", zLoss, 0);
  checkRange(where, "skip", skip, 0);
  if (softCap !== undefined) checkPositive(where, "softCap", softCap);
  checkInteger(where, "topK", topK, 0, words);
  const bias = options.bias === undefined ? undefined : asFloat32(where, "bias", options.bias), classWeights = options.classWeight === undefined ? undefined : perClass(where, "classWeight", options.classWeight, words);
  if (bias !== undefined) checkShape(where, "bias", bias, [words]);
  let weighting: Float32Array | undefined, labels: Int32Array | undefined, targets: Tensor<"float32"> | CsrMatrix | undefined;
  if ("labels" in aim) {
    ({ y: labels, weights: weighting } = labelled(where, aim.labels, shape, words, options));
    if (classWeights) weighting = Float32Array.from(labels, (label, i) => (weighting?.[i] === 0 ? 0 : (weighting?.[i] ?? 1) * classWeights[label]));
  } else {
    weighting = rowWeights(where, shape, options);
    targets = isCsr(aim.targets) ? checkCsr(where, "targets", aim.targets) : asFloat32(where, "targets", aim.targets);
    checkShape(where, "targets", targets, [...shape, words]);
  }
  const used = takingPart(rows, weighting);
  const problem: VocabularyProblem = {
    // More axes are copied: a view of a resident tensor would be lost when memory grows.
    hidden: isCsr(given) || shape.length === 1 ? given : new Tensor("float32", [rows, width], given.data.slice()),
    weights: w, bias: bias?.data.slice(), rows: Int32Array.from(used), labels, targets, classWeights, smoothing: labelSmoothing, zLoss, softCap: softCap ?? 0, skip, k: topK,
  };
  // The pass has the weight of the label in its values, here it is one of the row.
  const share = (i: number): number => (labels && classWeights && weighting![i] !== 0 ? classWeights[labels[i]] : 1);
  const describe = ({ logSumExp, entropy, labelLogits, argmax, topLogits, topIndices }: VocabularyStatistics): LinearStatistics => {
    const each = (values: ArrayLike<number>): Tensor<"float32"> => new Tensor("float32", shape, Float32Array.from(values)), top = [...shape, topK];
    return {
      logSumExp: each(logSumExp), entropy: each(entropy), labelLogProb: each(labels ? labelLogits.map((z, i) => z - logSumExp[i]) : new Float32Array(rows)), argmax: new Tensor("int32", shape, argmax),
      topLogProbs: new Tensor("float32", top, topLogits.map((z, i) => z - logSumExp[Math.floor(i / topK)])), topIndices: new Tensor("int32", top, topIndices),
      accuracy: labels && used.length > 0 ? used.filter((i) => argmax[i] === labels[i]).length / used.length : 0,
    };
  };
  return {
    shape,
    weights: weighting,
    statistics: () => describe(vocabularyPass(where, problem)),
    pass(coefficients) {
      const result = vocabularyPass(where, problem, coefficients?.map((c, i) => c / share(i)));
      return {
        values: result.losses.map((loss, i) => loss / share(i)),
        gradients() {
          const { hidden, weights, bias: b } = result.gradients!;
          return {
            grads: { hidden: new Tensor("float32", isCsr(given) ? [hidden.length] : given.shape, hidden), weights: new Tensor("float32", w.shape, weights), ...(bias && { bias: new Tensor("float32", [words], b) }) },
            statistics: describe(result),
          };
        },
      };
    },
  };
}

/**
 * Cross-entropy of a linear layer on a large vocabulary, without its logits in memory: at most 8 MiB of scratch whatever B and V.
 *
 *   loss[b] = log sum_v exp(z[b, v]) - z[b, labels[b]],   z = hidden weights^T + bias
 *   grads.hidden = G weights, grads.weights = G^T hidden, grads.bias = sum_b G[b],   G = softmax(z) - onehot(labels)
 *
 * Labels are smoothed, weighted, and log Z is added, as by `crossEntropy`. With `skip` s, words v with p[b, v] < s and a target below s for every row of a block are left out of the gradients: each
 * row of grads.weights is then within s sum_b |c[b]| |hidden[b]| of the exact one, and grads.hidden[b] within s |c[b]| sum_v |weights[v]| over the words that are left out; c: upstream, weight and mean.
 * (With smoothing e, s + e / V in place of s; with `zLoss` or weights, p times 1 + 2 zLoss log Z and the label's weight in place of p.)
 *
 * @param hidden - float32 [B, D] or [..., D], or CSR [B, D]
 * @param weights - float32 [V, D], a row for each word; resident ones are not copied
 * @param labels - int32 [B] or [...], in [0, V)
 * @param options - those of every loss; `bias`, `labelSmoothing`, `classWeight`, `zLoss`, `softCap`, `skip`, `topK`
 * @returns float32 of the labels' shape ("none") or []; +Infinity where the label is impossible, NaN for a row with a logit that is NaN or +Infinity. `withGrad`: `grads.hidden`, `grads.weights`, `grads.bias`
 *   where one is given, and `statistics` (log Z, entropy, log p of the label, the likeliest words, accuracy) of the same pass
 * @throws RangeError for shapes that do not fit, a label outside [0, V) (with its index), options outside their range
 * @example
 *   linearCrossEntropy([[1, 0]], [[2, 5], [0, 7]], [0]); // log(1 + exp(-2)) = 0.1269
 * Source: Wijmans et al., "Cut Your Losses in Large-Vocabulary Language Models", ICLR 2025, sections 4.2 and 4.3; here words are left out, not tiles.
 */
export const linearCrossEntropy: Loss<[hidden: TensorLike | CsrMatrix, weights: TensorLike, labels: TensorLike], LinearCrossEntropyOptions, LinearGradients> = /* @__PURE__ */ defineLoss(
  "linearCrossEntropy", 3, (where, [hidden, weights, labels], options) => plan(where, hidden, weights, options, { labels }),
);

/**
 * The same with targets that are numbers for every word (a teacher's probabilities, several labels), dense or CSR. They need not sum to 1.
 *
 *   loss[b] = sum_v t[b, v] (log Z[b] - z[b, v]),   z = hidden weights^T + bias
 *
 * @param hidden - float32 [B, D] or [..., D], or CSR [B, D]
 * @param weights - float32 [V, D]
 * @param targets - float32 [B, V] or [..., V], or CSR [B, V]; a target of 0 adds 0, on an impossible word too
 * @param options - as for `linearCrossEntropy`
 * @returns as `linearCrossEntropy`; targets have no gradient
 * @throws RangeError for shapes that do not fit, options outside their range
 * @example
 *   linearSoftCrossEntropy([[1, 0]], [[2, 5], [2, 7]], [[0.5, 0.5]]); // log 2 = 0.6931
 * Source: as `linearCrossEntropy`; soft targets: Goodfellow, Bengio, Courville, Deep Learning (2016), 6.2.2.3.
 */
export const linearSoftCrossEntropy: Loss<[hidden: TensorLike | CsrMatrix, weights: TensorLike, targets: TensorLike | CsrMatrix], LinearCrossEntropyOptions, LinearGradients> = /* @__PURE__ */ defineLoss(
  "linearSoftCrossEntropy", 3, (where, [hidden, weights, targets], options) => plan(where, hidden, weights, options, { targets }),
);

/**
 * Log Z, entropy, likeliest words and the labels' log-probabilities of a linear layer on a large vocabulary, in one pass without its logits in memory.
 *
 *   labelLogProb[b] = z[b, labels[b]] - log Z[b],   entropy[b] = log Z[b] - sum_v p[b, v] z[b, v]
 *
 * @param hidden - float32 [B, D] or [..., D], or CSR [B, D]
 * @param weights - float32 [V, D]
 * @param labels - int32 [B] or [...], in [0, V)
 * @param options - `topK`, `bias`, `softCap`, `where`, `ignoreIndex`
 * @returns the statistics; a row with a logit that is NaN or +Infinity: NaN, indices -1
 * @throws as `linearCrossEntropy`; TypeError for another option, which would change the loss alone
 * @example
 *   linearStatistics([[1, 0]], [[2, 5], [0, 7]], [0]).accuracy; // 1
 * Source: as `linearCrossEntropy`.
 */
export function linearStatistics(hidden: TensorLike | CsrMatrix, weights: TensorLike, labels: TensorLike, given: LinearStatisticsOptions = {}): LinearStatistics {
  const name = "linearStatistics", { options: { topK, bias, softCap, where, ignoreIndex }, refuseUnread } = watchedOptions(name, given);
  refuseUnread();
  return plan(name, hidden, weights, { topK, bias, softCap, where, ignoreIndex }, { labels }).statistics();
}

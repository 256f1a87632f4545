import { matmul } from "@logits/core-wasm/gemm";
import { logSoftmax } from "@logits/core-wasm/softmax";
import { vocabularyPass } from "@logits/core-wasm/vocabulary";
import { asFloat32, defineLoss, rangeError, Tensor, type Loss, type LossOptions, type TensorLike } from "@logits/tensor";
import { labelled } from "../labelled.ts";
import { floats } from "../shaped.ts";

/** The layers of an adaptive softmax, or their gradients. */
export interface AdaptiveWeights<T = TensorLike> {
  /** float32 [S + n, D]: S frequent words, then one row for each of the n clusters. */
  readonly head: T;
  /** One for each cluster: `projection` float32 [d, D], `output` float32 [words of the cluster, d]. */
  readonly tails: readonly { readonly projection: T; readonly output: T }[];
}

interface Checked extends AdaptiveWeights<Tensor<"float32">> {
  /** S, and where each cluster begins and the last one ends. */
  readonly cutoffs: readonly number[];
}

function check(where: string, width: number, { head, tails }: AdaptiveWeights): Checked {
  const first = asFloat32(where, "weights.head", head), cutoffs = [first.shape[0] - tails.length];
  if (first.shape.length !== 2 || first.shape[1] !== width || cutoffs[0] < 0 || first.shape[0] === 0) throw rangeError(where, "weights.head", `of shape [S + ${tails.length}, ${width}]`, `[${first.shape.join(", ")}]`);
  const rest = tails.map((tail, i) => {
    const projection = floats(where, `weights.tails[${i}].projection`, tail.projection, ["d", width]), output = floats(where, `weights.tails[${i}].output`, tail.output, ["words", projection.shape[0]]);
    if (output.shape[0] === 0) throw rangeError(where, `weights.tails[${i}].output`, "with at least one word", `shape [${output.shape.join(", ")}]`);
    cutoffs.push(cutoffs[i] + output.shape[0]);
    return { projection, output };
  });
  return { head: first, tails: rest, cutoffs };
}

/** Gradients of `adaptiveSoftmaxLoss`. */
export interface AdaptiveGradients {
  readonly grads: { readonly hidden: Tensor<"float32">; readonly weights: AdaptiveWeights<Tensor<"float32">> };
}

const none = { smoothing: 0, zLoss: 0, softCap: 0, skip: 0, k: 0 };

/**
 * Cross-entropy of an adaptive softmax: frequent words in the head, rare ones in clusters that are looked at only where the label is in them, through a narrower projection.
 *
 *   loss[b] = -log p_head(y)                                           y < S
 *   loss[b] = -log p_head(S + i) - log softmax(output_i projection_i hidden[b])_(y - start_i)     y in cluster i
 *
 * Without clusters it is `linearCrossEntropy`.
 *
 * @param hidden - float32 [B, D]
 * @param weights - `head` and `tails`
 * @param labels - int32 [B], in [0, V), words sorted from frequent to rare
 * @param options - those of every loss
 * @returns float32 [B] ("none") or []; a row with NaN: NaN. `withGrad`: `grads.hidden` and `grads.weights` (`head`, `tails`)
 * @throws RangeError for shapes that do not fit, a label outside [0, V) (with its index)
 * @example
 *   adaptiveSoftmaxLoss([[1]], { head: [[0], [0]], tails: [{ projection: [[1]], output: [[0], [0]] }] }, [2]); // 2 log 2: the cluster, then one of its two words
 * Source: Grave et al., "Efficient softmax approximation for GPUs", ICML 2017; PyTorch, AdaptiveLogSoftmaxWithLoss.
 */
export const adaptiveSoftmaxLoss: Loss<[hidden: TensorLike, weights: AdaptiveWeights, labels: TensorLike], LossOptions, AdaptiveGradients> = /* @__PURE__ */ defineLoss(
  "adaptiveSoftmaxLoss", 3, (where, [hidden, weights, labels]: [TensorLike, AdaptiveWeights, TensorLike], options: LossOptions) => {
    const x = floats(where, "hidden", hidden, ["B", "D"]), [rows, width] = x.shape, { head, tails, cutoffs } = check(where, width, weights), [short] = cutoffs, { y, weights: weighting } = labelled(where, labels, [rows], cutoffs[tails.length], options);
    const used = Int32Array.from(y.keys()).filter((i) => weighting?.[i] !== 0), cluster = y.map((label) => cutoffs.findIndex((end) => label < end));
    return {
      shape: [rows],
      weights: weighting,
      pass(coefficients) {
        const top = vocabularyPass(where, { ...none, hidden: x, weights: head, rows: used, labels: y.map((label, i) => (cluster[i] > 0 ? short + cluster[i] - 1 : label)) }, coefficients), values = top.losses, dx = top.gradients?.hidden;
        const below = tails.map(({ projection, output }, t) => {
          const members = used.filter((i) => cluster[i] === t + 1), count = members.length, h = new Tensor("float32", [count, width], new Float32Array(count * width));
          members.forEach((i, j) => h.data.set(x.data.subarray(i * width, (i + 1) * width), j * width));
          const { losses, gradients } = vocabularyPass(where, { ...none, hidden: matmul(h, projection, { transposeB: true }), weights: output, rows: Int32Array.from(members.keys()), labels: members.map((i) => y[i] - cutoffs[t]) }, coefficients && Float64Array.from(members, (i) => coefficients[i]));
          members.forEach((i, j) => (values[i] += losses[j]));
          if (gradients === undefined) return;
          const d = new Tensor("float32", [count, projection.shape[0]], gradients.hidden), dh = matmul(d, projection).data;
          members.forEach((i, j) => {
            for (let f = 0; f < width; f++) dx![i * width + f] += dh[j * width + f];
          });
          return { projection: matmul(d, h, { transposeA: true }), output: new Tensor("float32", output.shape, gradients.weights) };
        });
        return { values, gradients: () => ({ grads: { hidden: new Tensor("float32", x.shape, dx!), weights: { head: new Tensor("float32", head.shape, top.gradients!.weights), tails: below as AdaptiveWeights<Tensor<"float32">>["tails"] } } }) };
      },
    };
  },
);

/**
 * All log-probabilities of an adaptive softmax.
 *
 *   y[b, v] = log p_head(v);   in cluster i: log p_head(S + i) + log softmax(output_i projection_i hidden[b])_(v - start_i)
 *
 * @param hidden - float32 [B, D]
 * @param weights - as for `adaptiveSoftmaxLoss`
 * @returns float32 [B, V]
 * @throws RangeError for shapes that do not fit
 * @example
 *   adaptiveLogSoftmax([[1]], { head: [[0], [0]], tails: [{ projection: [[1]], output: [[0], [0]] }] }); // log 1/2, log 1/4, log 1/4
 * Source: PyTorch, AdaptiveLogSoftmaxWithLoss.log_prob.
 */
export function adaptiveLogSoftmax(hidden: TensorLike, weights: AdaptiveWeights): Tensor<"float32"> {
  const where = "adaptiveLogSoftmax", x = floats(where, "hidden", hidden, ["B", "D"]), { head, tails, cutoffs } = check(where, x.shape[1], weights), [rows] = x.shape, words = cutoffs[tails.length], out = new Float32Array(rows * words), first = logSoftmax(matmul(x, head, { transposeB: true }));
  const rest = tails.map(({ projection, output }) => logSoftmax(matmul(matmul(x, projection, { transposeB: true }), output, { transposeB: true })));
  for (let i = 0; i < rows; i++) {
    out.set(first.row(i).data.subarray(0, cutoffs[0]), i * words);
    rest.forEach((tail, t) => out.set(tail.row(i).data.map((z) => z + first.at(i, cutoffs[0] + t)), i * words + cutoffs[t]));
  }
  return new Tensor("float32", [rows, words], out);
}

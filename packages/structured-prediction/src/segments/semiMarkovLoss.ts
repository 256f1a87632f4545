import { Tensor, asFloat32, asInt32, asLengths, checkShape, defineLoss, rowWeights, type Loss, type LossOptions, type TensorLike } from "@logits/tensor";
import { SegmentModel, type SegmentModelOptions } from "./segmentModel.ts";
import { semiMarkovWithin, type SegmentGradients } from "./semiMarkov.ts";

/** Options of `semiMarkovLoss` beside those of every loss. */
export interface SemiMarkovLossOptions extends LossOptions, SegmentModelOptions {
  /** int32 [B]: how many positions of each sequence count. Default T. */
  readonly lengths?: TensorLike;
  /** float32 [B, T, C]: of segments that begin at a position. */
  readonly starts?: TensorLike;
  /** float32 [B, T, C]: of segments whose last position it is. */
  readonly ends?: TensorLike;
  /** float32 [B, T, D, C]: of segments by last position, length - 1 and label. */
  readonly segmentScores?: TensorLike;
}

/**
 * Negative log-likelihood of segmentations under a semi-Markov model, in nats.
 *
 *   loss[b] = log Z(content[b]) - score(labels[b])
 *
 * @param content - float32 [B, T, C]; -Infinity = no segment of this label holds the position
 * @param durations - float32 [D, C], [length - 1, label]
 * @param transitions - float32 [C, C], [from, to]
 * @param labels - int32 [B, T]: the label at the first position of a segment, -1 at the others; what lies beyond `lengths` is not read
 * @param options - `lengths`, `start`, `end`, `tail`, `allowed`, `starts`, `ends`, `segmentScores`; `reduction` ("mean" over sequences), `weight` and `where` [B]
 * @returns float32 [B] ("none") or []; +Infinity where the segmentation is impossible. `withGrad`: `grads` of all parameters given, and of start and end
 * @throws RangeError for another shape, a label outside its range, NaN or +Infinity, a sequence without a possible segmentation (it is named)
 * @example
 *   const { loss, grads } = semiMarkovLoss.withGrad(content, durations, transitions, labels, { lengths });
 * Source: Sarawagi, Cohen, "Semi-Markov conditional random fields for information extraction", NIPS 2004, section 3.
 */
export const semiMarkovLoss: Loss<[content: TensorLike, durations: TensorLike, transitions: TensorLike, labels: TensorLike], SemiMarkovLossOptions, { readonly grads: SegmentGradients }> = /* @__PURE__ */ defineLoss("semiMarkovLoss", 4, (where, [content, durations, transitions, labels], options) => {
  const x = asFloat32(where, "content", content), y = asInt32(where, "labels", labels);
  checkShape(where, "content", x, ["B", "T", "C"]);
  const [batch, T] = x.shape;
  checkShape(where, "labels", y, [batch, T]);
  const weights = rowWeights(where, batch, options), { start, end, tail, allowed, starts, ends, segmentScores } = options;
  const lengths = asLengths(where, "lengths", options.lengths, batch, T);
  // A sequence that takes no part is never read.
  const counted = lengths.map((length, b) => (weights?.[b] === 0 ? 0 : length));
  const model = new SegmentModel(where, transitions, durations, { ...(start !== undefined && { start }), ...(end !== undefined && { end }), ...(tail !== undefined && { tail }), ...(allowed !== undefined && { allowed }) });
  return {
    shape: [batch],
    weights,
    pass(coefficients) {
      const p = semiMarkovWithin(where, model, x, { lengths: counted, ...(starts !== undefined && { starts }), ...(ends !== undefined && { ends }), ...(segmentScores !== undefined && { segmentScores }) });
      if (coefficients === undefined) return { values: p.logProb(y).map((v) => -v), gradients: () => { throw new Error("no gradients were asked for"); } };
      const { value, grads } = p.logProbWithGrad(y, { upstream: new Tensor("float32", [batch], Float32Array.from(coefficients, (c) => -c)) });
      return { values: value.map((v) => -v), gradients: () => ({ grads }) };
    },
  };
});

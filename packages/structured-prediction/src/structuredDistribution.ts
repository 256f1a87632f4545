import type { RandomSource, Tensor, TensorLike } from "@logits/tensor";

/**
 * A Gibbs distribution over structures: p(y) = exp(score(y)) / Z.
 *
 * What chains, segmentations, alignments and trees have in common. A batch of B items is answered item by item; totals are float64, because float32 holds
 * seven digits and the score of a long sequence has more. Where no structure has a finite score, `logPartition` is -Infinity and whatever needs a
 * distribution is a `RangeError` that names the item.
 */
export interface StructuredDistribution<Structure, Marginals> {
  /** B. */
  readonly batch: number;
  /** The unnormalised log-probability of a structure, [B]; -Infinity where it is impossible. */
  score(structure: Structure): Float64Array;
  /** log Z, [B]. */
  logPartition(): Float64Array;
  /** score - logPartition, [B]. */
  logProb(structure: Structure): Float64Array;
  /** The structure with the highest score. */
  argmax(): { readonly labels: Tensor<"int32">; readonly score: Float64Array };
  /** The k best structures, best first; fewer where there are not so many. */
  topK(k: number): { readonly labels: Tensor<"int32">; readonly score: Float64Array };
  /** `count` structures, drawn independently. */
  sample(random: RandomSource, count: number): Tensor<"int32">;
  /** The gradient of log Z: how probable each part of a structure is. */
  marginals(): Marginals;
  /** -sum_y p(y) log p(y), [B], in nats. */
  entropy(): Float64Array;
  /** -sum_y p(y) log q(y), [B]; Infinity where p allows what q does not. */
  crossEntropy(other: this): Float64Array;
  /** crossEntropy - entropy, [B]. */
  klDivergence(other: this): Float64Array;
  /** logProb with its gradients. */
  logProbWithGrad(structure: Structure, options?: { readonly upstream?: TensorLike }): { readonly value: Float64Array; readonly grads: Record<string, Tensor<"float32">> };
}

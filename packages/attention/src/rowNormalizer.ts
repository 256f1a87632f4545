import type { AttentionGradients, AttentionProblem, AttentionResult } from "@logits/core-wasm/attention";

/** Gradients of attention through a row normaliser. */
export interface RowGradients extends AttentionGradients {
  /** [H, T + S - 1], of the factors; empty without them. */
  readonly factors: Float64Array;
}

/**
 * How whole rows of scores become weights: what `normalizer` of `attention` takes beside "softmax" and "sigmoid". Made by `rowNormalizer` of `@logits/attention/normalizers`; it brings its own passes, so that programs
 * without it do not carry them.
 */
export interface RowNormalizer {
  /** For messages. */
  readonly name: string;
  /** What `attention` calls: factors [H, T + S - 1] multiply the weights by distance. */
  forward(problem: AttentionProblem, factors?: Float32Array): AttentionResult;
  /** What `attention.withGrad` calls; upstream [B, H, T, E]. */
  gradient(problem: AttentionProblem, upstream: Float32Array, factors?: Float32Array): RowGradients;
}

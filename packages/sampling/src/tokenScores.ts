import { tokenRows, tokenStatistics } from "@logits/core-wasm/sampling";
import { exp, pow } from "@logits/statistics";
import { Tensor, asFloat32, asInt32, asLengths, checkLabels, float16ToFloat32, rangeError, type TensorLike } from "@logits/tensor";

/** Options of `tokenScores` and `perplexity`. */
export interface TokenScoreOptions {
  /** Labels with this value take no part: padding, a prompt. Default: none. */
  readonly ignoreIndex?: number;
}

/** What logits say about given tokens; 0 where a label is ignored. */
export interface TokenScores {
  /** log softmax(logits)[label], in nats; float32 [...]. */
  readonly logProbabilities: Tensor<"float32">;
  /** Of softmax(logits), in nats; float32 [...]. */
  readonly entropies: Tensor<"float32">;
  /** Largest minus second largest logit; float32 [...]. */
  readonly margins: Tensor<"float32">;
}

/** Calls `visit` for each row that takes part with its label, its statistics and the label's logit. */
function eachLabel(where: string, logits: TensorLike, labels: TensorLike, ignore: number | undefined, visit: (index: number, logProbability: number, entropy: number, margin: number) => void): readonly number[] {
  const rows = tokenRows(where, "logits", logits), y = asInt32(where, "labels", labels), shape = rows.shape.slice(0, -1);
  if (y.shape.length !== shape.length || y.shape.some((n, i) => n !== shape[i])) throw rangeError(where, "labels", `of shape [${shape.join(", ")}]`, `[${y.shape.join(", ")}]`);
  checkLabels(where, "labels", y, rows.cols, ignore);
  for (let index = 0; index < rows.rows; index++) {
    if (y.data[index] === ignore) continue;
    const row = rows.row(index), label = y.data[index], { logPartition, entropy, margin } = tokenStatistics(where, row, index);
    const logit = row instanceof Float32Array ? row[label] : row instanceof Uint16Array ? float16ToFloat32(row.subarray(label, label + 1))[0] : asFloat32(where, "logits", logits).data[index * rows.cols + label];
    visit(index, logit - logPartition, entropy, margin);
  }
  return shape;
}

/**
 * Log-probabilities of given tokens, with the entropy and the margin of the row that each was predicted by.
 *
 *   logProbabilities[...] = logits[..., label] - log sum_c exp(logits[..., c])
 *
 * Rows predict the token that follows: for a text of T tokens hand over the logits of the first T - 1 and the tokens from the second on.
 *
 * @param logits - of any dtype, [..., V]; -Infinity = impossible, its log-probability is -Infinity
 * @param labels - int32 [...], in [0, V) or `ignoreIndex`
 * @param options - `ignoreIndex`
 * @returns `logProbabilities`, `entropies`, `margins`, float32 [...]
 * @throws RangeError for NaN, +Infinity or a row without a possible token (it is named), for another shape or a label out of range
 * @example
 *   tokenScores([[2, 0], [0, 0]], [0, 1]).logProbabilities; // -0.1269, -0.6931
 * Source: folklore.
 */
export function tokenScores(logits: TensorLike, labels: TensorLike, options: TokenScoreOptions = {}): TokenScores {
  const found: [number, number, number, number][] = [];
  const shape = eachLabel("tokenScores", logits, labels, options.ignoreIndex, (...score) => void found.push(score));
  const floats = (at: 1 | 2 | 3): Tensor<"float32"> => {
    const out = new Float32Array(shape.reduce((a, n) => a * n, 1));
    for (const score of found) out[score[0]] = score[at];
    return new Tensor("float32", shape, out);
  };
  return { logProbabilities: floats(1), entropies: floats(2), margins: floats(3) };
}

/**
 * Perplexity of given tokens: the exponential of the mean negative log-probability over all rows that take part.
 *
 * @param logits - of any dtype, [..., V]
 * @param labels - int32 [...], in [0, V) or `ignoreIndex`
 * @param options - `ignoreIndex`
 * @returns a number from 1 up; NaN where no row takes part, +Infinity where an impossible token is among them
 * @throws RangeError as `tokenScores`
 * @example
 *   perplexity([[0, 0], [0, 0]], [0, 1]); // 2
 * Source: Jelinek, Mercer, Bahl, Baker, "Perplexity: a measure of the difficulty of speech recognition tasks", 1977.
 */
export function perplexity(logits: TensorLike, labels: TensorLike, options: TokenScoreOptions = {}): number {
  let sum = 0, count = 0;
  eachLabel("perplexity", logits, labels, options.ignoreIndex, (_, logProbability) => {
    sum += logProbability;
    count++;
  });
  return exp(-sum / count);
}

/** Options of `sequenceScores`. */
export interface SequenceScoreOptions {
  /** Tokens of each sequence that count, int32 [B], each in [0, T]. Default T. */
  readonly lengths?: TensorLike;
  /** The sum is divided by length^lengthPenalty: 0 the sum itself, 1 the mean; above, longer sequences are preferred. Finite. Default 1. */
  readonly lengthPenalty?: number;
}

/** Scores of sequences. */
export interface SequenceScores {
  /** Sums of the log-probabilities, float32 [B]; [] for one sequence. */
  readonly logProbabilities: Tensor<"float32">;
  /** logProbability / length^lengthPenalty. */
  readonly scores: Tensor<"float32">;
  /** exp(-logProbability / length). */
  readonly perplexities: Tensor<"float32">;
}

/**
 * Scores of sequences from the log-probabilities of their tokens (`result.logProbabilities` of a sampler, or of `tokenScores`).
 *
 *   score = sum_t logProbabilities[t] / length^lengthPenalty
 *
 * @param logProbabilities - float32 [B, T] or [T]
 * @param options - `lengths`, `lengthPenalty` (1)
 * @returns `logProbabilities`, `scores`, `perplexities`, float32 [B] or []. A sequence of length 0: 0, and NaN for perplexity and for scores with a penalty other than 0
 * @throws RangeError for another rank, or lengths of another shape or outside [0, T]
 * @example
 *   sequenceScores([[-1, -2], [-1, 0]], { lengths: [2, 1] }).scores; // -1.5, -1
 * Source: Wu et al., "Google's neural machine translation system", 2016 (7), with the length itself in place of (5 + length) / 6.
 */
export function sequenceScores(logProbabilities: TensorLike, options: SequenceScoreOptions = {}): SequenceScores {
  const where = "sequenceScores", { lengthPenalty = 1 } = options, x = asFloat32(where, "logProbabilities", logProbabilities), { shape } = x;
  if (shape.length !== 1 && shape.length !== 2) throw rangeError(where, "logProbabilities", "of shape [B, T] or [T]", `[${shape.join(", ")}]`);
  if (!Number.isFinite(lengthPenalty)) throw rangeError(where, "lengthPenalty", "finite", `${lengthPenalty}`);
  const steps = shape[shape.length - 1], rows = shape.length === 1 ? 1 : shape[0];
  const lengths = asLengths(where, "lengths", options.lengths, rows, steps);
  const sums = Float64Array.from(lengths, (length, row) => x.data.subarray(row * steps, row * steps + length).reduce((sum, p) => sum + p, 0));
  const make = (f: (sum: number, length: number) => number): Tensor<"float32"> => new Tensor("float32", shape.slice(0, -1), Float32Array.from(sums, (sum, row) => f(sum, lengths[row])));
  return {
    logProbabilities: make((sum) => sum),
    scores: make((sum, length) => (lengthPenalty === 0 ? sum : sum / pow(length, lengthPenalty))),
    perplexities: make((sum, length) => exp(-sum / length)),
  };
}

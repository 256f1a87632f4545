import { exp, logAddExp } from "@logits/statistics";
import { Tensor, asFloat32, checkInteger, checkShape, rangeError, type TensorLike } from "@logits/tensor";

/** A monotone alignment. */
export interface MonotonicPath {
  /** int32 [T]: the position of each step, never falling. */
  readonly positions: Tensor<"int32">;
  readonly score: number;
}

function read(where: string, scores: TensorLike): { readonly x: Float32Array; readonly steps: number; readonly positions: number } {
  const s = asFloat32(where, "scores", scores);
  checkShape(where, "scores", s, ["T", "S"]);
  const bad = s.data.findIndex((v) => !(v < Infinity));
  if (bad >= 0) throw rangeError(where, "scores", "finite, or -Infinity for pairs that cannot be", `${s.data[bad]} at index ${bad}`);
  return { x: s.data, steps: s.shape[0], positions: s.shape[1] };
}

/**
 * Monotonic alignment search: each step has one position, the first step the first, the last step the last, and every move stays or goes one further.
 *
 *   maximise sum_t scores[t, position[t]],   position[0] = 0, position[T - 1] = S - 1, position[t] - position[t - 1] in {0, 1}
 *
 * @param scores - float32 [T, S], T >= S; -Infinity = a pair that cannot be
 * @returns positions and their score; at equal scores the move is made later
 * @throws RangeError for fewer steps than positions, NaN or +Infinity, scores without a path
 * @example
 *   monotonicSearch([[1, 0], [0, 2], [0, 2]]).positions; // 0, 1, 1
 * Source: Kim, Kim, Kong, Yoon, "Glow-TTS", NeurIPS 2020 (arXiv:2005.11129), algorithm 1.
 */
export function monotonicSearch(scores: TensorLike): MonotonicPath {
  const where = "monotonicSearch", { x, steps: T, positions: S } = read(where, scores);
  if (T < S || S === 0) throw rangeError(where, "scores", "of shape [T, S] with T >= S >= 1", `[${T}, ${S}]`);
  const moved = new Uint8Array(T * S);
  let best = new Float64Array(S).fill(-Infinity), next = new Float64Array(S);
  best[0] = x[0];
  for (let t = 1; t < T; t++) {
    for (let s = 0; s < S; s++) {
      const step = s > 0 ? best[s - 1] : -Infinity, go = step >= best[s] && step > -Infinity;
      moved[t * S + s] = Number(go);
      next[s] = Math.max(best[s], step) + x[t * S + s];
    }
    [best, next] = [next, best];
  }
  const score = best[S - 1], out = new Int32Array(T);
  if (score === -Infinity) throw rangeError(where, "scores", "a path from the first to the last position", "none");
  for (let t = T - 1, s = S - 1; t >= 0; t--) {
    out[t] = s;
    s -= moved[t * S + s];
  }
  return { positions: new Tensor("int32", [T], out), score };
}

/** Options of `monotonicMarginals`. */
export interface MonotonicOptions {
  /** log of how probable a step of d positions is, [D]: float32, index d; no step is longer. Default: all steps forward, also 0, weigh 1. */
  readonly steps?: TensorLike;
  /** Positions before and behind the last one that are looked at. Default: all. */
  readonly window?: number;
}

/** Sum over monotone alignments. */
export interface MonotonicMarginals {
  /** log of the sum of exp(score) over alignments. */
  readonly logPartition: number;
  /** P(position[t] = s), float32 [T, S]: the gradient of logPartition by the scores, and the weights of a soft attention. */
  readonly marginals: Tensor<"float32">;
}

/**
 * Latent monotonic attention: all alignments of outputs to input positions that never fall, with their scores.
 *
 *   a[t, s] = exp(scores[t, s]) sum_(s' <= s) a[t - 1, s'] exp(steps[s - s'])
 *
 * @param scores - float32 [T, S]: log p(y[t] | position s), or logits; -Infinity = cannot be
 * @param options - `steps`, `window`: a step is at most so long
 * @returns log of the sum, and the marginals
 * @throws RangeError for no position, NaN or +Infinity, a window below 0; where no alignment has a finite score the sum is -Infinity and the marginals 0
 * @example
 *   monotonicMarginals([[0, 0], [0, 0]]).logPartition; // 3 alignments: log 3
 * Source: Zeyer, Schlueter, Ney, "A study of latent monotonic attention variants", 2021 (arXiv:2103.16710).
 */
export function monotonicMarginals(scores: TensorLike, { steps, window }: MonotonicOptions = {}): MonotonicMarginals {
  const where = "monotonicMarginals", { x, steps: T, positions: S } = read(where, scores);
  if (S === 0) throw rangeError(where, "scores", "with at least one position", `[${T}, ${S}]`);
  if (window !== undefined) checkInteger(where, "window", window, 0, 2147483647);
  const given = steps === undefined ? undefined : asFloat32(where, "steps", steps).data, longest = Math.min(S - 1, window ?? S, (given?.length ?? S + 1) - 1), weight = (d: number): number => given?.[d] ?? 0;
  const alpha = new Float64Array(T * S), beta = new Float64Array(T * S), out = new Float32Array(T * S);
  for (let t = 0; t < T; t++) for (let s = 0; s < S; s++) {
    let sum = t === 0 ? 0 : -Infinity;
    if (t > 0) for (let d = 0; d <= Math.min(longest, s); d++) sum = logAddExp(sum, alpha[(t - 1) * S + s - d] + weight(d));
    alpha[t * S + s] = sum + x[t * S + s];
  }
  let logPartition = T === 0 ? 0 : -Infinity;
  if (T > 0) for (let s = 0; s < S; s++) logPartition = logAddExp(logPartition, alpha[(T - 1) * S + s]);
  for (let t = T - 2; t >= 0; t--) for (let s = 0; s < S; s++) {
    let sum = -Infinity;
    for (let d = 0; d <= Math.min(longest, S - 1 - s); d++) sum = logAddExp(sum, weight(d) + x[(t + 1) * S + s + d] + beta[(t + 1) * S + s + d]);
    beta[t * S + s] = sum;
  }
  if (logPartition > -Infinity) for (let k = 0; k < T * S; k++) out[k] = exp(alpha[k] + beta[k] - logPartition);
  return { logPartition, marginals: new Tensor("float32", [T, S], out) };
}

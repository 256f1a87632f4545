import { Tensor, asFloat32, asInt32, checkInteger, checkLabels, checkProbabilities, checkShape, rangeError, type TensorLike } from "@logits/tensor";
import { ACCEPT, RESIDUAL, uniformAt } from "./random.ts";

/** Options of `speculativeSampling`. */
export interface SpeculativeOptions {
  /** An integer in [0, 2^53); may be that of the samplers of draft and target. */
  readonly seed: number;
  /** Integer from 0 up. Default 0. */
  readonly stream?: number;
  /** Position of the first draft token in the text, an integer from 0 up. */
  readonly position: number;
}

/** Tokens that follow. */
export interface Speculation {
  /** The accepted draft tokens and one more, int32 [accepted + 1]. */
  readonly tokens: Tensor<"int32">;
  /** How many draft tokens were accepted, in [0, T]. */
  readonly accepted: number;
}

/**
 * Accepts or rejects tokens that a draft model drew, so that what comes out follows the target's distribution exactly, whatever the draft's.
 *
 *   draft token x at step t is accepted with probability min(1, p_t(x) / q_t(x)); at the first rejection one is drawn from max(0, p_t - q_t) / sum; if all are accepted, one from p_T
 *
 * Distributions are those that are drawn from, rules included: `sampler.distribution(logits)` of both. At temperature 0 it accepts the longest prefix that the target would have taken, and adds its next token.
 * The random numbers are independent of those by which samplers with the same seed and stream draw.
 *
 * @param target - p, probabilities of the target at the T draft tokens and behind the last, float32 [T + 1, V]
 * @param draft - q, probabilities by which the tokens were drawn, float32 [T, V]
 * @param tokens - drawn from q, int32 [T], in [0, V)
 * @param options - `seed`, `position`, `stream` (0)
 * @returns the tokens that follow and how many are the draft's
 * @throws RangeError for other shapes, rows that are no probabilities, or a token with q = 0 (it cannot have been drawn)
 * @example
 *   speculativeSampling([[0, 1], [1, 0]], [[0.5, 0.5]], [1], { seed: 1, position: 0 }); // tokens 1, 0; accepted 1
 * Source: Leviathan, Kalman, Matias, "Fast inference from transformers via speculative decoding", ICML 2023; Chen et al., "Accelerating large language model decoding with speculative sampling", 2023.
 */
export function speculativeSampling(target: TensorLike, draft: TensorLike, tokens: TensorLike, options: SpeculativeOptions): Speculation {
  const where = "speculativeSampling", { seed, stream = 0, position } = options;
  for (const [name, value] of Object.entries({ seed, stream, position })) checkInteger(where, name, value, 0, Number.MAX_SAFE_INTEGER);
  const p = asFloat32(where, "target", target), q = asFloat32(where, "draft", draft), x = asInt32(where, "tokens", tokens), [steps, cols] = q.shape;
  checkShape(where, "draft", q, ["T", "V"]);
  if (p.shape.length !== 2 || p.shape[0] !== steps + 1 || p.shape[1] !== cols) throw rangeError(where, "target", `of shape [${steps + 1}, ${cols}]`, `[${p.shape.join(", ")}]`);
  if (x.shape.length !== 1 || x.size !== steps) throw rangeError(where, "tokens", `of shape [${steps}]`, `[${x.shape.join(", ")}]`);
  checkLabels(where, "tokens", x, cols);
  checkProbabilities(where, "target", p, cols);
  checkProbabilities(where, "draft", q, cols);
  let accepted = 0;
  for (; accepted < steps; accepted++) {
    const token = x.data[accepted], likely = q.data[accepted * cols + token];
    if (likely === 0) throw rangeError(where, "tokens", "drawn from `draft`", `token ${token} of probability 0 at step ${accepted}`);
    // Strict: with p = 0 no token is accepted, with p >= q every one is.
    if (!(uniformAt(seed, stream, position + accepted, ACCEPT) * likely < p.data[accepted * cols + token])) break;
  }
  const own = p.data.subarray(accepted * cols, (accepted + 1) * cols);
  const rest = Float64Array.from(own, (value, c) => (accepted === steps ? value : Math.max(0, value - q.data[accepted * cols + c])));
  // Rounded rows may have p <= q everywhere, and a rejection all the same: then nothing is missing, and p itself says.
  const last = draw(rest.some((weight) => weight > 0) ? rest : Float64Array.from(own), uniformAt(seed, stream, position + accepted, RESIDUAL));
  return { tokens: new Tensor("int32", [accepted + 1], Int32Array.of(...x.data.subarray(0, accepted), last)), accepted };
}

/** The place at which the running sum first exceeds u times the whole; else the last of positive weight. */
function draw(weights: Float64Array, u: number): number {
  const target = u * weights.reduce((sum, weight) => sum + weight, 0);
  let below = 0, drawn = 0;
  for (let i = 0; i < weights.length; i++) {
    if (weights[i] === 0) continue;
    drawn = i;
    below += weights[i];
    if (below > target) break;
  }
  return drawn;
}

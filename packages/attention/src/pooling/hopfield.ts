import { ConvergenceError, Tensor, asFloat32, checkInteger, checkPositive, rangeError, type TensorLike } from "@logits/tensor";
import { attentionWithin, gradientsWithin } from "../attention.ts";

/** Options of hopfieldStep. */
export interface HopfieldOptions {
  /** Inverse temperature: larger = nearer to one pattern. Default 1 / sqrt(D). */
  readonly beta?: number;
  /** Weights exp(s) / (1 + sum exp(s)): where no pattern is near they go nowhere. Default false. */
  readonly softmaxOne?: boolean;
}

/** What hopfieldStep returns. */
export interface HopfieldStep {
  /** float32 [..., T, D], after the step. */
  readonly states: Tensor<"float32">;
  /** float32 [..., T], of the states before the step. */
  readonly energy: Tensor<"float32">;
}

/** Options of hopfieldRetrieve. */
export interface HopfieldRetrieveOptions extends HopfieldOptions {
  /** Done when no element moves by more than this. Default 1e-5. */
  readonly tolerance?: number;
  /** Default 100. */
  readonly maxSteps?: number;
}

/** States whose patterns fit: the same D and B, and a divisor of H. */
function checked(where: string, states: TensorLike, patterns: TensorLike): Tensor<"float32"> {
  const given = asFloat32(where, "states", states), { shape } = given, own = asFloat32(where, "patterns", patterns).shape, axis = (of: readonly number[], fromEnd: number): number => of[of.length - fromEnd] ?? 1;
  if (shape.length < 2 || shape.length > 4 || axis(shape, 1) < 1) throw rangeError(where, "states", "of shape [T, D], [H, T, D] or [B, H, T, D], D >= 1", `[${shape.join(", ")}]`);
  if (own.length < 2 || own.length > 4 || axis(own, 1) !== axis(shape, 1) || axis(own, 4) !== axis(shape, 4) || axis(shape, 3) % axis(own, 3) !== 0) {
    throw rangeError(where, "patterns", `of shape [${axis(shape, 4)}, Hkv, S, ${axis(shape, 1)}] ([B, Hkv, S, D]) with Hkv a divisor of ${axis(shape, 3)}`, `[${own.join(", ")}]`);
  }
  return given;
}

function step(states: TensorLike, patterns: TensorLike, options: HopfieldOptions = {}, where = "hopfieldStep"): HopfieldStep {
  const given = checked(where, states, patterns), width = given.shape[given.shape.length - 1], { beta = 1 / Math.sqrt(width), softmaxOne = false } = options;
  checkPositive(where, "beta", beta);
  const { output, logSumExp } = attentionWithin(where, given, patterns, patterns, { scale: beta, softmaxOne });
  const energy = logSumExp.data.map((total, at) => {
    let half = 0;
    for (let f = at * width; f < (at + 1) * width; f++) half += 0.5 * given.data[f] * given.data[f];
    return half - total / beta;
  });
  return { states: output, energy: new Tensor("float32", logSumExp.shape, energy) };
}

function withGrad(states: TensorLike, patterns: TensorLike, options: HopfieldOptions & { readonly upstream: TensorLike }): HopfieldStep & { readonly grads: { readonly states: Tensor<"float32">; readonly patterns: Tensor<"float32"> } } {
  const where = "hopfieldStep.withGrad", { upstream, ...rest } = options, made = step(states, patterns, rest, where), { shape } = made.states, { beta: scale = 1 / Math.sqrt(shape[shape.length - 1]), softmaxOne = false } = rest;
  const { query, key, value } = gradientsWithin(where, states, patterns, patterns, { scale, softmaxOne, upstream }).grads;
  return { ...made, grads: { states: query, patterns: new Tensor("float32", key.shape, key.data.map((g, at) => g + value.data[at])) } };
}

/**
 * One update of a modern Hopfield network, and the energy that it lowers: attention over stored patterns that are keys and values at once.
 *
 *   states <- sum_j P[j] x[j],   P = softmax of beta x . state;   energy = |state|^2 / 2 - (1 / beta) log sum_j exp(beta x[j] . state)
 *
 * The energy never rises from step to step; its gradient is state - step(state). With `softmaxOne` (outlier-efficient) a pattern of 0 with value 0 takes part: where no stored pattern is near, the step gives nearly 0 instead of the
 * least bad pattern, and the energy has 1 inside the logarithm. `hopfieldStep.withGrad(states, patterns, { upstream, ... })` also gives the exact gradients of the new states.
 *
 * @param states - float32 [B, H, T, D], or without B, or without B and H
 * @param patterns - float32 [B, Hkv, S, D]
 * @param options - `beta`, `softmaxOne`
 * @returns `states` after and `energy` before the step. No patterns: states 0, energy +Infinity, or with `softmaxOne` half the squared length. NaN in a state or a pattern it sees: NaN
 * @throws RangeError for shapes that do not fit and a beta that is not above 0
 * @example
 *   hopfieldStep([[3, 0]], [[4, 0], [0, 4]], { beta: 1 }).states.data; // 3.9999..., 0.0000...
 * Source: Ramsauer et al., "Hopfield Networks is All You Need", ICLR 2021, equations 2 and 3 without their constant; Hu et al., "Outlier-Efficient Hopfield Layers for Large Transformer-Based Models", ICML 2024, for softmax-one. The
 * released code of the latter subtracts the largest score alone, which gives NaN where nothing is stored; here it is 0.
 */
export const hopfieldStep: {
  (states: TensorLike, patterns: TensorLike, options?: HopfieldOptions): HopfieldStep;
  /** The same with the gradients of the new states. */
  withGrad(states: TensorLike, patterns: TensorLike, options: HopfieldOptions & { readonly upstream: TensorLike }): HopfieldStep & { readonly grads: { readonly states: Tensor<"float32">; readonly patterns: Tensor<"float32"> } };
} = /* @__PURE__ */ Object.assign((states: TensorLike, patterns: TensorLike, options?: HopfieldOptions): HopfieldStep => step(states, patterns, options), { withGrad });

/**
 * Retrieval to a fixed point: `hopfieldStep` until no element moves by more than `tolerance`.
 *
 * @param states - where it begins, for example noisy patterns; float32 [B, H, T, D], or without B, or without B and H
 * @param patterns - float32 [B, Hkv, S, D]
 * @param options - `beta`, `softmaxOne`, `tolerance`, `maxSteps`
 * @returns `states` at the fixed point, their `energy`, and `steps`: how many updates were made. NaN stays NaN and does not keep the others from ending
 * @throws RangeError as `hopfieldStep`; ConvergenceError where `maxSteps` updates were not enough
 * @example
 *   hopfieldRetrieve([[3, 1]], [[4, 0], [0, 4]], { beta: 2 }).states.data; // 4, 0.0000...
 * Source: Ramsauer et al., "Hopfield Networks is All You Need", ICLR 2021, theorem 2: the updates converge.
 */
export function hopfieldRetrieve(states: TensorLike, patterns: TensorLike, options: HopfieldRetrieveOptions = {}): HopfieldStep & { readonly steps: number } {
  const where = "hopfieldRetrieve", { tolerance = 1e-5, maxSteps = 100, ...rest } = options;
  checkPositive(where, "tolerance", tolerance);
  checkInteger(where, "maxSteps", maxSteps, 1, 2147483647);
  let now = asFloat32(where, "states", states), moved = Infinity;
  for (let steps = 1; steps <= maxSteps; steps++) {
    const { states: next } = step(now, patterns, rest, where);
    moved = 0;
    for (let at = 0; at < next.size; at++) moved = Math.abs(next.data[at] - now.data[at]) > moved ? Math.abs(next.data[at] - now.data[at]) : moved;
    now = next;
    if (moved <= tolerance) return { states: now, energy: step(now, patterns, rest, where).energy, steps };
  }
  throw new ConvergenceError(`${where}: expected a fixed point within ${maxSteps} steps (\`maxSteps\`), got a move of ${moved}`, maxSteps, moved);
}

import { log } from "@logits/statistics";
import { Tensor, asFloat32, checkInteger, rangeError, type TensorLike } from "@logits/tensor";

/** Which tokens a contrast may choose among: those that the model itself finds plausible. */
export interface PlausibilityOptions {
  /** Keeps tokens with at least this share of the largest probability, in (0, 1]. Default 0.1. */
  readonly plausibility?: number;
  /** Of the k-th largest probability instead of the largest; an integer from 1 up. Default 1. */
  readonly k?: number;
}

/** Options of `classifierFreeGuidance`. */
export interface ClassifierFreeOptions {
  /** 1: the conditional scores; above: away from the unconditional ones. Finite. */
  readonly scale: number;
}

/** Options of `comparatorDecoding`. */
export interface ComparatorOptions extends PlausibilityOptions {
  /** How much the truthful comparator counts, finite. Default 1. */
  readonly beta?: number;
  /** How much the hallucinating one counts against a token, finite. Default 1. */
  readonly gamma?: number;
}

/** What a sampler does with the scores of further models or prompts. */
export type Guidance =
  /** `references`: the scores without the condition. */
  | ({ readonly kind: "classifier-free" } & ClassifierFreeOptions)
  /** `references`: the scores of an amateur. */
  | ({ readonly kind: "contrastive" } & PlausibilityOptions)
  /** `references`: the scores of a truthful and of a hallucinating comparator. */
  | ({ readonly kind: "comparator" } & ComparatorOptions);

/** How many references a kind of guidance takes. */
export const REFERENCES: Readonly<Record<Guidance["kind"], number>> = { "classifier-free": 1, contrastive: 1, comparator: 2 };

/** Checks a guidance. */
export function checkGuidance(where: string, guidance: Guidance): void {
  if (!Object.hasOwn(REFERENCES, guidance.kind)) throw rangeError(where, "guidance.kind", Object.keys(REFERENCES).map((kind) => `"${kind}"`).join(" or "), JSON.stringify(guidance.kind));
  const { scale = 1, plausibility = 0.1, k = 1, beta = 1, gamma = 1 } = guidance as { readonly scale?: number } & ComparatorOptions;
  for (const [name, value] of [["scale", scale], ["beta", beta], ["gamma", gamma]] as const) if (!Number.isFinite(value)) throw rangeError(where, name, "finite", `${value}`);
  if (guidance.kind === "classifier-free" && guidance.scale === undefined) throw rangeError(where, "scale", "finite", "undefined");
  if (!(plausibility > 0 && plausibility <= 1)) throw rangeError(where, "plausibility", "in (0, 1]", `${plausibility}`);
  checkInteger(where, "k", k, 1, 2147483647);
}

/** A guidance as numbers: sum of weights[i] times the scores of model i, for the tokens at most `margin` below the k-th largest score of the first. */
export interface ScoreCombination {
  readonly weights: readonly number[];
  readonly margin: number;
  readonly k: number;
}

/** What a guidance makes of scores. */
export function combinationOf(guidance: Guidance): ScoreCombination {
  if (guidance.kind === "classifier-free") return { weights: [guidance.scale, 1 - guidance.scale], margin: Infinity, k: 1 };
  const { plausibility = 0.1, k = 1 } = guidance;
  return { weights: guidance.kind === "contrastive" ? [1, -1] : [1, guidance.beta ?? 1, -(guidance.gamma ?? 1)], margin: -log(plausibility), k };
}

/** One row under a guidance. */
export function guideRow(where: string, x: Float32Array, references: readonly Float32Array[], guidance: Guidance): Float32Array {
  const out = new Float32Array(x.length), { weights, margin, k } = combinationOf(guidance), limit = margin < Infinity ? kthLargest(x, k) - margin : -Infinity;
  for (let c = 0; c < x.length; c++) {
    if (x[c] === -Infinity || x[c] < limit) {
      out[c] = -Infinity;
      continue;
    }
    let sum = weights[0] * x[c];
    for (const [i, reference] of references.entries()) {
      if (!Number.isFinite(reference[c])) throw rangeError(where, "references", "finite where the logits are", `${reference[c]} for token ${c}`);
      sum += weights[i + 1] * reference[c];
    }
    out[c] = sum;
  }
  return out;
}

/** The k-th largest score, the smallest where there are fewer. */
function kthLargest(x: Float32Array, k: number): number {
  // The k largest so far, the largest first. k is small: topK's binary would weigh more than all of this.
  const largest = new Float32Array(Math.min(k, x.length)).fill(-Infinity);
  for (const v of x) {
    let at = largest.length - 1;
    if (!(v > largest[at])) continue;
    for (; at > 0 && largest[at - 1] < v; at--) largest[at] = largest[at - 1];
    largest[at] = v;
  }
  return largest[largest.length - 1];
}

function guideAll(where: string, names: readonly string[], inputs: readonly TensorLike[], guidance: Guidance): Tensor<"float32"> {
  checkGuidance(where, guidance);
  const tensors = inputs.map((input, i) => asFloat32(where, names[i], input)), [x] = tensors, { shape } = x, cols = shape[shape.length - 1];
  if (shape.length === 0 || cols === 0) throw rangeError(where, names[0], "of shape [..., V], V >= 1", `[${shape.join(", ")}]`);
  for (const [i, { shape: other }] of tensors.entries()) {
    if (other.length !== shape.length || other.some((n, axis) => n !== shape[axis])) throw rangeError(where, names[i], `of shape [${shape.join(", ")}]`, `[${other.join(", ")}]`);
  }
  const out = new Float32Array(x.size);
  for (let at = 0; at < out.length; at += cols) {
    const [row, ...references] = tensors.map(({ data }) => data.subarray(at, at + cols));
    out.set(guideRow(where, row, references, guidance), at);
  }
  return new Tensor("float32", shape, out);
}

/**
 * Scores pushed from what a model says without a condition towards what it says with it, and beyond.
 *
 *   y = u + scale (x - u)      x: with the condition, u: without
 *
 * Scores and log-probabilities give the same distribution. Impossible with the condition: impossible.
 *
 * @param logits - with the condition, float32 [..., V]; -Infinity = impossible
 * @param unconditional - without it, same shape
 * @param options - `scale`
 * @returns scores, float32 [..., V]
 * @throws RangeError for other shapes, or where `unconditional` is not finite and `logits` is
 * @example
 *   classifierFreeGuidance([2, 0], [1, 0], { scale: 3 }); // 4, 0
 * Source: Ho, Salimans, "Classifier-free diffusion guidance", 2022; for tokens Sanchez et al. 2023 and Yu et al., "Scaling autoregressive multi-modal models", 2023.
 */
export function classifierFreeGuidance(logits: TensorLike, unconditional: TensorLike, options: ClassifierFreeOptions): Tensor<"float32"> {
  return guideAll("classifierFreeGuidance", ["logits", "unconditional"], [logits, unconditional], { kind: "classifier-free", ...options });
}

/**
 * What an expert finds more probable than an amateur does, among the tokens that the expert finds plausible.
 *
 *   y = log p_expert - log p_amateur where p_expert >= plausibility * (k-th largest p_expert), else -Infinity
 *
 * up to a constant of the row. At least one token is plausible.
 *
 * @param logits - of the expert, float32 [..., V]; -Infinity = impossible
 * @param amateur - same shape
 * @param options - `plausibility` (0.1), `k` (1)
 * @returns scores, float32 [..., V]
 * @throws RangeError for other shapes, or where `amateur` is not finite and the token is plausible
 * @example
 *   contrastiveDecoding([2, 1.5, -3], [2, 0, -3]); // 0, 1.5, -Infinity
 * Source: Li et al., "Contrastive decoding: open-ended text generation as optimization", ACL 2023; the k-th largest: Yu et al. 2023 (CD-K).
 */
export function contrastiveDecoding(logits: TensorLike, amateur: TensorLike, options: PlausibilityOptions = {}): Tensor<"float32"> {
  return guideAll("contrastiveDecoding", ["logits", "amateur"], [logits, amateur], { kind: "contrastive", ...options });
}

/**
 * A model's scores moved by the difference of two comparators, one tuned to be truthful and one to hallucinate, among the tokens that the model finds plausible.
 *
 *   p' proportional to p t^beta / h^gamma: y = x + beta log t - gamma log h where p >= plausibility * (k-th largest p), else -Infinity
 *
 * Scores and log-probabilities of the comparators give the same distribution.
 *
 * @param logits - of the model, float32 [..., V]; -Infinity = impossible
 * @param truthful - same shape
 * @param hallucinatory - same shape
 * @param options - `beta` (1), `gamma` (1), `plausibility` (0.1), `k` (1)
 * @returns scores, float32 [..., V]
 * @throws RangeError for other shapes, or where a comparator is not finite and the token is plausible
 * @example
 *   comparatorDecoding([2, 1.5], [0, 1], [0, 0]); // 2, 2.5
 * Source: Yang et al., "Improving factuality in large language models via decoding-time hallucinatory and truthful comparators", 2024.
 */
export function comparatorDecoding(logits: TensorLike, truthful: TensorLike, hallucinatory: TensorLike, options: ComparatorOptions = {}): Tensor<"float32"> {
  return guideAll("comparatorDecoding", ["logits", "truthful", "hallucinatory"], [logits, truthful, hallucinatory], { kind: "comparator", ...options });
}

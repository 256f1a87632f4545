import { matmul } from "@logits/core-wasm/gemm";
import { softmax } from "@logits/core-wasm/softmax";
import { Tensor, asFloat32, checkShape, lastingData, rangeError, type TensorLike } from "@logits/tensor";
import { attentionWithin, gradientsWithin } from "../attention.ts";
import type { AttentionOptions } from "../options.ts";

/** What keeps a small output from handing on much. */
export interface RelevanceOptions {
  /** Moved away from 0 by this much, what a relevance is divided by; at 0 an output of 0 hands on nothing. Default 1e-6. */
  readonly epsilon?: number;
}

/** Options of attentionRelevance. */
export interface AttentionRelevanceOptions extends Omit<AttentionOptions, "softCap" | "normalizer" | "positionWeights" | "sigmoidBias">, RelevanceOptions {
  /** Of the output, float32, of its shape. */
  readonly relevance: TensorLike;
}

function checkEpsilon(where: string, epsilon: number): void {
  if (!(epsilon >= 0 && epsilon < Infinity)) throw rangeError(where, "epsilon", "a finite number >= 0", `${epsilon}`);
}

/** relevance / (parts output), the divisor moved away from 0 by epsilon. */
function perOutput(where: string, relevance: TensorLike, output: Tensor<"float32">, parts: 1 | 2, epsilon: number): Tensor<"float32"> {
  const given = asFloat32(where, "relevance", relevance), { shape } = output;
  checkShape(where, "relevance", given, shape);
  return new Tensor("float32", shape, given.data.map((r, at) => {
    const whole = parts * output.data[at], divisor = whole + (whole < 0 ? -epsilon : epsilon);
    return divisor === 0 ? 0 : r / divisor;
  }));
}

const times = (x: Tensor<"float32">, grad: Tensor<"float32">, share: number): Tensor<"float32"> => new Tensor("float32", x.shape, x.data.map((value, at) => share * value * grad.data[at]));

/**
 * The relevance of a softmax's scores: the first-order Taylor expansion at the scores, with its bias.
 *
 *   R[c] = x[c] (relevance[c] - p[c] sum_k relevance[k]),   p = softmax(x)
 *
 * The bias of the expansion keeps what is missing to the sum of `relevance`: this rule alone does not conserve.
 *
 * @param scores - x, float32 [..., C]
 * @param relevance - of the probabilities, float32 [..., C]
 * @returns float32 [..., C]; 0 for a score of -Infinity. NaN in a row: NaN
 * @throws RangeError for shapes that differ
 * @example
 *   softmaxRelevance([0, 1], [1, 0]).data; // 0, -0.7310...
 * Source: Achtibat et al., "AttnLRP", ICML 2024, proposition 3.1; the authors' code (LRP-eXplains-Transformers, lxt/explicit/functional.py).
 */
export function softmaxRelevance(scores: TensorLike, relevance: TensorLike): Tensor<"float32"> {
  const where = "softmaxRelevance", x = asFloat32(where, "scores", scores), given = asFloat32(where, "relevance", relevance), { shape } = x;
  if (shape.length === 0 || shape[shape.length - 1] < 1) throw rangeError(where, "scores", "of shape [..., C], C >= 1", `[${shape.join(", ")}]`);
  checkShape(where, "relevance", given, shape);
  const p = softmax(x).data, cols = shape[shape.length - 1], out = new Float32Array(x.size);
  for (let row = 0; row < x.size; row += cols) {
    let total = 0;
    for (let c = row; c < row + cols; c++) total += given.data[c];
    for (let c = row; c < row + cols; c++) out[c] = x.data[c] === -Infinity ? 0 : x.data[c] * (given.data[c] - p[c] * total);
  }
  return new Tensor("float32", shape, out);
}

/**
 * The relevance of both factors of a matrix product: the epsilon rule, half to each.
 *
 *   Ra[m, k] = sum_n a[m, k] b[k, n] R[m, n] / (2 y[m, n] + epsilon),   Rb[k, n] = sum_m the same,   y = a b
 *
 * With epsilon = 0 and no y of 0, Ra and Rb sum to half the sum of R each.
 *
 * @param a - float32 [..., M, K]
 * @param b - float32 [..., K, N]; the batch axes of both are equal
 * @param relevance - of a b, float32 [..., M, N]
 * @param options - `epsilon`, with the sign of y
 * @returns `a` and `b` of their shapes. A y of 0 with epsilon 0 hands on nothing
 * @throws RangeError for shapes that do not fit, and a negative epsilon
 * @example
 *   matmulRelevance([[1, 3]], [[1], [1]], [[4]], { epsilon: 0 }).a.data; // 0.5, 1.5
 * Source: Achtibat et al., "AttnLRP", ICML 2024, proposition 3.3; the authors' code adds epsilon whatever the sign.
 */
export function matmulRelevance(a: TensorLike, b: TensorLike, relevance: TensorLike, options: RelevanceOptions = {}): { readonly a: Tensor<"float32">; readonly b: Tensor<"float32"> } {
  const where = "matmulRelevance", x = asFloat32(where, "a", a), y = asFloat32(where, "b", b), { epsilon = 1e-6 } = options;
  checkEpsilon(where, epsilon);
  if (x.shape.length < 2) throw rangeError(where, "a", "of shape [..., M, K]", `[${x.shape.join(", ")}]`);
  const lead = x.shape.slice(0, -2), inner = x.shape[lead.length + 1];
  if (x.shape.length !== y.shape.length || lead.some((n, i) => n !== y.shape[i]) || y.shape[lead.length] !== inner) throw rangeError(where, "b", `of shape [${[...lead, inner, "N"].join(", ")}] ([..., K, N]), with the batch axes of a`, `[${y.shape.join(", ")}]`);
  const each = perOutput(where, relevance, matmul(x, y), 2, epsilon);
  return { a: times(x, matmul(each, y, { transposeB: true }), 1), b: times(y, matmul(x, each, { transposeA: true }), 1) };
}

/**
 * The relevance of a linear layer's input: the epsilon rule.
 *
 *   R[k] = sum_n x[k] weight[n, k] relevance[n] / (y[n] + epsilon),   y = weight x + bias
 *
 * Without a bias, with epsilon = 0 and no y of 0, the sum is kept; the bias keeps its share. What is one to one (activations, layer and RMS norms) hands its relevance on as it is.
 *
 * @param x - float32 [..., K]
 * @param weight - float32 [N, K]
 * @param relevance - of the output, float32 [..., N]
 * @param options - `epsilon`, with the sign of y; `bias` float32 [N]
 * @returns float32 [..., K]
 * @throws RangeError for shapes that do not fit, and a negative epsilon
 * @example
 *   linearRelevance([[1, 3]], [[2, 2]], [[8]], { epsilon: 0 }).data; // 2, 6
 * Source: Bach et al., "On Pixel-Wise Explanations for Non-Linear Classifier Decisions by Layer-Wise Relevance Propagation", PLOS ONE 2015; Achtibat et al., "AttnLRP", ICML 2024, equation 8.
 */
export function linearRelevance(x: TensorLike, weight: TensorLike, relevance: TensorLike, options: RelevanceOptions & { readonly bias?: TensorLike } = {}): Tensor<"float32"> {
  const where = "linearRelevance", input = asFloat32(where, "x", x), w = asFloat32(where, "weight", weight), { epsilon = 1e-6 } = options;
  checkEpsilon(where, epsilon);
  checkShape(where, "weight", w, ["N", "K"]);
  const [outputs, inputs] = w.shape, lead = input.shape.slice(0, -1);
  if (input.shape.length === 0 || input.shape[input.shape.length - 1] !== inputs) throw rangeError(where, "x", `of shape [..., ${inputs}] ([..., K])`, `[${input.shape.join(", ")}]`);
  const flat = new Tensor("float32", [lead.reduce((a, b) => a * b, 1), inputs], lastingData(input)), output = matmul(flat, w, { transposeB: true });
  if (options.bias !== undefined) {
    const bias = asFloat32(where, "bias", options.bias);
    if (bias.shape.length !== 1 || bias.size !== outputs) throw rangeError(where, "bias", `of shape [${outputs}] ([N])`, `[${bias.shape.join(", ")}]`);
    for (let at = 0; at < output.size; at++) output.data[at] += bias.data[at % outputs];
  }
  const each = perOutput(where, relevance, new Tensor("float32", [...lead, outputs], output.data), 1, epsilon);
  return times(input, matmul(new Tensor("float32", output.shape, each.data), w), 1);
}

/**
 * AttnLRP through one attention: how much each element of query, key and value contributed to the relevance of the output.
 *
 *   U = relevance / (2 output + epsilon);   Rv = v * dv,   Rq = q * dq / 2,   Rk = k * dk / 2,   dq, dk, dv the gradients of attention for upstream U
 *
 * The rule for the product of weights and values (half to each), then for the softmax, then for the product of query and key (half to each) come to input times gradient, so no matrix of T times S is made. Exact conservation where
 * the rules have it: with epsilon = 0, Rv sums to half of the relevance, and Rq and Rk to the same number, half of what the softmax rule leaves for the scores. Biases keep their share.
 *
 * @param query - float32 [B, H, T, D], or without B, or without B and H
 * @param key - float32 [B, Hkv, S, D]
 * @param value - float32 [B, Hkv, S, E]
 * @param options - those of `attention` but `softCap` and sigmoids; `relevance`; `epsilon`, with the sign of the output
 * @returns `query`, `key`, `value` of the shapes of the arguments. A query that sees no key hands on nothing. An output of 0 with epsilon 0 hands on nothing
 * @throws RangeError for shapes that do not fit, a negative epsilon, and for `softCap`, `normalizer` or `sigmoidBias`
 * @example
 *   attentionRelevance([[0]], [[1], [1]], [[1], [3]], { relevance: [[4]], epsilon: 0 }).value.data; // 0.5, 1.5
 * Source: Achtibat et al., "AttnLRP: Attention-Aware Layer-Wise Relevance Propagation for Transformers", ICML 2024, propositions 3.1 and 3.3; the authors' code (LRP-eXplains-Transformers) for the softmax rule. That code also divides
 * by scores plus 1e-8, which is left out here: it changes what a score near 0 hands on.
 */
export function attentionRelevance(query: TensorLike, key: TensorLike, value: TensorLike, options: AttentionRelevanceOptions): { readonly query: Tensor<"float32">; readonly key: Tensor<"float32">; readonly value: Tensor<"float32"> } {
  const where = "attentionRelevance", { relevance, epsilon = 1e-6, ...rest } = options;
  for (const name of ["softCap", "normalizer", "positionWeights", "sigmoidBias"] as const) if ((rest as AttentionOptions)[name] !== undefined) throw rangeError(where, name, "left out", "one", "The rules are those of a softmax of scores");
  checkEpsilon(where, epsilon);
  const { output } = attentionWithin(where, query, key, value, rest), { grads } = gradientsWithin(where, query, key, value, { ...rest, upstream: perOutput(where, relevance, output, 2, epsilon) });
  return { query: times(asFloat32(where, "query", query), grads.query, 0.5), key: times(asFloat32(where, "key", key), grads.key, 0.5), value: times(asFloat32(where, "value", value), grads.value, 1) };
}

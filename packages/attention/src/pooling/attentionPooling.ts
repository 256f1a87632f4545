import { matmul } from "@logits/core-wasm/gemm";
import { sigmoid, tanh } from "@logits/core-wasm/math";
import { exp } from "@logits/statistics";
import { Tensor, asFloat32, asMask, checkShape, lastingData, rangeError, type TensorLike } from "@logits/tensor";
import { attentionWithin, gradientsWithin } from "../attention.ts";

/** The small network that scores an instance. A bias of the score would change nothing: the softmax takes it out. */
export interface AttentionPoolingParameters {
  /** V: float32 [A, F]. */
  readonly hidden: TensorLike;
  /** float32 [A]. Default 0. */
  readonly hiddenBias?: TensorLike;
  /** U: float32 [A, F]. Default none: tanh alone. */
  readonly gate?: TensorLike;
  /** float32 [A]. Default 0. Only with `gate`. */
  readonly gateBias?: TensorLike;
  /** w: float32 [A]. */
  readonly score: TensorLike;
}

/** Options of attentionPooling. */
export interface AttentionPoolingOptions {
  /** 0 or 1 [N] or [B, N]: 1 = takes part. */
  readonly mask?: TensorLike;
}

/** What attentionPooling returns. */
export interface AttentionPooling {
  /** float32 [B, F], or [F]. */
  readonly output: Tensor<"float32">;
  /** float32 [B, N], or [N]: sums to 1, exactly 0 where the mask is 0. */
  readonly weights: Tensor<"float32">;
}

/** What attentionPooling.withGrad returns. */
export interface AttentionPoolingWithGrad extends AttentionPooling {
  /** Of the shapes of the arguments; of what was given. */
  readonly grads: {
    readonly features: Tensor<"float32">;
    readonly hidden: Tensor<"float32">;
    readonly hiddenBias?: Tensor<"float32">;
    readonly gate?: Tensor<"float32">;
    readonly gateBias?: Tensor<"float32">;
    readonly score: Tensor<"float32">;
  };
}

/** A checked call, and the scores. The pooling is the attention of one query of 0 whose scores are a bias. */
function scored(where: string, features: TensorLike, { hidden, hiddenBias, gate, gateBias, score }: AttentionPoolingParameters, options: AttentionPoolingOptions) {
  const given = asFloat32(where, "features", features), { shape } = given, data = lastingData(given);
  if (shape.length < 2 || shape.length > 3 || shape[shape.length - 1] < 1) throw rangeError(where, "features", "of shape [N, F] or [B, N, F], F >= 1", `[${shape.join(", ")}]`);
  const [batch, count, width] = shape.length === 3 ? shape : [1, ...shape], v = asFloat32(where, "hidden", hidden);
  if (v.shape.length !== 2 || v.shape[1] !== width || v.shape[0] < 1) throw rangeError(where, "hidden", `of shape [A, ${width}] ([A, F])`, `[${v.shape.join(", ")}]`);
  const units = v.shape[0], own = (argument: string, x: TensorLike, want: readonly number[]): Tensor<"float32"> => {
    const made = asFloat32(where, argument, x);
    if (made.shape.length !== want.length || want.some((n, i) => n !== made.shape[i])) throw rangeError(where, argument, `of shape [${want.join(", ")}] as hidden`, `[${made.shape.join(", ")}]`);
    return made;
  };
  if (gate === undefined && gateBias !== undefined) throw rangeError(where, "gateBias", "with a `gate`", "one without");
  const rows = new Tensor("float32", [batch * count, width], data), w = own("score", score, [units]), u = gate === undefined ? undefined : own("gate", gate, [units, width]);
  const layer = (weights: Tensor<"float32">, argument: string, bias: TensorLike | undefined): Tensor<"float32"> => {
    const out = matmul(rows, weights, { transposeB: true });
    if (bias === undefined) return out;
    const shift = own(argument, bias, [units]).data;
    for (let at = 0; at < out.size; at++) out.data[at] += shift[at % units];
    return out;
  };
  const h = tanh(layer(v, "hiddenBias", hiddenBias)), g = u && sigmoid(layer(u, "gateBias", gateBias)), scores = new Float32Array(batch * count);
  for (let i = 0; i < scores.length; i++) {
    let sum = 0;
    for (let a = i * units; a < (i + 1) * units; a++) sum += w.data[a - i * units] * h.data[a] * (g ? g.data[a] : 1);
    scores[i] = sum;
  }
  const mask = options.mask === undefined ? undefined : asMask(where, "mask", options.mask);
  if (mask && (mask.shape[mask.shape.length - 1] !== count || mask.shape.length > 2 || (mask.shape.length === 2 && mask.shape[0] !== batch))) throw rangeError(where, "mask", `of shape [${count}] or [${batch}, ${count}] ([N] or [B, N])`, `[${mask.shape.join(", ")}]`);
  const zeros = (...size: number[]): Tensor<"float32"> => new Tensor("float32", size, new Float32Array(size.reduce((a, b) => a * b, 1)));
  const shared = mask && new Tensor("uint8", mask.shape.length === 2 ? [batch, 1, 1, count] : [count], lastingData(mask));
  const call = [zeros(batch, 1, 1, 1), zeros(batch, 1, count, 1), new Tensor("float32", [batch, 1, count, width], data)] as const;
  return { given, batch, count, width, units, rows, v, w, u, h, g, scores, mask, call, options: { bias: new Tensor("float32", [batch, 1, 1, count], scores), ...(shared ? { mask: shared } : {}) } };
}

/** Weights in float64: what a log-sum-exp in float32 leaves of scores in the thousands does not sum to 1. */
function pooled({ given, batch, count, width, scores, mask }: ReturnType<typeof scored>, output: Float32Array): AttentionPooling {
  const lead = given.shape.slice(0, -2), weights = new Float32Array(scores.length), parts = new Float64Array(count);
  for (let b = 0; b < batch; b++) {
    let top = -Infinity, sum = 0;
    const seen = scores.subarray(b * count, (b + 1) * count).map((s, n) => (mask && mask.data[mask.shape.length === 2 ? b * count + n : n] === 0 ? -Infinity : s));
    for (const s of seen) if (s > top || s !== s) top = s;
    if (top === -Infinity) continue;
    for (let n = 0; n < count; n++) sum += parts[n] = seen[n] === -Infinity ? 0 : exp(seen[n] - top);
    for (let n = 0; n < count; n++) weights[b * count + n] = parts[n] === 0 ? 0 : parts[n] / sum;
  }
  return { output: new Tensor("float32", [...lead, width], output.slice(0, batch * width)), weights: new Tensor("float32", [...lead, count], weights) };
}

function forward(features: TensorLike, parameters: AttentionPoolingParameters, options: AttentionPoolingOptions = {}): AttentionPooling {
  const where = "attentionPooling", made = scored(where, features, parameters, options);
  return pooled(made, attentionWithin(where, ...made.call, made.options).output.data);
}

function withGrad(features: TensorLike, parameters: AttentionPoolingParameters, options: AttentionPoolingOptions & { readonly upstream: TensorLike }): AttentionPoolingWithGrad {
  const where = "attentionPooling.withGrad", made = scored(where, features, parameters, options), { given, batch, width, units, rows, v, w, u, h, g } = made, want = [...given.shape.slice(0, -2), width], upstream = asFloat32(where, "upstream", options.upstream);
  checkShape(where, "upstream", upstream, want);
  const { output, grads } = gradientsWithin(where, ...made.call, { ...made.options, upstream: new Tensor("float32", [batch, 1, 1, width], lastingData(upstream)) });
  const each = grads.bias!.data, dh = new Float32Array(h.size), dg = new Float32Array(h.size), score = new Float64Array(units);
  for (let at = 0; at < h.size; at++) {
    const a = at % units, ds = each[Math.floor(at / units)], left = h.data[at], right = g ? g.data[at] : 1;
    score[a] += ds * left * right;
    dh[at] = ds * w.data[a] * right * (1 - left * left);
    dg[at] = ds * w.data[a] * left * right * (1 - right);
  }
  const of = (data: Float32Array): Tensor<"float32"> => new Tensor("float32", h.shape, data), bias = (data: Float32Array): Tensor<"float32"> => {
    const sums = new Float64Array(units);
    for (let at = 0; at < data.length; at++) sums[at % units] += data[at];
    return new Tensor("float32", [units], Float32Array.from(sums));
  };
  const through = matmul(of(dh), v).data, also = u && matmul(of(dg), u).data;
  const whole = {
    features: new Tensor("float32", given.shape, grads.value.data.map((x, at) => x + through[at] + (also ? also[at] : 0))),
    hidden: matmul(of(dh), rows, { transposeA: true }),
    ...(parameters.hiddenBias === undefined ? {} : { hiddenBias: bias(dh) }),
    ...(u ? { gate: matmul(of(dg), rows, { transposeA: true }) } : {}),
    ...(parameters.gateBias === undefined ? {} : { gateBias: bias(dg) }),
    score: new Tensor("float32", [units], Float32Array.from(score)),
  };
  return { ...pooled(made, output.data), grads: whole };
}

/**
 * One vector for a set or a sequence: the mean of its elements, weighted by a softmax of learned scores (attention pooling, additive or gated).
 *
 *   s[n] = w . (tanh(V x[n] + b) * sigmoid(U x[n] + c)),   weights = softmax over n of s,   output = sum_n weights[n] x[n]
 *
 * Without `gate` the second factor is 1. The order of the elements does not matter. `attentionPooling.withGrad(features, parameters, { upstream, ... })` also gives the exact gradients in the features and all parameters.
 *
 * @param features - x, float32 [B, N, F] or [N, F]: instances of a bag, words of a sentence
 * @param parameters - `hidden` V, `hiddenBias` b, `gate` U, `gateBias` c, `score` w
 * @param options - `mask`
 * @returns `output` float32 [B, F] and `weights` float32 [B, N]. No element takes part, or N = 0: output 0, weights 0. NaN in an element that takes part: NaN. A hidden element must be finite all the same
 * @throws RangeError for shapes that do not fit, and a `gateBias` without `gate`
 * @example
 *   attentionPooling([[0, 2], [4, 2]], { hidden: [[0, 0]], score: [1] }).output.data; // 2, 2
 * Source: Ilse, Tomczak and Welling, "Attention-based Deep Multiple Instance Learning", ICML 2018, equations 8 and 9; without the gate Bahdanau et al., ICLR 2015, and Yang et al., "Hierarchical Attention Networks", NAACL 2016.
 */
export const attentionPooling: {
  (features: TensorLike, parameters: AttentionPoolingParameters, options?: AttentionPoolingOptions): AttentionPooling;
  /** The same with gradients in the features and the parameters. */
  withGrad(features: TensorLike, parameters: AttentionPoolingParameters, options: AttentionPoolingOptions & { readonly upstream: TensorLike }): AttentionPoolingWithGrad;
} = /* @__PURE__ */ Object.assign(forward, { withGrad });

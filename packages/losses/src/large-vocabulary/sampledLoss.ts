import { matmul } from "@logits/core-wasm/gemm";
import { exp, log, sigmoid, softplus } from "@logits/statistics";
import { asFloat32, asInt32, checkPositive, checkShape, defineLoss, rangeError, Tensor, type Loss, type LossOptions, type LossPlan, type TensorLike } from "@logits/tensor";
import { labelled } from "../labelled.ts";
import { checkChoice, checkRange } from "../range.ts";
import { floats } from "../shaped.ts";
import type { Negatives } from "./negatives.ts";
import { RowSums, type RowGradient } from "./rowGradient.ts";

/** Options of the losses on sampled words. */
export interface SampledOptions extends LossOptions {
  /** The words that stand for all others, drawn by `sampleNegatives`; one set for the batch. */
  readonly negatives: Negatives;
  /** float32 [V], added to the logits. */
  readonly bias?: TensorLike;
  /** Leaves out a sampled word in the rows whose label it is. */
  readonly removeHits?: boolean;
}

/** Gradients of a loss on sampled words. */
export interface SampledGradients {
  readonly grads: {
    /** float32 [B, D]. */
    readonly hidden: Tensor<"float32">;
    /** Of the labels and the sampled words; 0 in all other rows of [V, D]. `denseRows` makes it a matrix. */
    readonly weights: RowGradient;
    /** float32 [V], where a bias was given. */
    readonly bias?: Tensor<"float32">;
  };
}

/** A loss of hidden states [B, D], weights [V, D] and labels [B] that looks at the labels and at sampled words. */
export type SampledLoss<Options extends SampledOptions = SampledOptions> = Loss<[hidden: TensorLike, weights: TensorLike, labels: TensorLike], Options, SampledGradients>;

/**
 * The value of one row from the label's logit and those of the samples (-Infinity: left out), whose logarithms of expected counts are `logE` and `logExpected`. The samples' logits are replaced by d value / d logit;
 * returns the value and d value / d label's logit.
 */
export type SampledRow = (own: number, samples: Float64Array, logE: number, logExpected: Float64Array) => readonly [value: number, slope: number];

/** What a sampled loss needs, checked; `plan` of `defineLoss` from it. */
export function sampledPlan(where: string, hidden: TensorLike, weights: TensorLike, labels: TensorLike, options: SampledOptions, removeHits: boolean, scale: number, row: SampledRow): LossPlan<SampledGradients> {
  const x = floats(where, "hidden", hidden, ["B", "D"]), [rows, width] = x.shape, w = floats(where, "weights", weights, ["V", width]), words = w.shape[0], { y, weights: weighting } = labelled(where, labels, [rows], words, options), { negatives, removeHits: hits = removeHits } = options, { indices } = negatives, count = indices.length;
  const bias = options.bias === undefined ? undefined : asFloat32(where, "bias", options.bias);
  if (bias && bias.size !== words) throw rangeError(where, "bias", `of shape [${words}]`, `[${bias.shape.join(", ")}]`);
  if (negatives.words !== words) throw rangeError(where, "negatives", `drawn from ${words} words`, `${negatives.words}`);
  const takes = (i: number): boolean => weighting?.[i] !== 0;
  return {
    shape: [rows],
    weights: weighting,
    pass(coefficients?: Float64Array) {
      // Rows that take no part may hold NaN, which 0 would not remove from a product.
      const h = x.data.map((v, i) => (takes(Math.floor(i / width)) ? v : 0)), gathered = new Float32Array(count * width), hidden = { data: h, shape: [rows, width] }, sampled = { data: gathered, shape: [count, width] };
      indices.forEach((v, k) => gathered.set(w.data.subarray(v * width, (v + 1) * width), k * width));
      const z = matmul(hidden, sampled, { transposeB: true }).data, values = new Float64Array(rows), slopes = new Float64Array(rows), samples = new Float64Array(count), logExpected = Float64Array.from(indices, (v) => negatives.logExpected(v));
      y.forEach((label, i) => {
        if (!takes(i)) return;
        const own = w.data;
        let logit = 0;
        for (let d = 0; d < width; d++) logit += h[i * width + d] * own[label * width + d];
        indices.forEach((v, k) => (samples[k] = hits && v === label ? -Infinity : scale * (z[i * count + k] + (bias ? bias.data[v] : 0))));
        const [value, slope] = row(scale * (logit + (bias ? bias.data[label] : 0)), samples, negatives.logExpected(label), logExpected), factor = coefficients ? coefficients[i] * scale : 0;
        values[i] = value;
        slopes[i] = factor * slope;
        samples.forEach((g, k) => (z[i * count + k] = factor * g));
      });
      return {
        values,
        gradients() {
          const d = { data: z, shape: [rows, count] }, dh = matmul(d, sampled), dw = matmul(d, hidden, { transposeA: true }).data, sums = new RowSums([words, width]), db = bias && new Float32Array(words);
          y.forEach((label, i) => {
            if (!takes(i)) return;
            const own = w.data;
            for (let f = 0; f < width; f++) dh.data[i * width + f] += slopes[i] * own[label * width + f];
            sums.add(label, slopes[i], h, i * width);
            if (!db) return;
            db[label] += slopes[i];
            indices.forEach((v, k) => (db[v] += z[i * count + k]));
          });
          indices.forEach((v, k) => sums.add(v, 1, dw, k * width));
          return { grads: { hidden: dh, weights: sums.finish(), ...(db && { bias: new Tensor("float32", [words], db) }) } };
        },
      };
    },
  };
}

function sampledLoss<Options extends SampledOptions = SampledOptions>(name: string, removeHits: boolean, rowOf: (options: Options, where: string) => SampledRow): SampledLoss<Options> {
  return defineLoss(name, 3, (where, [hidden, weights, labels]: [TensorLike, TensorLike, TensorLike], options: Options) => sampledPlan(where, hidden, weights, labels, options, removeHits, 1, rowOf(options, where)));
}

/** log sum exp of `first` and the samples; these become their probabilities. */
function normalize(first: number, samples: Float64Array): number {
  const top = samples.reduce((a, b) => (b > a ? b : a), first);
  if (top === -Infinity) return top;
  let sum = exp(first - top);
  for (let k = 0; k < samples.length; k++) sum += samples[k] = exp(samples[k] - top);
  for (let k = 0; k < samples.length; k++) samples[k] /= sum;
  return top + log(sum);
}

/**
 * Sampled softmax: cross-entropy over the label and the sampled words, each less the logarithm of how often it was to be expected.
 *
 *   loss[b] = log(exp(u_y) + sum_k exp(u_k)) - u_y,   u_v = hidden[b] . weights[v] + bias[v] - log E(v)
 *
 * With every word drawn once it is cross-entropy.
 *
 * @param hidden - float32 [B, D]
 * @param weights - float32 [V, D]
 * @param labels - int32 [B], in [0, V)
 * @param options - `negatives` (needed); `bias`; `removeHits`, default true; those of every loss
 * @returns float32 [B] ("none") or []; a row with NaN: NaN. `withGrad`: `grads.hidden`, `grads.weights` (few rows), `grads.bias` where one is given
 * @throws RangeError for shapes that do not fit, a label outside [0, V) (with its index), negatives of another vocabulary
 * @example
 *   sampledSoftmaxLoss([[1]], [[1], [0], [2]], [0], { negatives: sampleNegatives(logUniformNoise(3), 3, randomSource(1), { unique: true }) }); // log(e + 1 + e^2) - 1
 * Source: Bengio and Senécal, "Adaptive Importance Sampling to Accelerate Training of a Neural Probabilistic Language Model", IEEE TNN 2008; Jean et al., ACL 2015; TensorFlow, sampled_softmax_loss.
 */
export const sampledSoftmaxLoss: SampledLoss = /* @__PURE__ */ sampledLoss("sampledSoftmaxLoss", true, () => (own, samples, logE, logExpected) => {
  samples.forEach((z, k) => (samples[k] = z - logExpected[k]));
  const u = own - logE, L = normalize(u, samples);
  return [L - u, exp(u - L) - 1];
});

/**
 * Importance sampling of the partition: log Z is replaced by the logarithm of an unbiased estimate of Z.
 *
 *   loss[b] = log sum_k exp(z_k) / E(k) - z_y,   z_v = hidden[b] . weights[v] + bias[v]
 *
 * @param hidden - float32 [B, D]
 * @param weights - float32 [V, D]
 * @param labels - int32 [B], in [0, V)
 * @param options - as for `sampledSoftmaxLoss`; `removeHits`, default false: the label is part of Z
 * @returns as `sampledSoftmaxLoss`; it can be negative
 * @throws as `sampledSoftmaxLoss`
 * @example
 *   importanceSampledLoss([[1]], [[1], [0]], [0], { negatives: sampleNegatives(logUniformNoise(2), 2, randomSource(1), { unique: true }) }); // log(e + 1) - 1
 * Source: Bengio and Senécal, "Quick Training of Probabilistic Neural Nets by Importance Sampling", AISTATS 2003; Gao et al., "On Sampling-Based Training Criteria for Neural Language Modeling", Interspeech 2021.
 */
export const importanceSampledLoss: SampledLoss = /* @__PURE__ */ sampledLoss("importanceSampledLoss", false, () => (own, samples, _, logExpected) => {
  samples.forEach((z, k) => (samples[k] = z - logExpected[k]));
  return [normalize(-Infinity, samples) - own, -1];
});

/** Options of `nceLoss`. */
export interface NceOptions extends SampledOptions {
  /** log Z where it is known, subtracted from the logits. Default 0: the logits normalise themselves. */
  readonly logPartition?: number;
}

const nceRow = (logPartition: number): SampledRow => (own, samples, logE, logExpected) => {
  const u = own - logPartition - logE;
  let value = softplus(-u);
  for (let k = 0; k < samples.length; k++) {
    const noise = samples[k] - logPartition - logExpected[k];
    value += softplus(noise);
    samples[k] = sigmoid(noise);
  }
  return [value, sigmoid(u) - 1];
};

/**
 * Noise-contrastive estimation: tells the label from words of the noise; at the optimum the logits are log-probabilities.
 *
 *   loss[b] = softplus(-u_y) + sum_k softplus(u_k),   u_v = hidden[b] . weights[v] + bias[v] - log Z - log(K Q(v))
 *
 * @param hidden - float32 [B, D]
 * @param weights - float32 [V, D]
 * @param labels - int32 [B], in [0, V)
 * @param options - as for `sampledSoftmaxLoss`; `removeHits`, default false; `logPartition`, default 0
 * @returns as `sampledSoftmaxLoss`
 * @throws as `sampledSoftmaxLoss`
 * @example
 *   nceLoss([[0]], [[1], [1]], [0], { negatives: sampleNegatives(countNoise([1, 1]), 2, randomSource(1)) }); // 3 log 2
 * Source: Gutmann and Hyvärinen, AISTATS 2010; Mnih and Teh, ICML 2012.
 */
export const nceLoss: SampledLoss<NceOptions> = /* @__PURE__ */ sampledLoss("nceLoss", false, ({ logPartition = 0 }: NceOptions) => nceRow(logPartition));

/** How the sum over all words of a binary criterion is replaced. */
export type SamplingCriterion = "monteCarlo" | "importance" | "compensated";

/** Options of `sampledBinaryLoss`. */
export interface SampledBinaryOptions extends SampledOptions {
  /** Default "monteCarlo": negative sampling. */
  readonly criterion?: SamplingCriterion;
}

/** log of the factor of a sample in the binary criterion. */
function logFactor(criterion: SamplingCriterion, words: number, samples: number, logE: number): number {
  return criterion === "monteCarlo" ? 0 : criterion === "importance" ? -logE : log(words / samples);
}

/**
 * Binary cross-entropy with sampled words in place of all others: negative sampling ("monteCarlo"), an unbiased sum over all words ("importance"), or a partial sum times V / K ("compensated").
 *
 *   loss[b] = softplus(-z_y) + sum_k a_k softplus(z_k),   a = 1, 1 / E(k) or V / K
 *
 * What its logits are at the optimum depends on the criterion: `samplingCorrection` makes them log-probabilities.
 *
 * @param hidden - float32 [B, D]
 * @param weights - float32 [V, D]
 * @param labels - int32 [B], in [0, V)
 * @param options - as for `sampledSoftmaxLoss`; `removeHits`, default false; `criterion`
 * @returns as `sampledSoftmaxLoss`
 * @throws as `sampledSoftmaxLoss`
 * @example
 *   sampledBinaryLoss([[0]], [[1], [1], [1]], [0], { negatives: sampleNegatives(countNoise([1, 1, 1]), 2, randomSource(1)) }); // 3 log 2
 * Source: Mikolov et al., "Distributed Representations of Words and Phrases", NeurIPS 2013, eq. 4 (negative sampling); Gao et al., "On Sampling-Based Training Criteria for Neural Language Modeling", Interspeech 2021 (the others).
 */
export const sampledBinaryLoss: SampledLoss<SampledBinaryOptions> = /* @__PURE__ */ sampledLoss("sampledBinaryLoss", false, ({ criterion = "monteCarlo", negatives: { words } }: SampledBinaryOptions, where) => {
  checkChoice(where, "criterion", criterion, ["monteCarlo", "importance", "compensated"]);
  return (own, samples, _, logExpected) => {
    let value = softplus(-own);
    for (let k = 0; k < samples.length; k++) {
      const factor = exp(logFactor(criterion, words, samples.length, logExpected[k]));
      value += factor * softplus(samples[k]);
      samples[k] = factor * sigmoid(samples[k]);
    }
    return [value, sigmoid(own) - 1];
  };
});

/**
 * What is added to the logits of `sampledBinaryLoss` to make them log-probabilities at its optimum: there sigma(z_v) / (1 - sigma(z_v)) is p(v) over the expected factor of v.
 *
 *   log p(v) = z_v + log(a_v E(v)),   a as in `sampledBinaryLoss`
 *
 * @param criterion - "monteCarlo", "importance" (0: nothing is to be added) or "compensated" (0 where the noise is uniform)
 * @param negatives - as in training: the noise and K
 * @returns float32 [V], to be added to each row of logits
 * @example
 *   samplingCorrection("importance", sampleNegatives(logUniformNoise(3), 2, randomSource(1))).data; // 0, 0, 0
 * Source: the minimum of p log s(z) + a E log(1 - s(z)) in z; its use: Gao et al., Interspeech 2021.
 */
export function samplingCorrection(criterion: SamplingCriterion, negatives: Negatives): Tensor<"float32"> {
  const { words, indices } = negatives;
  return new Tensor("float32", [words], Float32Array.from({ length: words }, (_, v) => (criterion === "importance" ? 0 : logFactor(criterion, words, indices.length, 0) + negatives.logExpected(v))));
}

/** For each number the sum of all the others, without a difference. */
function sumsOfOthers(x: Float64Array): Float64Array {
  const out = new Float64Array(x.length);
  for (let k = 0, sum = 0; k < x.length; sum += x[k++]) out[k] = sum;
  for (let k = x.length - 1, sum = 0; k >= 0; sum += x[k--]) out[k] += sum;
  return out;
}

/**
 * BlackOut: a softmax over the label and the sampled words, which also pushes each sampled word down.
 *
 *   loss[b] = -log p_y - sum_k log(1 - p_k),   p = softmax of u over the label and the samples,   u_v = hidden[b] . weights[v] + bias[v] - log E(v)
 *
 * @param hidden - float32 [B, D]
 * @param weights - float32 [V, D]
 * @param labels - int32 [B], in [0, V)
 * @param options - as for `sampledSoftmaxLoss`
 * @returns as `sampledSoftmaxLoss`
 * @throws as `sampledSoftmaxLoss`
 * @example
 *   blackOutLoss([[0]], [[1], [1]], [0], { negatives: sampleNegatives(countNoise([1, 1]), 2, randomSource(1), { unique: true }) }); // 2 log 2
 * Source: Ji et al., "BlackOut: Speeding up Recurrent Neural Network Language Models With Very Large Vocabularies", ICLR 2016, eq. 4 and 5.
 */
export const blackOutLoss: SampledLoss = /* @__PURE__ */ sampledLoss("blackOutLoss", true, () => (own, samples, logE, logExpected) => {
  samples.forEach((z, k) => (samples[k] = z - logExpected[k]));
  const u = own - logE, L = normalize(u, samples), p = exp(u - L);
  // 1 - p_k as the sum of the others, which keeps its digits.
  const others = sumsOfOthers(samples), odds = others.map((rest, k) => samples[k] / (p + rest)), beside = sumsOfOthers(odds);
  const value = others.reduce((sum, rest) => sum - log(p + rest), L - u);
  samples.forEach((q, k) => (samples[k] = q * (2 - beside[k])));
  return [value, p - 1 - p * odds.reduce((a, b) => a + b, 0)];
});

/** Options of `memoryBankLoss`. */
export interface MemoryBankOptions extends Omit<SampledOptions, "bias"> {
  /** Default 0.07. */
  readonly temperature?: number;
  /** log Z, constant: `estimateLogPartition`, once at the start. */
  readonly logPartition: number;
  /** Factor of the squared distance to the label's entry of the bank, >= 0. Default 0. */
  readonly proximal?: number;
}

/**
 * Instance discrimination by noise-contrastive estimation on a memory bank: each entry is a class of its own, the bank has no gradient.
 *
 *   loss[b] = softplus(-u_y) + sum_k softplus(u_k) + proximal |features[b] - bank[y]|^2,   u_i = features[b] . bank[i] / temperature - log Z - log(K Q(i))
 *
 * @param features - float32 [B, D], of length 1 in the paper
 * @param bank - float32 [N, D], one entry for each instance
 * @param labels - int32 [B], in [0, N): the instance of each row
 * @param options - `negatives` (uniform in the paper) and `logPartition` (needed), `temperature`, `proximal`, `removeHits` (default false); those of every loss
 * @returns float32 [B] ("none") or []. `withGrad`: `grad` of the features
 * @throws as `sampledSoftmaxLoss`, and for a temperature that is not above 0
 * @example
 *   memoryBankLoss([[1, 0]], [[1, 0], [0, 1]], [0], { negatives: sampleNegatives(countNoise([1, 1]), 1, randomSource(1)), logPartition: 0 });
 * Source: Wu, Xiong, Yu, Lin, "Unsupervised Feature Learning via Non-Parametric Instance-level Discrimination", CVPR 2018, eq. 4 to 10.
 */
export const memoryBankLoss: Loss<[features: TensorLike, bank: TensorLike, labels: TensorLike], MemoryBankOptions> = /* @__PURE__ */ defineLoss(
  "memoryBankLoss", 3, (where, [features, bank, labels]: [TensorLike, TensorLike, TensorLike], options: MemoryBankOptions) => {
    const { temperature = 0.07, logPartition, proximal = 0 } = options;
    checkPositive(where, "temperature", temperature);
    checkRange(where, "proximal", proximal, 0);
    const x = asFloat32(where, "features", features), f = asFloat32(where, "bank", bank), y = asInt32(where, "labels", labels).data.slice(), plan = sampledPlan(where, x, f, labels, options, false, 1 / temperature, nceRow(logPartition)), width = x.shape[1];
    const away = (i: number, d: number): number => x.data[i * width + d] - f.data[y[i] * width + d];
    return {
      shape: plan.shape,
      weights: plan.weights,
      pass(coefficients) {
        const { values, gradients } = plan.pass(coefficients);
        if (proximal > 0) for (let i = 0; i < values.length; i++) if (plan.weights?.[i] !== 0) for (let d = 0; d < width; d++) values[i] += proximal * away(i, d) * away(i, d);
        return {
          values,
          gradients() {
            const grad = gradients().grads.hidden;
            if (proximal > 0) for (let i = 0; i < values.length; i++) if (plan.weights?.[i] !== 0) for (let d = 0; d < width; d++) grad.data[i * width + d] += 2 * coefficients![i] * proximal * away(i, d);
            return { grad };
          },
        };
      },
    };
  },
);

/**
 * log Z of a softmax over a memory bank, from sampled entries: the logarithm of an unbiased estimate of the mean of Z over the rows.
 *
 *   log mean_b sum_k exp(features[b] . bank[k] / temperature) / E(k)
 *
 * @param features - float32 [B, D], B >= 1
 * @param bank - float32 [N, D]
 * @param negatives - drawn from N entries
 * @param temperature - default 0.07
 * @returns the logarithm
 * @throws RangeError for shapes that do not fit
 * @example
 *   estimateLogPartition([[1, 0]], [[1, 0], [1, 0]], sampleNegatives(countNoise([1, 1]), 8, randomSource(1)), 1); // log(2 e)
 * Source: Wu et al., CVPR 2018, eq. 8.
 */
export function estimateLogPartition(features: TensorLike, bank: TensorLike, negatives: Negatives, temperature = 0.07): number {
  const where = "estimateLogPartition", x = asFloat32(where, "features", features), f = asFloat32(where, "bank", bank), { indices } = negatives;
  checkShape(where, "features", x, ["B", "D"]);
  checkShape(where, "bank", f, ["N", "D"]);
  checkPositive(where, "temperature", temperature);
  if (negatives.words !== f.shape[0]) throw rangeError(where, "negatives", `drawn from ${f.shape[0]} entries`, `${negatives.words}`);
  const gathered = new Tensor("float32", [indices.length, f.shape[1]], new Float32Array(indices.length * f.shape[1]));
  indices.forEach((v, k) => gathered.data.set(f.row(v).data, k * f.shape[1]));
  const scores = matmul(x, gathered, { transposeB: true }).data;
  return normalize(-Infinity, Float64Array.from(scores, (z, i) => z / temperature - negatives.logExpected(indices[i % indices.length]))) - log(x.shape[0]);
}

import { exp, log } from "@logits/statistics";
import { asFloat32, asInt32, checkShape, defineLoss, lossRows, rangeError, scoreRows, Tensor, watchedOptions, type Loss, type Reduction, type RowLossOptions, type TensorLike } from "@logits/tensor";
import { crossEntropy as ownCrossEntropy } from "../classification/crossEntropy.ts";
import { smoothLabels, softCrossEntropy } from "../classification/softCrossEntropy.ts";
import { binaryCrossEntropy } from "../multi-label/binaryCrossEntropy.ts";
import { hingeEmbeddingLoss as ownHingeEmbeddingLoss } from "../multi-label/hinge.ts";
import { multilabelMarginLoss as ownMultilabelMarginLoss, westonWatkinsLoss } from "../multi-label/multiclassHinge.ts";
import { perClass } from "../range.ts";
import { targetRows } from "../targetRows.ts";

/** The option that all of them have. */
export interface TorchOptions {
  /** Default "mean". */
  readonly reduction?: Reduction;
}

/** A loss with the arguments, options and defaults of `torch.nn.functional`. `withGrad` gives the gradient of `input`. */
export interface TorchLoss<Options extends { readonly reduction?: Reduction | "batchmean" } = TorchOptions> {
  (input: TensorLike, target: TensorLike, options?: Options): Tensor<"float32">;
  withGrad(input: TensorLike, target: TensorLike, options?: Options & { readonly upstream?: TensorLike }): { readonly loss: Tensor<"float32">; readonly grad: Tensor<"float32"> };
}

/** Which of our losses it is, with which arguments and options. */
interface Adapted {
  readonly loss: Loss<any, any, any>;
  readonly args: readonly unknown[];
  readonly options?: object;
  /** What the sum is divided by for "mean"; none: our own mean. 0 gives NaN and a zero gradient, as there where all labels are ignored. */
  readonly divisor?: number;
  /** Multiplies values. */
  readonly factor?: number;
  /** The shape of values and gradients, where ours has other axes. */
  readonly values?: readonly number[];
  readonly input?: readonly number[];
}

function adapted<Options extends { readonly reduction?: Reduction | "batchmean" }>(name: string, adapt: (where: string, input: TensorLike, target: TensorLike, options: Options) => Adapted): TorchLoss<Options> {
  const run = (where: string, withGrad: boolean, input: TensorLike, target: TensorLike, given: Options & { readonly upstream?: TensorLike } = {} as Options): { loss: Tensor<"float32">; grad: Tensor<"float32"> } => {
    const { options: watched, refuseUnread } = watchedOptions(where, given, withGrad ? ["reduction", "upstream"] : ["reduction"]), { reduction = "mean", upstream } = given, { loss, args, options, divisor, factor = 1, values, input: shape } = adapt(where, input, target, watched);
    refuseUnread();
    const mean = reduction.endsWith("mean") && divisor !== undefined, scale = factor / (mean ? divisor || 1 : 1), own = { ...options, reduction: mean ? "sum" : reduction };
    const result = withGrad ? loss.withGrad(...args, { ...own, ...(upstream !== undefined && { upstream }) }) : { loss: loss(...args, own) };
    const scaled = (x: Tensor<"float32">, to: readonly number[]): Tensor<"float32"> => new Tensor("float32", to, scale === 1 ? x.data : x.data.map((v) => v * scale));
    const empty = mean && divisor === 0, value = empty ? new Tensor("float32", [], Float32Array.of(NaN)) : scaled(result.loss, reduction === "none" ? (values ?? result.loss.shape) : []);
    const grad: Tensor<"float32"> = result.grad ?? result.grads?.logits;
    return { loss: value, grad: grad && (empty ? new Tensor("float32", shape ?? grad.shape, new Float32Array(grad.size)) : scaled(grad, shape ?? grad.shape)) };
  };
  return Object.assign((input: TensorLike, target: TensorLike, options?: Options) => run(name, false, input, target, options).loss, {
    withGrad: (input: TensorLike, target: TensorLike, options?: Options & { readonly upstream?: TensorLike }) => run(`${name}.withGrad`, true, input, target, options),
  });
}

/** [C] as [1, C]; classes on axis 1 of more. */
function batched(where: string, input: TensorLike): { x: Tensor<"float32">; axis: number; shape: readonly number[] } {
  const x = asFloat32(where, "input", input), { shape } = x;
  if (shape.length === 0) throw rangeError(where, "input", "of shape [C], [N, C] or [N, C, ...]", "[]");
  return { x: shape.length === 1 ? new Tensor("float32", [1, shape[0]], x.data) : x, axis: 1, shape };
}

/** Labels of the shape that rows need; a number for [C]. */
function rowLabels(where: string, target: TensorLike, single: boolean): Tensor<"int32"> {
  const y = asInt32(where, "target", target);
  return single && y.shape.length === 0 ? new Tensor("int32", [1], y.data) : y;
}

/** Sum of the weights of labels that are not ignored. */
const massOf = (y: Int32Array, weight: Float32Array | undefined, ignoreIndex: number): number => y.reduce((sum, label) => (label === ignoreIndex ? sum : sum + (weight === undefined ? 1 : weight[label])), 0);

/** Options of `crossEntropy`. */
export interface TorchCrossEntropyOptions extends TorchOptions {
  /** float32 [C]: weights of the classes. */
  readonly weight?: TensorLike;
  /** Labels that take no part. Default -100. Not with probabilities. */
  readonly ignoreIndex?: number;
  /** In [0, 1). Default 0. */
  readonly labelSmoothing?: number;
}

/**
 * `torch.nn.functional.cross_entropy`: labels, or probabilities of the input's shape.
 *
 *   mean: divided by the sum of the weights of the labels; with probabilities, by N. All labels ignored: NaN, with a zero gradient; the same where the weights of all labels are 0 (theirs has a gradient of NaN there)
 *
 * @param input - float32 [C], [N, C] or [N, C, ...]: logits
 * @param target - int32 [], [N] or [N, ...], or float32 of the input's shape
 * @returns float32 [] or, for "none", the shape of the labels
 * @throws RangeError for another shape, a label outside [0, C) that is not ignored, with its index
 * @example
 *   crossEntropy([[2, 0]], [-100]); // NaN
 * Source: PyTorch 1.13, torch/nn/functional.py.
 */
export const crossEntropy: TorchLoss<TorchCrossEntropyOptions> = /* @__PURE__ */ adapted("crossEntropy", (where, input, target, { weight, ignoreIndex = -100, labelSmoothing = 0 }) => {
  const { x, axis, shape } = batched(where, input), classes = x.shape[1], t = asFloat32(where, "target", target), values = shape.length === 1 ? [] : [shape[0], ...shape.slice(2)];
  const w = weight === undefined ? undefined : perClass(where, "weight", weight, classes), classWeight = w && { classWeight: w };
  if (`${t.shape}` === `${shape}` && shape.length > 0) {
    const soft = new Tensor("float32", x.shape, t.data.map((v) => (1 - labelSmoothing) * v + labelSmoothing / classes));
    return { loss: softCrossEntropy, args: [x, soft], options: { axis, ...classWeight }, values, input: shape };
  }
  const y = rowLabels(where, target, shape.length === 1), divisor = massOf(y.data, w, ignoreIndex);
  if (w === undefined || labelSmoothing === 0) return { loss: ownCrossEntropy, args: [x, y], options: { axis, ignoreIndex, labelSmoothing, ...classWeight }, divisor, values, input: shape };
  // Smoothing reaches classes of a label without weight there.
  lossRows(where, x, y, { axis, ignoreIndex });
  const rows = smoothLabels(y.data.map((label) => (label === ignoreIndex ? 0 : label)), classes, labelSmoothing).data, inner = y.size / x.shape[0];
  const soft = x.data.map((_, i) => rows[(Math.floor(i / (classes * inner)) * inner + (i % inner)) * classes + (Math.floor(i / inner) % classes)]);
  return { loss: softCrossEntropy, args: [x, new Tensor("float32", x.shape, soft)], options: { axis, ...classWeight, where: new Tensor("uint8", y.shape, Uint8Array.from(y.data, (label) => (label === ignoreIndex ? 0 : 1))) }, divisor, values, input: shape };
});

const ownNllLoss: Loss<[input: TensorLike, labels: TensorLike], RowLossOptions & { readonly classWeight?: TensorLike }> = /* @__PURE__ */ defineLoss("nllLoss", 2, (where, [input, labels], options) => {
  const { z, y, rows, classes, shape, weights, gradient } = lossRows(where, input, labels, options), w = options.classWeight === undefined ? undefined : perClass(where, "weight", options.classWeight, classes);
  return {
    shape,
    weights: Float32Array.from({ length: rows }, (_, i) => (weights?.[i] === 0 ? 0 : w === undefined ? 1 : w[y[i]])),
    pass(coefficients) {
      const values = new Float64Array(rows), grad = new Float32Array(z.size);
      for (let i = 0; i < rows; i++) {
        if (weights?.[i] === 0) continue;
        values[i] = -z.data[i * classes + y[i]];
        if (coefficients) grad[i * classes + y[i]] = -coefficients[i];
      }
      return { values, gradients: () => ({ grad: gradient(grad) }) };
    },
  };
});

/**
 * `torch.nn.functional.nll_loss`: the input's entry at the label, negated.
 *
 *   mean: divided by the sum of the weights of the labels; all labels ignored: NaN, with a zero gradient
 *
 * @param input - float32 [C], [N, C] or [N, C, ...]: log-probabilities
 * @param target - int32 [], [N] or [N, ...]
 * @returns float32 [] or, for "none", the shape of the labels
 * @throws RangeError for another shape, a label outside [0, C) that is not ignored, with its index
 * @example
 *   nllLoss([[-0.5, -1]], [1]); // 1
 * Source: PyTorch 1.13, torch/nn/functional.py.
 */
export const nllLoss: TorchLoss<Omit<TorchCrossEntropyOptions, "labelSmoothing">> = /* @__PURE__ */ adapted("nllLoss", (where, input, target, { weight, ignoreIndex = -100 }) => {
  const { x, axis, shape } = batched(where, input), y = rowLabels(where, target, shape.length === 1), w = weight === undefined ? undefined : perClass(where, "weight", weight, x.shape[1]);
  return { loss: ownNllLoss, args: [x, y], options: { axis, ignoreIndex, ...(w && { classWeight: w }) }, divisor: massOf(y.data, w, ignoreIndex), values: shape.length === 1 ? [] : [shape[0], ...shape.slice(2)], input: shape };
});

/** Options of `klDiv`. */
export interface TorchKlDivOptions {
  /** Default "mean", over all elements, which is no divergence; "batchmean": divided by the length of the first axis. */
  readonly reduction?: Reduction | "batchmean";
  /** Whether the target is given as log-probabilities. Default false. */
  readonly logTarget?: boolean;
}

const elementwiseKl: Loss<[input: TensorLike, target: TensorLike], { readonly logTarget?: boolean; readonly reduction?: Reduction }> = /* @__PURE__ */ defineLoss("klDiv", 2, (where, [input, target], { logTarget = false }) => {
  const x = asFloat32(where, "input", input), t = asFloat32(where, "target", target), { data } = x;
  checkShape(where, "target", t, x.shape);
  const p = Float64Array.from(t.data, (v) => (logTarget ? exp(v) : v));
  return {
    shape: x.shape,
    pass: (coefficients) => ({
      values: p.map((v, i) => (logTarget ? v * (t.data[i] - data[i]) : (v === 0 ? 0 : v * log(v)) - v * data[i])),
      gradients: () => ({ grad: new Tensor("float32", x.shape, Float32Array.from(p, (v, i) => -v * coefficients![i])) }),
    }),
  };
});

/**
 * `torch.nn.functional.kl_div`: target (log target - input) for each element.
 *
 * @param input - float32: log-probabilities
 * @param target - float32, the same shape: probabilities, or log-probabilities with `logTarget`
 * @returns float32 [] or, for "none", the shape of the input
 * @throws RangeError for another shape
 * @example
 *   klDiv([[-0.6931, -0.6931]], [[1, 0]], { reduction: "batchmean" }); // log 2
 * Source: PyTorch 1.13, torch/nn/functional.py.
 */
export const klDiv: TorchLoss<TorchKlDivOptions> = /* @__PURE__ */ adapted("klDiv", (where, input, target, { logTarget = false, reduction }) => {
  const { shape, size } = asFloat32(where, "input", input);
  return { loss: elementwiseKl, args: [input, target], options: { logTarget }, divisor: reduction === "batchmean" ? shape[0] : size };
});

/** Options of `binaryCrossEntropyWithLogits`. */
export interface TorchBinaryCrossEntropyOptions extends TorchOptions {
  /** float32 of the input's shape or its last axes: factors of the elements; the mean is over all elements all the same. */
  readonly weight?: TensorLike;
  /** A number, or float32 [C] along the last axis. */
  readonly posWeight?: number | TensorLike;
}

/** `weight` repeated to the given number of elements. */
function broadcast(where: string, weight: TensorLike, shape: readonly number[], size: number): Tensor<"float32"> {
  const { data, shape: given } = asFloat32(where, "weight", weight);
  if (given.length > shape.length || given.some((n, i) => n !== shape[shape.length - given.length + i])) throw rangeError(where, "weight", `of shape [${shape.join(", ")}] or its last axes`, `[${given.join(", ")}]`);
  return new Tensor("float32", shape, Float32Array.from({ length: size }, (_, i) => data[i % data.length]));
}

/**
 * `torch.nn.functional.binary_cross_entropy_with_logits`.
 *
 * @param input - float32, any shape: logits
 * @param target - float32, the same shape, in [0, 1]
 * @returns float32 [] or, for "none", the shape of the input
 * @throws RangeError for another shape, a target outside [0, 1], with its index
 * @example
 *   binaryCrossEntropyWithLogits([[0, 0]], [[1, 0]]); // log 2 = 0.6931
 * Source: PyTorch 1.13, torch/nn/functional.py.
 */
export const binaryCrossEntropyWithLogits: TorchLoss<TorchBinaryCrossEntropyOptions> = /* @__PURE__ */ adapted("binaryCrossEntropyWithLogits", (where, input, target, { weight, posWeight }) => {
  const { shape, size } = asFloat32(where, "input", input);
  return { loss: binaryCrossEntropy, args: [input, target], options: { ...(weight !== undefined && { weight: broadcast(where, weight, shape, size) }), ...(posWeight !== undefined && { posWeight }) }, divisor: size };
});

/** Options of `multilabelSoftMarginLoss`. */
export interface TorchSoftMarginOptions extends TorchOptions {
  /** float32 [C]: factors of the classes. */
  readonly weight?: TensorLike;
}

const meanOfClasses: Loss<[input: TensorLike, target: TensorLike], RowLossOptions & { readonly factors: TensorLike }> = /* @__PURE__ */ defineLoss("multilabelSoftMarginLoss", 2, (where, [input, target], options) => {
  const rows = scoreRows(where, "input", input, {}), { classes } = rows, each = binaryCrossEntropy.withGrad(rows.z, targetRows(where, "target", target, rows, {}, "input").z, { reduction: "none" }), w = perClass(where, "weight", options.factors, classes);
  return {
    shape: rows.shape,
    pass: (coefficients) => ({
      values: Float64Array.from({ length: rows.rows }, (_, b) => w.reduce((sum, v, c) => sum + (v * each.loss.data[b * classes + c]) / classes, 0)),
      gradients: () => ({ grad: rows.gradient(each.grad.data.map((g, i) => (g * w[i % classes] * coefficients![Math.floor(i / classes)]) / classes)) }),
    }),
  };
});

/**
 * `torch.nn.functional.multilabel_soft_margin_loss`: the mean of the binary cross-entropies of a row.
 *
 * @param input - float32 [N, C] or [C]: logits
 * @param target - float32, the same shape, in [0, 1]
 * @returns float32 [] or, for "none", [N]
 * @throws RangeError for another shape, a target outside [0, 1], with its index
 * @example
 *   multilabelSoftMarginLoss([[0, 0]], [[1, 0]]); // log 2 = 0.6931
 * Source: PyTorch 1.13, torch/nn/functional.py.
 */
export const multilabelSoftMarginLoss: TorchLoss<TorchSoftMarginOptions> = /* @__PURE__ */ adapted("multilabelSoftMarginLoss", (where, input, target, { weight }) => {
  const x = asFloat32(where, "input", input), t = asFloat32(where, "target", target), { shape } = x, single = shape.length === 1, rows = (y: Tensor<"float32">): Tensor<"float32"> => (y.shape.length === 1 ? new Tensor("float32", [1, y.size], y.data) : y);
  return { loss: meanOfClasses, args: single ? [rows(x), rows(t)] : [x, t], options: { factors: weight ?? new Float32Array(shape[shape.length - 1]).fill(1) }, ...(single && { values: [], input: shape }) };
});

/**
 * `torch.nn.functional.soft_margin_loss`: log(1 + exp(-target input)).
 *
 * @param input - float32, any shape
 * @param target - float32, the same shape, -1 or 1
 * @returns float32 [] or, for "none", the shape of the input
 * @throws RangeError for another shape, targets outside [-1, 1]
 * @example
 *   softMarginLoss([0], [1]); // log 2 = 0.6931
 * Source: PyTorch 1.13, torch/nn/functional.py.
 */
export const softMarginLoss: TorchLoss = /* @__PURE__ */ adapted("softMarginLoss", (where, input, target) => ({ loss: binaryCrossEntropy, args: [input, halved(where, target)] }));

/** Targets -1 and 1 as 0 and 1. */
function halved(where: string, target: TensorLike): Tensor<"float32"> {
  const t = asFloat32(where, "target", target), bad = t.data.findIndex((v) => v !== 1 && v !== -1);
  if (bad >= 0) throw rangeError(where, "target", "-1 or 1", `${t.data[bad]} at index ${bad}`);
  return new Tensor("float32", t.shape, t.data.map((v) => (v + 1) / 2));
}

/** Options of `hingeEmbeddingLoss`. */
export interface TorchHingeEmbeddingOptions extends TorchOptions {
  /** Default 1. */
  readonly margin?: number;
}

/**
 * `torch.nn.functional.hinge_embedding_loss`: the input where the target is 1, else max(0, margin - input).
 *
 * @param input - float32, any shape: distances
 * @param target - float32, the same shape, -1 or 1
 * @returns float32 [] or, for "none", the shape of the input
 * @throws RangeError for another shape, other targets
 * @example
 *   hingeEmbeddingLoss([0.25, 0.25], [1, -1]); // (0.25 + 0.75) / 2
 * Source: PyTorch 1.13, torch/nn/functional.py.
 */
export const hingeEmbeddingLoss: TorchLoss<TorchHingeEmbeddingOptions> = /* @__PURE__ */ adapted("hingeEmbeddingLoss", (where, input, target, { margin = 1 }) => ({ loss: ownHingeEmbeddingLoss, args: [input, halved(where, target)], options: { margin } }));

/** Options of `multiMarginLoss`. */
export interface TorchMultiMarginOptions extends TorchOptions {
  /** 1 or 2. Default 1. */
  readonly p?: 1 | 2;
  /** Default 1. */
  readonly margin?: number;
  /** float32 [C]: factors by label; the mean is over N all the same. */
  readonly weight?: TensorLike;
}

/**
 * `torch.nn.functional.multi_margin_loss`: sum over other classes of max(0, margin - x[y] + x[i])^p, over C.
 *
 * @param input - float32 [C] or [N, C]
 * @param target - int32 [] or [N], in [0, C)
 * @returns float32 [] or, for "none", [N]
 * @throws RangeError for another shape, a label outside [0, C), with its index
 * @example
 *   multiMarginLoss([[2, 1.5, 1.25]], [0]); // 0.75 / 3
 * Source: PyTorch 1.13, torch/nn/functional.py.
 */
export const multiMarginLoss: TorchLoss<TorchMultiMarginOptions> = /* @__PURE__ */ adapted("multiMarginLoss", (where, input, target, { p = 1, margin = 1, weight }) => {
  const { x, shape } = batched(where, input), y = rowLabels(where, target, shape.length === 1), classes = x.shape[1], w = weight === undefined ? undefined : perClass(where, "weight", weight, classes);
  lossRows(where, x, y, {});
  return { loss: westonWatkinsLoss, args: [x, y], options: { power: p, margin, ...(w && { weight: Float32Array.from(y.data, (label) => w[label]) }) }, factor: 1 / classes, divisor: y.size, values: shape.length === 1 ? [] : [shape[0]], input: shape };
});

/**
 * `torch.nn.functional.multilabel_margin_loss`: labels of a row up to the first -1.
 *
 * @param input - float32 [C] or [N, C]
 * @param target - int32, the same shape: classes, ended by -1
 * @returns float32 [] or, for "none", [N]
 * @throws RangeError for another shape, a class outside [-1, C), with its index
 * @example
 *   multilabelMarginLoss([[2, 1.5, 0]], [[0, -1, 1]]); // 0.5 / 3
 * Source: PyTorch 1.13, torch/nn/functional.py.
 */
export const multilabelMarginLoss: TorchLoss = /* @__PURE__ */ adapted("multilabelMarginLoss", (where, input, target) => {
  const { x, shape } = batched(where, input), y = asInt32(where, "target", target), classes = x.shape[1], t = new Float32Array(x.size), bad = y.data.findIndex((label) => !(label >= -1 && label < classes));
  checkShape(where, "target", y, shape);
  if (bad >= 0) throw rangeError(where, "target", `in [-1, ${classes})`, `${y.data[bad]} at index ${bad}`);
  for (let row = 0; row < t.length; row += classes) for (let c = 0; c < classes && y.data[row + c] >= 0; c++) t[row + y.data[row + c]] = 1;
  return { loss: ownMultilabelMarginLoss, args: [x, new Tensor("float32", x.shape, t)], values: shape.length === 1 ? [] : [shape[0]], input: shape };
});

import { asFloat32, asInt32, checkLabels, checkPositive, describe, rangeError, rowWeights, watchedOptions, type LossOptions, type TensorLike } from "@logits/tensor";
import { linearCrossEntropy as code, softCap } from "#wgsl";
import type { Encoder } from "./device.ts";
import { BLOCK, gemm, matrixOf, zeros } from "./gemm.ts";
import type { Family, Part } from "./gpu.ts";
import { checkEither, checkGpuTensor, type GpuTensor } from "./gpuTensor.ts";
import { grid, lanesFor, shapeError } from "./rows.ts";

const FAMILY: Family = { name: "linearCrossEntropy", code: `${code} ${softCap}`, reads: 3, writes: 4, rows: true };

/** Rows that go over the vocabulary together. */
const TOGETHER = 1024;

/** Options of linearCrossEntropy: of `@logits/losses` those without `skip` and `topK`. */
export interface LinearCrossEntropyOptions extends LossOptions {
  /** float32 [V], added to the logits; -Infinity: an impossible word. */
  readonly bias?: TensorLike | GpuTensor;
  /** The share of the target that is spread evenly over the possible words, in [0, 1). Default 0. */
  readonly labelSmoothing?: number;
  /** float32 [V], finite and not negative: the weight of a row is that of its label, in the mean too. */
  readonly classWeight?: TensorLike;
  /** Adds this times log Z squared, >= 0. Default 0. */
  readonly zLoss?: number;
  /** Replaces logits by cap tanh(logits / cap), > 0; -Infinity stays. Default: none. */
  readonly softCap?: number;
}

/** What linearCrossEntropy.withGrad returns. */
export interface LinearCrossEntropyWithGrad {
  /** float32 of the labels' shape ("none") or []. */
  readonly loss: GpuTensor<"float32">;
  readonly grads: {
    /** The shape of `hidden`. */
    readonly hidden: GpuTensor<"float32">;
    /** [V, D]. */
    readonly weights: GpuTensor<"float32">;
    /** [V], where a bias was given. */
    readonly bias?: GpuTensor<"float32">;
  };
  readonly statistics: {
    /** float32 of the labels' shape: log Z; 0 for rows that take no part. */
    readonly logSumExp: GpuTensor<"float32">;
  };
}

function run(where: string, hidden: GpuTensor, weights: GpuTensor, labels: TensorLike, given: LinearCrossEntropyOptions & { readonly upstream?: TensorLike }, gradient: boolean): LinearCrossEntropyWithGrad {
  checkGpuTensor(where, "hidden", hidden);
  checkGpuTensor(where, "weights", weights, hidden);
  const { gpu } = hidden, { options, refuseUnread } = watchedOptions(where, given), { reduction = "mean", bias, labelSmoothing = 0, classWeight, zLoss = 0, softCap: cap, ignoreIndex, weight, where: taken } = options;
  const [words, width] = weights.shape, shape = hidden.shape.slice(0, -1);
  if (weights.shape.length !== 2 || words === 0 || width === 0) throw shapeError(where, "weights", "[V, D], V >= 1, D >= 1", weights);
  if (shape.length === 0 || hidden.shape[shape.length] !== width) throw shapeError(where, "hidden", `[..., ${width}]`, hidden);
  if (!["mean", "sum", "none"].includes(reduction)) throw rangeError(where, "reduction", '"mean", "sum" or "none"', `${reduction}`);
  if (!(labelSmoothing >= 0 && labelSmoothing < 1)) throw rangeError(where, "labelSmoothing", "in [0, 1)", `${labelSmoothing}`);
  if (labelSmoothing > 0 && classWeight !== undefined) throw rangeError(where, "labelSmoothing", "or `classWeight` on the GPU", "both", "Use linearCrossEntropy of @logits/losses on what read() gives");
  if (!(zLoss >= 0 && zLoss < Infinity)) throw rangeError(where, "zLoss", "a finite number >= 0", `${zLoss}`);
  if (cap !== undefined) checkPositive(where, "softCap", cap);
  const aim = asInt32(where, "labels", labels), none = reduction === "none";
  if (`${aim.shape}` !== `${shape}`) throw shapeError(where, "labels", `[${shape.join(", ")}]`, aim);
  checkLabels(where, "labels", aim, words, ignoreIndex);
  const perClass = classWeight === undefined ? undefined : asFloat32(where, "classWeight", classWeight);
  if (perClass && (`${perClass.shape}` !== `${words}` || perClass.data.some((v) => !(v >= 0 && v < Infinity)))) throw rangeError(where, "classWeight", `of shape [${words}], finite and not negative`, describe(perClass));
  const above = gradient && options.upstream !== undefined ? asFloat32(where, "upstream", options.upstream) : undefined, units = aim.size;
  if (above && above.size !== (none ? units : 1)) throw shapeError(where, "upstream", `[${none ? shape.join(", ") : ""}]`, above);
  refuseUnread();
  const biases = bias === undefined ? undefined : checkEither(where, "bias", bias, hidden, [words]);

  const each = rowWeights(where, shape, { weight, where: taken }), share = Float64Array.from(aim.data, (label, i) => (label === ignoreIndex ? 0 : (each ? each[i] : 1) * (perClass ? perClass.data[label] : 1)));
  const b = biases && gpu.tensor(biases), mass = reduction === "mean" ? share.reduce((sum, w) => sum + w, 0) : 1;
  // Rows that take no part are not read: the others are moved together.
  const used = Int32Array.from(share.keys()).filter((i) => share[i] !== 0), rows = used.length, all = rows === units;
  const move = (from: GpuTensor, to: GpuTensor, size: number, back: boolean): GpuTensor<"float32"> => {
    const encoder = gpu.device.createCommandEncoder() as Encoder;
    for (let i = 0, next = 0; i < rows; i = next) {
      while (next < rows && used[next] - next === used[i] - i) next++;
      const [a, c] = back ? [i, used[i]] : [used[i], i];
      encoder.copyBufferToBuffer(from.slot.buffer, 4 * (from.offset + a * size), to.slot.buffer, 4 * c * size, 4 * (next - i) * size);
    }
    gpu.device.queue.submit([encoder.finish()] as never[]);
    from.dispose();
    return to as GpuTensor<"float32">;
  };
  // Elements of 4 bytes are what can be moved.
  const source = all ? hidden : gpu.tensor(hidden, "float32"), whole = source.reshape([units, width]), x = all ? whole : move(whole, gpu.result(where, "float32", [rows, width], [hidden]), width, false);
  if (!all) source.dispose();
  const upload = (f: (i: number) => number): GpuTensor => gpu.tensor(Float32Array.from(used, f));
  const targets = gpu.tensor(Int32Array.from(used, (i) => aim.data[i]), "int32"), factors = upload((i) => share[i] / mass), slopes = upload((i) => (share[i] / mass) * (above ? above.data[none ? i : 0] : 1)), one = gpu.tensor([1]);
  const limit = Math.min(BLOCK, gpu.reach), together = Math.min(rows, TOGETHER) || 1, tileWidth = Math.min(words, Math.floor(limit / together));
  const inputs = [x, weights, targets, factors, slopes, one, ...(b ? [b] : [])];
  const make = (...axes: number[]): GpuTensor<"float32"> => gpu.result(where, "float32", axes, inputs);
  const tile = make(together, tileWidth), state = make(together, 5), values = make(rows), logs = make(rows);
  inputs.push(tile, state);
  const sums = (...axes: number[]): GpuTensor<"float32"> => (rows > 0 ? make(...axes) : zeros(gpu, where, axes, inputs));
  const grads = gradient ? { hidden: make(rows, width), weights: sums(words, width), ...(b && { bias: sums(words) }) } : undefined;

  for (let row = 0; row < rows; row += together) {
    const count = Math.min(together, rows - row), part = (y: GpuTensor): Part => ({ slot: y.slot, at: y.offset + row, count });
    for (const mode of gradient ? [0, 1] : [0]) {
      for (let first = 0; first < words; first += tileWidth) {
        const some = Math.min(tileWidth, words - first), last = first + some === words, z = { slot: tile.slot, at: 0, row: some };
        // One tile for all words still holds the logits.
        if (mode === 0 || some < words) gemm(gpu, where, matrixOf(x, width, false, row), matrixOf(weights, width, true, first), z, [1, count, some, width]);
        const parts = [part(targets), b ? { slot: b.slot, at: b.offset + first, count: some } : part(factors), part(mode ? slopes : factors), { slot: tile.slot, at: 0, count: count * some }, { slot: state.slot, at: 0, count: 5 * count }, part(values), part(logs)], lanes = lanesFor(tileWidth);
        gpu.dispatch(where, FAMILY, { LANES: lanes, MODE: mode }, parts, [count, some, first, last ? 1 : 0, b ? 1 : 0, some < words ? 0 : 1], [zLoss, cap ?? 0, labelSmoothing], grid(gpu, Math.ceil((count * lanes) / 256)));
        if (mode === 0) continue;
        gemm(gpu, where, { ...z, col: 1 }, matrixOf(weights, width, false, first), { slot: grads!.hidden.slot, at: row * width, row: width }, [1, count, width, some], { add: first > 0 });
        gemm(gpu, where, { ...z, row: 1, col: some }, matrixOf(x, width, false, row), { slot: grads!.weights.slot, at: first * width, row: width }, [1, some, width, count], { add: row > 0 });
        if (b) gemm(gpu, where, { slot: one.slot, at: 0, row: 0, col: 0 }, { ...z, col: 1 }, { slot: grads!.bias!.slot, at: first, row: 0 }, [1, 1, some, count], { add: row > 0 });
      }
    }
  }

  let loss = values;
  if (!none) {
    loss = zeros(gpu, where, [], [...inputs, values]);
    if (rows > 0) gemm(gpu, where, { slot: one.slot, at: 0, row: 0, col: 0 }, matrixOf(values, 1), { slot: loss.slot, at: 0, row: 0 }, [1, 1, 1, rows]);
    values.dispose();
  }
  const spread = (y: GpuTensor<"float32">, axes: readonly number[], size: number): GpuTensor<"float32"> => {
    const full = all ? y : move(y, zeros(gpu, where, [units * size], [y]), size, true), shaped = full.reshape(axes);
    full.dispose();
    return shaped;
  };
  if (none) loss = spread(loss, shape, 1);
  const result = { loss, statistics: { logSumExp: spread(logs, shape, 1) }, grads: grads && { ...grads, hidden: spread(grads.hidden, hidden.shape, width) } };
  for (const y of inputs) if (y !== weights) y.dispose();
  return result as LinearCrossEntropyWithGrad;
}

/**
 * Cross-entropy of a linear layer on a large vocabulary, on the GPU, without its logits in memory: at most 16 MiB of them at a time, whatever B and V.
 *
 *   loss[b] = log sum_v exp(z[b, v]) - z[b, labels[b]],   z = hidden weights^T + bias
 *   grads.hidden = G weights, grads.weights = G^T hidden, grads.bias = sum_b G[b],   G = softmax(z) - onehot(labels)
 *
 * @param hidden - on the GPU, float32 [B, D] or [..., D]
 * @param weights - on the GPU, float32 [V, D], a row for each word
 * @param labels - int32 [B] or [...], in [0, V), an ordinary tensor
 * @param options - those of every loss; `bias`, `labelSmoothing`, `classWeight`, `zLoss`, `softCap`; `withGrad`: also `upstream`, all ordinary but for the bias, which may be on the GPU
 * @returns float32 of the labels' shape ("none") or []; +Infinity where the label is impossible, NaN for a row with a logit that is NaN or +Infinity. `withGrad`: `loss`, `grads.hidden`, `grads.weights`, `grads.bias`
 *   where one is given, and `statistics.logSumExp`
 * @throws RangeError for shapes that do not fit, a label outside [0, V) (with its index), options outside their range; TypeError for a tensor outside the GPU, and for options that the GPU does not take
 * @example
 *   await linearCrossEntropy(gpu.tensor([[1, 0]]), gpu.tensor([[2, 5], [0, 7]]), [0]).read(); // log(1 + exp(-2)) = 0.1269
 * Source: Wijmans et al., "Cut Your Losses in Large-Vocabulary Language Models", ICLR 2025, sections 4.2 and 4.3.
 */
export const linearCrossEntropy: {
  (hidden: GpuTensor, weights: GpuTensor, labels: TensorLike, options?: LinearCrossEntropyOptions): GpuTensor<"float32">;
  /** Value and gradients. `upstream` has the shape of the value; default 1. */
  withGrad(hidden: GpuTensor, weights: GpuTensor, labels: TensorLike, options?: LinearCrossEntropyOptions & { readonly upstream?: TensorLike }): LinearCrossEntropyWithGrad;
} = /* @__PURE__ */ Object.assign(
  (hidden: GpuTensor, weights: GpuTensor, labels: TensorLike, options: LinearCrossEntropyOptions = {}): GpuTensor<"float32"> => {
    const { loss, statistics } = run("linearCrossEntropy", hidden, weights, labels, options, false);
    statistics.logSumExp.dispose();
    return loss;
  },
  {
    withGrad: (hidden: GpuTensor, weights: GpuTensor, labels: TensorLike, options: LinearCrossEntropyOptions & { readonly upstream?: TensorLike } = {}): LinearCrossEntropyWithGrad =>
      run("linearCrossEntropy.withGrad", hidden, weights, labels, options, true),
  },
);

import { Tensor, asFloat32, asInt32, rangeError, reduceRows, rowWeights, type Loss, type LossOptions, type TensorLike } from "@logits/tensor";
import { LinearChain, type ChainGradients } from "./linearChain.ts";

/** Options of `crfLoss` beside those of every loss. */
export interface CrfLossOptions extends LossOptions {
  /** float32 [C]. Default 0. */
  readonly start?: TensorLike;
  /** float32 [C]. Default 0. */
  readonly end?: TensorLike;
  /** int32 [B]: how many rows of each sequence count. Default T. */
  readonly lengths?: TensorLike;
  /** This label means that the row's label is not known: the loss sums over all of them. */
  readonly ignoreIndex?: number;
}

/**
 * Negative log-likelihood of sequences of labels under a linear chain, in nats.
 *
 *   loss[b] = log Z(emissions[b]) - score(labels[b])
 *
 * Where a label is `ignoreIndex`, the score becomes the log of the sum over every label there: training from partly labelled sequences.
 *
 * @param emissions - float32 [B, T, C]; -Infinity = impossible label
 * @param transitions - float32 [C, C], [from, to]
 * @param labels - int32 [B, T], in [0, C) or `ignoreIndex`; what lies beyond `lengths` is not read
 * @param options - `start`, `end`, `lengths`, `ignoreIndex`; `reduction` ("mean" over sequences), `weight` and `where` [B]. For the mean over tokens: "sum", divided by their number
 * @returns float32 [B] ("none") or []; +Infinity where the labels are impossible. `withGrad`: `grads` of emissions, transitions, start and end: marginals less indicators
 * @throws RangeError for another shape, a label outside [0, C), a sequence without a possible labelling (it is named)
 * @example
 *   const { loss, grads } = crfLoss.withGrad(emissions, transitions, labels, { lengths });
 * Source: Lafferty, McCallum, Pereira, "Conditional random fields", ICML 2001; Lample et al., "Neural architectures for named entity recognition", NAACL 2016, section 2.2.
 */
export const crfLoss: Loss<[emissions: TensorLike, transitions: TensorLike, labels: TensorLike], CrfLossOptions, { readonly grads: ChainGradients }> = Object.assign(
  (emissions: TensorLike, transitions: TensorLike, labels: TensorLike, options: CrfLossOptions = {}) => {
    const { model, values, weights } = prepared("crfLoss", emissions, transitions, labels, options);
    try {
      return reduceRows(Float32Array.from(values(), (v) => -v), weights, options.reduction);
    } finally {
      model.dispose();
    }
  },
  {
    withGrad(emissions: TensorLike, transitions: TensorLike, labels: TensorLike, options: CrfLossOptions & { readonly upstream?: TensorLike } = {}) {
      const where = "crfLoss.withGrad", { model, batch, withGrad, weights } = prepared(where, emissions, transitions, labels, options);
      try {
        const { reduction = "mean" } = options, shape = reduction === "none" ? [batch] : [];
        const given = options.upstream === undefined ? undefined : asFloat32(where, "upstream", options.upstream);
        if (given && given.shape.join() !== shape.join()) throw rangeError(where, "upstream", `of shape [${shape.join(", ")}]`, `[${given.shape.join(", ")}]`);
        let mass = 0;
        for (let b = 0; b < batch; b++) mass += weights ? weights[b] : 1;
        const share = reduction === "mean" ? (mass === 0 ? 0 : 1 / mass) : 1;
        const { value, grads } = withGrad(Float32Array.from({ length: batch }, (_, b) => -(weights ? weights[b] : 1) * share * (given ? given.data[reduction === "none" ? b : 0] : 1)));
        return { loss: reduceRows(Float32Array.from(value, (v) => -v), weights, reduction), grads };
      } finally {
        model.dispose();
      }
    },
  },
);

/** logProb of each sequence, and its gradients. */
interface Valued {
  readonly value: Float64Array;
  readonly grads: ChainGradients;
}

function prepared(where: string, emissions: TensorLike, transitions: TensorLike, labels: TensorLike, options: CrfLossOptions) {
  const e = asFloat32(where, "emissions", emissions), y = asInt32(where, "labels", labels);
  if (e.shape.length !== 3) throw rangeError(where, "emissions", "of shape [B, T, C]", `[${e.shape.join(", ")}]`);
  const [batch, T, C] = e.shape;
  if (y.shape.join() !== `${batch},${T}`) throw rangeError(where, "labels", `of shape [${batch}, ${T}]`, `[${y.shape.join(", ")}]`);
  const weights = rowWeights(where, batch, options);
  const lengths = options.lengths === undefined ? new Int32Array(batch).fill(T) : asInt32(where, "lengths", options.lengths).data.slice();
  // A sequence that takes no part is never read.
  weights?.forEach((w, b) => { if (w === 0 && b < lengths.length) lengths[b] = 0; });
  const model = LinearChain.compile(transitions, { ...(options.start !== undefined && { start: options.start }), ...(options.end !== undefined && { end: options.end }) });
  try {
    const chain = new LinearChain(model, e, { lengths });
    const { ignoreIndex } = options;
    const unknown = ignoreIndex !== undefined && y.data.some((label, k) => label === ignoreIndex && k % T < lengths[Math.floor(k / T)]);
    if (!unknown) return { model, batch, weights, values: () => chain.logProb(y), withGrad: (upstream: Float32Array): Valued => chain.logProbWithGrad(y, { upstream }) };
    const allowed = new Tensor("uint8", [batch, T, C], new Uint8Array(batch * T * C));
    y.data.forEach((label, k) => {
      if (label === ignoreIndex) allowed.data.fill(1, k * C, (k + 1) * C);
      else if (k % T < lengths[Math.floor(k / T)]) {
        if (!(label >= 0 && label < C)) throw rangeError(where, "labels", `in [0, ${C}) or ${ignoreIndex}`, `${label} at index ${k}`);
        allowed.data[k * C + label] = 1;
      }
    });
    return { model, batch, weights, values: () => chain.logProbOfAny(allowed), withGrad: (upstream: Float32Array): Valued => chain.logProbOfAnyWithGrad(allowed, { upstream }) };
  } catch (error) {
    model.dispose();
    throw error;
  }
}

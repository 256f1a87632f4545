import { Tensor, asFloat32, asInt32, asLengths, checkShape, defineLoss, lastingData, rangeError, rowWeights, type Loss, type LossOptions, type LossPlan, type TensorLike } from "@logits/tensor";
import type { Automaton } from "./automaton.ts";
import type { ChainGradients } from "./chainGradients.ts";
import { ChainModel } from "./chainModel.ts";
import { chainWithin } from "./linearChain.ts";
import type { NgramScores } from "./ngrams.ts";

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
  /** The sequences that are possible, in the loss as in what is trained. Not with transitions that differ from row to row. */
  readonly constraint?: Automaton;
  /** Scores of label n-grams, of `ngramScores`; `grads` then holds theirs. Not with transitions that differ from row to row. */
  readonly ngrams?: NgramScores;
}

/**
 * Negative log-likelihood of sequences of labels under a linear chain, in nats.
 *
 *   loss[b] = log Z(emissions[b]) - score(labels[b])
 *
 * Where a label is `ignoreIndex`, the score becomes the log of the sum over every label there: training from partly labelled sequences.
 *
 * @param emissions - float32 [B, T, C]; -Infinity = impossible label
 * @param transitions - float32 [C, C], [from, to]; or [B, T, C, C], the scores of the transitions into each row, those into a first row count nothing
 * @param labels - int32 [B, T], in [0, C) or `ignoreIndex`; what lies beyond `lengths` is not read
 * @param options - `start`, `end`, `lengths`, `ignoreIndex`, `constraint`, `ngrams`; `reduction` ("mean" over sequences), `weight` and `where` [B]. For the mean over tokens: "sum", divided by their number
 * @returns float32 [B] ("none") or []; +Infinity where the labels are impossible. `withGrad`: `grads` of emissions, transitions, start, end and n-grams: marginals less indicators
 * @throws RangeError for another shape, a label outside [0, C), a sequence without a possible labelling (it is named)
 * @example
 *   const { loss, grads } = crfLoss.withGrad(emissions, transitions, labels, { lengths });
 * Source: Lafferty, McCallum, Pereira, "Conditional random fields", ICML 2001; Lample et al., "Neural architectures for named entity recognition", NAACL 2016, section 2.2.
 */
export const crfLoss: Loss<[emissions: TensorLike, transitions: TensorLike, labels: TensorLike], CrfLossOptions, { readonly grads: ChainGradients }> = defineLoss("crfLoss", 3, planned);

function planned(where: string, [emissions, transitions, labels]: readonly [TensorLike, TensorLike, TensorLike], options: CrfLossOptions): LossPlan<{ readonly grads: ChainGradients }> {
  const { ignoreIndex, start, end, constraint, ngrams } = options, e = asFloat32(where, "emissions", emissions), A = asFloat32(where, "transitions", transitions), y = asInt32(where, "labels", labels);
  if (e.shape.length !== 3 || e.shape[2] === 0) throw rangeError(where, "emissions", "of shape [B, T, C]", `[${e.shape.join(", ")}]`);
  const [batch, T, C] = e.shape, varying = A.shape.length === 4, shape = varying ? [batch, T, C, C] : [C, C];
  if (A.shape.join() !== shape.join()) throw rangeError(where, "transitions", `of shape [${C}, ${C}] or [${[batch, T, C, C].join(", ")}]`, `[${A.shape.join(", ")}]`);
  if (varying && (constraint ?? ngrams)) throw rangeError(where, constraint ? "constraint" : "ngrams", `with transitions of shape [${C}, ${C}]`, `[${A.shape.join(", ")}]`);
  checkShape(where, "labels", y, [batch, T]);
  const weights = rowWeights(where, batch, options);
  const lengths = asLengths(where, "lengths", options.lengths, batch, T);
  // A sequence that takes no part is never read.
  const parts = Int32Array.from(lengths.keys()).filter((b) => weights === undefined || weights[b] > 0), whole = parts.length === batch;
  const some = <Data extends Float32Array | Int32Array>(data: Data, size: number): Data => {
    if (whole) return data;
    const out = data.slice(0, parts.length * size) as Data;
    parts.forEach((b, k) => out.set(data.subarray(b * size, (b + 1) * size), k * size));
    return out;
  };
  const back = (x: Tensor<"float32">): Tensor<"float32"> => {
    if (whole) return x;
    const size = x.shape.slice(1).reduce((a, n) => a * n, 1), out = new Tensor("float32", [batch, ...x.shape.slice(1)], new Float32Array(batch * size));
    parts.forEach((b, k) => out.data.set(x.data.subarray(k * size, (k + 1) * size), b * size));
    return out;
  };
  let unknown = false;
  const known = y.data.slice();
  for (const b of parts) {
    for (let t = 0, k = b * T; t < T; t++, k++) {
      if (t >= lengths[b]) known[k] = 0;
      else if (known[k] === ignoreIndex) unknown = true;
      else if (!(known[k] >= 0 && known[k] < C)) throw rangeError(where, "labels", `in [0, ${C})${ignoreIndex === undefined ? "" : ` or ${ignoreIndex}`}`, `${known[k]} at index ${k}`);
    }
  }
  return {
    shape: [batch], weights,
    pass: (coefficients) => {
      const N = parts.length, given = some(known, T), upstream = coefficients && Float32Array.from(parts, (b) => -coefficients[b]);
      const model = new ChainModel(where, varying ? undefined : A, C, { ...(start !== undefined && { start }), ...(end !== undefined && { end }), ...(constraint && { constraint }), ...(ngrams && { ngrams }) });
      try {
        const chain = chainWithin({ where, items: parts, allowed: "labels" }, model, { data: some(lastingData(e), T * C), shape: [N, T, C] }, { lengths: some(lengths, 1), ...(varying && { transitions: { data: some(lastingData(A), T * C * C), shape: [N, T, C, C] } }) });
        const values = new Float64Array(batch), put = (logProb: Float64Array): Float64Array => { parts.forEach((b, k) => (values[b] = -logProb[k])); return values; };
        const target = unknown ? new Tensor("uint8", [N, T, C], Uint8Array.from({ length: N * T * C }, (_, k) => Number(given[Math.floor(k / C)] === ignoreIndex || given[Math.floor(k / C)] === k % C))) : new Tensor("int32", [N, T], given);
        if (upstream === undefined) return { values: put(unknown ? chain.logProbOfAny(target) : chain.logProb(target)), gradients: never };
        const { value, grads } = unknown ? chain.logProbOfAnyWithGrad(target, { upstream }) : chain.logProbWithGrad(target, { upstream });
        return { values: put(value), gradients: () => ({ grads: { ...grads, emissions: back(grads.emissions), ...(varying && { transitions: back(grads.transitions) }) } }) };
      } finally {
        model.dispose();
      }
    },
  };
}

function never(): never {
  throw new Error("no gradients were asked for");
}

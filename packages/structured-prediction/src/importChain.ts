import { asFloat32, checkShape, rangeError, type TensorLike } from "@logits/tensor";

/** Parameters as `LinearChain.compile` takes them. */
export interface ChainParameters {
  /** [C, C], [from, to]. */
  readonly transitions: Float32Array;
  readonly start: Float32Array;
  readonly end: Float32Array;
}

/**
 * The parameters of a `torchcrf.CRF` layer (pytorch-crf): its index order is ours.
 *
 * @param parameters - `transitions` [C, C] (from, to), `start_transitions` [C], `end_transitions` [C], as in its state_dict
 * @throws RangeError for another shape
 */
export function fromPytorchCrf(parameters: { readonly transitions: TensorLike; readonly start_transitions: TensorLike; readonly end_transitions: TensorLike }): ChainParameters {
  const where = "fromPytorchCrf", transitions = asFloat32(where, "transitions", parameters.transitions), [C] = transitions.shape;
  const edge = (name: "start_transitions" | "end_transitions"): Float32Array => {
    const x = asFloat32(where, name, parameters[name]);
    if (x.size !== C) throw rangeError(where, name, `of shape [${C}]`, `[${x.shape.join(", ")}]`);
    return x.data.slice();
  };
  if (transitions.shape.length !== 2 || transitions.shape[1] !== C) throw rangeError(where, "transitions", "of shape [C, C]", `[${transitions.shape.join(", ")}]`);
  return { transitions: transitions.data.slice(), start: edge("start_transitions"), end: edge("end_transitions") };
}

/**
 * The parameters of flair's CRF: its matrix is [to, from] and holds two labels more, <START> and <STOP>, whose scores become `start` and `end`.
 *
 * @param transitions - float32 [C + 2, C + 2], [to, from], as in its state_dict
 * @param labels - the labels in flair's order, <START> and <STOP> among them
 * @returns parameters over the other labels, in their order; flair's -10000 stands for impossible and becomes -Infinity
 * @throws RangeError for another shape, or where <START> or <STOP> is not among the labels
 */
export function fromFlair(transitions: TensorLike, labels: readonly string[]): ChainParameters & { readonly labels: readonly string[] } {
  const where = "fromFlair", x = asFloat32(where, "transitions", transitions), size = labels.length;
  checkShape(where, "transitions", x, [size, size]);
  const first = labels.indexOf("<START>"), last = labels.indexOf("<STOP>");
  if (first < 0 || last < 0) throw rangeError(where, "labels", "with <START> and <STOP>", labels.join(", "));
  const kept = labels.map((_, k) => k).filter((k) => k !== first && k !== last);
  const score = (to: number, from: number): number => (x.data[to * size + from] <= -10000 ? -Infinity : x.data[to * size + from]);
  return {
    transitions: Float32Array.from(kept.flatMap((from) => kept.map((to) => score(to, from)))),
    start: Float32Array.from(kept, (to) => score(to, first)),
    end: Float32Array.from(kept, (from) => score(last, from)),
    labels: kept.map((k) => labels[k]),
  };
}

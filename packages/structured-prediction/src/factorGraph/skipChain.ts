import { asFloat32, checkInteger, checkShape, rangeError, type TensorLike } from "@logits/tensor";
import { labelsOf } from "../chainModel.ts";
import { FactorGraph, type Factor } from "./factorGraph.ts";

/** What a skip chain has beside its emissions and transitions. */
export interface SkipChainOptions {
  /** Pairs of rows, [from, to], that are linked. */
  readonly skips: readonly (readonly [number, number])[];
  /** float32 [C, C]: scores of the labels of linked rows, [from, to]. */
  readonly scores: TensorLike;
  /** float32 [C]. Default 0. */
  readonly start?: TensorLike;
  /** float32 [C]. Default 0. */
  readonly end?: TensorLike;
}

/**
 * A linear chain with further edges between rows that should agree, such as the occurrences of one word, as a `FactorGraph`: factor t < T holds the emissions of row t
 * (with start and end), factor T + t the transition from row t to t + 1, the rest the skips in their order.
 *
 * @param emissions - float32 [T, C]
 * @param transitions - float32 [C, C], [from, to]
 * @param options - `skips`, `scores`, `start`, `end`
 * @throws RangeError for another shape, or a skip from a row to itself or outside [0, T)
 * Source: Sutton and McCallum, "Collective segmentation and labeling of distant entities in information extraction", 2004.
 */
export function skipChain(emissions: TensorLike, transitions: TensorLike, options: SkipChainOptions): FactorGraph {
  const where = "skipChain", e = asFloat32(where, "emissions", emissions), C = labelsOf(where, transitions), A = asFloat32(where, "transitions", transitions);
  checkShape(where, "emissions", e, ["T", "C"]);
  const sized = (name: string, given: TensorLike, size: number): Float32Array => {
    const x = asFloat32(where, name, given);
    if (x.size !== size) throw rangeError(where, name, `of ${size} scores`, `shape [${x.shape.join(", ")}]`);
    return x.data;
  };
  const [T, width] = e.shape;
  if (width !== C) throw rangeError(where, "emissions", `of shape [T, ${C}]`, `[${e.shape.join(", ")}]`);
  const scores = sized("scores", options.scores, C * C), start = options.start === undefined ? undefined : sized("start", options.start, C), end = options.end === undefined ? undefined : sized("end", options.end, C);
  const factors: Factor[] = [];
  for (let t = 0; t < T; t++) factors.push({ variables: [t], scores: Float64Array.from({ length: C }, (_, y) => e.data[t * C + y] + (t === 0 && start ? start[y] : 0) + (t === T - 1 && end ? end[y] : 0)) });
  for (let t = 0; t + 1 < T; t++) factors.push({ variables: [t, t + 1], scores: A.data });
  options.skips.forEach(([from, to], k) => {
    checkInteger(where, `skips[${k}][0]`, from, 0, T - 1);
    checkInteger(where, `skips[${k}][1]`, to, 0, T - 1);
    if (from === to) throw rangeError(where, `skips[${k}]`, "between different rows", `${from} and ${to}`);
    factors.push({ variables: [from, to], scores });
  });
  return new FactorGraph(new Int32Array(T).fill(C), factors);
}

import { asFloat32, asOffsets, asMask, checkShape, defineLoss, rangeError, rowWeights, Tensor, type Loss, type LossOptions, type TensorLike } from "@logits/tensor";

/** Options of losses over lists of items. */
export interface ListOptions extends LossOptions {
  /** uint8 [Q], lists that take part; or the shape of the scores: items that take part. */
  readonly where?: TensorLike;
  /** int32 [Q + 1], rising from 0 to N: list q has the items offsets[q] to offsets[q + 1] of scores [N]. Without them scores are [Q, L]. */
  readonly offsets?: TensorLike;
}

/** A loss of scores and graded relevance. */
export type ListLoss<Options extends ListOptions = ListOptions> = Loss<[scores: TensorLike, relevance: TensorLike], Options>;

/** The value of a list; writes its gradient (zeros before) by the scores. */
export type ListTerms = (scores: Float64Array, relevance: Float64Array, grad: Float64Array) => number;

/** Makes a loss of lists: one function gives value and gradient of the items that take part in one. A list without any takes no part. Relevance is at least `least`; NaN is none. */
export function listLoss<Options extends ListOptions = ListOptions>(name: string, terms: (options: Options, where: string) => ListTerms, least: number = -Infinity): ListLoss<Options> {
  return defineLoss<[scores: TensorLike, relevance: TensorLike], Options>(name, 2, (where, [scores, relevance], options) => {
    const s = asFloat32(where, "scores", scores), y = asFloat32(where, "relevance", relevance), n = s.size, dims = `[${s.shape.join(", ")}]`;
    checkShape(where, "relevance", y, s.shape);
    const offsets = options.offsets === undefined ? undefined : asOffsets(where, "offsets", options.offsets, n);
    if (s.shape.length !== (offsets ? 1 : 2)) throw rangeError(where, "scores", offsets ? "of shape [N] with offsets" : "of shape [Q, L]", dims);
    const lists = offsets ? offsets.length - 1 : s.shape[0], start = (q: number): number => (offsets ? offsets[q] : q * s.shape[1]);
    // A mask of the shape of the scores is one of items.
    const mask = options.where === undefined ? undefined : asMask(where, "where", options.where), items = mask && `${mask.shape}` === `${s.shape}` && (offsets === undefined || n !== lists) ? mask.data : undefined;
    const members = Array.from({ length: lists }, (_, q) => Array.from({ length: start(q + 1) - start(q) }, (_, i) => start(q) + i).filter((i) => items?.[i] !== 0));
    const weights = rowWeights(where, [lists], items ? { weight: options.weight } : options) ?? new Float32Array(lists).fill(1), each = terms(options, where);
    members.forEach((list, q) => {
      if (list.length === 0) weights[q] = 0;
      const bad = weights[q] === 0 ? undefined : list.find((i) => !(y.data[i] >= least));
      if (bad !== undefined) throw rangeError(where, "relevance", least === 0 ? "of at least 0" : "without NaN", `${y.data[bad]} at index ${bad}`, "Leave items out with `where`");
    });
    return {
      shape: [lists],
      weights,
      pass(coefficients) {
        const values = new Float64Array(lists), grad = new Float32Array(coefficients ? n : 0);
        members.forEach((list, q) => {
          if (weights[q] === 0) return;
          const g = new Float64Array(list.length);
          values[q] = each(Float64Array.from(list, (i) => s.data[i]), Float64Array.from(list, (i) => y.data[i]), g);
          if (coefficients && coefficients[q] !== 0) list.forEach((i, k) => (grad[i] = coefficients[q] * g[k]));
        });
        return { values, gradients: () => ({ grad: new Tensor("float32", s.shape, grad) }) };
      },
    };
  });
}

/** Places of values from the highest, equal ones in the order in which they came. */
export function fallingOrder(x: Float64Array): Int32Array {
  return Int32Array.from(x.keys()).sort((a, b) => x[b] - x[a]);
}

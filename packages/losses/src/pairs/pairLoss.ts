import { checkVectors, similarityPass, type Similarity } from "@logits/core-wasm/similarity";
import { Tensor, defineLoss, rangeError, rowWeights, type Loss, type LossOptions, type TensorLike } from "@logits/tensor";
import { takingPart, withoutIgnored } from "../labelled.ts";
import { integers } from "../shaped.ts";

/** Options of a loss over the pairs of a batch. */
export interface PairLossOptions extends LossOptions {
  /** float32 [M, F]: embeddings that stand in the columns in place of the batch, constants (a memory bank). Row i is then no column. */
  readonly references?: TensorLike;
  /** int32 [M], their labels. */
  readonly referenceLabels?: TensorLike;
}

/** The pairs of the rows that take part, numbered among these. */
export interface Pairs {
  /** int32, the label of each row. */
  readonly rowLabels: Int32Array;
  /** int32, the label of each column: the same array, or that of the references. */
  readonly columnLabels: Int32Array;
  /** Whether column i is row i, which is no pair. */
  readonly self: boolean;
  /** The number of other columns with the label of row i. */
  positives(i: number): number;
  /** Index of row i in the batch. */
  readonly rows: readonly number[];
  /** N, the rows that take part and the others. */
  readonly batch: number;
}

/**
 * The value of row i from its similarities with every column, in WebAssembly memory: where there is a coefficient the row is turned into coefficient d value / d similarity, which must be written for every
 * column (0 for the row itself).
 */
export type PairRow = (i: number, similarities: Float32Array, coefficient: number | undefined) => number;

/** What a loss over pairs does. */
export interface PairPlan {
  readonly row: PairRow;
  /** Whether row i has a value, as it has none without a positive; the others are partners all the same. Default: all have. */
  counts?(i: number): boolean;
}

/** A loss of embeddings [N, F] and labels [N]. */
export type PairLoss<Options extends PairLossOptions = PairLossOptions> = Loss<[embeddings: TensorLike, labels: TensorLike], Options>;

/**
 * Makes a loss of labelled embeddings that is one value for each row of their similarity matrix: what a row is worth is all that differs between losses. Rows that take no part (`where`, `ignoreIndex`, weight 0) are neither
 * rows nor columns. The matrix comes in tiles and its gradient goes back in the same pass, so N x N is never stored.
 */
export function pairLoss<Options extends PairLossOptions = PairLossOptions>(name: string, similarity: Similarity | ((options: Options) => Similarity), plan: (options: Options, pairs: Pairs, where: string) => PairPlan): PairLoss<Options> {
  return defineLoss(name, 2, (where, [embeddings, labels]: [TensorLike, TensorLike], options: Options) => {
    const z = checkVectors(where, "embeddings", embeddings), { references, referenceLabels, ignoreIndex } = options, [n, features] = z.shape;
    const y = integers(where, "labels", labels, [n]).data.slice(), r = references === undefined ? undefined : checkVectors(where, "references", references, features);
    if (referenceLabels !== undefined && r === undefined) throw rangeError(where, "referenceLabels", "with `references`", "no references");
    const share = withoutIgnored(rowWeights(where, n, options), y, ignoreIndex), rows = takingPart(n, share), rowLabels = Int32Array.from(rows, (i) => y[i]);
    const columnLabels = r ? integers(where, "referenceLabels", referenceLabels ?? [], [r.shape[0]]).data.slice() : rowLabels, counts = new Map<number, number>(), self = r === undefined;
    for (const label of columnLabels) counts.set(label, (counts.get(label) ?? 0) + 1);
    const planned = plan(options, { rowLabels, columnLabels, self, rows, batch: n, positives: (i) => (counts.get(rowLabels[i]) ?? 0) - (self ? 1 : 0) }, where);
    const weights = new Float32Array(n);
    rows.forEach((at, i) => {
      if (!planned.counts || planned.counts(i)) weights[at] = share ? share[at] : 1;
    });
    return {
      shape: [n],
      weights,
      pass(coefficients) {
        const values = new Float64Array(n);
        const grads = similarityPass({ data: z.data, rows }, r, features, typeof similarity === "function" ? similarity(options) : similarity, (i, row) => {
          const at = rows[i];
          if (weights[at] > 0) values[at] = planned.row(i, row, coefficients?.[at]);
          else row.fill(0);
        }, coefficients !== undefined);
        return { values, gradients: () => ({ grad: new Tensor("float32", z.shape, grads!.left) }) };
      },
    };
  });
}

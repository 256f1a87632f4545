import { Tensor, checkInteger, rangeError } from "@logits/tensor";

/** A set of classes for each row of a batch. */
export class PredictionSets {
  /** uint8 [N, C], 1 = in the set. */
  readonly mask: Tensor<"uint8">;
  /** int32 [N], the number of classes in each set. */
  readonly sizes: Tensor<"int32">;
  /** float32 [N, C], softmax of the logits; a RangeError where `keepProbabilities: false` asked for sets alone. */
  readonly probabilities!: Tensor<"float32">;
  /** The miscoverage that was asked for. */
  readonly alpha: number;
  /** Classes with a score of at most this are in the set; Infinity where n is too small for alpha, NaN where rows or classes have quantiles of their own. */
  readonly quantile: number;
  /** int32 [N], method "tree": the node whose classes are the set, the lowest one; -1 for an empty set. Else undefined. */
  readonly nodes: Tensor<"int32"> | undefined;

  /** Use `SplitConformal.predictionSet`. */
  constructor(mask: Tensor<"uint8">, sizes: Tensor<"int32">, probabilities: Tensor<"float32"> | undefined, alpha: number, quantile: number, nodes?: Tensor<"int32">) {
    this.mask = mask;
    this.sizes = sizes;
    if (probabilities !== undefined) this.probabilities = probabilities;
    else {
      Object.defineProperty(this, "probabilities", {
        get() {
          throw rangeError("PredictionSets.probabilities", "keepProbabilities", "true in `predictionSet`", "false");
        },
      });
    }
    this.alpha = alpha;
    this.quantile = quantile;
    this.nodes = nodes;
  }

  /** The class indices in the set of row i, ascending. RangeError for a row that is not there. */
  labels(i: number): number[] {
    const [rows, classes] = this.mask.shape;
    checkInteger("PredictionSets.labels", "i", i, 0, rows - 1);
    const found: number[] = [];
    for (let c = 0; c < classes; c++) if (this.mask.data[i * classes + c]) found.push(c);
    return found;
  }
}

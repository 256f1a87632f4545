import { Tensor, checkInteger, rangeError, type TensorLike } from "@logits/tensor";
import { checkRange } from "../range.ts";
import { answersOf, meanRow, type Scores } from "./predictions.ts";

/** Options of `DistributionAlignment`. */
export interface DistributionAlignmentOptions {
  /** C. */
  readonly classes: number;
  /** How often each class should be answered, [C]; "labelled" = the mean prediction on labelled rows. Default: all equally often. */
  readonly target?: readonly number[] | "labelled";
  /** In [0, 1]. Default 0.999. */
  readonly momentum?: number;
}

/**
 * Moves predictions so that each class is answered as often as it should be.
 *
 *   p'[b] = normalise(p[b] target / model),   model = EMA(mean p)
 *
 * The first batch sets the mean. `align` moves it and returns the aligned probabilities, which thresholds take with `input: "probabilities"`.
 *
 * @example
 *   const alignment = new DistributionAlignment({ classes: 10 });
 *   const { labels, weight } = threshold.select(alignment.align(weakLogits), { input: "probabilities" });
 * Source: Berthelot et al., "ReMixMatch", ICLR 2020 (arXiv:1911.09785), section 3.1; the target from labelled rows: "AdaMatch", ICLR 2022; 1e-6 is added to both means, as in USB.
 */
export class DistributionAlignment {
  readonly #classes: number;
  readonly #momentum: number;
  readonly #labelled: boolean;
  #target: Float64Array;
  #model: Float64Array | undefined;

  constructor({ classes, target, momentum = 0.999 }: DistributionAlignmentOptions) {
    const where = "DistributionAlignment";
    checkInteger(where, "classes", classes, 1, 2147483647);
    checkRange(where, "momentum", momentum, 0, 1);
    const list = target === undefined || target === "labelled" ? new Float64Array(classes).fill(1 / classes) : Float64Array.from(target), sum = list.reduce((a, b) => a + b, 0);
    if (list.length !== classes || list.some((x) => !(x >= 0)) || !(sum > 0 && sum < Infinity)) throw rangeError(where, "target", `${classes} frequencies, not all 0`, `[${Array.from(list).join(", ")}]`);
    this.#classes = classes;
    this.#momentum = momentum;
    this.#labelled = target === "labelled";
    this.#target = list.map((x) => x / sum);
  }

  /** The running mean of the predictions, [C]; undefined before the first batch. */
  get model(): Float64Array | undefined {
    return this.#model?.slice();
  }

  /** How often each class should be answered, [C]. */
  get target(): Float64Array {
    return this.#target.slice();
  }

  /**
   * @param scores - float32 [B, C]
   * @param options - `input` ("logits"); `labelled`: scores of labelled rows, where the target is "labelled"
   * @returns float32 [B, C], probabilities
   * @throws RangeError for another number of classes, a row with NaN, labelled rows that are missing
   */
  align(scores: TensorLike, { input, labelled }: { readonly input?: Scores; readonly labelled?: TensorLike } = {}): Tensor<"float32"> {
    const where = "DistributionAlignment.align", C = this.#classes, { p, rows } = answersOf(where, "scores", scores, input, C);
    if (this.#labelled) {
      if (labelled === undefined) throw rangeError(where, "labelled", "scores of labelled rows, as the target is theirs", "undefined");
      this.#target = this.#moved(this.#target, meanRow(answersOf(where, "labelled", labelled, input, C).p.data, C));
    }
    if (rows > 0) {
      const mean = meanRow(p.data, C);
      this.#model = this.#model === undefined ? mean : this.#moved(this.#model, mean);
    }
    const out = new Float32Array(p.size), ratio = this.#target.map((t, c) => (t + 1e-6) / ((this.#model?.[c] ?? t) + 1e-6));
    for (let i = 0; i < out.length; i += C) {
      let sum = 0;
      for (let c = 0; c < C; c++) sum += p.data[i + c] * ratio[c];
      for (let c = 0; c < C; c++) out[i + c] = (p.data[i + c] * ratio[c]) / sum;
    }
    return new Tensor("float32", p.shape, out);
  }

  #moved(mean: Float64Array, batch: Float64Array): Float64Array {
    return mean.map((m, c) => this.#momentum * m + (1 - this.#momentum) * batch[c]);
  }
}

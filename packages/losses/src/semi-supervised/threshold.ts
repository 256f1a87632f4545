import { Tensor, type TensorLike } from "@logits/tensor";
import { answersOf, type Answers, type Scores } from "./predictions.ts";

/** Answers of the weak view as labels, and how much each counts. */
export interface PseudoLabels {
  /** int32 [B]. */
  readonly labels: Tensor<"int32">;
  /** float32 [B], in [0, 1]: 1 = counts fully, 0 = not at all. */
  readonly weight: Tensor<"float32">;
  /** float32 [B], the largest probability. */
  readonly confidence: Tensor<"float32">;
}

/** What `select` takes beside the scores. */
export interface SelectOptions {
  /** "probabilities" where `DistributionAlignment` came first. Default "logits". */
  readonly input?: Scores;
  /** FlexMatch: int32 [B], which rows of the unlabelled set these are, in [0, size). */
  readonly ids?: TensorLike;
  /** AdaMatch: scores [N, C] of the labelled rows of the step, of the same kind. */
  readonly labelled?: TensorLike;
}

/** A rule as JSON, to go on with training later. */
export interface ThresholdJSON {
  readonly format: "logits/threshold";
  readonly version: 1;
  readonly kind: string;
  readonly options: Readonly<Record<string, number>>;
  readonly state: readonly number[];
}

/**
 * Which pseudo-labels to trust: the one interface of FixMatch, FlexMatch, FreeMatch, SoftMatch, AdaMatch, CorrMatch and Dash.
 *
 * `select` reads the scores of one batch, moves its running statistics, and gives every row a weight; a class's rows count where their confidence is at least `thresholds()[class]` (SoftMatch: more the nearer).
 */
export abstract class Threshold {
  /** Which rule it is, in JSON. */
  abstract readonly kind: string;
  protected readonly options: Readonly<Record<string, number>>;
  protected readonly state: Float64Array;

  protected constructor(options: Readonly<Record<string, number>>, state: ArrayLike<number>) {
    this.options = options;
    this.state = Float64Array.from(state);
  }

  /** Number of classes, where the rule counts them. */
  protected get classes(): number | undefined {
    return this.options.classes;
  }

  /**
   * Pseudo-labels of a batch.
   *
   * @param scores - float32 [B, C], of the weakly augmented view
   * @param options - `input`, `ids`, `labelled`
   * @returns labels, weights and confidences
   * @throws RangeError for another number of classes, a row with NaN, ids or labelled scores that the rule needs and does not get
   */
  select(scores: TensorLike, options: SelectOptions = {}): PseudoLabels {
    const where = `${this.kind} threshold: select`, answers = answersOf(where, "scores", scores, options.input, this.classes), { rows, labels, confidence } = answers;
    const weight = new Float32Array(rows);
    this.weigh(where, answers, weight, options);
    return { labels: new Tensor("int32", [rows], labels), weight: new Tensor("float32", [rows], weight), confidence: new Tensor("float32", [rows], confidence) };
  }

  /** The smallest confidence that counts (SoftMatch: counts fully), for each class, or one for all. */
  abstract thresholds(): Float64Array;

  /** Moves the statistics and sets the weights. */
  protected abstract weigh(where: string, answers: Answers, weight: Float32Array, options: SelectOptions): void;

  /** 1 where the confidence is at least the threshold of its class, else 0. */
  protected cut({ labels, confidence }: Answers, weight: Float32Array, thresholds: Float64Array = this.thresholds()): void {
    // Compared in float32: a confidence that is the threshold counts.
    for (let i = 0; i < weight.length; i++) weight[i] = Number(confidence[i] >= Math.fround(thresholds[thresholds.length === 1 ? 0 : labels[i]]));
  }

  toJSON(): ThresholdJSON {
    return { format: "logits/threshold", version: 1, kind: this.kind, options: this.options, state: Array.from(this.state) };
  }
}

import { rangeError, runSteps, runStepsAsync, type LongWorkOptions, type Steps, type TensorLike } from "@logits/tensor";
import type { AffinePenalty } from "./affineFit.ts";
import { AffineScaling, affineFields, affineSteps, type AffineKind } from "./affineScaling.ts";

const KIND: AffineKind = { name: "DirichletScaling", format: "logits/dirichlet-scaling", full: true, input: "logProbabilities" };

/** Options of `DirichletScaling`. */
export interface DirichletScalingOptions {
  /** lambda >= 0: weights between classes; "structured" (the default): (C (C - 1))^2 / N, so that each square counts C (C - 1) / N. */
  readonly lambda?: number | "structured";
  /** mu >= 0: the bias; "structured" (the default): C^2 / N, so that each square counts C / N. */
  readonly mu?: number | "structured";
  /** Steps of L-BFGS at most; default 200. Where they do not suffice `converged` is false. */
  readonly maxIterations?: number;
}

/**
 * p = softmax(W ln softmax(logits) + b), the map between Dirichlet densities of the classes, with off-diagonal and intercept regularisation (ODIR).
 *
 *   (1 / N) sum_n -log p[n, y_n] + lambda / (C (C - 1)) sum_{i != j} W_ij^2 + mu / C sum_c b_c^2
 *
 * The diagonal is free. lambda and mu grow with C by default: on CIFAR-100 with 5,000 rows every lambda of the usual grid of 1e-5 to 1 learns the rows by heart. Unlike `MatrixScaling` it does not see a common shift of a row's logits. Can change the order of the classes.
 *
 * Source: Kull, Perello-Nieto, Kaengsepp, Silva Filho, Song, Flach, "Beyond temperature scaling: obtaining well-calibrated multiclass probabilities with Dirichlet calibration", NeurIPS 2019.
 */
export class DirichletScaling extends AffineScaling {
  /**
   * Fits W and b on labelled rows that no later step uses.
   *
   * @param logits - float32 [N, C], N and C at least 1; -Infinity = impossible class. From probabilities: `probabilitiesToLogits`
   * @param labels - int32 [N], in [0, C)
   * @param options - `lambda` and `mu` (default "structured"), `maxIterations` (default 200)
   * @returns the fitted object; look at `converged` and `atBound`
   * @throws RangeError for no rows, another shape, a label outside [0, C), a row with NaN, +Infinity or without a finite score, an impossible label, an option out of range
   * @example
   *   DirichletScaling.fit([[2, 0], [2, 0], [0, 2], [2, 0]], [0, 0, 1, 1]).probabilities([2, 0]);
   */
  static fit(logits: TensorLike, labels: TensorLike, options: DirichletScalingOptions = {}): DirichletScaling {
    return runSteps(DirichletScaling.fitSteps("DirichletScaling.fit", logits, labels, options));
  }

  /** `fit` with pauses at least every 16 ms: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(logits: TensorLike, labels: TensorLike, options: DirichletScalingOptions & LongWorkOptions = {}): Promise<DirichletScaling> {
    return runStepsAsync(DirichletScaling.fitSteps("DirichletScaling.fitAsync", logits, labels, options), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, logits: TensorLike, labels: TensorLike, options: DirichletScalingOptions = {}): Steps<DirichletScaling> {
    const { lambda = "structured", mu = "structured", maxIterations = 200 } = options;
    for (const [name, value] of [["lambda", lambda], ["mu", mu]] as const) {
      if (value !== "structured" && !(value >= 0 && value < Infinity)) throw rangeError(where, name, 'a finite number >= 0 or "structured"', `${value}`);
    }
    const ridge = (n: number, classes: number): AffinePenalty => ({
      diagonal: 0,
      offDiagonal: lambda === "structured" ? (classes * (classes - 1)) / n : lambda / Math.max(1, classes * (classes - 1)),
      bias: mu === "structured" ? classes / n : mu / classes,
    });
    return new DirichletScaling(KIND, yield* affineSteps(where, logits, labels, KIND, maxIterations, ridge));
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): DirichletScaling {
    return new DirichletScaling(KIND, affineFields(KIND, json));
  }
}

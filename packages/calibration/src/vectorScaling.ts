import { runSteps, runStepsAsync, type LongWorkOptions, type Steps, type TensorLike } from "@logits/tensor";
import { AffineScaling, affineFields, affineSteps, ridgeOf, type AffineKind, type AffineScalingOptions } from "./affineScaling.ts";

const KIND: AffineKind = { name: "VectorScaling", format: "logits/vector-scaling", full: false, input: "logits" };

/**
 * p = softmax(w * logits + b): a temperature and a bias for each class, with the smallest penalised negative log-likelihood of the labels.
 *
 *   (1 / N) sum_n -log p[n, y_n] + lambda (sum_c (w_c T - 1)^2 + sum_c b_c^2),   T the best single temperature, lambda = C / N ("structured")
 *
 * With `ridge: 0` it is vector scaling as published; the ridge keeps classes with few rows near what temperature scaling says. Can change the order of the classes, and does see a
 * common shift of a row's logits.
 *
 * Source: Guo, Pleiss, Sun, Weinberger, "On calibration of modern neural networks", ICML 2017, section 4.2; Berta, Holzmueller, Jordan, Bach, "Structured matrix scaling for multi-class
 * calibration", 2025, for the ridge.
 */
export class VectorScaling extends AffineScaling {
  /**
   * Fits W and b on labelled rows that no later step uses.
   *
   * @param logits - float32 [N, C], N and C at least 1; -Infinity = impossible class. From probabilities: `probabilitiesToLogits`
   * @param labels - int32 [N], in [0, C)
   * @param options - `ridge` (default "structured"), `maxIterations` (default 200)
   * @returns the fitted object; look at `converged` and `atBound`
   * @throws RangeError for no rows, another shape, a label outside [0, C), a row with NaN, +Infinity or without a finite score, an impossible label, an option out of range
   * @example
   *   VectorScaling.fit([[2, 0], [2, 0], [0, 2], [2, 0]], [0, 0, 1, 1]).probabilities([2, 0]);
   */
  static fit(logits: TensorLike, labels: TensorLike, options: AffineScalingOptions = {}): VectorScaling {
    return runSteps(VectorScaling.fitSteps("VectorScaling.fit", logits, labels, options));
  }

  /** `fit` with pauses at least every 16 ms: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(logits: TensorLike, labels: TensorLike, options: AffineScalingOptions & LongWorkOptions = {}): Promise<VectorScaling> {
    return runStepsAsync(VectorScaling.fitSteps("VectorScaling.fitAsync", logits, labels, options), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, logits: TensorLike, labels: TensorLike, options: AffineScalingOptions = {}): Steps<VectorScaling> {
    const { ridge = "structured", maxIterations = 200 } = options;
    return new VectorScaling(KIND, yield* affineSteps(where, logits, labels, KIND, maxIterations, ridgeOf(where, ridge)));
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): VectorScaling {
    return new VectorScaling(KIND, affineFields(KIND, json));
  }
}

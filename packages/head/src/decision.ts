/** Why a row is no row. */
export interface InvalidWhy {
  /**
   * Stable, machine-readable. `NO_DISTRIBUTION`: NaN, +Infinity or no finite score; where the head takes probabilities, a row that is none. `NO_FEATURES`: a feature is NaN or
   * infinite. `NO_SCORE`: the detector's score of finite numbers is NaN.
   */
  readonly code: "NO_DISTRIBUTION" | "NO_FEATURES" | "NO_SCORE";
  /** For people. */
  readonly text: string;
}

/** Why a row is unlike the rows of the fit. */
export interface UnknownWhy {
  readonly code: "OUT_OF_DISTRIBUTION";
  /** For people. */
  readonly text: string;
  /** The detector's method: "mahalanobis", "energy", ... */
  readonly detector: string;
  /** The detector's score of the row; higher = more out-of-distribution. In a cross-fitted head 1 minus the pooled p-value. */
  readonly score: number;
  /** What the score exceeds (reaches, in a cross-fitted head). */
  readonly threshold: number;
}

/** Why a row gets no ordinary answer. */
export type Why = InvalidWhy | UnknownWhy;

/**
 * What to do with one row: a union, so that refusal cannot be forgotten.
 *
 * - `label`: one class is left at the promised miscoverage. `probability` is calibrated; `set` holds the label.
 * - `ambiguous`: several classes are left, most probable first, with their calibrated probabilities.
 * - `unknown`: the row is unlike the rows of the fit, by the detector of the head. `pValue`: share of the calibration rows that are at least as unlike (the row counted
 *   with them), in (0, 1]; `nearest`: the most probable class. A head without a detector never says it.
 * - `invalid`: the scores are no distribution, or a feature is not finite.
 */
export type Decision<L extends string = string> =
  | { readonly kind: "label"; readonly label: L; readonly probability: number; readonly set: readonly L[] }
  | { readonly kind: "ambiguous"; readonly set: readonly L[]; readonly probabilities: readonly number[] }
  | { readonly kind: "unknown"; readonly pValue: number; readonly nearest: L; readonly why: UnknownWhy }
  | { readonly kind: "invalid"; readonly why: InvalidWhy };

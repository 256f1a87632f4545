/** Why a row gets no ordinary answer. */
export interface Why {
  /** Stable, machine-readable. `NO_DISTRIBUTION`: the row has NaN, +Infinity or no finite score. */
  readonly code: "NO_DISTRIBUTION";
  /** For people. */
  readonly text: string;
}

/**
 * What to do with one row: a union, so that refusal cannot be forgotten.
 *
 * - `label`: one class is left at the promised miscoverage. `probability` is calibrated; `set` holds the label.
 * - `ambiguous`: several classes are left, most probable first, with their calibrated probabilities.
 * - `unknown`: the row is unlike the data of the fit. Needs a detector; a head without one never says it.
 * - `invalid`: the scores are no distribution.
 */
export type Decision<L extends string = string> =
  | { readonly kind: "label"; readonly label: L; readonly probability: number; readonly set: readonly L[] }
  | { readonly kind: "ambiguous"; readonly set: readonly L[]; readonly probabilities: readonly number[] }
  | { readonly kind: "unknown"; readonly pValue: number; readonly nearest: L; readonly why: Why }
  | { readonly kind: "invalid"; readonly why: Why };

/** A promise as data, with the rows it rests on. */
export interface Guarantee {
  /** For people. */
  readonly statement: string;
  /** "marginal coverage": over all rows together, not for each class or set size. */
  readonly kind: "marginal coverage";
  /** What is promised: 1 - alpha. */
  readonly level: number;
  /** Rows that the promise rests on. */
  readonly n: number;
  /** Which rows those are. */
  readonly rows: string;
  /** What must hold. */
  readonly assumes: readonly string[];
}

/** A number measured on rows, with what is needed to read it. */
export interface Estimate {
  readonly value: number;
  /** Rows. */
  readonly n: number;
  /** Confidence interval for what infinitely many rows of the same source would give, rows drawn independently; asymptotic unless the function says more. */
  readonly interval: readonly [low: number, high: number];
  /** Confidence of `interval`, in (0, 1). */
  readonly level: number;
  /** What was computed, in words. */
  readonly convention: string;
}

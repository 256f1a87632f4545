/** What every optimiser returns; none throws because it has not converged. */
export interface OptimizerResult {
  /** The best point, shape [P]. */
  readonly x: Float64Array;
  /** The objective there. */
  readonly value: number;
  /** Largest absolute component of the gradient there. */
  readonly gradientNorm: number;
  /** Accepted steps. */
  readonly iterations: number;
  /** Calls of the objective. */
  readonly evaluations: number;
  /** Whether the stopping rule was met. */
  readonly converged: boolean;
  /** Why it stopped: `gradient` (the stopping rule), `iterations` (the limit), `lineSearch` (no acceptable point, also along the steepest descent: the precision of f is used up, or its gradient is wrong). */
  readonly reason: "gradient" | "iterations" | "lineSearch";
}

/** Where an optimiser stands; yielded after every call of the objective. */
export interface OptimizerProgress {
  /** The current accepted point; the array is reused, copy it to keep it. */
  readonly x: Float64Array;
  readonly value: number;
  readonly gradientNorm: number;
  readonly iterations: number;
  readonly evaluations: number;
}

/** An optimiser as a generator: each `next()` calls the objective once. */
export type OptimizerSteps<Result = OptimizerResult> = Generator<OptimizerProgress, Result, void>;

/** An objective with its gradient: returns f(x) and writes df/dx into `gradient`; both arrays have shape [P]. */
export type Objective = (x: Float64Array, gradient: Float64Array) => number;

/** An `Objective` that runs in pieces: it yields what the caller likes to see between them, and returns f(x). */
export type SteppedObjective<Piece> = (x: Float64Array, gradient: Float64Array) => Generator<Piece, number, void>;

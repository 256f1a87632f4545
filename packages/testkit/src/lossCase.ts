import type { Plain, Result } from "./checks.ts";

/** An argument of a loss: predictions, labels, targets. */
export type LossArgument = Plain | Plain<Int32Array> | Plain<Uint8Array>;

/** The shape of a `Loss`: callable, and with `withGrad`. */
export interface LossLike {
  (...args: any[]): Result;
  withGrad(...args: any[]): { readonly loss: Result } & object;
}

/** One set of arguments. */
export interface LossCase {
  readonly name: string;
  /** Predictions first; every argument that is not `shared` has rows on its first axis. At least 3 rows. */
  readonly arguments: readonly LossArgument[];
  /** Options of this loss (`{ gamma: 2 }`), without reduction, weight, where, ignoreIndex and upstream. */
  readonly options?: object;
}

/** An argument whose gradient is published. */
export interface Differentiable {
  /** Position among the arguments. */
  readonly argument: number;
  /** Where `withGrad` puts its gradient; default `grad`. */
  read?(result: any): Result;
}

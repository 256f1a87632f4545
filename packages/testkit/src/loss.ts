import { batteryOf } from "./batchLoss.ts";
import { runChecks, type Check } from "./checks.ts";
import type { Closeness } from "./compare.ts";
import type { DifferenceOptions } from "./differences.ts";
import type { Differentiable, LossCase, LossLike } from "./lossCase.ts";

/** A loss with one value per row. */
export interface LossSpec {
  readonly name: string;
  readonly loss: LossLike;
  readonly cases: readonly LossCase[];
  /** The definition of the value of one row, in float64: gets the row of each argument (a shared argument whole) and the options of the case. */
  reference(row: readonly Float64Array[], options: any): number;
  /** How far values may be from the definition. */
  readonly bound: Closeness;
  /** How far gradients may be from central differences of the definition. */
  readonly gradientBound: Closeness;
  readonly differences?: DifferenceOptions;
  /** Default: argument 0, as `grad`. */
  readonly differentiable?: readonly Differentiable[];
  /** Positions of arguments without rows (weights of a projection). */
  readonly shared?: readonly number[];
  /** An argument of integer labels in [0, classes): out of range is refused with its index, and `ignoreIndex` drops rows. */
  readonly labels?: { readonly argument: number; readonly name?: string; readonly classes: number };
  /** Predictions of this size must give finite values and gradients; default 1e4, `false` where they cannot occur. */
  readonly extreme?: number | false;
  readonly seed?: number;
}

/**
 * The battery of a loss, as named assertions.
 *
 * @example
 *   it.each(lossChecks({ name: "huberLoss", loss: huberLoss, reference: huberRef, cases, bound: { atol: 1e-6 }, gradientBound: { atol: 1e-5 } }))("$name", ({ run }) => run());
 */
export function lossChecks(spec: LossSpec): Check[] {
  const { shared = [], reference } = spec;
  return batteryOf({
    ...spec,
    // A row's bits do not depend on where it stands.
    exact: true,
    reference(batch, options, shapes) {
      const rows = shapes.find((_, a) => !shared.includes(a))![0];
      return Float64Array.from({ length: rows }, (_, i) => reference(batch.map((data, a) => (shared.includes(a) ? data : data.slice((i * data.length) / rows, ((i + 1) * data.length) / rows))), options));
    },
  });
}

/** Runs the whole battery of {@link lossChecks}; throws at the first assertion that fails. */
export function checkLoss(spec: LossSpec): void {
  runChecks(spec.name, lossChecks(spec));
}


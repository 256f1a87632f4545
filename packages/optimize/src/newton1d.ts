import { checkInteger, rangeError } from "@logits/tensor";
import { checkTolerance } from "./check.ts";
import type { OptimizerSteps } from "./result.ts";
import { run } from "./run.ts";

/** Value, first and second derivative of a function of one variable. */
export interface Derivatives {
  readonly value: number;
  readonly gradient: number;
  readonly curvature: number;
}

/** Options of `newton1d`. */
export interface Newton1dOptions {
  /** The interval [low, high], finite, low < high. */
  low: number;
  high: number;
  /** Start in [low, high]; default the middle. */
  start?: number;
  /** Stops when |gradient| is at most this; default 1e-10. */
  gradientTolerance?: number;
  /** Stops when the next step is at most this share of max(|x|, high - low); default 1e-15. */
  stepTolerance?: number;
  /** Steps at most, integer >= 0; default 200. */
  maxIterations?: number;
}

/** Result of `newton1d`. */
export interface Newton1dResult {
  readonly x: number;
  readonly value: number;
  /** |gradient| at x. */
  readonly gradientNorm: number;
  readonly iterations: number;
  readonly evaluations: number;
  /** Whether an optimum or a bound was reached. */
  readonly converged: boolean;
  /** Whether the optimum lies at or beyond an end of the interval; then x is that end. */
  readonly atBound: boolean;
}

/**
 * Minimises a convex function on an interval by Newton's method inside a bracket.
 *
 * A step that leaves the interval, or a curvature that is not positive, leads to the interval's end in that direction, once; any other step that leaves the
 * bracket, or is not shorter than the one before, is replaced by the bracket's middle. Stopping rule: |gradient| <= gradientTolerance, or the next step <= stepTolerance max(|x|, high - low), or the end of the interval is optimal.
 *
 * @param f - value, gradient and curvature at x in [low, high]
 * @returns the point, whether the rule was met (`converged`) and whether the optimum is at an end (`atBound`)
 * @throws RangeError if f gives NaN or an infinite value or gradient, or an option is out of range
 * @example newton1d((x) => ({ value: (x - 2) ** 2, gradient: 2 * (x - 2), curvature: 2 }), { low: 0, high: 10 }).x // 2
 * Source: Press et al., Numerical Recipes (2007), 9.4 (rtsafe), on the gradient.
 */
export function newton1d(f: (x: number) => Derivatives, options: Newton1dOptions): Newton1dResult {
  return run(newton1dSteps(f, options));
}

/**
 * `newton1d` one evaluation at a time, for `runAsync`.
 * @param f - as `newton1d`
 * @throws RangeError as `newton1d`
 * @example await runAsync(newton1dSteps(f, { low: 0, high: 10 }), { signal })
 * Source: as `newton1d`.
 */
export function* newton1dSteps(f: (x: number) => Derivatives, options: Newton1dOptions): OptimizerSteps<Newton1dResult> {
  const where = "newton1d";
  const { low, high, gradientTolerance = 1e-10, stepTolerance = 1e-15, maxIterations = 200 } = options;
  if (!(low < high && high - low < Infinity)) throw rangeError(where, "options", "with finite low < high", `low ${low}, high ${high}`);
  const { start = low + (high - low) / 2 } = options;
  if (!(start >= low && start <= high)) throw rangeError(where, "start", `in [${low}, ${high}]`, `${start}`);
  checkTolerance(where, "gradientTolerance", gradientTolerance);
  checkTolerance(where, "stepTolerance", stepTolerance);
  checkInteger(where, "maxIterations", maxIterations, 0, Number.MAX_SAFE_INTEGER);
  // The optimum lies in [below, above]; lowSeen and highSeen say whether those ends have been evaluated.
  let x = start, below = low, above = high, iterations = 0, evaluations = 0, lastStep = Infinity;
  let lowSeen = false, highSeen = false;
  const point = new Float64Array(1);
  for (;;) {
    const { value, gradient, curvature } = f(x);
    evaluations++;
    if (!(value - value === 0 && gradient - gradient === 0)) {
      throw rangeError(where, "f", "to give a finite value and gradient", `value ${value}, gradient ${gradient} at x = ${x}`);
    }
    if (curvature !== curvature) throw rangeError(where, "f", "to give a curvature", `NaN at x = ${x}`);
    const result = (converged: boolean, atBound: boolean): Newton1dResult => ({ x, value, gradientNorm: Math.abs(gradient), iterations, evaluations, converged, atBound });
    point[0] = x;
    yield { x: point, value, gradientNorm: Math.abs(gradient), iterations, evaluations };
    if ((x === low && gradient >= 0) || (x === high && gradient <= 0)) return result(true, true);
    if (Math.abs(gradient) <= gradientTolerance) return result(true, false);
    if (gradient > 0) {
      above = x;
      highSeen = true;
    } else {
      below = x;
      lowSeen = true;
    }
    const newton = x - gradient / curvature;
    let next = newton;
    // Newton's step is taken inside the bracket when it is shorter than the step before; then it cannot go back and forth for ever.
    if (!(curvature > 0 && newton > below && newton < above && Math.abs(newton - x) < lastStep)) {
      const middle = below + (above - below) / 2;
      const outside = !(curvature > 0) || newton <= low || newton >= high;
      next = outside && gradient > 0 && !lowSeen ? low : outside && gradient < 0 && !highSeen ? high : middle;
      lastStep = Infinity;
    } else lastStep = Math.abs(newton - x);
    if (Math.abs(next - x) <= stepTolerance * Math.max(Math.abs(x), high - low) || next === x) return result(true, false);
    if (iterations === maxIterations) return result(false, false);
    iterations++;
    x = next;
  }
}
